"""Finished batches of an evaluation, kept so that a killed one goes on where it was.

Knows whose batches they are, not how they are run.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from robo_rlft.evaluation.files import ResultFileError, check_format
from robo_rlft.evaluation.results import SceneResult

PARTIAL_FORMAT = "robo_rlft.partial_results"
PARTIAL_VERSION = 1


class PartialResults:
    """Finished batches in a file of JSON lines: a header that says whose they are, then one line a batch."""

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self._path = path
        self._header = {"format": PARTIAL_FORMAT, "format_version": PARTIAL_VERSION, **identity}
        self._batches: dict[str, tuple[SceneResult, ...]] = {}
        lines = self._whole_lines()
        if not lines:
            self._append(self._header)
            return
        found = self._parse(lines[0])
        check_format(found, where=str(path), expected=PARTIAL_FORMAT, version=PARTIAL_VERSION)
        different = sorted(k for k in {**found, **self._header} if found.get(k) != self._header.get(k))
        if different:
            what = ", ".join(f"{k} {found.get(k)!r} instead of {self._header.get(k)!r}" for k in different)
            raise ResultFileError(f"{path}: holds another evaluation's results ({what}); move it away to start anew")
        for line in lines[1:]:
            data = self._parse(line)
            try:
                scenes = tuple(SceneResult.from_json(s, tries=data.get("tries", 1)) for s in data["scenes"])
                self._batches[data["batch"]] = scenes
            except (KeyError, TypeError, ValueError) as error:
                raise ResultFileError(f"{path}: expected a batch: {error}; move it away to start anew") from None

    def get(self, key: str) -> tuple[SceneResult, ...] | None:
        """Return a finished batch, None where it is missing."""
        return self._batches.get(key)

    def add(self, key: str, scenes: tuple[SceneResult, ...]) -> None:
        """Keep a finished batch."""
        self._batches[key] = scenes
        self._append({"batch": key, "tries": scenes[0].tries, "scenes": [s.to_json() for s in scenes]})

    def _whole_lines(self) -> list[str]:
        """Return the lines that were written whole, and cut off one that a kill left torn."""
        if not self._path.exists():
            return []
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self._path, len(whole))
        return whole.decode(errors="replace").split("\n")[:-1]

    def _parse(self, line: str) -> dict[str, Any]:
        try:
            data = json.loads(line)
        except json.JSONDecodeError as error:
            raise ResultFileError(f"{self._path}: expected JSON lines: {error}; move it away to start anew") from None
        if not isinstance(data, dict):
            raise ResultFileError(f"{self._path}: expected JSON objects, got {line[:60]!r}; move it away to start anew")
        return data

    def _append(self, data: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write((json.dumps(data, allow_nan=False) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
