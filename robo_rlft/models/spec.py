"""How a module remembers what it was built from, so that a file can say it in plain values.

Knows nothing of files: `robo_rlft.models.files` writes and reads the trees that are made here.
"""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import PurePath
from typing import Any, Self

Spec = dict[str, Any]  # {"class": "package.module.Class", "args": {name: plain value or Spec}}


class Recorded:
    """A mixin that keeps its constructor's keyword arguments, defaults included.

    `class ClipEncoder(Recorded, nn.Module)`: nothing else has to be done. Constructors are keyword-only and take plain
    values (numbers, strings, None, lists, tuples, dicts with string keys), frozen dataclasses of such, and modules that
    are `Recorded` themselves.
    """

    _args: dict[str, Any]

    def __new__(cls, **args: Any) -> Self:
        instance = super().__new__(cls)
        # Partial, since copy.deepcopy and pickle make the instance without arguments and fill it afterwards.
        bound = inspect.signature(cls.__init__).bind_partial(instance, **args)
        bound.apply_defaults()
        # Not by setattr: nn.Module would ask for its own __init__ first.
        instance.__dict__["_args"] = dict(list(bound.arguments.items())[1:])
        return instance

    def spec(self) -> Spec:
        """Return the exact class path and the arguments as plain values."""
        return {"class": class_path(type(self)), "args": {k: _plain(v, k) for k, v in self._args.items()}}


def class_path(cls: type) -> str:
    """Return the exact path by which a class is imported."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, Recorded):
        return value.spec()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        args = {f.name: _plain(getattr(value, f.name), f.name) for f in dataclasses.fields(value)}
        return {"class": class_path(type(value)), "args": args}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(v, name) for v in value]
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {k: _plain(v, name) for k, v in value.items()}
    raise TypeError(
        f"argument {name!r} is a {type(value).__name__}, which a policy file cannot hold: expected plain values, frozen"
        " dataclasses of them, or modules that inherit from robo_rlft.models.spec.Recorded"
    )
