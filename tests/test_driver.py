"""What cannot be a motion's command is refused by name, whatever the robot."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from robo_rlft.driver import Pose, Refused, check_motion

GOOD: dict[str, Any] = {"speed": 0.1, "acceleration": None, "deadline": None}
HERE = Pose(position=(0.5, 0.0, 0.1))


def test_a_motion_within_reason_passes() -> None:
    check_motion(HERE, speed=0.1, acceleration=1.0, deadline=2.0)
    check_motion(Pose(position=tuple(np.float64([0.5, 0, 0.1]))), **GOOD)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, pytest.param(10**5000, id="5001 digits")])
def test_numbers_that_are_not_finite_are_refused_wherever_they_stand(value: float) -> None:
    commands: list[tuple[Pose, dict[str, Any]]] = [
        (Pose(position=(0.5, value, 0.1)), GOOD),
        (Pose(position=HERE.position, quaternion=(0.0, 0.0, value, 1.0)), GOOD),
        (HERE, GOOD | {"speed": value}),
        (HERE, GOOD | {"acceleration": value}),
        (HERE, GOOD | {"deadline": value}),
    ]
    for target, rest in commands:
        with pytest.raises(Refused) as caught:
            check_motion(target, **rest)
        assert caught.value.rule == "finite"


@pytest.mark.parametrize(
    "target",
    [
        None,
        (0.5, 0.0, 0.1),
        Pose(position=(0.5, 0.0)),  # type: ignore[arg-type]
        Pose(position="abc"),  # type: ignore[arg-type]
        Pose(position=(0.5, 0.0, "0.1")),  # type: ignore[arg-type]
        Pose(position=(0.5, 0.0, None)),  # type: ignore[arg-type]
        Pose(position=(0.5, 0.0, True)),
        Pose(position=(0.5, 0.0, 0.1), quaternion=(0.0, 0.0, 1.0)),  # type: ignore[arg-type]
        Pose(position=np.zeros((3, 2))),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_pose_is_refused(target: Any) -> None:
    with pytest.raises(Refused) as caught:
        check_motion(target, **GOOD)
    assert caught.value.rule == "shape"


def test_a_speed_that_is_no_number_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        check_motion(HERE, speed="fast", acceleration=None, deadline=None)  # type: ignore[arg-type]
    assert caught.value.rule == "shape"


@pytest.mark.parametrize("quaternion", [(0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.01), (1.0, 1.0, 0.0, 0.0)])
def test_a_quaternion_that_is_no_rotation_is_refused(quaternion: tuple[float, float, float, float]) -> None:
    with pytest.raises(Refused) as caught:
        check_motion(Pose(position=HERE.position, quaternion=quaternion), **GOOD)
    assert caught.value.rule == "quaternion"


@pytest.mark.parametrize("name", ["speed", "acceleration", "deadline"])
@pytest.mark.parametrize("value", [0.0, -0.1])
def test_what_must_be_above_zero_is_refused_by_its_name(name: str, value: float) -> None:
    with pytest.raises(Refused) as caught:
        check_motion(HERE, **(GOOD | {name: value}))
    assert caught.value.rule == name


def test_the_contract_needs_the_standard_library_and_numpy_alone() -> None:
    code = "import sys, robo_rlft.driver; print([m for m in ('torch', 'cv2', 'pybullet', 'yaml') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
