"""A stand-in policy whose maps are free numbers, and a stand-in pool that pays for one pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from robo_rlft.policies.factors import Comparison, Factors
from robo_rlft.policies.parts import Encoded
from robo_rlft.records import ActionScores, Decision, Observation, PickPlace

ROWS, COLUMNS, ROTATIONS = 3, 3, 2
PLACES = ROTATIONS * ROWS * COLUMNS  # 18; with 9 picks that makes 162 actions


class FakeEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.frozen = False

    def freeze(self) -> None:
        self.frozen = True
        self.requires_grad_(False)

    def unfreeze(self) -> None:
        self.frozen = False
        self.requires_grad_(True)


class TablePolicy(nn.Module):
    """log pi(a) = log softmax(pick)[p] + log softmax(place[p])[q, theta], the same for every observation."""

    def __init__(self, *, seed: int = 0, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        cells = ROWS * COLUMNS
        self.encoder = FakeEncoder()
        self.pick = nn.Parameter(scale * torch.randn(cells, generator=generator, dtype=dtype))
        self.place = nn.Parameter(scale * torch.randn(cells, PLACES, generator=generator, dtype=dtype))
        self.precision = "float32"
        self.rotations = ROTATIONS

    def encode(self, observation: Observation) -> Observation:
        return observation

    def factors(self, encoded: Observation, picks: Tensor) -> Factors:
        picks = picks if picks.ndim == 3 else picks[:, None]
        pick = (self.pick * self.encoder.weight).log_softmax(0).view(1, ROWS, COLUMNS)
        place = self.place.log_softmax(1)[picks[..., 0] * COLUMNS + picks[..., 1]]
        return Factors(pick=pick.expand(picks.shape[0], -1, -1), place=place.unflatten(-1, (ROTATIONS, ROWS, COLUMNS)))

    def compare(self, encoded: Observation, action: PickPlace, *, reference: TablePolicy) -> Comparison:
        own = self.factors(encoded, action.pick)
        with torch.no_grad():
            theirs = reference.factors(encoded, action.pick)
        pick_kl, place_kl = own.kl(theirs)
        return Comparison(scores=own.scores(action), pick_kl=pick_kl, place_kl=place_kl)

    def evaluate_actions(
        self, observation: Observation, action: PickPlace, *, encoded: Observation | None = None
    ) -> ActionScores:
        if action.rotation.ndim == 2:
            return self.factors(observation, action.pick).scores(action)
        return self.factors(observation, action.pick).scores(action[:, None])[:, 0]

    def act(
        self,
        observation: Observation,
        *,
        greedy: bool = False,
        samples: int | None = None,
        generator: torch.Generator | None = None,
        encoded: Observation | None = None,
    ) -> Decision:
        batch = observation.height.shape[0]
        count = batch * (samples or 1)
        cell = torch.multinomial(self.pick.softmax(0), count, replacement=True, generator=generator)
        place = torch.multinomial(self.place.softmax(1)[cell], 1, generator=generator)[:, 0]
        shape = (batch,) if samples is None else (batch, samples)
        action = actions(cell.view(shape), place.view(shape))
        scores = self.evaluate_actions(observation, action)
        return Decision(action=action, log_prob=scores.log_prob, confidence=torch.ones(shape))


class SeeingTablePolicy(TablePolicy):
    """A table policy that encodes observations as a transporter does: a critic sees their heights."""

    def encode(self, observation: Observation) -> Encoded:  # type: ignore[override]  # tables do not look at it
        count = len(observation.height)
        return Encoded(
            image=observation.height[:, None] / 0.1,
            dense=torch.zeros(count, 2, ROWS, COLUMNS),
            phrases=torch.zeros(count, 2, 2),
            sentence=torch.zeros(count, 2),
            mask=observation.height > 0.0,
            confidence=torch.ones(count),
        )


def actions(pick: Tensor, place: Tensor) -> PickPlace:
    """Return actions from a flat pick in [0, 9) and a flat place in [0, 18), rotation first."""
    cell = place % (ROWS * COLUMNS)
    return PickPlace(
        pick=torch.stack([pick // COLUMNS, pick % COLUMNS], dim=-1),
        place=torch.stack([cell // COLUMNS, cell % COLUMNS], dim=-1),
        rotation=place // (ROWS * COLUMNS),
    )


def observations(batch: int) -> Observation:
    return Observation(
        color=torch.zeros(batch, 3, ROWS, COLUMNS, dtype=torch.uint8),
        height=torch.full((batch, ROWS, COLUMNS), 0.05),
        instruction=("put it there",) * batch,
    )


@dataclass(frozen=True)
class FakeOutcome:
    state: Any
    observation: Observation
    reward: float
    terminated: bool
    truncated: bool
    terms: dict[str, float]

    @property
    def done(self) -> bool:
        return self.terminated or self.truncated

    @property
    def success(self) -> bool:
        return self.terminated


class FakeState(NamedTuple):
    seed: int
    step: int
    split: str = "seen"
    phase: str = "train"
    over: bool = False
    goals: tuple[str, ...] = ("there",)
    progress: float = 0.0
    sentences: tuple[str, ...] = ("put it there",)


class FakePool:
    """One-step episodes that pay 1 where `pays` says so; remembers which scenes it was asked for."""

    restores = True

    def __init__(self, *, pays: Callable[[Tensor], bool], max_steps: int = 1, silent: bool = False) -> None:
        self.pays = pays
        self.max_steps = max_steps
        self.silent = silent  # tells of success, and pays nothing
        self.seeds: list[list[int]] = []
        self.closed = False

    def reset(self, seeds: Sequence[int]) -> list[Any]:
        self.seeds.append(list(seeds))
        return [SimpleNamespace(state=FakeState(seed, 0), observation=self._observation()) for seed in seeds]

    def step(self, states: Sequence[Any], action: PickPlace, **_: Any) -> list[FakeOutcome]:
        return [self._outcome(state, action.pick[i]) for i, state in enumerate(states)]

    def look(self, states: Sequence[Any]) -> list[Observation]:
        return [self._observation() for _ in states]

    def close(self) -> None:
        self.closed = True

    def _outcome(self, state: FakeState, pick: Tensor) -> FakeOutcome:
        assert not state.over
        paid = self.pays(pick)
        last = state.step + 1 >= self.max_steps
        return FakeOutcome(
            state=state._replace(step=state.step + 1, over=paid or last, progress=state.progress + paid),
            observation=self._observation(),
            reward=float(paid and not self.silent),
            terminated=paid,
            truncated=not paid and last,
            terms={} if self.silent else {"progress": float(paid)},
        )

    @staticmethod
    def _observation() -> Observation:
        return observations(1)[0]
