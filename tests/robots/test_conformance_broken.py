"""The conformance suite finds what is wrong with a driver: each broken arm fails the test that is about its fault."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "robot"

SUITE = """
import dataclasses, math
import numpy as np
import pytest
from my_arm import BLOCK, SIDE, MyArm
from robo_rlft import driver
from robo_rlft.robots.conformance import DriverConformance, Thing


def changed_view(**changes):
    class Changed(MyArm):
        def observe(self):
            (view,) = super().observe()
            return (dataclasses.replace(view, **{k: f(getattr(view, k)) for k, f in changes.items()}),)
    return Changed


class TakesNaN(MyArm):
    def move(self, target, **told):
        try:
            return super().move(target, **told)
        except driver.Refused as refusal:
            if refusal.rule != "finite":
                raise
            return driver.Motion(reached=self.tool_pose(), contact=False)


class MovesAndRefuses(MyArm):
    def move(self, target, **told):
        try:
            return super().move(target, **told)
        except driver.Refused:
            self._pose = driver.Pose(position=(0.5, 0.0, 0.3))
            raise


class SaysItArrived(MyArm):
    def move(self, target, **told):
        motion = super().move(target, **told)
        self._pose = driver.Pose(position=(0.5, 0.0, 0.3))
        return motion


class ForgetsItWasLate(MyArm):
    def move(self, target, **told):
        try:
            return super().move(target, **told)
        finally:
            self._late = False


class WaitsForEver(MyArm):
    def move(self, target, *, deadline=None, **told):
        if deadline is not None:
            driver.check_motion(target, speed=told["speed"], acceleration=None, deadline=deadline)
        return super().move(target, **told)


class AnswersWhenClosed(MyArm):
    def tool_pose(self):
        return self._pose


class IsOkWhenClosed(MyArm):
    def status(self):
        return driver.Status(mode=driver.Mode.OK)


class ClosesOnce(MyArm):
    def close(self):
        if not self._open:
            raise driver.DriverError("closed already")
        super().close()


class FeelsNothing(MyArm):
    def move(self, target, *, stop_on_contact=False, **told):
        return super().move(target, **told)


class NeverLetsGo(MyArm):
    def release(self):
        self._check()


class LocksWhenStopped(MyArm):
    def stop(self):
        self._late = True


class Nameless(MyArm):
    def serial(self):
        return ""


class GoesBackInTime(MyArm):
    clock = 0.0

    def observe(self):
        (view,) = super().observe()
        self.clock -= 1.0
        return (dataclasses.replace(view, stamp=self.clock),)


MIRRORED = np.diag([1.0, -1.0, 1.0, 1.0])
BROKEN = {
    "takes_nan": TakesNaN, "moves_and_refuses": MovesAndRefuses, "says_it_arrived": SaysItArrived,
    "forgets_it_was_late": ForgetsItWasLate, "waits_for_ever": WaitsForEver,
    "answers_when_closed": AnswersWhenClosed, "is_ok_when_closed": IsOkWhenClosed, "closes_once": ClosesOnce,
    "feels_nothing": FeelsNothing, "never_lets_go": NeverLetsGo, "locks_when_stopped": LocksWhenStopped,
    "nameless": Nameless, "goes_back_in_time": GoesBackInTime,
    "mirrored_camera": changed_view(world_from_camera=lambda m: m @ MIRRORED),
    "inverted_camera": changed_view(world_from_camera=np.linalg.inv),
    "scaled_camera": changed_view(world_from_camera=lambda m: m * 1.01),
    "millimetres": changed_view(depth=lambda d: d * np.float32(1000)),
    "depth_with_nan": changed_view(depth=lambda d: np.where(d < 1, np.float32("nan"), d)),
    "float_colours": changed_view(color=lambda c: c.astype(np.float32)),
    "optical_axis_outside": changed_view(intrinsics=lambda k: k + np.array([[0, 0, 500.0], [0, 0, 0], [0, 0, 0]])),
    "no_fault": MyArm,
}


class Base(DriverConformance):
    @pytest.fixture
    def thing(self):
        return Thing(x=BLOCK[0], y=BLOCK[1], top=SIDE)


def suite(broken):
    class Suite(Base):
        @pytest.fixture
        def driver(self):
            return broken()
    return Suite


for name, broken in BROKEN.items():
    globals()["Test_" + name] = suite(broken)
"""

CAUGHT = {
    "takes_nan": "test_a_malformed_command_is_refused_by_its_rule_and_nothing_moves",
    "moves_and_refuses": "test_a_malformed_command_is_refused_by_its_rule_and_nothing_moves",
    "says_it_arrived": "test_a_motion_ends_at_its_target_and_says_so",
    "forgets_it_was_late": "test_after_a_missed_deadline_nothing_moves_until_an_operator_says_so",
    "waits_for_ever": "test_after_a_missed_deadline_nothing_moves_until_an_operator_says_so",
    "answers_when_closed": "test_a_command_after_close_is_a_driver_error[tool_pose]",
    "is_ok_when_closed": "test_its_status_raises_nothing_before_it_is_connected_and_after_it_is_closed",
    "closes_once": "test_it_closes_twice_and_without_having_been_connected",
    "feels_nothing": "test_a_motion_ends_where_the_tool_touches_a_thing_and_only_there",
    "never_lets_go": "test_what_is_gripped_is_held_until_it_is_released",
    "locks_when_stopped": "test_stopping_when_nothing_moves_locks_nothing",
    "nameless": "test_it_has_a_serial_number",
    "goes_back_in_time": "test_the_stamps_of_its_views_do_not_go_backwards",
    "mirrored_camera": "test_its_views_are_well_formed",
    "inverted_camera": "test_its_views_show_the_workspace_and_what_lies_there",
    "scaled_camera": "test_its_views_are_well_formed",
    "millimetres": "test_its_views_are_well_formed",
    "depth_with_nan": "test_its_views_are_well_formed",
    "float_colours": "test_its_views_are_well_formed",
    "optical_axis_outside": "test_its_views_are_well_formed",
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Run the suite on every broken arm; return the names of the tests that failed, by arm."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "test_broken.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    done = subprocess.run(
        [*command, "--junitxml", str(folder / "results.xml"), str(folder / "test_broken.py")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(EXAMPLE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found: dict[str, set[str]] = {}
    for case in ElementTree.parse(folder / "results.xml").iter("testcase"):
        arm = case.attrib["classname"].rpartition("Test_")[2]
        bad = case.find("failure") is not None or case.find("error") is not None
        found.setdefault(arm, set()).update({case.attrib["name"]} if bad else ())
    return found


@pytest.mark.parametrize(("arm", "test"), CAUGHT.items())
def test_a_broken_driver_fails_the_test_that_is_about_its_fault(
    failed: dict[str, set[str]], arm: str, test: str
) -> None:
    assert test in failed[arm]


def test_a_sound_driver_passes_and_every_broken_one_was_run(failed: dict[str, set[str]]) -> None:
    assert failed["no_fault"] == set()
    assert set(failed) == {*CAUGHT, "no_fault"}
