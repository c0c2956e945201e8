"""`robo-rlft calibrate`, from files and live on stand-ins: a file, a picture, and a verdict, or a sentence."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from robo_rlft.commands.calibrate import command as calibrate
from robo_rlft.commands.calibrate import measure as calibrate_measure
from robo_rlft.commands.calibrate.drawing import GridPicture, board_page, page_bytes, share_seen
from robo_rlft.commands.calibrate.files import Samples, read_depth, read_intrinsics, read_points, write_samples
from robo_rlft.commands.errors import is_user_error
from robo_rlft.config import ConfigError, UserError, build, compose, groups
from robo_rlft.driver import Pose
from robo_rlft.geometry import Workspace
from robo_rlft.robots.calibration.camera_pose import project
from robo_rlft.robots.calibration.charuco import Board, detect
from robo_rlft.robots.calibration.file import Calibration, CalibrationError, read_calibration, write_calibration
from robo_rlft.robots.calibration.rigid import Array, inverse, quaternion_from_rotation, rotation_from_vector, transform
from robo_rlft.robots.cameras import CheckedCamera, Frame
from robo_rlft.robots.cameras.placing import table_depth
from tests.robots.calibration.boards import photograph
from tests.robots.calibration.calibrations import LENS, example, looking

TRUTH = looking((1.1, 0.2, 1.0), (0.5, 0.0, 0.0))
PLACES = [(x, y) for x in (0.27, 0.73) for y in (-0.48, -0.16, 0.16, 0.48)]


def run(folder: Path, *overrides: str, answers: Iterator[str] | None = None) -> str:
    """Run the command; return what it said."""
    said = io.StringIO()
    composed = compose("calibrate", [f"output={folder / 'out'}", *overrides])
    ask = None if answers is None else lambda question: next(answers)
    calibrate.run(composed, Console(file=said, width=500), ask)
    return said.getvalue()


def pixels_of(places: list[tuple[float, float]], *, noise: float = 0.3) -> Array:
    """Where an image viewer says that the places are: half a pixel less than this package counts."""
    exact = project(LENS.matrix, inverse(TRUTH), np.array([(x, y, 0.0) for x, y in places]))
    return np.asarray(exact - 0.5 + np.random.default_rng(0).normal(0, noise, exact.shape))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Eight points, a lens, a picture and a depth picture of a table that lies 2 mm low."""
    rows = [f"{c},{r},{x},{y}" for (c, r), (x, y) in zip(pixels_of(PLACES), PLACES, strict=True)]
    (tmp_path / "points.csv").write_text("\n".join(["column,row,x,y", *rows]))
    matrix = (LENS.matrix - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])).tolist()
    (tmp_path / "lens.yaml").write_text(json.dumps({"size": list(LENS.size), "camera_matrix": matrix}))
    picture = np.random.default_rng(0).integers(100, 120, (720, 1280, 3)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "table.png")
    low = TRUTH.copy()
    low[2, 3] += 0.002
    millimetres = np.round(1000 * table_depth(LENS.matrix, low, LENS.size)).clip(0, 60000).astype(np.uint16)
    Image.fromarray(millimetres).save(tmp_path / "depth.png")
    return tmp_path


def given(files: Path, **changes: str) -> list[str]:
    names = {"points": "points.csv", "picture": "table.png", "intrinsics": "lens.yaml", **changes}
    return [f"{key}={files / name}" for key, name in names.items()]


def place_error(found: Calibration) -> float:
    return float(np.linalg.norm(found.mount_from_camera[:3, 3] - TRUTH[:3, 3]))


def test_points_from_files_give_a_calibration_a_picture_and_a_verdict(files: Path) -> None:
    said = run(files, *given(files, depth="depth.png"))
    found = read_calibration(files / "out/calibration.yaml")
    assert place_error(found) < 0.005
    assert found.verdict == "good" and found.error.points == 8
    assert "verdict: good" in said and "sees 100 % of the workspace" in said
    offset = re.search(r"table by its depth: ([-+.\d]+) mm", said)
    assert offset is not None and float(offset[1]) == pytest.approx(-2.0, abs=1.0)
    with Image.open(files / "out/grid.png") as grid:
        assert grid.size[0] == 1280


def test_four_points_say_that_they_tell_little(files: Path) -> None:
    lines = (files / "points.csv").read_text().splitlines()
    (files / "four.csv").write_text("\n".join([lines[0], lines[1], lines[4], lines[5], lines[8]]))
    assert "two degrees of freedom" in run(files, *given(files, points="four.csv"), "accept=true")


def test_a_refused_calibration_is_drawn_but_not_written_unless_accepted(files: Path) -> None:
    text = (files / "points.csv").read_text().splitlines()
    column, rest = text[3].split(",", 1)
    text[3] = f"{float(column) + 25},{rest}"
    (files / "wrong.csv").write_text("\n".join(text))
    with pytest.raises(CalibrationError, match="least trusted point is 3.*accept=true"):
        run(files, *given(files, points="wrong.csv"))
    assert (files / "out/grid.png").exists() and not (files / "out/calibration.yaml").exists()
    run(files, *given(files, points="wrong.csv"), "accept=true")
    assert read_calibration(files / "out/calibration.yaml").verdict == "refused"


def test_an_earlier_calibration_is_not_replaced_unasked(files: Path) -> None:
    write_calibration(files / "out/calibration.yaml", example())
    with pytest.raises(UserError, match="overwrite=true"):
        run(files, *given(files))
    assert read_calibration(files / "out/calibration.yaml").camera == "eye"
    run(files, *given(files), "overwrite=true", "name=overhead")
    assert read_calibration(files / "out/calibration.yaml").camera == "overhead"


def test_points_can_be_typed(files: Path) -> None:
    answers: list[str] = []
    for (x, y), (column, row) in zip(PLACES, pixels_of(PLACES), strict=True):
        answers += [f"{x} {y}", f"{column:.2f}, {row:.2f}"]
    answers[1:1] = ["not a number"]
    overrides = [f"picture={files / 'table.png'}", f"intrinsics={files / 'lens.yaml'}"]
    said = run(files, *overrides, answers=iter([*answers, ""]))
    assert "expected 2 numbers, got 'not a number'" in said
    assert place_error(read_calibration(files / "out/calibration.yaml")) < 0.005
    assert len(read_points(files / "out/points.json").world) == 8, "kept, so that none need be touched again"


def test_questions_that_nobody_answers_end_in_a_sentence(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(UserError, match="points=FILE"):
        run(files, f"intrinsics={files / 'lens.yaml'}")


def test_a_question_is_shown_whole(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    composed = compose("calibrate", [f"output={files / 'out'}"])
    with pytest.raises(UserError, match="no point was given"):
        calibrate.run(composed, Console())
    assert "x y [z] in metres" in capsys.readouterr().out


def poses_of_board(count: int = 10) -> list[tuple[Array, Pose]]:
    """Where the camera sees the board, and the tool's pose that puts it there."""
    rng, on_tool = np.random.default_rng(4), transform(rotation_from_vector([0.1, 0.2, 0.3]), [0.02, 0.01, 0.05])
    made = []
    for _ in range(count):
        turn = rotation_from_vector(rng.uniform(-0.5, 0.5, 3))
        seen = transform(turn, [*rng.uniform(-0.2, 0.02, 2), rng.uniform(0.5, 0.7)])
        tool = TRUTH @ seen @ inverse(on_tool)
        x, y, z = tool[:3, 3]
        made.append((seen, Pose(position=(x, y, z), quaternion=tuple(quaternion_from_rotation(tool[:3, :3])))))
    return made


def test_pictures_of_a_board_are_solved_end_to_end(tmp_path: Path) -> None:
    rng, made = np.random.default_rng(0), poses_of_board()
    pictures = tuple(photograph(Board(), LENS, seen, rng) for seen, _ in made)
    names = tuple(f"{n:03d}.png" for n in range(len(made)))
    poses = tuple(pose for _, pose in made)
    write_samples(tmp_path / "s", Samples(pictures=pictures, poses=poses, names=names, intrinsics=LENS))
    said = run(tmp_path, "method=charuco", f"samples={tmp_path / 's'}")
    found = read_calibration(tmp_path / "out/calibration.yaml")
    assert place_error(found) < 0.002
    assert found.verdict == "good" and "found in 10 of 10 pictures" in said


def test_a_board_is_taken_live_while_the_operator_moves_the_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, made = np.random.default_rng(0), poses_of_board()
    empty = rng.integers(100, 120, (720, 1280, 3)).astype(np.uint8)
    # The third time the operator looks, the board is out of sight.
    frames = [photograph(Board(), LENS, seen, rng) for seen, _ in made]
    frames[2:2] = [empty]
    poses = [pose for _, pose in made]
    poses[2:2] = [poses[0]]
    turn = iter(range(len(frames) + 1))
    now = {"at": 0}

    def frame() -> Frame:
        color = frames[now["at"]] if now["at"] < len(frames) else empty
        return Frame(color=color, stamp=0.0, intrinsics=LENS.matrix)

    def ask(question: str) -> str:
        now["at"] = next(turn)
        return ""

    camera = SimpleNamespace(frame=frame)
    robot = SimpleNamespace(tool_pose=lambda: poses[min(now["at"], len(poses) - 1)])
    monkeypatch.setattr(calibrate_measure, "_camera", lambda composed: _within(camera))
    monkeypatch.setattr(calibrate_measure, "_robot", lambda composed: _within(robot))
    said = io.StringIO()
    overrides = [f"output={tmp_path}", "method=charuco", "poses=10", "camera=opencv", "robot=sim_floating"]
    calibrate.run(compose("calibrate", overrides), Console(file=said, width=500), ask)
    assert "again, please: 0 corners" in said.getvalue()
    assert place_error(read_calibration(tmp_path / "calibration.yaml")) < 0.002
    assert len(list(tmp_path.glob("samples-*/*.png"))) == 10


class _within:
    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __enter__(self) -> Any:
        return self.thing

    def __exit__(self, *_: object) -> None: ...


def test_a_pixel_as_viewers_count_it_is_its_middle(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('[{"pixel": [0, 10], "world": [0.3, 0.1]}]')
    points = read_points(tmp_path / "p.json")
    assert points.pixels.tolist() == [[0.5, 10.5]]
    assert points.world.tolist() == [[0.3, 0.1, 0.0]]


WRONG_POINTS = {
    "no.csv": (None, "no such file"),
    "empty.json": ("[]", "a list of points"),
    "words.csv": ("column,row,x,y\n1,2,here,0", "point 1: expected"),
    "short.json": ('[{"pixel": [1], "world": [0, 0]}]', "point 1: expected"),
    "nan.json": ('[{"pixel": [1, 2], "world": [0, .nan]}]', "finite"),
    "odd.json": ("[3]", "point 1: expected"),
    "bare.csv": ("1,2,0.3,0.1\n5,6,0.4,0.1", "first line to be column,row,x,y or .*got 1,2,0.3,0.1"),
    "millimetres.csv": ("column,row,x,y\n1,2,300,100", "in metres"),
}


@pytest.mark.parametrize("name", WRONG_POINTS)
def test_points_that_cannot_be_read_say_where(tmp_path: Path, name: str) -> None:
    text, said = WRONG_POINTS[name]
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=said):
        read_points(tmp_path / name)


@pytest.mark.parametrize("text", ["[]", "size: [1, 2]", "{size: [640, 480], camera_matrix: [1, 2]}"])
def test_a_lens_that_cannot_be_read_says_what_is_expected(tmp_path: Path, text: str) -> None:
    (tmp_path / "lens.yaml").write_text(text)
    with pytest.raises(UserError, match="camera_matrix"):
        read_intrinsics(tmp_path / "lens.yaml")


def test_a_calibration_serves_as_a_lens(tmp_path: Path) -> None:
    write_calibration(tmp_path / "c.yaml", example())
    assert read_intrinsics(tmp_path / "c.yaml").matrix == pytest.approx(example().intrinsics)


def test_depth_comes_in_millimetres_or_metres(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 3), 850, np.uint16)).save(tmp_path / "d.png")
    np.save(tmp_path / "d.npy", np.full((2, 3), 0.85))
    for name in ("d.png", "d.npy"):
        assert read_depth(tmp_path / name) == pytest.approx(np.full((2, 3), 0.85))


def test_an_unknown_lens_says_what_to_give(files: Path) -> None:
    with pytest.raises(UserError, match="intrinsics=FILE"):
        run(files, f"points={files / 'points.csv'}")


def test_a_picture_of_another_size_than_the_lens_is_refused(files: Path) -> None:
    Image.new("RGB", (640, 480)).save(files / "small.png")
    with pytest.raises(UserError, match="640 x 480 pixels, its intrinsics are for 1280 x 720"):
        run(files, *given(files, picture="small.png"))


def test_a_live_board_needs_a_camera_and_a_robot(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="samples=DIR, or both"):
        run(tmp_path, "method=charuco")


@pytest.mark.parametrize(
    ("override", "said"),
    [("method=magic", "points, charuco, board"), ("board.square=wide", "a number"), ("poses=0", "poses")],
)
def test_wrong_arguments_are_refused_before_anything_is_built(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run(tmp_path, override)


@pytest.mark.parametrize("option", sorted(set(groups()["camera"]) - {"none"}))
def test_every_camera_is_built_from_its_option_and_opens_nothing(tmp_path: Path, option: str) -> None:
    write_calibration(tmp_path / "c.yaml", example())
    composed = compose("calibrate", [f"camera={option}", f"camera.calibration={tmp_path / 'c.yaml'}"])
    calibrate.check_config(composed)
    camera = build(composed.values["camera"], path="camera")
    assert isinstance(camera, CheckedCamera)
    assert camera.calibration is not None and camera.calibration.size == (1280, 720)
    camera.close()


def test_a_wrong_camera_argument_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="camera.rate: expected a whole number"):
        run(tmp_path, "camera=realsense", "camera.rate=fast")


def test_every_refusal_ends_in_a_sentence() -> None:
    assert is_user_error(CalibrationError("said"))


def test_the_board_prints_at_true_scale(tmp_path: Path) -> None:
    run(tmp_path, "method=board")
    pdf = (tmp_path / "out/board.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf)
    assert box is not None
    # A4 lying, 297 x 210 mm, in points of 1/72 inch.
    assert [float(v) for v in box.groups()] == pytest.approx([297 / 25.4 * 72, 210 / 25.4 * 72], abs=0.5)


def test_a_square_of_the_print_is_as_wide_as_it_says() -> None:
    board = Board(columns=5, rows=4, square=0.03, marker=0.02)
    page, resolution = board_page(board)
    found = detect(board, np.repeat(np.array(page)[..., None], 3, axis=2))
    width = np.ptp(found.pixels[:, 0]) / 3 / resolution * 0.0254  # four inner corners are three squares apart
    assert width == pytest.approx(0.03, abs=2e-5)
    with Image.open(io.BytesIO(page_bytes(page, resolution, "PNG"))) as png:
        assert png.info["dpi"][0] == pytest.approx(resolution, abs=0.02)


def test_the_grids_lines_lie_where_the_camera_sees_them() -> None:
    picture = np.full((720, 1280, 3), 128, dtype=np.uint8)
    drawing = GridPicture(picture=picture, matrix=LENS.matrix, world_from_camera=TRUTH, workspace=Workspace())
    drawn = drawing.draw(caption="good")
    strip = drawn.shape[0] - 720
    column, row = project(LENS.matrix, inverse(TRUTH), np.array([0.6, 0.25, 0.0]))
    # The line x = 0.6 goes through here, in a blue that the picture has nowhere.
    around = drawn[strip + int(row) - 2 : strip + int(row) + 3, int(column) - 2 : int(column) + 3].astype(int)
    assert (around[..., 2] - around[..., 0] > 80).any()
    beside = drawn[strip + int(row) + 12, int(column) + 12].astype(int)
    assert beside == pytest.approx(np.full(3, 102), abs=2), "elsewhere it is the picture, a little darker"


def test_a_camera_that_sees_half_the_workspace_says_half() -> None:
    half = looking((0.5, 0.0, 1.0), (0.5001, 0.0, 0.0))
    assert share_seen(LENS.matrix, half, LENS.size, Workspace()) > 0.9
    aside = half.copy()
    aside[1, 3] += 0.8
    assert 0.1 < share_seen(LENS.matrix, aside, LENS.size, Workspace()) < 0.7
