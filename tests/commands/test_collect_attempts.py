"""`robo-rlft collect checkpoint=FILE` keeps a policy's attempts; killed anywhere, it comes to the same files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from robo_rlft.commands.cli import main
from robo_rlft.commands.policies import file_sha256
from robo_rlft.data.episodes import read_episode, read_episodes
from robo_rlft.rollout import attempts
from tests.commands.test_train import BC, TINY

COLLECT = ["collect", "threads=1", "checkpoint=bc/policy.safetensors", "episodes=12", "tries=2"]


@pytest.fixture(autouse=True)
def in_a_folder_with_a_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    assert main(["collect", "episodes=3", "run=demos", "rotations=2", "threads=1", TINY[0]]) == 0
    assert main(["train", *BC, "data=runs/demos", "output=bc"]) == 0
    yield
    torch.set_num_threads(threads)


def test_attempts_are_kept_with_the_policys_hash(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COLLECT, "output=rolled"]) == 0
    assert "24 attempts" in capsys.readouterr().out
    episodes = read_episodes(Path("rolled"))
    assert len({(e.seed, e.attempt) for e in episodes}) == len(episodes) == 24
    assert {e.policy_sha256 for e in episodes} == {file_sha256(Path("bc/policy.safetensors"))}
    assert {(e.rotations, e.workspace.pixel_size) for e in episodes} == {(2, 0.025)}  # the policy's own


def test_a_killed_collection_comes_to_the_same_files(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main([*COLLECT, "output=whole"]) == 0
    real, calls = attempts.record_attempts, 0

    def killed_at_the_second_batch(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("robo_rlft.commands.collect.record_attempts", killed_at_the_second_batch)
    assert main([*COLLECT, "output=broken"]) == 130
    next(Path("broken").glob("*-000.npz")).unlink()  # as if it had been killed within the first batch
    assert main([*COLLECT, "output=broken"]) == 0
    whole = {path.name: path.read_bytes() for path in Path("whole").glob("*.npz")}
    assert {path.name: path.read_bytes() for path in Path("broken").glob("*.npz")} == whole


def test_attempts_of_another_policy_are_not_mixed_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("robo_rlft.commands.collect.ProgressLine.update", _stop)
        assert main([*COLLECT, "output=mixed"]) == 130
    assert main(["train", *BC, "data=runs/demos", "output=bc", "overwrite=true", "seed=1"]) == 0
    assert main([*COLLECT, "output=mixed"]) == 2
    assert "the file has changed since mixed was begun" in capsys.readouterr().err


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["episodes=1", "tries=2"], "tries: a demonstrator shows every scene once"),
        ([*COLLECT[1:], "decoding=greedy"], "tries: expected 1 with decoding=greedy"),
        ([*COLLECT[1:], "demonstrator=noisy"], "demonstrator: with checkpoint=FILE the policy acts"),
        ([*COLLECT[1:], "rotations=4"], "rotations: the policy file has 2, got 4"),
    ],
)
def test_what_cannot_be_is_refused(overrides: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", *overrides, "output=refused"]) == 2
    said = capsys.readouterr()
    assert message in said.out + said.err
    assert not Path("refused").exists()


def test_an_attempts_file_reads_as_it_was_written() -> None:
    assert main(["collect", "threads=1", "checkpoint=bc/policy.safetensors", "episodes=1", "output=one"]) == 0
    (path,) = Path("one").glob("*.npz")
    episode = read_episode(path)
    assert (episode.attempt, len(episode.script)) == (0, 1)
