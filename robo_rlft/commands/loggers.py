"""`metrics.csv`: one row a step, rewritten whole, taken up again where a resumed run goes on."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from robo_rlft.evaluation.files import write_bytes


class CsvLogger(Logger):
    """Collects metrics by step and writes them into the run's folder.

    Args:
        save_dir: The folder.
        share: Of the time that may be spent on writing; rows wait so long. `save` and `finalize` do not wait.
    """

    def __init__(self, *, save_dir: Path, share: float = 0.05) -> None:
        super().__init__()
        self._file = Path(save_dir) / "metrics.csv"
        self._share = share
        self._due = 0.0  # when the next write may be, in seconds of the monotonic clock
        self._rows: dict[int, dict[str, float | str]] = {}

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    def take_up(self, step: int) -> None:
        """Read the rows of an earlier process, up to the step from which the run goes on."""
        if not self._file.exists():
            return
        with self._file.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if int(row["step"]) <= step:
                    self._rows[int(row["step"])] = {k: v for k, v in row.items() if v not in ("", None) and k != "step"}

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run's config.yaml has them."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add metrics to the row of a step."""
        self._rows.setdefault(int(step or 0), {}).update({k: float(v) for k, v in metrics.items()})
        if time.monotonic() >= self._due:
            self.save()

    def save(self) -> None:
        """Write the file, whole or not at all; none where there is nothing to write."""
        if not self._rows:
            return
        begun = time.monotonic()
        columns = ["step", *dict.fromkeys(key for row in self._rows.values() for key in row)]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({"step": step, **row} for step, row in sorted(self._rows.items()))
        write_bytes(self._file, text.getvalue().encode())
        now = time.monotonic()
        self._due = now + (now - begun) / self._share

    def finalize(self, status: str) -> None:
        """Write what is left."""
        self.save()
