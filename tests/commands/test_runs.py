"""Run folders are locked, resumed, finished once and never silently overwritten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml

from robo_rlft.commands import provenance, runs
from robo_rlft.commands.runs import RunError, differences, folder_for, open_run, read_run

CONFIG: dict[str, Any] = {"algorithm": {"lr": 0.0005}, "seed": 0, "run": None, "output": None, "overwrite": False}


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def start_and_fail(folder: Path, *, command: str = "train") -> None:
    def work() -> None:
        with open_run(folder, command=command, config=CONFIG):
            (folder / "checkpoints").mkdir()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()


def test_a_run_holds_its_config_and_what_it_cost(tmp_path: Path) -> None:
    with open_run(tmp_path / "a", command="train", config=CONFIG, overrides=["seed=0"]) as run:
        assert (run.resumed, run.finished) == (False, False)
        run.notes["leak"] = True
    record = read_run(tmp_path / "a")
    assert record["status"] == "finished"
    assert record["format"] == "robo_rlft.run"
    assert record["overrides"] == ["seed=0"]
    assert record["notes"] == {"leak": True}
    assert record["peak_rss_mb"] > 1
    assert yaml.safe_load((tmp_path / "a" / "config.yaml").read_text()) == {"algorithm": {"lr": 0.0005}, "seed": 0}
    assert not (tmp_path / "a" / "lock").exists()


def test_an_unfinished_run_is_taken_up_and_its_costs_add_up(tmp_path: Path) -> None:
    start_and_fail(tmp_path)
    first = read_run(tmp_path)
    assert first["status"] == "unfinished"
    with open_run(tmp_path, command="train", config=CONFIG) as run:
        assert run.resumed
    assert read_run(tmp_path)["wall_seconds"] > first["wall_seconds"]


def test_a_run_that_fails_before_it_did_anything_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), open_run(tmp_path / "a", command="train", config=CONFIG):
        raise RuntimeError
    assert not (tmp_path / "a").exists()


def test_a_finished_run_says_so_and_stays_as_it_is(tmp_path: Path) -> None:
    with open_run(tmp_path, command="train", config=CONFIG):
        pass
    before = contents(tmp_path)
    with open_run(tmp_path, command="train", config=CONFIG) as run:
        assert run.finished
    assert contents(tmp_path) == before


def test_another_config_is_refused_with_the_difference(tmp_path: Path) -> None:
    start_and_fail(tmp_path)
    before = contents(tmp_path)
    other = {**CONFIG, "algorithm": {"lr": 0.001}}
    with (
        pytest.raises(RunError, match="algorithm.lr: 0.0005 -> 0.001"),
        open_run(tmp_path, command="train", config=other),
    ):
        pass
    assert contents(tmp_path) == before


def test_a_run_begun_on_a_graphics_card_goes_on_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {key: {**CONFIG, "trainer": {"accelerator": key}} for key in ("gpu", "cpu")}

    def stop() -> None:
        with open_run(tmp_path / "a", command="train", config=config["gpu"]):
            (tmp_path / "a" / "checkpoints").mkdir()
            raise KeyboardInterrupt

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A card")
    with pytest.raises(KeyboardInterrupt):
        stop()
    assert read_run(tmp_path / "a")["graphics_card"] == "A card"
    monkeypatch.setattr(provenance, "_processor", lambda: "Another processor")
    with open_run(tmp_path / "a", command="train", config=config["cpu"]) as run:
        assert run.resumed
    record = read_run(tmp_path / "a")
    assert record["graphics_card"] == "A card"
    first, second = record["processor"].split("; ")
    assert second == f"Another processor, {os.cpu_count()} cores" != first


def test_a_run_without_a_trainer_or_on_the_processor_names_no_card(tmp_path: Path) -> None:
    for name, config in {"a": CONFIG, "b": {**CONFIG, "trainer": {"accelerator": "cpu"}}}.items():
        with open_run(tmp_path / name, command="train", config=config):
            pass
        record = read_run(tmp_path / name)
        assert record["graphics_card"] is None
        assert record["processor"].endswith(f"{os.cpu_count()} cores")


def test_a_run_taken_up_by_other_code_names_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "commit", lambda: "aaa")
    start_and_fail(tmp_path)
    monkeypatch.setattr(runs, "commit", lambda: "bbb+")
    monkeypatch.setattr(runs, "versions", lambda: {"torch": "3.0"})
    with open_run(tmp_path, command="train", config=CONFIG):
        pass
    record = read_run(tmp_path)
    assert record["commit"] == "aaa; bbb+"
    assert record["versions"]["torch"] == f"{torch.__version__.split('+')[0]}; 3.0"


def test_a_run_from_before_an_argument_existed_is_taken_up_with_its_neutral_value_alone(tmp_path: Path) -> None:
    start_and_fail(tmp_path, command="evaluate")
    with open_run(tmp_path, command="evaluate", config={**CONFIG, "first_scene": 0}) as run:
        assert run.resumed
    with (
        pytest.raises(RunError, match="first_scene: 0 -> 200"),
        open_run(tmp_path, command="evaluate", config={**CONFIG, "first_scene": 200}),
    ):
        pass


def test_an_argument_is_neutral_for_the_command_that_it_came_to_alone(tmp_path: Path) -> None:
    start_and_fail(tmp_path)
    with (
        pytest.raises(RunError, match="first_scene"),
        open_run(tmp_path, command="train", config={**CONFIG, "first_scene": 0}),
    ):
        pass


def test_where_a_run_lies_is_not_part_of_its_config(tmp_path: Path) -> None:
    start_and_fail(tmp_path)
    with open_run(tmp_path, command="train", config={**CONFIG, "output": str(tmp_path)}) as run:
        assert run.resumed


def test_another_commands_folder_is_refused(tmp_path: Path) -> None:
    start_and_fail(tmp_path)
    with (
        pytest.raises(RunError, match="made by 'train', not by 'evaluate'"),
        open_run(tmp_path, command="evaluate", config=CONFIG),
    ):
        pass


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="not a run"), open_run(tmp_path, command="train", config=CONFIG):
        pass
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}


def test_overwriting_moves_the_old_run_aside(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    for expected in ([], ["a.old1"], ["a.old1", "a.old2"]):
        with open_run(folder, command="train", config=CONFIG, overwrite=True) as run:
            assert not run.resumed
        assert sorted(p.name for p in tmp_path.iterdir() if p != folder) == expected


def test_a_folder_in_use_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with open_run(tmp_path, command="train", config=CONFIG):
        before = contents(tmp_path)
        for overwrite in (False, True):
            with (
                pytest.raises(RunError, match=f"in use by process {os.getpid()}"),
                open_run(tmp_path, command="train", config=CONFIG, overwrite=overwrite),
            ):
                pass
        assert contents(tmp_path) == before


def test_a_dead_processs_lock_is_taken_over(tmp_path: Path) -> None:
    start_and_fail(tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "lock").write_text(json.dumps({"pid": dead.pid, "started": 1.0}))
    with open_run(tmp_path, command="train", config=CONFIG) as run:
        assert run.resumed


def test_a_lock_of_an_earlier_process_with_the_same_id_is_taken_over(tmp_path: Path) -> None:
    start_and_fail(tmp_path)
    started = psutil.Process().create_time() - 3600.0
    (tmp_path / "lock").write_text(json.dumps({"pid": os.getpid(), "started": started}))
    with open_run(tmp_path, command="train", config=CONFIG) as run:
        assert run.resumed


def test_a_torn_lock_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text('{"pid": 1')
    with open_run(tmp_path, command="train", config=CONFIG) as run:
        assert not run.resumed


def test_a_newer_run_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"format": "robo_rlft.run", "format_version": 99}))
    with pytest.raises(RunError, match="version 99 is newer"), open_run(tmp_path, command="train", config=CONFIG):
        pass


def test_differences_name_keys_that_only_one_side_has() -> None:
    assert differences({"a": 1, "b": {"c": 2}}, {"b": {"c": 3}, "d": None}) == [
        "a: 1 -> (absent)",
        "b.c: 2 -> 3",
        "d: (absent) -> None",
    ]


def test_names_become_folders_under_runs() -> None:
    assert folder_for({}, "train-x") == Path("runs/train-x")
    assert folder_for({"run": "mine"}, "train-x") == Path("runs/mine")
    assert folder_for({"run": "mine", "output": "/tmp/b"}, "train-x") == Path("/tmp/b")
    for name in ("../out", "/abs", ""):
        with pytest.raises(RunError, match="expected a name"):
            folder_for({"run": name}, "train-x")
