"""What holds for every test."""

from __future__ import annotations

import pytest

EMULATORS = {"cell", "emulator"}  # fixtures that start an emulated robot


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the machine for itself."""
    for item in items:
        if EMULATORS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.realtime)
