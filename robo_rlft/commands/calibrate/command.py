"""`robo-rlft calibrate`: where the camera is, how well that is known, and the workspace's grid over its picture.

From files it asks nothing and needs neither robot nor camera. Live, the operator moves the arm by hand: this command
moves nothing. Tested on computed pixels and drawn boards; not with a camera.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import PositiveInt
from rich.console import Console

from robo_rlft.commands.calibrate.drawing import GridPicture, board_page, page_bytes, share_seen
from robo_rlft.commands.calibrate.files import Samples, picture_bytes, read_intrinsics
from robo_rlft.commands.calibrate.measure import Answer, Measured, measure
from robo_rlft.commands.checks import check
from robo_rlft.commands.robots import robot_problems
from robo_rlft.config import Composed, UserError, build
from robo_rlft.driver import View
from robo_rlft.evaluation.files import write_bytes
from robo_rlft.geometry import Workspace
from robo_rlft.robots.calibration.camera_pose import Intrinsics, millimetres_per_pixel, pose_from_table_points
from robo_rlft.robots.calibration.charuco import Board, detect, lens
from robo_rlft.robots.calibration.file import (
    GOOD_MM,
    USABLE_MM,
    Calibration,
    CalibrationError,
    Error,
    judge,
    write_calibration,
)
from robo_rlft.robots.calibration.hand_eye import MINIMUM_CORNERS, Sample, solve_hand_eye
from robo_rlft.robots.calibration.rigid import Array, inverse, world_from_tool
from robo_rlft.robots.calibration.table import check_table
from robo_rlft.robots.cameras.placing import Placing

FILE, GRID = "calibration.yaml", "grid.png"
_TABLE_MM = 5.0  # how far off the table may be before a word is said


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `calibrate` takes beside its groups."""

    method: Literal["points", "charuco", "board"]
    points: Path | None
    picture: Path | None
    depth: Path | None
    intrinsics: Path | None
    samples: Path | None
    mount: Literal["world", "tool"]
    poses: PositiveInt
    name: str
    board: Any
    output: Path
    accept: bool
    overwrite: bool
    trust: list[str]


@dataclass(frozen=True, kw_only=True)
class Solved:
    """A calibration, and what is drawn with it."""

    calibration: Calibration
    world_from_camera: Array  # (4, 4), when the picture was taken
    marks: Array  # (N, 2), undistorted pixels that were marked
    computed: Array  # (N, 2), where the calibration puts them
    notes: tuple[str, ...] = ()


def check_config(composed: Composed) -> None:
    """Refuse whatever cannot work, before anything is built."""
    if composed.values.get("robot") is not None:
        check(composed, Arguments, ("workspace", "board"), problems=robot_problems(composed))
    else:
        camera = ("camera",) if composed.values.get("camera") else ()
        check(composed, Arguments, ("workspace", "board", *camera))


def run(composed: Composed, console: Console, ask: Answer | None = None) -> Path:
    """Write a calibration, or a board to be printed; return the file's path.

    Args:
        composed: the config.
        console: where to say what was found.
        ask: how the operator is asked; None asks on the console.

    Raises:
        CalibrationError: the measurements give no calibration, or none that is good enough.
    """
    check_config(composed)
    values = composed.values
    folder = Path(str(values["output"])).expanduser()
    board: Board = build(values["board"], trust=composed.trust, path="board")
    if values["method"] == "board":
        return _print_board(folder, board, console)
    target = folder / FILE
    if target.exists() and not values["overwrite"]:
        raise UserError(f"{target} is there already; overwrite=true replaces it, output=DIR writes elsewhere")
    workspace: Workspace = build(values["workspace"], trust=composed.trust, path="workspace")
    measured = measure(composed, board, folder, ask=ask or partial(_typed, console), console=console)
    solve: Callable[..., Solved] = _from_points if values["method"] == "points" else _from_samples
    solved = solve(measured, board=board, workspace=workspace, values=values)
    _report(solved, workspace, console)
    _draw(solved, measured, workspace, folder / GRID)
    _check_depth(solved, measured, workspace, console)
    if solved.calibration.verdict == "refused" and not values["accept"]:
        raise CalibrationError(
            f"the calibration is off by {solved.calibration.error.judged_mm:.1f} mm on the table, expected below "
            f"{USABLE_MM} mm, so that it is not written; {_advice(solved, values['method'])}; see {folder / GRID}; "
            "accept=true writes it all the same"
        )
    write_calibration(target, solved.calibration)
    console.print(f"wrote {target} and {folder / GRID}; name it with camera.calibration={target}", markup=False)
    return target


def _typed(console: Console, question: str) -> str:
    try:
        return console.input(question, markup=False)
    except EOFError:
        raise UserError(
            "nobody answers the questions; run it in a terminal, or give what was measured: points=FILE for "
            "method=points, samples=DIR for method=charuco"
        ) from None


def _from_points(measured: Measured, *, board: Board, workspace: Workspace, values: dict[str, Any]) -> Solved:
    points, intrinsics = measured.points, _lens(measured, board, values)
    assert points is not None
    pixels = intrinsics.ideal(points.pixels)
    found = pose_from_table_points(intrinsics, points.world, pixels, workspace=workspace)
    scale = millimetres_per_pixel(intrinsics.matrix, found.world_from_camera, workspace)
    worst = int(found.left_out_mm.argmax())
    notes = [f"the table points lie {1000 * points.world[:, 2].mean():+.1f} mm from z = 0 on average"]
    if len(points.world) == 4:
        notes.append("four points leave two degrees of freedom to tell the error by; six or more tell it better")
    notes.append(f"the least trusted point is {worst + 1}: {found.left_out_mm[worst]:.1f} mm off when left out")
    return Solved(
        calibration=_calibration(
            values,
            intrinsics,
            found.world_from_camera,
            errors=found.errors,
            scale=scale,
            left_out=float(found.left_out_mm.mean()),
            judged=found.bound_mm,
        ),
        world_from_camera=found.world_from_camera,
        marks=pixels,
        computed=found.pixels,
        notes=tuple(notes),
    )


def _from_samples(measured: Measured, *, board: Board, workspace: Workspace, values: dict[str, Any]) -> Solved:
    intrinsics, samples = _lens(measured, board, values), measured.samples
    assert samples is not None
    pairs = zip(samples.pictures, samples.poses, strict=True)
    found = [(detect(board, picture), world_from_tool(pose)) for picture, pose in pairs]
    seen = [
        Sample(world_from_tool=pose, board=d.board, pixels=intrinsics.ideal(d.pixels))
        for d, pose in found
        if len(d.board) >= MINIMUM_CORNERS
    ]
    result = solve_hand_eye(intrinsics, seen, mount=values["mount"])
    x = result.mount_from_camera
    if values["mount"] == "world":
        scale, place = millimetres_per_pixel(intrinsics.matrix, x, workspace), x
    else:
        # The camera moves: what a pixel is worth is told where it saw the board.
        far = np.mean([(inverse(s.world_from_tool @ x) @ result.other_from_board)[2, 3] for s in seen])
        scale, place = 1000.0 * float(far / intrinsics.matrix[0, 0]), world_from_tool(measured.tool) @ x
    left_out = float(result.left_out_px.mean()) * scale
    return Solved(
        calibration=_calibration(
            values,
            intrinsics,
            x,
            errors=np.concatenate(result.errors),
            scale=scale,
            left_out=left_out,
            judged=left_out,
        ),
        world_from_camera=place,
        marks=np.zeros((0, 2)),
        computed=np.zeros((0, 2)),
        notes=(f"the board was found in {len(seen)} of {len(samples.pictures)} pictures",),
    )


def _calibration(
    values: dict[str, Any],
    intrinsics: Intrinsics,
    place: Array,
    *,
    errors: npt.NDArray[np.float64],
    scale: float,
    left_out: float,
    judged: float,
) -> Calibration:
    """Judge a solution: `errors` in pixels, `scale` in millimetres on the table a pixel, the others in millimetres."""
    mean, most = float(errors.mean()), float(errors.max())
    return Calibration(
        camera=str(values["name"]),
        size=intrinsics.size,
        intrinsics=intrinsics.matrix,
        distortion=intrinsics.distortion,
        mount=values["mount"] if values["method"] == "charuco" else "world",
        mount_from_camera=place,
        method=values["method"],
        error=Error(
            mean_px=mean,
            max_px=most,
            mean_mm=mean * scale,
            max_mm=most * scale,
            left_out_mm=left_out,
            judged_mm=judged,
            points=len(errors),
        ),
        verdict=judge(judged),
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _lens(measured: Measured, board: Board, values: dict[str, Any]) -> Intrinsics:
    """Return the intrinsics: from a file, from pictures of the board, or as the device knows them."""
    picture = measured.picture
    size = None if picture is None else (picture.shape[1], picture.shape[0])
    samples: Samples | None = measured.samples
    if values["intrinsics"] is not None:
        found = read_intrinsics(Path(str(values["intrinsics"])))
    elif measured.intrinsics is not None:
        found = measured.intrinsics
    elif samples is not None:
        shape = samples.pictures[0].shape
        found = lens([detect(board, p) for p in samples.pictures], (shape[1], shape[0]))
    else:
        raise UserError(
            "the lens's intrinsics are not known; give intrinsics=FILE, or samples=DIR with pictures of the board, "
            "or a camera that knows its own, such as camera=realsense"
        )
    if size is not None and found.size != size:
        raise UserError(
            f"the picture has {size[0]} x {size[1]} pixels, its intrinsics are for {found.size[0]} x {found.size[1]}; "
            "use a picture of that size, or find the intrinsics at this one"
        )
    return found


def _report(solved: Solved, workspace: Workspace, console: Console) -> None:
    c = solved.calibration
    x, y, z = (float(v) for v in solved.world_from_camera[:3, 3])
    share = share_seen(c.intrinsics, solved.world_from_camera, c.size, workspace)
    lines = [
        f"the camera is at x {x:.3f}, y {y:.3f}, z {z:.3f} m and sees {100 * share:.0f} % of the workspace",
        f"reprojection error: mean {c.error.mean_px:.2f}, most {c.error.max_px:.2f} pixels; "
        f"{c.error.mean_mm:.2f} and {c.error.max_mm:.2f} mm on the table at the workspace's centre",
        f"left out of the search: {c.error.left_out_mm:.2f} mm on average",
        *solved.notes,
        f"verdict: {c.verdict}, by {c.error.judged_mm:.2f} mm (good below {GOOD_MM} mm, half a pixel of the fine "
        f"workspace; usable below {USABLE_MM} mm, half a coarse one)",
    ]
    for line in lines:
        console.print(line, markup=False)


def _draw(solved: Solved, measured: Measured, workspace: Workspace, path: Path) -> None:
    c = solved.calibration
    picture = measured.picture
    if picture is None:
        picture = np.full((c.size[1], c.size[0], 3), 160, dtype=np.uint8)
    drawing = GridPicture(
        picture=Placing(c).undistorted(picture),
        matrix=c.intrinsics,
        world_from_camera=solved.world_from_camera,
        workspace=workspace,
    )
    caption = f"{c.verdict}: {c.error.judged_mm:.1f} mm on the table. Lines every 0.1 m"
    write_bytes(path, picture_bytes(drawing.draw(caption=caption, marks=solved.marks, computed=solved.computed)))


def _check_depth(solved: Solved, measured: Measured, workspace: Workspace, console: Console) -> None:
    """Say where the depth picture has the table, where there is one; a word of warning never stops the calibration."""
    if measured.depth is None:
        return
    still = dataclasses.replace(
        solved.calibration, mount="world", mount_from_camera=solved.world_from_camera, verdict="good"
    )
    size = (measured.depth.shape[1], measured.depth.shape[0])
    if size != still.size:
        raise UserError(f"depth: expected {still.size[0]} x {still.size[1]} pixels, got {size[0]} x {size[1]}")
    view = View(
        color=np.zeros((size[1], size[0], 3), dtype=np.uint8),
        depth=Placing(still).undistorted_depth(measured.depth),
        intrinsics=still.intrinsics,
        world_from_camera=still.mount_from_camera,
        stamp=0.0,
    )
    try:
        table = check_table(view, workspace)
    except CalibrationError as error:
        console.print(f"table: {error}", markup=False)
        return
    console.print(
        f"table by its depth: {table.offset_mm:+.1f} mm from z = 0, tilted {table.tilt_degrees:.2f} degrees, residual "
        f"{table.residual_mm:.1f} mm",
        markup=False,
    )
    if abs(table.offset_mm) > _TABLE_MM:
        console.print(
            "the table's height is off: is the workspace empty, the tool's tip set on the robot, the depth in metres?",
            markup=False,
        )


def _advice(solved: Solved, method: str) -> str:
    if method == "points":
        return f"{solved.notes[-1]}: mark it anew, or add points near the workspace's corners"
    return "see that the print is flat, that board.square is as measured, and that each pose was at rest"


def _print_board(folder: Path, board: Board, console: Console) -> Path:
    page, resolution = board_page(board)
    path = folder / "board.pdf"
    write_bytes(path, page_bytes(page, resolution, "PDF"))
    write_bytes(path.with_suffix(".png"), page_bytes(page, resolution, "PNG"))
    console.print(
        f"wrote {path} and {path.with_suffix('.png')}: print at 100 %, glue it onto something flat, measure a square "
        f"and give it with board.square (now {board.square} m)",
        markup=False,
    )
    return path
