"""A cell keeps what the training of a reward measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robo_rlft.commands.grid_cells import read_reward
from robo_rlft.commands.train import FORMAT, FORMAT_VERSION
from robo_rlft.evaluation.cells import Calibration, MeasuredReward
from robo_rlft.evaluation.files import ResultFileError, write_json

MEASURED = {
    "test/accuracy": 2.0 / 3.0,
    "test/pairs": 3,
    "test/calibration": {"confidence": [0.51, 0.1 + 0.8], "accuracy": [1.0 / 2.0, 1.0], "pairs": [2, 1]},
}


def trained(folder: Path, *, result: str = "reward.safetensors", form: str = FORMAT, **told: Any) -> Path:
    """A folder as `train` leaves it."""
    (folder / result).write_bytes(b"")
    write_json(folder / "results.json", {"format": form, "format_version": FORMAT_VERSION, **told})
    return folder


def test_what_a_reward_was_measured_at_is_kept_to_six_decimals(tmp_path: Path) -> None:
    assert read_reward(trained(tmp_path, measured=MEASURED)) == MeasuredReward(
        accuracy=0.666667,
        pairs=3,
        calibration=Calibration(confidence=(0.51, 0.9), accuracy=(0.5, 1.0), pairs=(2, 1)),
    )


def test_a_reward_that_nothing_tested_tells_nothing(tmp_path: Path) -> None:
    assert read_reward(trained(tmp_path)) is None


def test_what_is_no_reward_tells_nothing_whatever_its_results_are(tmp_path: Path) -> None:
    assert read_reward(trained(tmp_path, result="encoder.safetensors", form="robo_rlft.words")) is None


def test_results_of_another_kind_beside_a_reward_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultFileError, match="expected format 'robo_rlft.training'"):
        read_reward(trained(tmp_path, form="robo_rlft.words"))
