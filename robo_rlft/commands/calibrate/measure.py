"""What `calibrate` measures: from files, or from a camera, a robot and the operator's answers.

The operator moves the arm, by hand or with its pendant; nothing here does. All that is measured is written beside the
calibration, so that it can be solved anew without touching anything.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from robo_rlft.commands.calibrate.files import (
    Points,
    Samples,
    picture_bytes,
    read_depth,
    read_picture,
    read_points,
    read_samples,
    write_points,
    write_samples,
)
from robo_rlft.commands.robots import build_robot
from robo_rlft.config import Composed, UserError, build
from robo_rlft.config.nodes import TARGET
from robo_rlft.driver import DriverError, Pose, RobotDriver
from robo_rlft.evaluation.files import write_bytes
from robo_rlft.robots.calibration.camera_pose import MINIMUM_POINTS, Intrinsics
from robo_rlft.robots.calibration.charuco import Board, detect
from robo_rlft.robots.calibration.hand_eye import MINIMUM_CORNERS, MINIMUM_POSES
from robo_rlft.robots.cameras import CheckedCamera, Frame

Answer = Callable[[str], str]
_STILL = 1e-3  # metres that the tool may move while a picture is taken


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Everything that a calibration is found from."""

    picture: npt.NDArray[np.uint8] | None  # (height, width, 3), RGB, of the workspace, as the lens saw it
    depth: npt.NDArray[np.float32] | None = None  # (height, width), metres
    intrinsics: Intrinsics | None = None  # as the device knows them
    points: Points | None = None
    samples: Samples | None = None
    tool: Pose = dataclasses.field(default_factory=lambda: Pose(position=(0.0, 0.0, 0.0)))  # when the picture was taken


def measure(composed: Composed, board: Board, folder: Path, *, ask: Answer, console: Console) -> Measured:
    """Read what files give and take the rest from camera, robot and operator.

    Raises:
        UserError: something is missing, with what to give.
        DriverError: the camera or the robot failed.
    """
    values = composed.values
    samples = None if values["samples"] is None else read_samples(Path(str(values["samples"])))
    points = None if values["points"] is None else read_points(Path(str(values["points"])))
    picture = None if values["picture"] is None else read_picture(Path(str(values["picture"])))
    depth = None if values["depth"] is None else read_depth(Path(str(values["depth"])))
    if values["method"] == "charuco" and samples is None:
        return _live_samples(composed, board, folder, ask=ask, console=console)
    if values["method"] == "charuco":
        assert samples is not None
        return Measured(
            picture=samples.pictures[0] if picture is None else picture,
            depth=depth,
            intrinsics=samples.intrinsics,
            samples=samples,
            tool=samples.poses[0],
        )
    frame = None
    if picture is None and _camera_node(values) is not None:
        ask("the arm out of the camera's sight, nothing on the table but marks that its tip can touch; then Enter: ")
        with _camera(composed) as camera:
            frame = camera.frame()
        write_bytes(folder / "picture.png", picture_bytes(frame.color))
        picture = frame.color
    if points is None:
        points = _ask_points(composed, folder, picture is not None, ask=ask, console=console)
    return Measured(
        picture=picture,
        depth=depth if frame is None or frame.depth is None else frame.depth,
        intrinsics=None if frame is None else _device(frame),
        points=points,
        samples=samples,
    )


def _ask_points(composed: Composed, folder: Path, taken: bool, *, ask: Answer, console: Console) -> Points:
    """Ask for table points until the operator gives an empty answer: touched with the tool, or typed."""
    shown = str(folder / "picture.png") if taken and composed.values["picture"] is None else composed.values["picture"]
    end = "an empty answer" if composed.values.get("robot") is None else "'end'"
    console.print(
        f"at least {MINIMUM_POINTS} points near the workspace's corners, 6 or more are better; read each one's pixel "
        f"off {shown or 'the picture'} in an image viewer; {end} ends",
        markup=False,
    )
    pixels: list[list[float]] = []
    places: list[list[float]] = []
    with _robot(composed) as robot:
        while True:
            number = len(pixels) + 1
            if robot is None:
                place = _numbers(ask, f"point {number}: x y [z] in metres: ", (2, 3), console)
            else:
                answer = ask(f"point {number}: put the tool's tip on the mark, then Enter (or 'end'): ")
                place = None if answer.strip() == "end" else list(robot.tool_pose().position)
            if place is None:
                break
            pixel = _numbers(ask, f"point {number}: its pixel, column row: ", (2,), console)
            if pixel is None:
                break
            pixels.append(pixel)
            places.append([*place, 0.0][:3])
            console.print(f"point {number}: {', '.join(f'{v:.4f}' for v in places[-1])} m", markup=False)
    if not pixels:
        raise UserError("no point was given; give points=FILE, or answer the questions in a terminal")
    points = Points(pixels=np.array(pixels) + 0.5, world=np.array(places))
    write_points(folder / "points.json", points)
    return points


def _numbers(ask: Answer, question: str, counts: tuple[int, ...], console: Console) -> list[float] | None:
    """Return the numbers of an answer; None for an empty one; ask again where they are none."""
    while True:
        text = ask(question).replace(",", " ").strip()
        if not text:
            return None
        try:
            numbers = [float(part) for part in text.split()]
        except ValueError:
            numbers = []
        if len(numbers) in counts and np.isfinite(numbers).all():
            return numbers
        console.print(f"expected {' or '.join(map(str, counts))} numbers, got '{text}'", markup=False)


def _live_samples(composed: Composed, board: Board, folder: Path, *, ask: Answer, console: Console) -> Measured:
    """Take pictures of the board in poses that the operator moves the arm to, and one of the empty workspace."""
    values = composed.values
    if _camera_node(values) is None or values.get("robot") is None:
        raise UserError("method=charuco needs samples=DIR, or both a camera=... and a robot=... to take them from")
    if values["poses"] < MINIMUM_POSES:
        raise UserError(f"poses: expected {MINIMUM_POSES} or more, got {values['poses']}")
    pictures: list[npt.NDArray[np.uint8]] = []
    poses: list[Pose] = []
    lens: Intrinsics | None = None
    place = folder / f"samples-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    with _camera(composed) as camera, _robot(composed) as robot:
        assert robot is not None
        while len(pictures) < values["poses"]:
            asked = ask(
                f"pose {len(pictures) + 1} of {values['poses']}: board in sight, tilt it anew, at rest; Enter: "
            )
            if asked.strip() == "end":
                break
            try:
                before, frame, after = robot.tool_pose(), camera.frame(), robot.tool_pose()
            except DriverError as error:
                console.print(f"again, please: {error}", markup=False)
                continue
            corners = len(detect(board, frame.color).board)
            moved = float(np.linalg.norm(np.subtract(before.position, after.position)))
            if corners < MINIMUM_CORNERS or moved > _STILL:
                why = (
                    f"{corners} corners of the board are seen" if moved <= _STILL else f"it moved {1000 * moved:.1f} mm"
                )
                console.print(f"again, please: {why}", markup=False)
                continue
            pictures.append(frame.color)
            poses.append(after)
            lens = _device(frame) if lens is None else lens
            names = tuple(f"{number:03d}.png" for number in range(len(pictures)))
            samples = Samples(pictures=tuple(pictures), poses=tuple(poses), names=names, intrinsics=lens)
            write_samples(place, samples)
            console.print(f"pose {len(pictures)}: {corners} corners", markup=False)
        if not pictures:
            raise UserError("no picture was taken; give samples=DIR, or take at least ten")
        ask("the arm and the board out of the camera's sight, the workspace empty; then Enter: ")
        frame, tool = camera.frame(), robot.tool_pose()
    console.print(f"the pictures are in {place}; samples={place} solves them again", markup=False)
    return Measured(picture=frame.color, depth=frame.depth, intrinsics=lens, samples=samples, tool=tool)


def _device(frame: Frame) -> Intrinsics | None:
    """Return the intrinsics that a device knows itself."""
    if frame.intrinsics is None:
        return None
    size = (frame.color.shape[1], frame.color.shape[0])
    return Intrinsics(size=size, matrix=frame.intrinsics, distortion=frame.distortion)


def _camera_node(values: dict[str, Any]) -> dict[str, Any] | None:
    node = values.get("camera")
    return node if isinstance(node, dict) and TARGET in node else None


@contextmanager
def _camera(composed: Composed) -> Iterator[CheckedCamera]:
    node = _camera_node(composed.values)
    assert node is not None
    # Without its own calibration: it may be the one that is to be replaced.
    camera = build({**node, "calibration": None}, trust=composed.trust, path="camera")
    if not isinstance(camera, CheckedCamera):
        raise UserError(f"camera: expected one of this package's cameras, got {type(camera).__name__}; give files")
    camera.connect()
    try:
        yield camera
    finally:
        camera.close()


@contextmanager
def _robot(composed: Composed) -> Iterator[RobotDriver | None]:
    if composed.values.get("robot") is None:
        yield None
        return
    alone = dataclasses.replace(composed, values={**composed.values, "camera": None})
    robot = build_robot(alone, operator=None, folder=None)
    robot.connect()
    try:
        yield robot
    finally:
        robot.close()
