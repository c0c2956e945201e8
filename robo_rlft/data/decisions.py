"""Decisions that were worth something in RL, on disk and as batches for behaviour cloning.

One file an iteration; decisions in the same state share its picture there and in memory. Knows nothing of losses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from robo_rlft.data.archive import EpisodeError, Kind, metres, stored_height
from robo_rlft.data.augmentation import Example
from robo_rlft.data.batches import Batching, Source, check_source
from robo_rlft.data.context import TrainContext
from robo_rlft.geometry import Workspace
from robo_rlft.records import Observation, PickPlace, Transition
from robo_rlft.rollout.collect import Rollout

FOLDER = "decisions"  # in a run's folder
FORMAT = "robo_rlft.decisions"
FORMAT_VERSION = 1
_ARRAYS = {
    "color": "uint8",
    "height": "uint16",
    "seed": "int64",
    "picture": "int64",
    "pick": "int64",
    "place": "int64",
    "rotation": "int64",
    "rewards": "float32",
}
_KIND = Kind(
    name="decisions of an iteration",
    format=FORMAT,
    version=FORMAT_VERSION,
    types=_ARRAYS,
    again="delete it, or train with algorithm.data.record=true again",
)


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """N decisions of one iteration on M pictures."""

    iteration: int
    split: str
    phase: str
    workspace: Workspace
    rotations: int  # number of bins
    instructions: tuple[str, ...]  # M
    color: npt.NDArray[np.uint8]  # (M, H, W, 3), RGB from above
    height: npt.NDArray[np.uint16]  # (M, H, W), tenths of a millimetre, see `archive.metres`
    seed: npt.NDArray[np.int64]  # (M,), of the scene
    picture: npt.NDArray[np.int64]  # (N,), which of the M
    pick: npt.NDArray[np.int64]  # (N, 2), pixel (row, column)
    place: npt.NDArray[np.int64]  # (N, 2), pixel (row, column)
    rotation: npt.NDArray[np.int64]  # (N,), bin
    rewards: npt.NDArray[np.float32]  # (N,), of each decision alone

    def __len__(self) -> int:
        return len(self.rotation)


def paid_decisions(
    rollouts: Sequence[Rollout], *, workspace: Workspace, rotations: int, iteration: int
) -> Decisions | None:
    """Return the decisions of rollouts whose own reward is above 0; None where there are none."""
    found: dict[str, list[Any]] = {name: [] for name in ("instructions", *_ARRAYS)}
    for rollout in rollouts:
        for t in range(len(rollout.encoded)):
            step, share = rollout.transitions[t], rollout.sharing(t)
            paid = torch.nonzero(step.valid & (step.reward > 0.0))[:, 0].tolist()
            shown = {row: len(found["seed"]) + i for i, row in enumerate(sorted({i - i % share for i in paid}))}
            for row in shown:
                seen = step.observation[row]
                found["instructions"].append(seen.instruction)
                found["color"].append(seen.color.permute(1, 2, 0).numpy())
                found["height"].append(stored_height(seen.height.numpy()))
                found["seed"].append(rollout.starts[row // rollout.samples].seed)
            found["picture"] += [shown[i - i % share] for i in paid]
            for name in ("pick", "place", "rotation"):
                found[name] += list(getattr(step.action, name)[paid].numpy())
            found["rewards"] += step.reward[paid].tolist()
    if not found["rewards"]:
        return None
    arrays: dict[str, Any] = {name: np.stack(found[name]).astype(dtype) for name, dtype in _ARRAYS.items()}
    start = rollouts[0].starts[0]
    return Decisions(
        iteration=iteration,
        split=start.split,
        phase=start.phase,
        workspace=workspace,
        rotations=rotations,
        instructions=tuple(found["instructions"]),
        **arrays,
    )


def write_decisions(folder: Path, iteration: int, decisions: Decisions | None) -> None:
    """Write an iteration's decisions in place of those that were there; without any there is no file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{iteration:06d}.npz"
    if decisions is None:
        path.unlink(missing_ok=True)
        return
    meta = {name: getattr(decisions, name) for name in ("iteration", "split", "phase", "rotations", "instructions")}
    arrays = {name: getattr(decisions, name) for name in _ARRAYS}
    _KIND.write(path, arrays, meta | {"workspace": asdict(decisions.workspace)})


def read_decisions(folder: Path) -> list[Decisions]:
    """Read every iteration's decisions, in order.

    Raises:
        EpisodeError: there is no such folder, it holds none, or one of its files is not what was written.
    """
    paths = sorted(Path(folder).glob("*.npz"))
    if not paths:
        raise EpisodeError(
            f"expected decisions (*.npz) in {folder}, got none; a run of RL with algorithm.data.record=true makes them"
        )
    return [_read(path) for path in paths]


def _read(path: Path) -> Decisions:
    contents = _KIND.read(path)
    meta = contents.meta
    try:
        values: dict[str, Any] = dict(contents.arrays)
        values |= {name: meta[name] for name in ("iteration", "split", "phase", "rotations")}
        decisions = Decisions(
            **values,
            instructions=tuple(meta["instructions"]),
            workspace=Workspace(**meta["workspace"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _KIND.broken(path, f"its record lacks or misstates a field ({error})") from error
    for fault in _faults(decisions):
        raise _KIND.broken(path, fault)
    return decisions


def _faults(decisions: Decisions) -> Iterator[str]:
    count, pictures, grid = len(decisions), len(decisions.instructions), decisions.workspace.shape
    shapes: dict[str, tuple[int, ...]] = {"color": (pictures, *grid, 3), "height": (pictures, *grid)}
    shapes |= {"seed": (pictures,), "pick": (count, 2), "place": (count, 2)}
    shapes |= dict.fromkeys(("picture", "rotation", "rewards"), (count,))
    for name, shape in shapes.items():
        if getattr(decisions, name).shape != shape:
            yield f"its {name} has the shape {getattr(decisions, name).shape}, not {shape}"
    for name, limit in (("picture", pictures), ("rotation", decisions.rotations)):
        if ((getattr(decisions, name) < 0) | (getattr(decisions, name) >= limit)).any():
            yield f"a {name} is not in [0, {limit})"
    if not all(decisions.workspace.contains(pixel).all() for pixel in (decisions.pick, decisions.place)):
        yield f"a pixel is not on the grid {grid}"


class DecisionExamples:
    """Some of the decisions of several iterations, as examples; pictures stay as they are stored."""

    def __init__(self, shards: Sequence[Decisions], rows: npt.NDArray[np.int64]) -> None:
        """Take the decisions `rows` (N, 2): which shard, and which of its decisions."""
        self._shards, self._rows = shards, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Tensor) -> Example:
        """Return examples by number, (B,)."""
        chosen = [(self._shards[shard], row) for shard, row in self._rows[index.numpy()]]
        pictures = [(shard, shard.picture[row]) for shard, row in chosen]
        color = np.stack([shard.color[i] for shard, i in pictures]).transpose(0, 3, 1, 2)
        action = {
            name: torch.from_numpy(np.stack([getattr(shard, name)[row] for shard, row in chosen]))
            for name in ("pick", "place", "rotation")
        }
        return Example(
            observation=Observation(
                color=torch.from_numpy(np.ascontiguousarray(color)),
                height=torch.from_numpy(metres(np.stack([shard.height[i] for shard, i in pictures]))),
                instruction=tuple(shard.instructions[i] for shard, i in pictures),
            ),
            action=PickPlace(**action),
            symmetry=torch.ones(len(chosen), dtype=torch.int64),
        )


class DecisionData(LightningDataModule):
    """Every decision that RL was paid for as one example: behaviour cloning on its own successes.

    Args:
        context: the run; `context.data_dir` is the folder `decisions` of a run of RL.
        batch_size: examples of a step.
        steps_per_epoch: steps between two validations.
        val_decisions: decisions held out, at least, to measure the validation loss, in whole scenes; 0 trains on all.
        val_views: how often each held-out example is looked at: as it is, then moved at random, always alike.
        augment: move training examples at random in the plane of the table.
        allow_leak: accept decisions that are not seen/train.
    """

    def __init__(
        self,
        *,
        context: TrainContext,
        batch_size: int = 8,
        steps_per_epoch: int = 25,
        val_decisions: int = 16,
        val_views: int = 4,
        augment: bool = True,
        allow_leak: bool = False,
    ) -> None:
        super().__init__()
        if val_decisions < 0:
            raise ValueError(f"expected val_decisions of at least 0, got {val_decisions}")
        self.context = context
        self.batching = Batching(
            seed=context.seed,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            val_views=val_views,
            augment=augment,
        )
        self.val_decisions = val_decisions
        self.allow_leak = allow_leak
        self.leak: str | None = None  # what else than seen/train there is among the decisions
        self._train: DecisionExamples | None = None
        self._val: DecisionExamples | None = None

    def setup(self, stage: str) -> None:
        """Read, check and split the decisions, once."""
        if self._train is not None:
            return
        folder = self.context.data_dir
        if folder is None:
            raise EpisodeError("expected a folder of decisions, got none: pass data=RUN/decisions of a run of RL")
        shards = read_decisions(folder)
        sources = [
            Source(
                name=f"iteration {shard.iteration} in {folder}",
                split=shard.split,
                phase=shard.phase,
                workspace=shard.workspace,
                rotations=shard.rotations,
            )
            for shard in shards
        ]
        self.leak = check_source(sources, self.context, allow_leak=self.allow_leak)
        scenes = [(i, int(shard.seed[picture])) for i, shard in enumerate(shards) for picture in shard.picture]
        held_out = _hold_out(scenes, self.val_decisions, seed=self.context.seed)
        if held_out.all():
            raise EpisodeError(
                f"expected decisions of more scenes in {folder} than the {self.val_decisions} decisions held out for "
                f"validation fill, got {len(scenes)} decisions: record more, or set val_decisions=0"
            )
        rows = np.array([(i, row) for i, shard in enumerate(shards) for row in range(len(shard))])
        self._train = DecisionExamples(shards, rows[~held_out])
        self._val = DecisionExamples(shards, rows[held_out]) if held_out.any() else None

    def train_dataloader(self) -> DataLoader[Transition]:
        """Return batches (B,) for the steps of one epoch that are still to come."""
        if self._train is None:
            raise RuntimeError("setup() comes before train_dataloader()")
        return self.batching.train(self._train, lambda: 0 if self.trainer is None else self.trainer.global_step)

    def val_dataloader(self) -> Iterable[Transition]:
        """Return the held-out examples in batches (B,); none where none is held out."""
        return self.batching.val(None if self._val is None else self._val[torch.arange(len(self._val))])


def _hold_out(scenes: Sequence[tuple[int, int]], count: int, *, seed: int) -> npt.NDArray[np.bool_]:
    """Tell which decisions (N,) are held out: those of whole scenes, drawn at random until there are `count`."""
    different = sorted(set(scenes))
    held: set[tuple[int, int]] = set()
    left = count
    for index in np.random.default_rng(seed).permutation(len(different)):
        if left <= 0:
            break
        held.add(different[int(index)])
        left -= scenes.count(different[int(index)])
    return np.array([scene in held for scene in scenes])
