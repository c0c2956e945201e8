from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from robo_rlft.data.augmentation import Motion, move_pixels
from robo_rlft.driver import Pose
from robo_rlft.geometry import yaw_quaternion
from robo_rlft.tasks.demonstrators import Demonstrator
from robo_rlft.tasks.task import Attempt, Goal, Intent, Layout, Task

LAYOUT = Layout(bodies=(), poses=(), goals=())


class Carry(Task):
    """The expert carries the first body to (0.6, 0.2) and turns it by 0.3 radians; it looks alike from four sides."""

    name = "carry"
    max_steps = 1

    def layout(self, *, split: str, rng: np.random.Generator) -> Layout:
        return LAYOUT

    def instruct(self, goal: Goal, *, split: str, rng: np.random.Generator) -> str:
        return "carry it"

    def progress(self, layout: Layout, poses: Sequence[Pose]) -> float:
        return 0.0

    def explain(self, layout: Layout, attempts: Sequence[Attempt]) -> str:
        return "timed_out"

    def demonstrate(self, layout: Layout, poses: Sequence[Pose]) -> Intent:
        x, y, _ = poses[0].position
        return Intent(pick=(x, y), place=(0.6, 0.2), turn=0.3, symmetry=4)


def poses(yaw: float, *, x: float = 0.5, y: float = 0.0) -> list[Pose]:
    """The body to carry, and another one farther off that lies turned by 1 radian."""
    return [
        Pose(position=(x, y, 0.0), quaternion=yaw_quaternion(yaw)),
        Pose(position=(0.3, 0.3, 0.0), quaternion=yaw_quaternion(1.0)),
    ]


def intent(demonstrator: Demonstrator, yaw: float = 0.0, seed: int = 0) -> Intent:
    return demonstrator(Carry(), LAYOUT, poses(yaw), rng=np.random.default_rng(seed))


def test_the_oracle_does_what_the_expert_does() -> None:
    assert intent(Demonstrator()) == Carry().demonstrate(LAYOUT, poses(0.0))


@pytest.mark.parametrize(
    ("yaw", "dx", "dy"),
    # (1, 2) cm turned by 0, 90 and 180 degrees.
    [(0.0, 0.01, 0.02), (math.pi / 2, -0.02, 0.01), (math.pi, -0.01, -0.02)],
)
def test_the_offset_turns_with_the_object_picked(yaw: float, dx: float, dy: float) -> None:
    done = intent(Demonstrator(offset=(0.01, 0.02)), yaw)
    assert done.pick == pytest.approx((0.5 + dx, dy))
    assert done.place == pytest.approx((0.6 + dx, 0.2 + dy))
    assert done.turn == 0.3


def test_the_turn_is_off_by_the_same_angle_however_the_object_lies() -> None:
    # Degrees 10, the expert's 0.3 radians on top; pick and place stay exact.
    for yaw in (0.0, 1.0, -2.5):
        done = intent(Demonstrator(turn_offset=math.radians(10)), yaw)
        assert done.turn == pytest.approx(0.3 + 0.174533, abs=1e-6)
        assert (done.pick, done.place) == ((0.5, 0.0), (0.6, 0.2))


def test_spreads_have_their_size_in_metres_and_radians() -> None:
    demonstrator = Demonstrator(sigma=0.008, turn_sigma=0.1)
    rng = np.random.default_rng(0)
    done = [demonstrator(Carry(), LAYOUT, poses(0.0), rng=rng) for _ in range(2000)]
    errors = np.array([[*np.subtract(d.pick, (0.5, 0.0)), *np.subtract(d.place, (0.6, 0.2))] for d in done])
    # Standard errors with n = 2000: 1 / sqrt(2 n) = 1.6 % of a standard deviation, sigma / sqrt(n) = 0.18 mm of a mean.
    assert errors.std(axis=0) == pytest.approx([0.008] * 4, rel=0.08)
    assert np.abs(errors.mean(axis=0)).max() < 0.0008
    assert np.std([d.turn for d in done]) == pytest.approx(0.1, rel=0.08)
    assert np.corrcoef(errors.T)[0, 2] == pytest.approx(0.0, abs=0.1)  # pick and place err apart


def test_errors_follow_from_the_generator_alone() -> None:
    demonstrator = Demonstrator(sigma=0.008, turn_sigma=0.1)
    assert intent(demonstrator, seed=3) == intent(demonstrator, seed=3)
    assert intent(demonstrator, seed=3) != intent(demonstrator, seed=4)


def test_a_pick_beside_the_middle_claims_no_equal_turns() -> None:
    assert intent(Demonstrator(turn_offset=0.2, turn_sigma=0.1)).symmetry == 4
    assert intent(Demonstrator(offset=(0.0, 0.01))).symmetry == 1
    assert intent(Demonstrator(sigma=0.004)).symmetry == 1


def test_augmentation_keeps_the_mistake_in_the_objects_frame() -> None:
    shape, pixel = (160, 80), 0.00625  # rows along y from -0.5 m, columns along x from 0.25 m
    demonstrator, angle = Demonstrator(offset=(0.02, 0.01), turn_offset=0.2), 0.7
    motion = Motion(angle=torch.tensor(angle), shift=torch.tensor([3.0, -4.0]))

    def pixels(point: Sequence[float]) -> torch.Tensor:
        return torch.tensor([(point[1] + 0.5) / pixel - 0.5, (point[0] - 0.25) / pixel - 0.5])

    # The scene that the moved picture shows: the body's middle has moved with it, and its yaw by the same angle.
    done = intent(demonstrator, yaw=0.4)
    row, column = move_pixels(pixels((0.5, 0.0)), motion, shape).tolist()
    x, y = (column + 0.5) * pixel + 0.25, (row + 0.5) * pixel - 0.5
    again = demonstrator(Carry(), LAYOUT, poses(0.4 + angle, x=x, y=y), rng=np.random.default_rng(0))
    torch.testing.assert_close(move_pixels(pixels(done.pick), motion, shape), pixels(again.pick), atol=1e-3, rtol=0.0)
    assert done.turn == again.turn  # the turn is relative to the object as it lies: augmentation leaves its bin


@pytest.mark.parametrize(
    "wrong", [{"sigma": -0.001}, {"turn_sigma": -0.1}, {"turn_offset": math.nan}, {"offset": (math.inf, 0.0)}]
)
def test_spreads_below_zero_and_numbers_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        Demonstrator(**wrong)  # type: ignore[arg-type]
