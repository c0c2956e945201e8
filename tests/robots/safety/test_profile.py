"""A cell's profile."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from robo_rlft.driver import DriverError
from robo_rlft.robots.safety.limits import HARD_CAP, strictest
from robo_rlft.robots.safety.profile import ProfileError, read_profile

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "cell.yaml"


def changed(folder: Path, old: str, new: str) -> Path:
    """Return the example with a part replaced."""
    text = EXAMPLE.read_text()
    assert text.count(old) == 1
    path = folder / "cell.yaml"
    path.write_text(text.replace(old, new))
    return path


def test_the_example_reads_and_is_within_the_hard_cap() -> None:
    profile = read_profile(EXAMPLE)
    assert (profile.robot, profile.serial) == ("UR5e", "20260000001")
    assert profile.world_from_base == (0.0, 0.0, 0.0, 0.0)
    assert strictest(HARD_CAP, profile.limits) == profile.limits


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  speed: 0.25\n", "", "limits.speed: missing"),
        ("  speed: 0.25\n", "  speed: .nan\n", "limits.speed: expected a finite number, got nan"),
        ("  speed: 0.25\n", "  speed: -1\n", "limits.speed: expected a number that is not negative, got -1.0"),
        ("  speed: 0.25\n", "  speed: fast\n", "limits.speed: expected a number, got 'fast'"),
        ("  speed: 0.25\n", "  speed: 0.25\n  velocity: 1\n", "unknown limits.velocity; known are acceleration"),
        ("  low: [0.2,", "  low: [0.9,", "no room along x"),
        ('serial: "20260000001"', "serial: 20260000001", 'serial: expected text in quotes, such as "20260000001", got'),
        ("robot: UR5e", "model: UR5e", "unknown model; known are format"),
        ("format: robo_rlft.profile", "format: robo_rlft.calibration", "format: expected 'robo_rlft.profile', got"),
        ("format_version: 1", "format_version: 2", "format_version 2 is newer than this robo_rlft knows (1)"),
        ("world_from_base: [0.0, 0.0, 0.0, 0.0]", "world_from_base: [0, 0, 0]", "expected four numbers"),
        ("world_from_base: [0.0, 0.0, 0.0, 0.0]", "world_from_base: [0, 0, .inf, 0]", "expected four numbers"),
        ("robot: UR5e", "robot: !!python/object/apply:os.getcwd []", "cannot be read as YAML"),
    ],
)
def test_a_profile_with_a_mistake_is_refused_by_the_key(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = changed(tmp_path, old, new)
    with pytest.raises(ProfileError) as caught:
        read_profile(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_profile_says_where_an_example_is(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="there is no profile .*docs/examples/cell.yaml"):
        read_profile(tmp_path / "none.yaml")


@pytest.mark.parametrize("content", [b"", b"- 1\n", b"a: [", b"\xff\xfe"])
def test_what_is_no_profile_is_a_driver_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cell.yaml"
    path.write_bytes(content)
    with pytest.raises(DriverError, match=r"cell\.yaml"):
        read_profile(path)


@pytest.mark.parametrize("change", [{"serial": ""}, {"world_from_base": (0.0, math.nan, 0.0, 0.0)}])
def test_a_profile_made_by_a_program_is_looked_at_too(change: dict[str, object]) -> None:
    with pytest.raises(ProfileError):
        replace(read_profile(EXAMPLE), **change)  # type: ignore[arg-type]
