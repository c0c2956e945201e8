import math
from dataclasses import replace

import numpy as np
import pytest

from robo_rlft.driver import Pose
from robo_rlft.language.vocabulary import SEEN_COLORS, UNSEEN_COLORS, held_out_pair
from robo_rlft.tasks.demonstrators import Demonstrator
from robo_rlft.tasks.put_block_in_bowl import PutBlockInBowl
from robo_rlft.tasks.task import PHASES, SPLITS, Attempt, Layout, TaskError, named


def colors(layout: Layout) -> tuple[str, str]:
    assert layout.goal is not None
    return layout.goal.pick.split()[0], layout.goal.place.split()[0]


def scenes(split: str, count: int = 60, phase: str = "train", blocks: int = 1) -> list[Layout]:
    task = PutBlockInBowl(blocks=blocks)
    return [task.scene(split=split, phase=phase, seed=seed) for seed in range(count)]


@pytest.mark.parametrize("split", SPLITS)
def test_the_same_seed_gives_the_same_scene_and_sentence(split: str) -> None:
    assert scenes(split, 5) == scenes(split, 5)


def test_phases_and_seeds_give_different_scenes() -> None:
    poses = {layout.poses for phase in PHASES for layout in scenes("seen", 20, phase)}
    assert len(poses) == 60


def test_seen_scenes_hold_seen_words_and_no_held_out_pair() -> None:
    for layout in scenes("seen"):
        assert all(body.name.split()[0] in SEEN_COLORS for body in layout.bodies)
        assert not held_out_pair(*colors(layout))


def test_unseen_goals_hold_out_both_colours() -> None:
    assert all(set(colors(layout)) <= set(UNSEEN_COLORS) for layout in scenes("unseen"))


def test_combinations_are_the_held_out_pairs() -> None:
    assert all(held_out_pair(*colors(layout)) for layout in scenes("combinations"))


def test_paraphrases_show_the_scenes_of_seen_in_other_words() -> None:
    for plain, other in zip(scenes("seen"), scenes("paraphrase"), strict=True):
        assert (plain.poses, plain.goal) == (other.poses, other.goal)
        assert plain.instruction != other.instruction


def test_novel_looks_are_in_no_other_split() -> None:
    usual = {body.parts for layout in scenes("seen") for body in layout.bodies[:8]}
    novel = {body.parts for layout in scenes("novel") for body in layout.bodies[:8]}  # the last two are lures
    assert len(usual & novel) == 0


@pytest.mark.parametrize("split", SPLITS)
def test_names_are_unambiguous_and_the_swapped_distractors_are_there(split: str) -> None:
    for layout in scenes(split):
        names = [body.name for body in layout.bodies]
        pick, place = colors(layout)
        assert len(set(names)) == len(names) == 10
        assert {f"{place} block", f"{pick} bowl", f"{pick} puck", f"{place} plate"} <= set(names)


def test_nothing_overlaps_or_hangs_over_the_tables_edge() -> None:
    for layout in scenes("seen", blocks=3):
        positions = [pose.position for pose in layout.poses]
        bowls = [p for p, body in zip(positions, layout.bodies, strict=True) if body.name.endswith("bowl")]
        assert min(math.dist(a, b) for i, a in enumerate(bowls) for b in bowls[:i]) > 0.12
        assert all(0.27 < x < 0.73 and abs(y) < 0.48 for x, y, _ in positions)


def in_bowl(layout: Layout, count: int) -> tuple[Pose, ...]:
    """Return poses with `count` of the goal's blocks at rest on bowls' bases."""
    assert layout.goal is not None
    poses = list(layout.poses)
    pairs = zip(named(layout, layout.goal.pick), named(layout, layout.goal.place), strict=True)
    for block, bowl in list(pairs)[:count]:
        x, y, _ = poses[bowl].position
        poses[block] = Pose(position=(x, y, 0.006))
    return tuple(poses)


def test_progress_is_the_fraction_of_blocks_in_bowls() -> None:
    task = PutBlockInBowl(blocks=3)
    layout = task.scene(split="seen", phase="train", seed=0)
    # 0, 1, 2, 3 of 3 blocks
    assert [task.progress(layout, in_bowl(layout, n)) for n in range(4)] == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_the_expert_goes_on_with_a_block_that_is_not_in_a_bowl() -> None:
    task = PutBlockInBowl(blocks=2)
    layout = task.scene(split="seen", phase="train", seed=3)
    assert layout.goal is not None
    intent = task.demonstrate(layout, in_bowl(layout, 1))
    second = named(layout, layout.goal.pick)[1]
    assert intent.pick == pytest.approx(layout.poses[second].position[:2])


def test_a_biased_demonstrator_errs_in_the_objects_frame() -> None:
    task = PutBlockInBowl()
    layout = task.scene(split="seen", phase="train", seed=0)
    assert layout.goal is not None
    block = named(layout, layout.goal.pick)[0]
    for yaw, expected in ((0.0, (0.01, 0.0)), (math.pi / 2, (0.0, 0.01))):  # turned with the block
        poses = list(layout.poses)
        half = yaw / 2
        poses[block] = replace(poses[block], quaternion=(0.0, 0.0, math.sin(half), math.cos(half)))
        exact = task.demonstrate(layout, poses)
        biased = Demonstrator(offset=(0.01, 0.0))(task, layout, poses, rng=np.random.default_rng(0))
        assert np.subtract(biased.pick, exact.pick) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "gripped", "carried", "to", "kind"),
    [
        (None, False, False, None, "no_grasp"),
        ("distractor", True, True, "table", "wrong_object"),
        ("pick", True, False, "table", "slipped"),
        ("pick", True, True, "table", "missed_place"),
        ("pick", True, True, "other bowl", "wrong_target"),
    ],
)
def test_failures_are_told_apart(name: str | None, gripped: bool, carried: bool, to: str | None, kind: str) -> None:
    task = PutBlockInBowl()
    layout = task.scene(split="seen", phase="train", seed=1)
    assert layout.goal is not None
    after = list(layout.poses)
    if name is not None:
        block = named(layout, layout.goal.pick)[0] if name == "pick" else 2  # the swapped block
        other = named(layout, f"{colors(layout)[0]} bowl")[0]
        x, y, _ = after[other].position
        after[block] = Pose(position=(x, y, 0.006)) if to == "other bowl" else Pose(position=(0.5, 0.9, 0.0))
    attempt = Attempt(before=layout.poses, after=tuple(after), gripped=gripped, carried=carried)
    assert task.explain(layout, [attempt]) == kind


@pytest.mark.parametrize("aside", [0.0005, 0.01, 0.019, 0.021])
def test_a_block_that_was_in_its_bowl_and_is_put_back_there_missed_nothing(aside: float) -> None:
    task = PutBlockInBowl(blocks=3)
    layout = task.scene(split="seen", phase="train", seed=1)
    assert layout.goal is not None
    block, bowl = (named(layout, name)[0] for name in (layout.goal.pick, layout.goal.place))
    x, y, _ = layout.poses[bowl].position
    before, after = list(layout.poses), list(layout.poses)
    before[block], after[block] = Pose(position=(x, y, 0.006)), Pose(position=(x + aside, y, 0.006))
    attempt = Attempt(before=tuple(before), after=tuple(after), gripped=True, carried=True)
    assert task.explain(layout, [attempt]) == "timed_out"  # nothing went wrong, and the steps ran out


def test_unknown_splits_and_goals_are_refused_with_the_choices() -> None:
    task = PutBlockInBowl()
    with pytest.raises(TaskError, match=r"no split 'sene'; choose one of seen, unseen"):
        task.scene(split="sene", phase="train", seed=0)
    with pytest.raises(TaskError, match="it holds"):
        named(task.scene(split="seen", phase="train", seed=0), "mauve block")
    with pytest.raises(TaskError, match=r"blocks=1\.\.3"):
        PutBlockInBowl(blocks=4)
