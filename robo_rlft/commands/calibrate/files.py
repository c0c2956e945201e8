"""What `calibrate` reads: points, pictures with the tool's poses, and a lens's intrinsics."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image, UnidentifiedImageError

from robo_rlft.config import UserError
from robo_rlft.driver import Pose
from robo_rlft.evaluation.files import check_format, read_json, write_bytes, write_json
from robo_rlft.robots.calibration.camera_pose import Intrinsics
from robo_rlft.robots.calibration.file import FORMAT, read_calibration

SAMPLES_FORMAT = "robo_rlft.calibration_samples"
SAMPLES_VERSION = 1
POSES_FILE = "poses.json"
_FAR = 10.0  # metres; whoever is farther off has written millimetres
_HALF = 0.5  # image viewers count a pixel from its centre, this package from its corner


@dataclass(frozen=True, kw_only=True)
class Points:
    """Pixels and the places that they show."""

    pixels: npt.NDArray[np.float64]  # (N, 2), (column, row), the first pixel's centre at (0.5, 0.5)
    world: npt.NDArray[np.float64]  # (N, 3), metres, world frame


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Pictures of a board, each with the tool's pose."""

    pictures: tuple[npt.NDArray[np.uint8], ...]  # (height, width, 3), RGB
    poses: tuple[Pose, ...]
    names: tuple[str, ...]
    intrinsics: Intrinsics | None  # as the device knows them


def read_points(path: Path) -> Points:
    """Read pairs of a pixel and a place: CSV with the columns column,row,x,y[,z], or a JSON or YAML list of
    {pixel: [column, row], world: [x, y, z]}; pixels as image viewers count them, metres.

    Raises:
        UserError: naming the file, the line, what was expected and what came.
    """
    text = _text(path)
    try:
        rows = _csv_rows(path, text) if path.suffix.lower() == ".csv" else yaml.safe_load(text)
    except (yaml.YAMLError, csv.Error) as error:
        raise UserError(f"{path}: expected CSV, JSON or YAML, could not read it: {error}") from error
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path}: expected a list of points, each with a pixel and a place; got {_kind(rows)}")
    pairs = [_pair(path, number, row) for number, row in enumerate(rows, start=1)]
    farthest = max(math.hypot(*place) for _, place in pairs)
    if farthest > _FAR:
        raise UserError(f"{path}: expected places in metres from the robot's base, got one {farthest:g} m away")
    return Points(pixels=np.array([p for p, _ in pairs]) + _HALF, world=np.array([w for _, w in pairs]))


def _csv_rows(path: Path, text: str) -> list[dict[str, str]]:
    reader = csv.DictReader(text.splitlines())
    names = [str(name).strip() for name in reader.fieldnames or ()]
    if names and not {"column", "row", "x", "y"} <= set(names):
        expected = "expected the first line to be column,row,x,y or column,row,x,y,z"
        raise UserError(f"{path}: {expected}; got {','.join(names)}")
    reader.fieldnames = names
    return list(reader)


def write_points(path: Path, points: Points) -> None:
    """Write points as `read_points` reads them, so that they need not be touched again."""
    rows = [
        {"pixel": (pixel - _HALF).tolist(), "world": place.tolist()}
        for pixel, place in zip(points.pixels, points.world, strict=True)
    ]
    write_bytes(path, (json.dumps(rows, indent=1) + "\n").encode())


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    """Return a picture (height, width, 3), RGB.

    Raises:
        UserError: it is not one.
    """
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"), dtype=np.uint8)
    except FileNotFoundError:
        raise UserError(f"{path}: expected a picture, found no such file") from None
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: expected a picture such as PNG or JPEG, could not read it: {error}") from None


def picture_bytes(picture: npt.NDArray[np.uint8]) -> bytes:
    """Return a picture as a PNG file, quickly: an operator waits, and a photograph's noise does not compress."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def read_depth(path: Path) -> npt.NDArray[np.float32]:
    """Return depth (height, width) in metres from a 16-bit PNG of millimetres or a .npy file of metres.

    Raises:
        UserError: it is neither.
    """
    try:
        if path.suffix.lower() == ".npy":
            depth = np.load(path, allow_pickle=False).astype(np.float32)
        else:
            with Image.open(path) as image:
                depth = (np.array(image) / 1000.0).astype(np.float32)
    except (OSError, ValueError, UnidentifiedImageError) as error:
        raise UserError(f"{path}: expected depth as a 16-bit PNG of millimetres or .npy of metres: {error}") from None
    if depth.ndim != 2:
        raise UserError(f"{path}: expected depth (height, width), got shape {depth.shape}")
    result: npt.NDArray[np.float32] = depth
    return result


def read_intrinsics(path: Path) -> Intrinsics:
    """Read intrinsics from a calibration of ours, or from YAML with OpenCV's size, camera_matrix, distortion.

    Raises:
        UserError: naming what was expected and what came.
    """
    try:
        data = yaml.safe_load(_text(path))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: expected YAML, could not read it: {error}") from error
    if isinstance(data, Mapping) and data.get("format") == FORMAT:
        c = read_calibration(path)
        return Intrinsics(size=c.size, matrix=c.intrinsics, distortion=c.distortion)
    expected = "size: [width, height], camera_matrix: 3 x 3 as OpenCV has it, distortion: [k1, k2, p1, p2, k3]"
    try:
        width, height = (int(v) for v in data["size"])
        matrix = np.array(data["camera_matrix"], dtype=np.float64).reshape(3, 3)
        distortion = tuple(float(v) for v in data.get("distortion", []))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: expected {expected}, or a calibration of ours; {error}") from None
    good = np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0 and all(map(math.isfinite, distortion))
    if not good or min(width, height) < 1 or len(distortion) not in (0, 4, 5, 8, 12, 14):
        raise UserError(f"{path}: expected {expected}, all finite, focal lengths above 0; got {data}")
    matrix = matrix + np.array([[0, 0, _HALF], [0, 0, _HALF], [0, 0, 0]])
    return Intrinsics(size=(width, height), matrix=matrix, distortion=distortion)


def read_samples(folder: Path) -> Samples:
    """Read the pictures that a folder's poses.json names, with the poses.

    Raises:
        UserError, ResultFileError: naming what was expected and what came.
    """
    data = read_json(folder / POSES_FILE, expected=SAMPLES_FORMAT, version=SAMPLES_VERSION)
    check_format(data, where=str(folder / POSES_FILE), expected=SAMPLES_FORMAT, version=SAMPLES_VERSION)
    poses = data.get("poses")
    if not isinstance(poses, dict) or not poses:
        raise UserError(
            f"{folder / POSES_FILE}: poses: expected {{'000.png': {{position, quaternion}}}}, got {poses!r}"
        )
    names = tuple(sorted(poses))
    if any(Path(name).name != name for name in names):
        raise UserError(f"{folder / POSES_FILE}: poses: expected names of files beside it, got {', '.join(names)}")
    pictures = tuple(read_picture(folder / name) for name in names)
    sizes = {p.shape for p in pictures}
    if len(sizes) != 1:
        raise UserError(f"{folder}: expected pictures of one size, got {', '.join(map(str, sorted(sizes)))}")
    return Samples(
        pictures=pictures,
        poses=tuple(_pose(folder / POSES_FILE, name, poses[name]) for name in names),
        names=names,
        intrinsics=_device_intrinsics(data, (pictures[0].shape[1], pictures[0].shape[0])),
    )


def write_samples(folder: Path, samples: Samples) -> None:
    """Write what `read_samples` reads."""
    for name, picture in zip(samples.names, samples.pictures, strict=True):
        if not (folder / name).exists():
            write_bytes(folder / name, picture_bytes(picture))
    lens = samples.intrinsics
    write_json(
        folder / POSES_FILE,
        {
            "format": SAMPLES_FORMAT,
            "format_version": SAMPLES_VERSION,
            "poses": {
                name: {"position": list(pose.position), "quaternion": list(pose.quaternion)}
                for name, pose in zip(samples.names, samples.poses, strict=True)
            },
            "intrinsics": None if lens is None else lens.matrix.tolist(),
            "distortion": [] if lens is None else list(lens.distortion),
        },
    )


def _device_intrinsics(data: dict[str, Any], size: tuple[int, int]) -> Intrinsics | None:
    if data.get("intrinsics") is None:
        return None
    try:
        matrix = np.array(data["intrinsics"], dtype=np.float64).reshape(3, 3)
        distortion = tuple(float(v) for v in data.get("distortion", []))
    except (TypeError, ValueError):
        matrix, distortion = np.full((3, 3), np.nan), ()
    if not np.isfinite(matrix).all() or not all(map(math.isfinite, distortion)):
        raise UserError(f"{POSES_FILE}: intrinsics: expected 3 x 3 finite numbers or null, got {data['intrinsics']!r}")
    return Intrinsics(size=size, matrix=matrix, distortion=distortion)


def _pose(path: Path, name: str, value: Any) -> Pose:
    try:
        x, y, z = (float(v) for v in value["position"])
        q = tuple(float(v) for v in value["quaternion"])
    except (KeyError, TypeError, ValueError):
        q = ()
    if len(q) != 4 or not all(map(math.isfinite, (x, y, z, *q))) or abs(math.hypot(*q) - 1.0) > 1e-3:
        raise UserError(
            f"{path}: {name}: expected position [x, y, z] in metres and a unit quaternion [x, y, z, w], got {value!r}"
        )
    return Pose(position=(x, y, z), quaternion=q)


def _pair(path: Path, number: int, row: Any) -> tuple[list[float], list[float]]:
    expected = "pixel: [column, row] and world: [x, y] or [x, y, z]; in CSV the columns column,row,x,y[,z]"
    try:
        if "pixel" in row:
            pixel, place = [float(v) for v in row["pixel"]], [float(v) for v in row["world"]]
        else:
            pixel = [float(row["column"]), float(row["row"])]
            place = [float(row["x"]), float(row["y"]), float(row.get("z") or 0.0)]
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: point {number}: expected {expected}; got {row!r}") from None
    if len(pixel) != 2 or len(place) not in (2, 3) or not all(map(math.isfinite, (*pixel, *place))):
        raise UserError(f"{path}: point {number}: expected {expected}, finite; got {row!r}")
    return pixel, place if len(place) == 3 else [*place, 0.0]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text: {error}") from None


def _kind(value: Any) -> str:
    return "nothing" if not value else type(value).__name__
