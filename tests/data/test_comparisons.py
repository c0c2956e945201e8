"""Labels become batches that are a function of seed and step; scenes are held out whole."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from robo_rlft.data.comparisons import Attempts, ComparisonData, LabelBatch, held_out, read_true_pairs
from robo_rlft.data.context import TrainContext
from robo_rlft.data.episodes import EpisodeWriter
from robo_rlft.data.labels import Label, LabelError, LabelLog, Question, attempts_digest
from robo_rlft.geometry import Workspace
from tests.data.test_episodes import WORKSPACE, make_episode

SCENES, TRIES = 6, 3


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Three attempts at each of six scenes; the second is always called better than the first, the third skipped."""
    return label(tmp_path)


def label(folder: Path, **changes: str) -> Path:
    writer = EpisodeWriter(folder / "tries")
    names = [
        [
            writer.write(replace(make_episode(seed=scene), attempt=i, script=("put a", "put b"), **changes)).name
            for i in range(TRIES)
        ]
        for scene in range(SCENES)
    ]
    path, told = _made(folder / "labels") / "labels.jsonl", {"episodes": str(folder / "tries"), "mode": "compare"}
    with LabelLog(path, **told, digest=attempts_digest(folder / "tries")) as log:
        for names_of_scene in names:
            first, second, third = names_of_scene
            log.add(Label(question=Question(episodes=(first, second)), answer="right", labeler="page"))
            log.add(Label(question=Question(episodes=(third, second)), answer="skip", labeler="page"))
            log.add(Label(question=Question(episodes=(first, third)), answer="same", labeler="page"))
    return folder / "labels"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def data(
    folder: Path | None, *more: Path, workspace: Workspace = WORKSPACE, seed: int = 0, **options: float
) -> ComparisonData:
    context = TrainContext(
        policy=None,  # type: ignore[arg-type]  # a reward's data does not look at it
        workspace=workspace,
        make_env=None,
        data_dir=folder,
        more_data=more,
        run_dir=Path(),
        seed=seed,
        workers=0,
    )
    made = ComparisonData(context=context, batch_size=4, steps_per_epoch=3, **options)  # type: ignore[arg-type]
    made.setup("fit")
    return made


def test_known_labels_are_learned_from_and_whole_scenes_held_out(labelled: Path) -> None:
    made = data(labelled, val_share=0.3)
    assert made.attempts is not None and len(made.attempts.scripts) == SCENES * TRIES
    assert set(made.attempts.scripts) == {("put a", "put b")}
    (held,) = made.val_dataloader()  # 12 known labels, two a scene: 30 % are two scenes
    assert (made.size, len(held.said)) == (8, 4)
    seen = {int(i) // TRIES for batch in batches(made) for i in (*batch.left, *batch.right)}
    assert seen.isdisjoint({int(i) // TRIES for i in (*held.left, *held.right)})
    assert len(seen) == SCENES - 2


def batches(made: ComparisonData) -> list[LabelBatch]:
    return list(made.train_dataloader())


def test_batches_are_passes_over_all_and_follow_from_the_seed(labelled: Path) -> None:
    made = batches(data(labelled, val_share=0.0))
    assert Counter(int(n) for batch in made for n in batch.number) == dict.fromkeys(range(12), 1)
    for batch in made:
        for left, right, said in zip(batch.left, batch.right, batch.said, strict=True):
            assert (int(left) % TRIES, int(right) % TRIES, int(said)) in {(0, 1, 1), (0, 2, 2)}
    again, other = batches(data(labelled, val_share=0.0)), batches(data(labelled, val_share=0.0, seed=1))
    assert [b.number.tolist() for b in again] == [b.number.tolist() for b in made]
    assert [b.number.tolist() for b in other] != [b.number.tolist() for b in made]


def test_fewer_labels_are_the_first_ones(labelled: Path) -> None:
    made = data(labelled, val_share=0.0, labels=3)
    assert made.size == 3
    assert made.attempts is not None and len(made.attempts.scripts) == 5  # all of a scene, two of the next


def test_labels_of_several_runs_are_learned_from_together(tmp_path: Path) -> None:
    first, second = (label(_made(tmp_path / name), split=split) for name, split in (("a", "seen"), ("b", "unseen")))
    made = data(first, second, val_share=0.0, allow_leak=True)
    assert made.size == 24
    assert made.attempts is not None and len(made.attempts.scripts) == 2 * SCENES * TRIES
    assert data(first, second, labels=13, val_share=0.0, allow_leak=True).size == 13  # those of the first come first
    with pytest.raises(LabelError, match="found unseen/train"):
        data(first, second)


def test_attempts_that_two_people_labelled_are_there_once(labelled: Path, tmp_path: Path) -> None:
    shutil.copytree(labelled, tmp_path / "again")
    made = data(labelled, tmp_path / "again", val_share=0.0)
    assert made.size == 24
    assert made.attempts is not None and len(made.attempts.scripts) == SCENES * TRIES


def test_labels_of_different_modes_are_not_mixed(labelled: Path, tmp_path: Path) -> None:
    path = _made(tmp_path / "judged") / "labels.jsonl"
    digest = attempts_digest(tmp_path / "tries")
    with LabelLog(path, mode="success", episodes=str(tmp_path / "tries"), digest=digest):
        pass
    with pytest.raises(LabelError, match=r"of one mode, found mode=compare in .* and mode=success in .*judged"):
        data(labelled, tmp_path / "judged")


def test_attempts_are_found_beside_the_labels_when_both_were_moved(labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "moved").mkdir()
    for name in ("labels", "tries"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    assert data(tmp_path / "moved" / "labels").size > 0
    (tmp_path / "moved" / "tries").rename(tmp_path / "lost")
    with pytest.raises(LabelError, match="found no such folder"):
        data(tmp_path / "moved" / "labels")


def test_what_cannot_be_learned_from_is_refused(labelled: Path) -> None:
    with pytest.raises(LabelError, match="pass data=DIR"):
        data(None)
    with pytest.raises(LabelError, match="expected pictures of"):
        data(labelled, workspace=Workspace(pixel_size=0.025))
    with pytest.raises(ValueError, match="at least 2 labels"):
        data(labelled, labels=1)


def test_attempts_at_test_scenes_need_leave_and_are_told(tmp_path: Path) -> None:
    labels = label(tmp_path, split="unseen", phase="test")
    with pytest.raises(LabelError, match="seen/train scenes only, found unseen/test; allow_leak=true"):
        data(labels)
    assert data(labels, allow_leak=True).leak == "unseen/test"


def test_other_attempts_than_those_that_were_labelled_are_refused(labelled: Path, tmp_path: Path) -> None:
    assert data(labelled).leak is None
    path = next((tmp_path / "tries").glob("*.npz"))
    EpisodeWriter(tmp_path / "tries").write(replace(make_episode(seed=0), attempt=0, script=("put c",)))
    assert path.exists()
    with pytest.raises(LabelError, match="not those that were labelled"):
        data(labelled)


def test_a_single_scene_is_not_held_out_whole(labelled: Path) -> None:
    episodes = [make_episode(seed=0), make_episode(seed=0)]
    labels = [Label(question=Question(episodes=("a", "b")), answer="left", labeler="page")] * 4
    assert not held_out(labels, episodes, ["a", "b"], share=0.5, seed=0).any()


def test_attempts_show_the_first_and_the_last_picture() -> None:
    episode = make_episode(seed=3)
    made = Attempts.of([episode])
    np.testing.assert_array_equal(made.first.color[0].permute(1, 2, 0), episode.color[0])
    np.testing.assert_array_equal(made.last.height[0], episode.height[-1])
    assert torch.equal(made.last[0].height, made.last.height[0])


def test_true_pairs_differ_and_come_from_every_scene_before_any_twice(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path)
    worth = {0: (0.0, 1.0, 0.5), 1: (1.0, 1.0, 0.0), 2: (0.5, 0.5, 0.5)}
    for scene, returns in worth.items():
        for attempt, value in enumerate(returns):
            rewards = np.array([0.0, value], dtype=np.float32)
            writer.write(replace(make_episode(seed=scene), attempt=attempt, rewards=rewards))
    found = read_true_pairs(tmp_path, most=4, apart_from=set())
    pairs = list(zip(found.left.tolist(), found.right.tolist(), found.gap.tolist(), strict=True))
    assert pairs == [(0, 1, -1.0), (3, 5, 1.0), (0, 2, -0.5), (4, 5, 1.0)]
    with pytest.raises(LabelError, match="other scenes"):
        read_true_pairs(tmp_path, most=4, apart_from={("put_block_in_bowl", "seen", "train", 1)})


def test_attempts_that_are_all_worth_the_same_tell_nothing(tmp_path: Path) -> None:
    for attempt in range(2):
        EpisodeWriter(tmp_path).write(replace(make_episode(seed=0), attempt=attempt))
    with pytest.raises(LabelError, match="whose returns differ, found none"):
        read_true_pairs(tmp_path, most=4, apart_from=set())
