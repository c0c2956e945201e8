"""Which scenes a report shows, and what their policies make of them, run again.

Knows results and replays; how they are shown is the report's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from robo_rlft.commands.evaluations import Evaluation
from robo_rlft.commands.replays import Player, Replay, open_player
from robo_rlft.config import UserError
from robo_rlft.driver import DriverError
from robo_rlft.evaluation.report import EpisodeView, PolicyView, SceneComparison
from robo_rlft.evaluation.results import SceneResult
from robo_rlft.policies.io import PolicyFileError

SCENES_PER_SPLIT = 2  # before and after
MOST_OF_A_KIND = 4


@dataclass(frozen=True, kw_only=True)
class Filmed:
    """What was run again."""

    scenes: tuple[SceneComparison, ...]
    episodes: tuple[EpisodeView, ...]
    notes: tuple[str, ...]  # what could not be, and why


@dataclass(frozen=True, kw_only=True)
class _Pick:
    """An episode to show."""

    evaluation: Evaluation
    scene: SceneResult
    kind: str | None  # of its failure; None where success is unknown


def film_runs(
    evaluations: Sequence[Evaluation], *, before: str, after: str, films: int, trust: Sequence[str] = ()
) -> Filmed:
    """Run telling scenes again: a few of every split before and after, and at most `films` failures of all kinds."""
    with ExitStack() as stack:
        players = _Players(stack, trust)
        chosen = telling_failures(evaluations, first=after, most=films)
        scenes = (
            [view for pair in _pairs(evaluations, before, after) for view in _compare(players, *pair)] if films else []
        )
        episodes = [view for pick in chosen for view in _episode(players, pick)]
        return Filmed(scenes=tuple(scenes), episodes=tuple(episodes), notes=tuple(players.notes))


def telling(pairs: Sequence[tuple[SceneResult, SceneResult]], count: int) -> list[tuple[SceneResult, SceneResult]]:
    """Return the scenes that show most: the first that was mended, the first that still fails, then the first ones."""
    mended = [p for p in pairs if not p[0].success and p[1].success]
    failing = [p for p in pairs if not p[1].success]
    chosen: list[tuple[SceneResult, SceneResult]] = []
    for pair in (*mended[:1], *failing[:1], *mended[1:], *pairs):
        if pair not in chosen:
            chosen.append(pair)
    return chosen[:count]


def telling_failures(evaluations: Sequence[Evaluation], *, first: str, most: int) -> list[_Pick]:
    """Return failed episodes, and some of unknown success: every kind in turn, and in it every run and split in turn.

    Args:
        evaluations: Where to look.
        first: The run whose failures come first.
        most: How many to return.
    """
    found: dict[str | None, dict[str, dict[str, list[_Pick]]]] = {}
    for one in sorted(evaluations, key=lambda e: e.run != first):
        for scene in one.result.scenes:
            if not scene.success:
                kind = None if scene.success is None else scene.failure or "unknown"
                pick = _Pick(evaluation=one, scene=scene, kind=kind)
                found.setdefault(kind, {}).setdefault(one.run, {}).setdefault(one.column, []).append(pick)
    kinds = [
        list(_in_turn([list(_in_turn(list(columns.values()))) for columns in runs.values()]))[:MOST_OF_A_KIND]
        for runs in found.values()
    ]
    return list(_in_turn(kinds))[:most]


def _in_turn(lists: Sequence[list[_Pick]]) -> Iterator[_Pick]:
    """Yield the first of every list, then the second of every list, and so on."""
    queues = deque(deque(items) for items in lists if items)
    while queues:
        queue = queues.popleft()
        yield queue.popleft()
        if queue:
            queues.append(queue)


class _Players:
    """Makes each evaluation's player once, and remembers why one could not be made."""

    def __init__(self, stack: ExitStack, trust: Sequence[str]) -> None:
        self._stack, self._trust = stack, trust
        self._made: dict[str, Player | None] = {}
        self.notes: list[str] = []

    def get(self, one: Evaluation) -> Player | None:
        key = str(one.folder)
        if key not in self._made:
            try:
                made = open_player(one.config, one.result, trust=self._trust)
                self._made[key] = self._stack.enter_context(made)
            except (UserError, PolicyFileError, DriverError, OSError) as error:
                self._made[key] = None
                self.notes.append(f"{one.run} on {one.column}: not shown step by step, since {error}")
        return self._made[key]


def _pairs(
    evaluations: Sequence[Evaluation], before: str, after: str
) -> Iterator[tuple[Evaluation, Evaluation, list[tuple[SceneResult, SceneResult]]]]:
    """Yield both evaluations of each column that both runs have, with their common scenes."""
    columns: Mapping[str, Evaluation] = {one.column: one for one in evaluations if one.run == before}
    for new in evaluations:
        old = columns.get(new.column)
        if new.run == after and before != after and old is not None:
            known = {(s.seed, s.instruction): s for s in old.result.scenes}
            shared = [
                (known[(s.seed, s.instruction)], s) for s in new.result.scenes if (s.seed, s.instruction) in known
            ]
            yield old, new, shared


def _compare(
    players: _Players, old: Evaluation, new: Evaluation, shared: list[tuple[SceneResult, SceneResult]]
) -> Iterator[SceneComparison]:
    pair = [players.get(one) for one in (old, new)] if shared else []
    able = [player for player in pair if player is not None and player.has_maps]
    if len(able) < 2:
        return  # a policy without maps has nothing to compare
    for scenes in telling(shared, SCENES_PER_SPLIT):
        replays = [player.play(scene) for player, scene in zip(able, scenes, strict=True)]
        views = [_policy_view(replay, scene) for replay, scene in zip(replays, scenes, strict=True)]
        first = replays[1].steps[0]
        yield SceneComparison(
            title=f"{new.column}, scene {scenes[1].seed}",
            instruction=scenes[1].instruction,
            color=first.color,
            before=views[0],
            after=views[1],
            split=new.column,
        )


def _policy_view(replay: Replay, scene: SceneResult) -> PolicyView:
    """Return what a policy makes of a scene; the outcome is that of the evaluation."""
    first = replay.steps[0]
    if first.pick_probability is None or first.place_probability is None:
        raise ValueError(f"scene {scene.seed}: expected a policy with maps")
    return PolicyView(
        pick_probability=first.pick_probability,
        place_probability=first.place_probability,
        similarities=first.similarities,
        pick=first.pick,
        place=first.place,
        success=scene.success,
        failure=scene.failure,
        confidence=replay.confidence,
        film=replay.film,
        later=replay.steps[1:],
    )


def _episode(players: _Players, pick: _Pick) -> Iterator[EpisodeView]:
    player = players.get(pick.evaluation)
    if player is None:
        return
    replay = player.play(pick.scene)
    yield EpisodeView(
        run=pick.evaluation.run,
        split=pick.evaluation.column,
        seed=pick.scene.seed,
        kind=pick.kind,
        steps=replay.steps,
        film=replay.film,
        starts=replay.starts,
        shown=replay.outcome if replay.outcome != pick.kind else None,
    )
