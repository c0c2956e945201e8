"""The command line refuses what it cannot do in a sentence, with exit code 2 and without a traceback."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from robo_rlft.commands.cli import COMMANDS, main
from robo_rlft.commands.errors import is_user_error
from robo_rlft.driver import DriverError


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["colect"], "did you mean collect"),
        (["collect", "task=bowl"], "expected one of block_insertion, put_block_in_bowl, stack_blocks, got 'bowl'"),
        (["collect", "split=sene"], "split: put_block_in_bowl has seen, unseen, combinations, paraphrase, novel"),
        (["collect", "phase=exam"], "phase: expected one of train, val, test, got 'exam'"),
        (["collect", "episodes=many"], "episodes: expected a whole number above 0, got 'many'; e.g. episodes=10"),
        (["collect", "seed=-1"], "seed: expected a whole number of at least 0, got -1"),
        (["collect", "tsak=put_block_in_bowl"], "did you mean task"),
        (["collect", "+taks=1"], "did you mean task"),
        (["collect", "task._target_=os.system"], "'os.system' is not one of ours"),
        (["train", "algorithm.lr=fast"], "algorithm.lr: expected a number, got 'fast'; e.g. algorithm.lr="),
        (["train", "algorithm=bcc"], "algorithm: expected one of"),
        (["train", "split=unseen"], "allow_leak=true"),
        (["train", "words=new.txt"], "expected algorithm=clip"),
        (["train", "algorithm=clip", "init=policy.safetensors"], "leave init= out"),
        (["train", "algorithm.data.batch_size=0.5"], "algorithm.data.batch_size: expected a whole number, got 0.5"),
        (["train"], "data=DIR"),
        (["train", "data=nowhere"], "expected a folder of episodes at nowhere"),
        (["evaluate", "checkpoint=orcale"], "did you mean oracle"),
        (["evaluate", "checkpoint=none.safetensors"], "none.safetensors"),
        (["evaluate", "decoding=loud"], "decoding: expected one of greedy, sampled, got 'loud'; e.g. decoding=greedy"),
        (["evaluate", "tries=4"], "decoding=greedy, since the most probable action is the same every time; got 4"),
        (["evaluate", "checkpoint=oracle", "tries=4", "decoding=sampled"], "a demonstrator shows every scene once"),
        (["run", "experiment=slowstart"], "experiment: expected one of comparisons, confirmation, controls, credit"),
        (["run", "seed=1", "algoritm.lr=1"], "did you mean algorithm"),
        (["report", "from=nothing"], "there is no 'nothing'"),
        (["report"], "expected folders of runs, separated by commas, got none"),
        (["report", "from=no,where"], "there is no 'no'"),
        (["collect", "output=/proc/here"], "choose another output=DIR"),
        (["figure", "name=pie", "from=x"], "expected one of learning_curves, success"),
        (["doctor", "data=nowhere"], "BAD|need attention"),
        (["-m", "collect", "robot=real_ur,real_franka"], "refused in sweeps"),
        (["-m", "run", "seed=0,1", "demonstrations.episodes=none"], "expected a whole number above 0, got 'none'"),
    ],
)
def test_what_cannot_work_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    output = capsys.readouterr().err
    assert any(part in output for part in message.split("|")), output
    assert "Traceback" not in output


def test_what_is_refused_before_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    assert main(["train", "algorithm.lr=fast"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_could_not_begin_does_not_stand_in_the_way_of_the_mended_one(tmp_path: Path) -> None:
    assert main(["train", "data=nowhere", "run=mine"]) == 2
    assert not (tmp_path / "runs" / "mine").exists()


def test_a_foreign_file_is_not_a_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policy.safetensors").write_bytes(b"\x80\x04cos\nsystem\n.")
    assert main(["evaluate", "checkpoint=policy.safetensors"]) == 2
    assert "policy.safetensors" in capsys.readouterr().err


def test_help_lists_commands_groups_and_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    assert all(command in overview for command in COMMANDS)
    for command in COMMANDS:
        assert main([command, "--help"]) == 0
    assert main(["train", "--help"]) == 0
    output = capsys.readouterr().out
    assert "[bc]" in output
    assert "init=null" in output


def test_collect_writes_demonstrations_and_says_when_it_is_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["collect", "episodes=2", "run=demos", "threads=1"]
    assert main(command) == 0
    assert len(list((tmp_path / "runs" / "demos").glob("*.npz"))) == 2
    assert main(command) == 0
    assert "finished already" in capsys.readouterr().out
    assert main([*command, "seed=1"]) == 2
    assert "seed: 0 -> 1" in capsys.readouterr().err


def test_a_sweep_runs_every_combination_in_folders_of_their_own(tmp_path: Path) -> None:
    assert main(["collect", "-m", "episodes=1", "seed=0,1", "run=sweep", "threads=1"]) == 0
    assert sorted(p.name for p in (tmp_path / "runs" / "sweep").iterdir()) == ["seed-0", "seed-1"]


def test_a_sweep_with_one_job_that_cannot_work_runs_none(tmp_path: Path) -> None:
    assert main(["collect", "-m", "episodes=1,x", "threads=1"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "here")

    monkeypatch.setattr("robo_rlft.data.episodes.EpisodeWriter.write", full)
    assert main(["collect", "episodes=1", "threads=1"]) == 2
    assert "No space left on device: here" in capsys.readouterr().err


def test_importing_the_simulator_says_nothing() -> None:
    command = [sys.executable, "-c", "import sys, robo_rlft.sim.world; print('still', file=sys.stderr)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "still\n")


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "robo_rlft", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("robo_rlft ")


def test_errors_of_the_layers_below_are_the_users_to_mend_and_bugs_are_not() -> None:
    assert is_user_error(DriverError("unplugged"))
    assert not is_user_error(ValueError("a bug"))
