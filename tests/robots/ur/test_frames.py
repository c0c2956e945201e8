import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_rlft.driver import Pose
from robo_rlft.geometry import yaw_quaternion
from robo_rlft.robots.ur.frames import BaseFrame, angle_between, line_seconds, rotation_vector, vector_quaternion

LENGTH = st.floats(-2.0, 2.0)
ANGLE = st.floats(-math.pi, math.pi)


@st.composite
def quaternions(draw: st.DrawFn) -> tuple[float, float, float, float]:
    parts = draw(st.tuples(LENGTH, LENGTH, LENGTH, LENGTH).filter(lambda q: math.hypot(*q) > 0.1))
    x, y, z, w = (value / math.hypot(*parts) for value in parts)
    return x, y, z, w


@given(quaternions())
def test_a_rotation_vector_gives_its_quaternion_back(quaternion):
    vector = rotation_vector(quaternion)
    assert math.hypot(*vector) <= math.pi + 1e-9
    assert angle_between(vector_quaternion(vector), quaternion) < 1e-6


@given(st.tuples(LENGTH, LENGTH, LENGTH), quaternions(), st.tuples(LENGTH, LENGTH, LENGTH, ANGLE))
def test_a_pose_comes_back_from_the_controller_unchanged(position, quaternion, base):
    x, y, z, yaw = base
    frame = BaseFrame(x=x, y=y, z=z, yaw=yaw)
    back = frame.to_world(frame.to_controller(Pose(position=position, quaternion=quaternion)))
    assert math.dist(back.position, position) < 1e-9
    assert angle_between(back.quaternion, quaternion) < 1e-6


def test_a_tool_that_points_down_is_half_a_turn_about_x_for_the_controller():
    assert BaseFrame().to_controller(Pose(position=(0.4, 0.1, 0.2))) == pytest.approx([0.4, 0.1, 0.2, math.pi, 0, 0])


def test_a_base_turned_left_sees_what_lies_ahead_of_the_world_on_its_right():
    frame = BaseFrame(x=0.0, y=0.0, z=0.1, yaw=math.pi / 2)
    sent = frame.to_controller(Pose(position=(0.5, 0.0, 0.2)))
    assert sent[:3] == pytest.approx([0.0, -0.5, 0.1])
    assert frame.turn([0.0, -1.0, 2.0]) == pytest.approx((1.0, 0.0, 2.0))


def test_a_turned_tool_turns_the_controllers_pose():
    sent = BaseFrame().to_controller(Pose(position=(0, 0, 0), quaternion=yaw_quaternion(0.3)))
    # Rz(yaw) Rx(pi) is half a turn about the axis (cos(yaw / 2), sin(yaw / 2), 0).
    assert sent[3:] == pytest.approx([math.pi * math.cos(0.15), math.pi * math.sin(0.15), 0.0])


@pytest.mark.parametrize(
    ("way", "seconds"),
    [
        (1.0, 0.5 / 1.0 + 1.0 / 0.5),  # ramps of 0.5 s, 0.125 m each; 0.75 m at 0.5 m/s: 2.5 s in all
        (0.09, 2 * math.sqrt(0.09)),  # never at full speed: up and down, 0.3 s each
        (0.0, 0.0),
    ],
)
def test_a_line_takes_as_long_as_its_trapezoid(way, seconds):
    start, end = Pose(position=(0, 0, 0)), Pose(position=(way, 0, 0))
    assert line_seconds(start, end, speed=0.5, acceleration=1.0) == pytest.approx(seconds)


def test_a_turn_on_the_spot_takes_time():
    start, end = Pose(position=(0, 0, 0)), Pose(position=(0, 0, 0), quaternion=yaw_quaternion(1.0))
    assert line_seconds(start, end, speed=0.5, acceleration=1.0) == pytest.approx(2.5)
