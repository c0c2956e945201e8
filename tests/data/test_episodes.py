"""Episodes on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_rlft.data.episodes import EpisodeError, EpisodeWriter, read_episode, read_episodes
from robo_rlft.geometry import Workspace
from robo_rlft.rollout.episode import Chosen, Episode

WORKSPACE = Workspace(pixel_size=0.05)  # 20 x 10


def make_episode(*, seed: int = 7, workspace: Workspace = WORKSPACE, steps: int = 2) -> Episode:
    rng = np.random.default_rng(seed)
    rows, columns = workspace.shape
    return Episode(
        task="put_block_in_bowl",
        split="seen",
        phase="train",
        seed=seed,
        instructions=("put the red block in the blue bowl",) * steps,
        pick_names=("red block",) * steps,
        place_names=("blue bowl",) * steps,
        color=rng.integers(0, 256, (steps + 1, rows, columns, 3), dtype=np.uint8),
        height=rng.uniform(-0.05, 0.2, (steps + 1, rows, columns)).astype(np.float32),
        pick=rng.integers(0, 10, (steps, 2)),
        place=rng.integers(0, 10, (steps, 2)),
        rotation=rng.integers(0, 12, steps),
        symmetry=rng.integers(1, 3, steps),
        rewards=np.linspace(0.0, 1.0, steps, dtype=np.float32),
        success=True,
        failure=None,
        rotations=12,
        workspace=workspace,
    )


def test_a_read_episode_equals_the_written_one_but_for_a_twentieth_of_a_millimetre(tmp_path: Path) -> None:
    episode = make_episode()
    read = read_episode(EpisodeWriter(tmp_path).write(episode))
    for name in ("color", "pick", "place", "rotation", "symmetry", "rewards"):
        np.testing.assert_array_equal(getattr(read, name), getattr(episode, name))
        assert getattr(read, name).dtype == getattr(episode, name).dtype
    # Heights are stored in steps of 0.1 mm, so rounding moves them by at most 0.05 mm.
    assert np.abs(read.height - episode.height).max() <= 0.5e-4 + 1e-7
    for name in ("task", "split", "phase", "seed", "instructions", "pick_names", "success", "failure", "workspace"):
        assert getattr(read, name) == getattr(episode, name)


def test_why_an_attempt_was_chosen_is_kept(tmp_path: Path) -> None:
    why = Chosen(reward="preference", reward_sha256="r", score=1.25, kl=(0.5, 0.25), reference_sha256="b")
    path = EpisodeWriter(tmp_path).write(replace(make_episode(), attempt=3, policy_sha256="p", chosen=why))
    assert read_episode(path).chosen == why
    assert read_episode(EpisodeWriter(tmp_path).write(make_episode())).chosen is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": float("nan")}, "expected finite numbers of why it was chosen"),
        ({"kl": (1.0,)}, "expected a kl for each of 2 actions, got 1"),
        ({"reward": ""}, "expected the name of a reward"),
        ({"reward_sha256": 3}, "expected the name of a reward"),
    ],
)
def test_a_reason_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    why = replace(Chosen(reward="preference", score=1.0), **change)
    with pytest.raises(EpisodeError, match=message):
        EpisodeWriter(tmp_path).write(replace(make_episode(), chosen=why))


def test_the_table_itself_reads_back_as_height_zero(tmp_path: Path) -> None:
    episode = make_episode()
    flat = replace(episode, height=np.zeros_like(episode.height))
    assert np.abs(read_episode(EpisodeWriter(tmp_path).write(flat)).height).max() < 1e-8


def test_the_same_episode_gives_the_same_file(tmp_path: Path) -> None:
    first = EpisodeWriter(tmp_path / "a").write(make_episode())
    second = EpisodeWriter(tmp_path / "b").write(make_episode())
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_a_folder_is_read_in_the_order_of_seeds_and_without_unfinished_files(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path)
    for seed in (30, 4, 100):
        writer.write(make_episode(seed=seed))
    (tmp_path / "x.npz.77.partial").write_bytes(b"half")
    assert [e.seed for e in read_episodes(tmp_path)] == [4, 30, 100]


def test_a_failed_write_leaves_the_earlier_episode_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = EpisodeWriter(tmp_path)
    path = writer.write(make_episode())
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("robo_rlft.data.archive.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        writer.write(make_episode())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("cut", [0, 10, 500, -1])
def test_a_truncated_episode_is_refused_by_name_with_a_remedy(tmp_path: Path, cut: int) -> None:
    path = EpisodeWriter(tmp_path).write(make_episode())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(EpisodeError, match=rf"{path.name}.*expected an episode.*collect it again"):
        read_episode(path)


def test_any_flipped_byte_is_either_harmless_or_refused(tmp_path: Path) -> None:
    episode = make_episode()
    path = EpisodeWriter(tmp_path).write(episode)
    whole = path.read_bytes()
    refused = 0
    for position in range(0, len(whole), 97):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            read = read_episode(path)
        except EpisodeError:
            refused += 1
        else:  # a byte that nobody reads, such as a date in the archive's index
            np.testing.assert_array_equal(read.color, episode.color)
    assert refused > 10


def rewrite(path: Path, **changes: object) -> None:
    """Replace entries of an episode's file, or fields of its record, as a foreign program would."""
    with np.load(path) as file:
        entries = {name: file[name] for name in file.files}
    meta = json.loads(entries["meta"].tobytes())
    for name, value in changes.items():
        if isinstance(value, np.ndarray):
            entries[name] = value
        else:
            meta[name] = value
    entries["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    np.savez_compressed(path, **entries)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "someone.else"}, "not one of this package's"),
        ({"format_version": 3}, "format_version 3, newer than the 2.*update"),
        ({"format_version": "one"}, "format_version is 'one'"),
        ({"rotation": np.array([0, 1])}, "not those that were written"),
        ({"workspace": {"pixel_size": 0.025}}, "expected color of shape"),
        ({"workspace": 3}, "lacks or misstates a field"),
        ({"failure": "bored"}, "expected success without a failure"),
        ({"seed": 1.5}, "expected a whole seed"),
        ({"extra": np.zeros(3)}, "it holds .*extra"),
    ],
)
def test_a_foreign_or_changed_episode_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = EpisodeWriter(tmp_path).write(make_episode())
    rewrite(path, **change)
    with pytest.raises(EpisodeError, match=message):
        read_episode(path)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.target,)


def test_a_file_that_carries_code_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    path, evidence = tmp_path / "bomb.npz", tmp_path / "evidence"
    np.savez(path, meta=np.array([Bomb(evidence)], dtype=object), allow_pickle=True)
    with pytest.raises(EpisodeError, match=r"bomb\.npz"):
        read_episode(path)
    path.write_bytes(b"\x80\x04N.")
    with pytest.raises(EpisodeError, match=r"bomb\.npz"):
        read_episode(path)
    assert not evidence.exists()


def test_missing_files_and_empty_folders_say_how_to_get_episodes(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="no such file"):
        read_episode(tmp_path / "none.npz")
    with pytest.raises(EpisodeError, match="robo-rlft collect"):
        read_episodes(tmp_path / "none")
    with pytest.raises(EpisodeError, match="robo-rlft collect"):
        read_episodes(tmp_path)


@pytest.mark.parametrize(
    ("factor", "offset", "message"),
    [(1000.0, 0.0, "millimetres"), (1.0, np.nan, "finite"), (1.0, np.inf, "finite"), (1.0, -0.2, "metres, got -0.")],
)
def test_impossible_heights_are_refused(tmp_path: Path, factor: float, offset: float, message: str) -> None:
    episode = make_episode()
    wrong = replace(episode, height=(episode.height * factor + np.float32(offset)).astype(np.float32))
    with pytest.raises(EpisodeError, match=message):
        EpisodeWriter(tmp_path).write(wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pick": np.array([[0, 0], [20, 0]])}, "expected pick pixels on the grid"),
        ({"place": np.array([[0, 0], [0, -1]])}, "expected place pixels on the grid"),
        ({"pick": np.array([[0.5, 0], [2, 0]])}, "whole numbers"),
        ({"rotation": np.array([0, 12])}, r"rotation bins in \[0, 12\)"),
        ({"rewards": np.array([0.0, np.nan], dtype=np.float32)}, "finite rewards"),
        ({"instructions": ("", "")}, "expected instructions"),
        ({"instructions": ("put it there",)}, "for each of 2 actions"),
        ({"symmetry": np.zeros(2, dtype=np.int64)}, "symmetry of at least 1"),
        ({"success": False}, "expected success without a failure"),
        ({"task": "../escape"}, "plain words"),
    ],
)
def test_impossible_values_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(EpisodeError, match=message):
        EpisodeWriter(tmp_path).write(replace(make_episode(), **change))  # type: ignore[arg-type]


def test_a_picture_of_flat_bodies_takes_less_than_a_tenth_of_a_megabyte(tmp_path: Path) -> None:
    workspace = Workspace(pixel_size=0.003125)  # 320 x 160
    rng = np.random.default_rng(0)
    color = np.full((2, 320, 160, 3), 150, dtype=np.uint8)
    height = np.zeros((2, 320, 160), dtype=np.float32)
    for _ in range(10):
        row, column = rng.integers(0, 290), rng.integers(0, 130)
        color[:, row : row + 30, column : column + 30] = rng.integers(0, 256, 3)
        height[:, row : row + 30, column : column + 30] = rng.uniform(0.01, 0.1)
    color += rng.integers(0, 3, color.shape, dtype=np.uint8)  # shading
    episode = replace(make_episode(workspace=workspace, steps=1), color=color, height=height)
    assert EpisodeWriter(tmp_path).write(episode).stat().st_size / 2 < 100_000
