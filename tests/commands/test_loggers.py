"""metrics.csv has a row a step, whole at every moment, and goes on where a resumed run does."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from robo_rlft.commands.loggers import CsvLogger


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_metrics_of_one_step_share_a_row_and_new_columns_may_come_late(tmp_path: Path) -> None:
    logger = CsvLogger(save_dir=tmp_path)
    logger.log_metrics({"a": 1.0}, step=0)
    logger.log_metrics({"a": 2.0}, step=1)
    logger.log_metrics({"b": 3.0}, step=1)
    logger.save()
    assert rows(tmp_path) == [{"step": "0", "a": "1.0", "b": ""}, {"step": "1", "a": "2.0", "b": "3.0"}]


def test_a_resumed_run_keeps_the_rows_up_to_its_step_and_drops_later_ones(tmp_path: Path) -> None:
    first = CsvLogger(save_dir=tmp_path)
    for step in range(4):
        first.log_metrics({"a": float(step)}, step=step)
    first.save()
    second = CsvLogger(save_dir=tmp_path)
    second.take_up(2)
    second.log_metrics({"a": 30.0}, step=3)
    second.finalize("success")
    assert [(r["step"], r["a"]) for r in rows(tmp_path)] == [("0", "0.0"), ("1", "1.0"), ("2", "2.0"), ("3", "30.0")]


def test_rows_are_on_disk_soon_without_a_write_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("robo_rlft.commands.loggers.time.monotonic", lambda: clock[0])
    logger = CsvLogger(save_dir=tmp_path, share=0.05)

    def written(step: int) -> int:
        logger.log_metrics({"a": 1.0}, step=step)
        return len(rows(tmp_path))

    assert written(0) == 1
    logger._due = clock[0] + 1.0
    assert written(1) == 1
    clock[0] += 1.0
    assert written(2) == 3


def test_nothing_is_written_where_nothing_was_logged(tmp_path: Path) -> None:
    CsvLogger(save_dir=tmp_path).finalize("failed")
    assert list(tmp_path.iterdir()) == []
