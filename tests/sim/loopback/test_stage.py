"""The stage port shows what the simulator alone would show."""

from __future__ import annotations

import numpy as np

from robo_rlft.driver import Pose
from robo_rlft.geometry import Workspace
from robo_rlft.sim.floating import FloatingGripper
from tests.sim.loopback.cell import BLOCK, Cell, array


def test_the_picture_is_the_one_of_the_floating_gripper(cell: Cell) -> None:
    floating = FloatingGripper(workspace=Workspace())
    floating.build([BLOCK], [Pose(position=(0.5, 0.2, 0.0))])
    floating.settle()
    expected = floating.observe()[0]
    floating.close()
    seen = cell.ask("view")
    for name in ("color", "depth", "intrinsics", "world_from_camera"):
        assert np.array_equal(array(seen[name]), getattr(expected, name)), name


def test_bodies_stand_where_they_were_put(cell: Cell) -> None:
    assert np.allclose(cell.ask("poses")["poses"][0]["position"], (0.5, 0.2, 0.0), atol=1e-4)


def test_what_cannot_be_asked_is_answered_in_words(cell: Cell) -> None:
    assert "expected an op of build" in cell.ask("jump")["error"]
    assert not cell.ask("build", bodies=[{"name": "nothing"}], poses=[])["ok"]
    assert cell.ask("state")["ok"]
