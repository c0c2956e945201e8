"""Names for `gymnasium.make`: one "RoboRLFT/...-v0" for every option of the group `task`.

`import robo_rlft` makes them known without importing gymnasium: at once where that is imported already, else when it
is.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

NAMESPACE = "RoboRLFT"
GYMNASIUM = "gymnasium"


def announce() -> None:
    """Register the names now, or as soon as gymnasium is imported."""
    if sys.modules.get(GYMNASIUM) is not None:
        register()
    elif not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


def register() -> None:
    """Register every task that ships."""
    import gymnasium

    for task in tasks():
        name = environment_id(task)
        if name not in gymnasium.registry:
            gymnasium.register(id=name, entry_point="robo_rlft.commands.environment:make_env", kwargs={"task": task})


def tasks() -> list[str]:
    """Return the options of the group `task`; without composing anything, so that this stays cheap."""
    package = Path(__file__).resolve().parents[1]
    folders = (package / "conf" / "task", package.parent / "conf" / "task")
    found = next((folder for folder in folders if folder.is_dir()), None)
    return [] if found is None else sorted(file.stem for file in found.glob("*.yaml"))


def environment_id(task: str) -> str:
    """Return 'RoboRLFT/PutBlockInBowl-v0' for 'put_block_in_bowl'."""
    return f"{NAMESPACE}/{''.join(part.capitalize() for part in task.split('_'))}-v0"


class _Watch(importlib.abc.MetaPathFinder):
    """Finds nothing itself; registers the names right after gymnasium was imported, and is gone."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != GYMNASIUM:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                register()

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]  # of this one loader
        return spec
