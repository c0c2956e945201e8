"""Captioned renders: scenes, words and points are functions of their seeds, and the labels fit the picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from robo_rlft.data.caption_batches import sample_points
from robo_rlft.data.captions import (
    BACKGROUND,
    CLASSES,
    IGNORED,
    Arrangement,
    label_map,
    random_arrangement,
    random_caption,
    scene_rng,
)
from robo_rlft.data.renders import load_or_render, render_scenes
from robo_rlft.driver import Pose
from robo_rlft.geometry import Workspace, quaternion_yaw
from robo_rlft.language.vocabulary import COLORS, SHAPES, SYNONYMS
from robo_rlft.tasks.objects import make_object
from robo_rlft.tasks.outlines import FLOOR_HEIGHT

WORKSPACE = Workspace()
_FIXTURE_POINTS = ((-0.025, -0.025), (0.0, 0.0), (0.025, 0.025), (-0.08, 0.0))  # metres from its middle


def _of_kind(shape: str) -> Arrangement:
    body = make_object(shape, "red")
    return Arrangement(
        bodies=(body,), poses=(Pose(position=(0.5, 0.0, 0.0)),), classes=(CLASSES.index(("red", shape)),)
    )


def test_a_scene_is_the_same_for_the_same_seed_and_differs_between_phases() -> None:
    first, again = (random_arrangement(scene_rng(seed=3, phase="train", index=5), WORKSPACE) for _ in range(2))
    other = random_arrangement(scene_rng(seed=3, phase="val", index=5), WORKSPACE)
    assert first == again
    assert first != other


def test_test_scenes_are_refused() -> None:
    with pytest.raises(ValueError, match="train, val; got 'test'"):
        scene_rng(seed=0, phase="test", index=0)


def test_every_colour_and_shape_and_stacks_occur() -> None:
    scenes = [random_arrangement(scene_rng(seed=0, phase="train", index=i), WORKSPACE) for i in range(60)]
    assert {c for scene in scenes for c in scene.classes} == set(range(len(COLORS) * len(SHAPES)))
    assert any(pose.position[2] > 0 for scene in scenes for pose in scene.poses)
    few = [len({CLASSES[c][0] for c in scene.classes}) <= 3 for scene in scenes]
    assert 0.3 < np.mean(few) < 0.8


def test_a_block_covers_its_square_of_pixels() -> None:
    # 4 cm at 6.25 mm a pixel: the centres at most 2 cm from the middle, which lies between two pixels: 3 + 3 of them.
    labels = label_map(_of_kind("block"), WORKSPACE)
    rows, columns = np.nonzero(labels == CLASSES.index(("red", "block")))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (77, 82, 37, 42)
    assert len(rows) == 36


def test_the_hole_of_a_ring_is_neither_ring_nor_table() -> None:
    labels = label_map(_of_kind("ring"), WORKSPACE)
    assert labels[80, 40] == IGNORED
    assert labels[80, 45] == CLASSES.index(("red", "ring"))
    assert labels[80, 50] == BACKGROUND


def test_the_floor_and_the_walls_of_a_fixture_are_fixture_and_between_its_arms_is_table() -> None:
    # From the middle of its smallest circle the elbow's arms run 3 cm wide along the left and the lower side, so their
    # inner corner is at -1 cm in x and y; a centimetre of room follows, and a wall from 0 to 1 cm.
    labels = label_map(_of_kind("fixture"), WORKSPACE)
    fixture = CLASSES.index(("red", "fixture"))
    at = {xy: labels[tuple(WORKSPACE.xy_to_pixel((0.5 + xy[0], xy[1])))] for xy in _FIXTURE_POINTS}
    assert at == {(-0.025, -0.025): fixture, (0.0, 0.0): fixture, (0.025, 0.025): BACKGROUND, (-0.08, 0.0): BACKGROUND}


def test_an_elbow_lies_turned_as_its_fixture_is_and_hides_it() -> None:
    scenes = [random_arrangement(scene_rng(seed=0, phase="train", index=i), WORKSPACE) for i in range(60)]
    pairs = [
        (lower, upper)
        for scene in scenes
        for lower, upper in zip(scene.poses, scene.poses[1:], strict=False)
        if upper.position[2] == FLOOR_HEIGHT
    ]
    off = [quaternion_yaw(upper.quaternion) - quaternion_yaw(lower.quaternion) for lower, upper in pairs]
    assert len(pairs) > 10
    assert max(abs(math.remainder(angle, 2 * math.pi)) for angle in off) < 0.25  # five times 0.05
    elbow, fixture = (make_object(shape, "red") for shape in ("elbow", "fixture"))
    classes = tuple(CLASSES.index(("red", shape)) for shape in ("elbow", "fixture"))
    poses = tuple(Pose(position=(0.5, 0.0, z)) for z in (FLOOR_HEIGHT, 0.0))
    labels = label_map(Arrangement(bodies=(elbow, fixture), poses=poses, classes=classes), WORKSPACE)
    assert labels[tuple(WORKSPACE.xy_to_pixel((0.475, -0.025)))] == classes[0]  # the elbow's bend


def test_labels_lie_where_the_picture_shows_the_colour() -> None:
    renders = render_scenes(seed=0, phase="val", first=0, count=3, workspace=WORKSPACE)
    table = np.median(renders.color.reshape(-1, 3), axis=0)
    painted = np.abs(renders.color.astype(float) - table).max(axis=-1) > 12
    labelled = renders.label < IGNORED
    assert np.mean(painted == labelled) > 0.98


def test_renders_are_read_back_from_the_folder(tmp_path: Path) -> None:
    arguments = {"seed": 1, "phase": "train", "count": 2, "workspace": WORKSPACE}
    first = load_or_render(tmp_path, **arguments)
    assert len(list(tmp_path.iterdir())) == 1
    again = load_or_render(tmp_path, **arguments)
    assert np.array_equal(first.color, again.color)
    assert np.array_equal(first.label, again.label)


def test_captions_use_synonyms_and_name_one_object() -> None:
    rng = np.random.default_rng(0)
    texts = [random_caption(rng, "red", "bowl") for _ in range(400)]
    reds = {"red", *SYNONYMS["red"]}
    assert all(len(reds & set(text.split())) == 1 for text in texts)
    synonym = np.mean(["red" not in text.split() for text in texts])
    assert 0.33 < synonym < 0.47  # p = 0.4; standard error 0.025


def test_points_are_of_the_class_that_they_are_said_to_be() -> None:
    renders = render_scenes(seed=0, phase="train", first=0, count=1, workspace=WORKSPACE)
    label = renders.label[0]
    points, classes = sample_points(np.random.default_rng(0), label, 30, 20)
    assert points.shape == (50, 2)
    for (row, column), found in zip(points.astype(int), classes, strict=True):
        assert label[row, column] == (BACKGROUND if found == len(CLASSES) else found)
    assert np.all(classes[30:] == len(CLASSES))
