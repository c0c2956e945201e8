"""A result says which code made it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from robo_rlft.commands import provenance


def test_a_commit_is_marked_where_code_differs_and_not_where_results_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [
        tmp_path / name for name in ("robo_rlft/commands/provenance.py", "results/cell.json", "docs/evidence/a.md")
    ]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("before")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for told in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *told], check=True)
    monkeypatch.setattr(provenance, "__file__", str(files[0]))
    head = provenance.commit()
    assert head is not None
    for file in files[1:]:
        file.write_text("after")
    assert provenance.commit() == head
    files[0].write_text("after")
    assert provenance.commit() == f"{head}+"
