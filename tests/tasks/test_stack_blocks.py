import math
from itertools import pairwise

import pytest

from robo_rlft.driver import Pose
from robo_rlft.geometry import yaw_quaternion
from robo_rlft.language.vocabulary import SEEN_COLORS, UNSEEN_COLORS, held_out_pair
from robo_rlft.records import BodySpec, Part
from robo_rlft.tasks.bodies import height
from robo_rlft.tasks.stack_blocks import LURES, StackBlocks
from robo_rlft.tasks.task import SPLITS, Attempt, Goal, Layout, TaskError, named


def scenes(split: str, count: int = 40, blocks: int = 4) -> list[Layout]:
    task = StackBlocks(blocks=blocks)
    return [task.scene(split=split, phase="train", seed=seed) for seed in range(count)]


def colors(layout: Layout) -> list[str]:
    """The tower's colours, from the base up."""
    return [name.split()[0] for name in (layout.goals[0].place, *(goal.pick for goal in layout.goals))]


def one(seed: int = 0, split: str = "seen") -> Layout:
    return StackBlocks().scene(split=split, phase="train", seed=seed)


def index(layout: Layout, level: int) -> int:
    """The tower's block of a level, 0 at the base."""
    return named(layout, layout.goals[0].place if level == 0 else layout.goals[level - 1].pick)[0]


def put(layout: Layout, poses: tuple[Pose, ...], upper: int, lower: int, *, off: float = 0.0) -> tuple[Pose, ...]:
    """Poses with one body on another, `off` metres beside its middle."""
    x, y, z = poses[lower].position
    top = z + height(layout.bodies[lower])
    return (*poses[:upper], Pose(position=(x + off, y, top)), *poses[upper + 1 :])


def tower(layout: Layout, count: int) -> tuple[Pose, ...]:
    """Poses with `count` of the tower's blocks on its base."""
    poses = layout.poses
    for level in range(1, count + 1):
        poses = put(layout, poses, index(layout, level), index(layout, level - 1))
    return poses


@pytest.mark.parametrize("split", SPLITS)
def test_the_same_seed_gives_the_same_scene_and_sentences(split: str) -> None:
    assert scenes(split, 5) == scenes(split, 5)


@pytest.mark.parametrize("blocks", [2, 3, 4, 5])
def test_each_block_but_the_lowest_has_a_goal_and_a_sentence(blocks: int) -> None:
    for layout in scenes("seen", 5, blocks):
        assert len(layout.goals) == len(layout.sentences) == StackBlocks(blocks=blocks).max_steps == blocks - 1
        assert all(below.pick == above.place for below, above in pairwise(layout.goals))
        assert len(set(colors(layout))) == blocks
        for goal, sentence in zip(layout.goals, layout.sentences, strict=True):
            assert goal.pick in sentence and goal.place in sentence


def test_seen_towers_hold_no_held_out_pair_and_no_unseen_word() -> None:
    for layout in scenes("seen"):
        assert not any(held_out_pair(upper, lower) for lower, upper in pairwise(colors(layout)))
        assert all(body.name.split()[0] in SEEN_COLORS for body in layout.bodies)


def test_unseen_towers_hold_unseen_colours_only() -> None:
    assert all(set(colors(layout)) <= set(UNSEEN_COLORS) for layout in scenes("unseen"))


@pytest.mark.parametrize("blocks", [2, 5])
def test_in_combinations_every_pair_is_held_out(blocks: int) -> None:
    for layout in scenes("combinations", blocks=blocks):
        assert all(held_out_pair(upper, lower) for lower, upper in pairwise(colors(layout)))


def test_paraphrases_show_the_scenes_of_seen_in_other_words() -> None:
    for plain, other in zip(scenes("seen"), scenes("paraphrase"), strict=True):
        assert (plain.poses, plain.goals) == (other.poses, other.goals)
        assert not set(plain.sentences) & set(other.sentences)


def test_novel_blocks_and_bowls_are_in_no_other_split() -> None:
    def parts(split: str) -> set[tuple[Part, ...]]:
        bodies = [body for layout in scenes(split) for body in layout.bodies]
        return {body.parts for body in bodies if body.name.split()[1] in ("block", "bowl")}

    assert not parts("seen") & parts("novel")


@pytest.mark.parametrize("split", SPLITS)
def test_each_sentence_has_a_colour_of_another_shape_and_blocks_of_other_colours(split: str) -> None:
    for layout in scenes(split):
        names = [body.name for body in layout.bodies]
        lured = {name.split()[0] for name in names if name.split()[1] in LURES}
        others = {name for name in names if name.endswith("block")} - {f"{color} block" for color in colors(layout)}
        assert len(set(names)) == len(names) == 8
        assert all({goal.pick.split()[0], goal.place.split()[0]} & lured for goal in layout.goals)
        assert len(others) == 2


@pytest.mark.parametrize("distractors", [0, 1, 6])
def test_as_many_distractors_stand_by_as_asked_for(distractors: int) -> None:
    task = StackBlocks(blocks=5, distractors=distractors)
    for seed in range(5):
        layout = task.scene(split="seen", phase="train", seed=seed)
        assert len({body.name for body in layout.bodies}) == len(layout.poses) == 5 + distractors


def test_progress_is_the_part_of_the_tower_that_stands_and_the_next_goal_is_asked() -> None:
    task, layout = StackBlocks(), one()
    # 0, 1, 2, 3 of 3 relations; the last goal stays when all are reached
    assert [task.progress(layout, tower(layout, n)) for n in range(4)] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert [task.line(layout, tower(layout, n)) for n in range(4)] == [0, 1, 2, 2]


def test_what_stands_above_a_gap_does_not_count() -> None:
    task, layout = StackBlocks(), one()
    poses = put(layout, layout.poses, index(layout, 2), index(layout, 1))
    assert (task.progress(layout, poses), task.line(layout, poses)) == (0.0, 0)


@pytest.mark.parametrize(("off", "counts"), [(0.019, True), (0.021, False)])
def test_a_block_counts_within_20_mm_of_the_middle_below(off: float, counts: bool) -> None:
    layout = one()
    poses = put(layout, layout.poses, index(layout, 1), index(layout, 0), off=off)
    assert (StackBlocks().progress(layout, poses) > 0) == counts


@pytest.mark.parametrize(("rise", "counts"), [(0.0, True), (0.003, True), (0.007, False), (-0.007, False)])
def test_height_counts(rise: float, counts: bool) -> None:
    layout = one()
    upper, poses = index(layout, 1), tower(layout, 1)
    x, y, z = poses[upper].position
    poses = (*poses[:upper], Pose(position=(x, y, z + rise)), *poses[upper + 1 :])
    assert (StackBlocks().progress(layout, poses) > 0) == counts


@pytest.mark.parametrize("level", [0, 1])
def test_a_block_that_leans_does_not_count(level: int) -> None:
    layout = one()
    leaning, poses = index(layout, level), tower(layout, 1)
    half = math.radians(12) / 2
    tilted = Pose(position=poses[leaning].position, quaternion=(math.sin(half), 0.0, 0.0, math.cos(half)))
    assert StackBlocks().progress(layout, (*poses[:leaning], tilted, *poses[leaning + 1 :])) == 0.0


def test_heights_are_those_of_the_look() -> None:
    layouts = scenes("novel", 10)
    assert {round(height(layout.bodies[0]), 3) for layout in layouts} == {0.024, 0.04, 0.055}  # slab, striped, tower
    assert all(StackBlocks().progress(layout, tower(layout, 3)) == 1.0 for layout in layouts)


def test_a_users_own_sentence_is_judged_by_its_relation_alone() -> None:
    task, layout = StackBlocks(), one()
    told = layout.told("the topmost on the base, please", Goal(pick=layout.goals[2].pick, place=layout.goals[0].place))
    poses = put(layout, layout.poses, index(layout, 3), index(layout, 0))
    assert (task.progress(told, layout.poses), task.progress(told, poses)) == (0.0, 1.0)
    assert task.progress(layout.told("nobody knows", None), poses) == 0.0
    assert task.line(layout.told("nobody knows", None), poses) == 0


@pytest.mark.parametrize("standing", [0, 1, 2])
def test_the_expert_puts_the_next_block_on_the_one_below(standing: int) -> None:
    layout = one(3)
    poses = tower(layout, standing)
    intent = StackBlocks().demonstrate(layout, poses)
    assert intent.pick == pytest.approx(poses[index(layout, standing + 1)].position[:2])
    assert intent.place == pytest.approx(poses[index(layout, standing)].position[:2])
    assert (intent.turn, intent.symmetry) == (0.0, 4)


def test_a_slab_looks_alike_after_half_a_turn_only() -> None:
    layout = one()
    part = Part(kind="box", size=(0.05, 0.03, 0.02), center=(0.0, 0.0, 0.01))
    slab = BodySpec(name=layout.goals[0].pick, parts=(part,), mass=0.05)
    bodies = tuple(slab if body.name == slab.name else body for body in layout.bodies)
    goals, poses = layout.goals, layout.poses
    assert StackBlocks().demonstrate(Layout(bodies=bodies, poses=poses, goals=goals), poses).symmetry == 2


def at(poses: tuple[Pose, ...], body: int, position: tuple[float, float, float]) -> tuple[Pose, ...]:
    return (*poses[:body], Pose(position=position, quaternion=yaw_quaternion(0.3)), *poses[body + 1 :])


def outcome(layout: Layout, kind: str) -> tuple[Pose, ...]:
    """Poses after a failed attempt to build the second storey on a tower of one."""
    before, aside = tower(layout, 1), (0.5, 0.9, 0.0)
    pick, target, other = index(layout, 2), index(layout, 1), 5  # the first block of another colour
    x, y = before[target].position[:2]
    return {
        "no_grasp": before,
        "wrong_object": at(before, other, aside),
        "slipped": at(before, pick, aside),
        "missed_place": at(before, pick, aside),
        "missed_place, at the edge": put(layout, before, pick, target, off=0.024),
        "wrong_target": put(layout, before, pick, other),
        "wrong_target, a bowl": at(before, pick, (*before[4].position[:2], 0.006)),  # on its floor
        "disturbed": at(at(before, target, (x + 0.05, y, 0.0)), pick, (x, y, 0.04)),  # pushed down, and its place taken
        "disturbed, below": at(put(layout, before, pick, target), index(layout, 0), aside),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "no_grasp",
        "wrong_object",
        "slipped",
        "missed_place",
        "missed_place, at the edge",
        "wrong_target",
        "wrong_target, a bowl",
        "disturbed",
        "disturbed, below",
    ],
)
def test_failures_are_told_apart(kind: str) -> None:
    layout = next(scene for scene in scenes("seen") if scene.bodies[4].name.endswith("bowl"))
    before, after = tower(layout, 1), outcome(layout, kind)
    attempt = Attempt(
        before=before, after=after, gripped=kind != "no_grasp", carried=kind not in {"no_grasp", "slipped"}
    )
    assert StackBlocks().explain(layout, [attempt]) == kind.split(",")[0]


def test_the_last_attempt_that_went_wrong_is_explained() -> None:
    task, layout = StackBlocks(), one()
    good = Attempt(before=layout.poses, after=tower(layout, 1), gripped=True, carried=True)
    bad = Attempt(before=layout.poses, after=layout.poses, gripped=False, carried=False)
    assert task.explain(layout, [bad, good]) == "no_grasp"
    assert task.explain(layout, [good]) == task.explain(layout, []) == "timed_out"


def test_a_tower_that_cannot_be_is_refused() -> None:
    for options in ({"blocks": 1}, {"blocks": 6}, {"distractors": 7}):
        with pytest.raises(TaskError, match=r"blocks=2\.\.5 and distractors=0\.\.6"):
            StackBlocks(**options)
    with pytest.raises(TaskError, match="4 colours, so a tower of at most as many blocks"):
        StackBlocks(blocks=5).scene(split="unseen", phase="train", seed=0)
    with pytest.raises(TaskError, match="at least 1"):
        StackBlocks(max_steps=0)
