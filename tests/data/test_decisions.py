"""Decisions that RL was paid for, on disk and as batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from robo_rlft.data.archive import EpisodeError, metres
from robo_rlft.data.context import TrainContext
from robo_rlft.data.decisions import DecisionData, Decisions, paid_decisions, read_decisions, write_decisions
from robo_rlft.geometry import Workspace
from robo_rlft.records import Observation, PickPlace, Transition
from robo_rlft.rollout.collect import Rollout

GRID = Workspace(x_min=0.0, x_max=0.3, y_min=0.0, y_max=0.4, pixel_size=0.1)  # 4 x 3


def step(reward: list[float], *, valid: list[bool] | None = None, share: int = 1, first: int = 0) -> Transition:
    """One step of len(reward) rows; the i-th acts on pixel (i, 1), and rows that share a picture have its number."""
    count = len(reward)
    number = first + torch.arange(count) // share
    pixel = torch.stack([torch.arange(count), torch.ones(count, dtype=torch.int64)], dim=1)
    none = torch.zeros(count)
    return Transition(
        observation=Observation(
            color=number.to(torch.uint8)[:, None, None, None].expand(count, 3, 4, 3),
            height=(0.01 * number.float())[:, None, None].expand(count, 4, 3),
            instruction=tuple(f"put {int(n)} away" for n in number),
        ),
        action=PickPlace(pick=pixel, place=pixel.flip(1).clamp(max=2), rotation=torch.arange(count) % 2),
        symmetry=torch.ones(count, dtype=torch.int64),
        pick_log_prob=none,
        place_log_prob=none,
        reward=torch.tensor(reward),
        terminated=none > 0,
        truncated=none > 0,
        valid=torch.ones(count, dtype=torch.bool) if valid is None else torch.tensor(valid),
        group=number,
        advantage=none,
    )


def rollout(steps: list[Transition], *, split: str = "seen", phase: str = "train") -> Rollout:
    scenes = len(steps[0].reward) // 2
    starts = tuple(SimpleNamespace(seed=70 + i, split=split, phase=phase) for i in range(scenes))
    return Rollout(
        transitions=tuple(steps),
        encoded=(None,) * len(steps),
        samples=2,
        branched=False,
        starts=starts,  # type: ignore[arg-type]
    )


def recorded(*, iteration: int = 0, rewards: list[float] | None = None, **source: str) -> Decisions:
    # The last decision is paid for on padding, which does not count.
    first = step([1.0, 0.5, 0.0, 0.25] if rewards is None else rewards, share=2)
    second = step([0.0, 0.5, -0.5, 9.0], valid=[True, True, True, False], first=10)
    made = paid_decisions([rollout([first, second], **source)], workspace=GRID, rotations=2, iteration=iteration)
    assert made is not None
    return made


def make_data(folder: Path | None, *, rotations: int = 2, seed: int = 0, **options: Any) -> DecisionData:
    context = TrainContext(
        policy=SimpleNamespace(rotations=rotations),  # type: ignore[arg-type]
        workspace=GRID,
        make_env=None,
        data_dir=folder,
        run_dir=Path(),
        seed=seed,
        workers=0,
    )
    data = DecisionData(context=context, **{"batch_size": 2, "augment": False, **options})
    data.setup("fit")
    return data


def test_what_was_paid_for_is_kept_once_a_picture() -> None:
    made = recorded()
    # Rows 0 and 1 of the first step share picture 0, row 3 has picture 1; in the second step row 1 has its own.
    assert made.instructions == ("put 0 away", "put 1 away", "put 11 away")
    assert made.color[:, 0, 0, 0].tolist() == [0, 1, 11]
    np.testing.assert_allclose(metres(made.height)[:, 0, 0], [0.0, 0.01, 0.11], atol=1e-6)
    assert made.seed.tolist() == [70, 71, 70]
    assert made.picture.tolist() == [0, 0, 1, 2]
    assert made.pick.tolist() == [[0, 1], [1, 1], [3, 1], [1, 1]]
    assert made.place.tolist() == [[1, 0], [1, 1], [1, 2], [1, 1]]
    assert made.rotation.tolist() == [0, 1, 1, 1]
    assert made.rewards.tolist() == [1.0, 0.5, 0.25, 0.5]


def test_what_is_read_is_what_was_written_iteration_by_iteration(tmp_path: Path) -> None:
    for iteration in (10, 2):
        write_decisions(tmp_path, iteration, recorded(iteration=iteration))
    read = read_decisions(tmp_path)
    assert [one.iteration for one in read] == [2, 10]
    for name, value in vars(recorded(iteration=2)).items():
        np.testing.assert_equal(getattr(read[0], name), value)


def test_an_iteration_that_is_done_again_replaces_its_file_and_without_decisions_removes_it(tmp_path: Path) -> None:
    write_decisions(tmp_path, 3, recorded(iteration=3))
    write_decisions(tmp_path, 3, recorded(iteration=3, rewards=[0.0, 0.0, 0.0, 1.0]))
    (again,) = read_decisions(tmp_path)
    assert again.rewards.tolist() == [1.0, 0.5]
    write_decisions(tmp_path, 3, None)
    assert list(tmp_path.iterdir()) == []
    nothing = step([0.0, -1.0], share=2)
    assert paid_decisions([rollout([nothing])], workspace=GRID, rotations=2, iteration=0) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"picture": np.array([0, 0, 1, 3])}, r"a picture is not in \[0, 3\)"),
        ({"rotation": np.array([0, 1, 2, 1])}, r"a rotation is not in \[0, 2\)"),
        ({"pick": np.full((4, 2), 3)}, r"a pixel is not on the grid \(4, 3\)"),
        ({"place": np.zeros((3, 2), dtype=int)}, r"its place has the shape \(3, 2\), not \(4, 2\)"),
        ({"instructions": ("one",)}, "its color has the shape"),
    ],
)
def test_impossible_decisions_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_decisions(tmp_path, 0, replace(recorded(), **change))
    with pytest.raises(EpisodeError, match=rf"000000\.npz.*{message}.*record=true"):
        read_decisions(tmp_path)


def test_a_broken_file_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match=r"algorithm\.data\.record=true"):
        make_data(tmp_path)
    with pytest.raises(EpisodeError, match="data=RUN/decisions"):
        make_data(None)
    write_decisions(tmp_path, 0, recorded())
    path = tmp_path / "000000.npz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(EpisodeError, match="expected decisions of an iteration"):
        make_data(tmp_path)


def seen(data: DecisionData) -> list[tuple[int, ...]]:
    """Return the pictures' numbers and the picks of an epoch."""
    rows = []
    for batch in data.train_dataloader():
        pairs = zip(batch.observation.color[:, 0, 0, 0].tolist(), batch.action.pick.tolist(), strict=True)
        rows += [(color, *pick) for color, pick in pairs]
    return rows


def test_every_decision_becomes_an_example_with_its_own_picture_and_sentence(tmp_path: Path) -> None:
    write_decisions(tmp_path, 0, recorded())
    data = make_data(tmp_path, val_decisions=0, steps_per_epoch=2)
    assert sorted(seen(data)) == [(0, 0, 1), (0, 1, 1), (1, 3, 1), (11, 1, 1)]
    (batch, *_) = data.train_dataloader()
    assert batch.observation.color.shape == (2, 3, 4, 3)
    assert batch.observation.color.dtype == torch.uint8
    torch.testing.assert_close(batch.observation.height[:, 0, 0], 0.01 * batch.observation.color[:, 0, 0, 0].float())
    assert batch.observation.instruction == tuple(f"put {n} away" for n in batch.observation.color[:, 0, 0, 0].tolist())
    assert list(data.val_dataloader()) == []


def test_whole_scenes_are_held_out_and_stay_out_of_training(tmp_path: Path) -> None:
    for iteration in range(3):
        write_decisions(tmp_path, iteration, recorded(iteration=iteration))
    data = make_data(tmp_path, val_decisions=4, val_views=1, steps_per_epoch=20)
    views = list(data.val_dataloader())
    held_out = sum(len(view.reward) for view in views)
    # A scene has three decisions or one: drawn until there are at least four.
    assert held_out in (4, 5, 6)
    assert len(make_data(tmp_path, val_decisions=4)._train or []) == 12 - held_out
    picks = set()
    for seed in range(4):
        made = make_data(tmp_path, val_decisions=4, seed=seed).val_dataloader()
        picks.add(str([view.action.pick.tolist() for view in made]))
    assert len(picks) > 1


def test_batches_are_a_function_of_seed_and_step(tmp_path: Path) -> None:
    write_decisions(tmp_path, 0, recorded())
    first, second, other = (seen(make_data(tmp_path, seed=s, val_decisions=0, steps_per_epoch=6)) for s in (1, 1, 2))
    assert first == second != other


def test_holding_out_everything_is_refused(tmp_path: Path) -> None:
    write_decisions(tmp_path, 0, recorded())
    with pytest.raises(EpisodeError, match=r"got 4 decisions.*val_decisions=0"):
        make_data(tmp_path, val_decisions=5)


def test_what_training_may_not_see_is_refused_unless_the_run_is_marked(tmp_path: Path) -> None:
    write_decisions(tmp_path, 0, recorded(split="unseen"))
    with pytest.raises(EpisodeError, match=r"iteration 0.*unseen/train.*allow_leak=true"):
        make_data(tmp_path, val_decisions=0)
    assert make_data(tmp_path, val_decisions=0, allow_leak=True).leak == "unseen/train"
    write_decisions(tmp_path, 0, recorded())
    assert make_data(tmp_path, val_decisions=0).leak is None
    with pytest.raises(EpisodeError, match="2 rotations.*36"):
        make_data(tmp_path, rotations=36)
