"""Where a camera is and how it sees: the file that `robo-rlft calibrate` writes and every camera reads.

Pixels are counted as in `View`: the first pixel's centre is at (0.5, 0.5); OpenCV's principal point is half a pixel
less. Knows nothing of how a calibration is found.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import yaml

from robo_rlft.driver import DriverError

FORMAT = "robo_rlft.calibration"
FORMAT_VERSION = 1
Mount = Literal["world", "tool"]
Method = Literal["points", "charuco"]
Verdict = Literal["good", "usable", "refused"]

GOOD_MM = 1.5  # half a pixel of the fine workspace grid, 3.125 mm: the grid cannot show such an error
USABLE_MM = 3.1  # half a pixel of the coarse grid, 6.25 mm
_ORTHONORMAL = 1e-4  # how far a rotation times its transpose may be from the identity
_DIGITS = 9
_KEYS = (
    "format",
    "format_version",
    "camera",
    "date",
    "method",
    "mount",
    "size",
    "intrinsics",
    "distortion",
    "error",
    "verdict",
    "thresholds",
)


class CalibrationError(DriverError):
    """A calibration that cannot be used, or measurements that none can be found from; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Error:
    """How well a calibration explains what was measured."""

    mean_px: float  # mean distance of a point from where the calibration puts it
    max_px: float
    mean_mm: float  # the same on the table, at the workspace's centre
    max_mm: float
    left_out_mm: float  # mean error of what was left out of the search: of each point, or of each pose
    judged_mm: float  # what the verdict goes by; of points a bound from their noise and number, else `left_out_mm`
    points: int


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A camera's intrinsics and place."""

    camera: str  # its name, for people
    size: tuple[int, int]  # (width, height), pixels
    intrinsics: npt.NDArray[np.float64]  # (3, 3), pixels, as in `View`
    distortion: tuple[float, ...]  # OpenCV's k1, k2, p1, p2, k3, ...; empty: none
    mount: Mount  # what the camera is fixed to
    mount_from_camera: npt.NDArray[np.float64]  # (4, 4), metres: world_from_camera, or tool_from_camera
    method: Method
    error: Error
    verdict: Verdict
    date: str  # UTC, ISO 8601

    @property
    def world_from_camera(self) -> npt.NDArray[np.float64]:
        """The place of a camera that stands still.

        Raises:
            CalibrationError: this one rides on the tool.
        """
        if self.mount != "world":
            raise CalibrationError(f"the camera {self.camera} is mounted on the tool; its place changes with it")
        return self.mount_from_camera

    @property
    def opencv_matrix(self) -> npt.NDArray[np.float64]:
        """The intrinsics as OpenCV counts pixels."""
        matrix: npt.NDArray[np.float64] = self.intrinsics - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
        return matrix


def judge(error_mm: float) -> Verdict:
    """Return the verdict on a calibration that is so many millimetres off on the table."""
    if error_mm < GOOD_MM:
        return "good"
    return "usable" if error_mm < USABLE_MM else "refused"


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as YAML, whole or not at all."""
    text = yaml.safe_dump(_to_yaml(calibration), sort_keys=False, default_flow_style=None, allow_unicode=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(_HEADER + text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_calibration(path: Path) -> Calibration:
    """Return the calibration in a file.

    Raises:
        CalibrationError: naming the file, the key, what was expected and what came.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CalibrationError(f"{path}: there is no such calibration; make one with 'robo-rlft calibrate'") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        raise CalibrationError(f"{path}: expected a YAML file of format {FORMAT}, could not read it: {error}") from None
    return _Reader(path, data).calibration()


_HEADER = """# A camera's calibration. Pixels: the first pixel's centre is at (0.5, 0.5); OpenCV's principal point
# is half a pixel less. Metres; world frame: origin at the robot's base, x forward, y left, z up, the table at z = 0.
"""


def _to_yaml(c: Calibration) -> dict[str, Any]:
    error = {key: _rounded(value) for key, value in vars(c.error).items()}
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "camera": c.camera,
        "date": c.date,
        "method": c.method,
        "mount": c.mount,
        "size": list(c.size),
        "intrinsics": [[_rounded(v) for v in row] for row in c.intrinsics.tolist()],
        "distortion": [_rounded(v) for v in c.distortion],
        f"{c.mount}_from_camera": [[_rounded(v) for v in row] for row in c.mount_from_camera.tolist()],
        "error": error,
        "verdict": c.verdict,
        "thresholds": {"good_below_mm": GOOD_MM, "usable_below_mm": USABLE_MM},
    }


def _rounded(value: float) -> float | int:
    return value if isinstance(value, int) else round(float(value), _DIGITS)


class _Reader:
    """Reads one file's content, and says what is wrong with it by key."""

    def __init__(self, path: Path, data: Any) -> None:
        self._path = path
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            found = data.get("format") if isinstance(data, Mapping) else type(data).__name__
            self._refuse("format", FORMAT, found)
        version = data.get("format_version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            self._refuse("format_version", "a whole number above 0", version)
        if version > FORMAT_VERSION:
            raise CalibrationError(
                f"{path}: {FORMAT} version {version} is newer than version {FORMAT_VERSION}, the newest that this "
                "robo_rlft reads; update robo_rlft"
            )
        self._data: Mapping[str, Any] = data

    def calibration(self) -> Calibration:
        mount = self._choice("mount", get_args(Mount))
        place = f"{mount}_from_camera"
        unknown = sorted(str(key) for key in set(self._data) - {*_KEYS, place})
        if unknown:
            self._refuse(unknown[0], f"only {', '.join((*_KEYS, place))}", unknown[0])
        return Calibration(
            camera=self._text("camera"),
            size=self._size(),
            intrinsics=self._intrinsics(),
            distortion=self._distortion(),
            mount=mount,
            mount_from_camera=self._rigid(place),
            method=self._choice("method", get_args(Method)),
            error=self._error(),
            verdict=self._choice("verdict", get_args(Verdict)),
            date=self._text("date"),
        )

    def _refuse(self, key: str, expected: str, got: Any) -> None:
        raise CalibrationError(
            f"{self._path}: {key}: expected {expected}, got {got!r}; calibrate again, or mend the file"
        )

    def _text(self, key: str) -> str:
        value = self._data.get(key)
        if not isinstance(value, str):
            self._refuse(key, "text", value)
        return str(value)

    def _choice(self, key: str, choices: tuple[str, ...]) -> Any:
        value = self._data.get(key)
        if value not in choices:
            self._refuse(key, f"one of {', '.join(choices)}", value)
        return value

    def _size(self) -> tuple[int, int]:
        value = self._data.get("size")
        if not isinstance(value, list) or len(value) != 2 or not all(_whole(v) and 0 < v <= 65536 for v in value):
            self._refuse("size", "[width, height] in pixels", value)
        assert isinstance(value, list)
        return int(value[0]), int(value[1])

    def _array(self, key: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        value = self._data.get(key)
        expected = f"{' x '.join(map(str, shape))} finite numbers"
        rows = value if isinstance(value, list) else []
        if len(rows) != shape[0] or not all(
            isinstance(row, list) and len(row) == shape[1] and all(_finite(v) for v in row) for row in rows
        ):
            self._refuse(key, expected, value)
        return np.array(value, dtype=np.float64)

    def _intrinsics(self) -> npt.NDArray[np.float64]:
        matrix = self._array("intrinsics", (3, 3))
        if (
            matrix[0, 0] <= 0
            or matrix[1, 1] <= 0
            or not np.array_equal(matrix[2], [0, 0, 1])
            or matrix[1, 0]
            or matrix[0, 1]
        ):
            self._refuse("intrinsics", "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]] with fx, fy above 0", matrix.tolist())
        return matrix

    def _distortion(self) -> tuple[float, ...]:
        value = self._data.get("distortion")
        if not isinstance(value, list) or len(value) not in (0, 4, 5, 8, 12, 14) or not all(map(_finite, value)):
            self._refuse("distortion", "a list of 0, 4, 5, 8, 12 or 14 finite numbers, as OpenCV counts them", value)
        assert isinstance(value, list)
        return tuple(float(v) for v in value)

    def _rigid(self, key: str) -> npt.NDArray[np.float64]:
        matrix = self._array(key, (4, 4))
        rotation = matrix[:3, :3]
        off = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
        if off > _ORTHONORMAL or np.linalg.det(rotation) < 0 or not np.array_equal(matrix[3], [0, 0, 0, 1]):
            self._refuse(key, "a rotation and a translation over a row 0, 0, 0, 1", matrix.tolist())
        return matrix

    def _error(self) -> Error:
        value = self._data.get("error")
        names = list(Error.__dataclass_fields__)
        if not isinstance(value, Mapping) or set(value) != set(names) or not all(map(_finite, value.values())):
            self._refuse("error", f"finite numbers {', '.join(names)}", value)
        assert isinstance(value, Mapping)
        measures = {name: float(value[name]) for name in names if name != "points"}
        return Error(points=int(value["points"]), **measures)


def _finite(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
