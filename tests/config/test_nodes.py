"""Nodes are checked against constructors before anything is built, and only allowed classes are named."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from robo_rlft.config import ConfigError, build, check_node, target_class
from robo_rlft.sim import floating


class Inner:
    def __init__(self, *, size: int = 1) -> None:
        if size < 0:
            raise ValueError(f"size is 0 or more, got {size}")
        self.size = size


class Outer:
    def __init__(
        self,
        *,
        inner: Inner,
        lr: float = 5e-4,
        offset: tuple[float, float] = (0.0, 0.0),
        folder: Path | None = None,
        mode: Literal["fast", "slow"] = "fast",
        flag: bool = False,
    ) -> None:
        self.inner, self.lr, self.offset, self.folder, self.mode, self.flag = inner, lr, offset, folder, mode, flag


OUTER, INNER = "stand_in.Outer", "stand_in.Inner"
TRUST = (OUTER, INNER)


@pytest.fixture(autouse=True)
def stand_in() -> Iterator[None]:
    module: Any = types.ModuleType("stand_in")
    module.Inner, module.Outer, module.function = Inner, Outer, print
    sys.modules["stand_in"] = module
    yield
    del sys.modules["stand_in"]


def problems(**values: Any) -> list[str]:
    return check_node("algorithm", {"_target_": OUTER, "inner": {"_target_": INNER}, **values}, trust=TRUST)


def test_a_whole_number_passes_as_a_number() -> None:
    assert problems(lr=1) == []


def test_the_message_names_key_expectation_value_and_example() -> None:
    found = check_node(
        "algorithm",
        {"_target_": OUTER, "inner": {"_target_": INNER}, "lr": "fast"},
        trust=TRUST,
        examples={"lr": 0.0005},
    )
    assert found == ["algorithm.lr: expected a number, got 'fast'; e.g. algorithm.lr=0.0005"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lr": True}, "expected a number, got true"),
        ({"flag": 1}, "expected true or false, got 1"),
        ({"flag": "yes"}, "expected true or false"),
        ({"offset": [0.1]}, "expected a list of a number, got"),
        ({"offset": "0.1,0.2"}, "expected a list"),
        ({"folder": 3}, "expected a path or null, got 3"),
        ({"mode": "medium"}, "expected one of fast, slow, got 'medium'; e.g. algorithm.mode=fast"),
        ({"lrr": 1.0}, "takes no 'lrr'; did you mean lr"),
        ({"inner": {"_target_": INNER, "size": 1.5}}, "algorithm.inner.size: expected a whole number, got 1.5"),
        ({"inner": 3}, "expected a Inner, got 3"),
    ],
)
def test_a_value_of_another_type_is_refused(values: dict[str, Any], message: str) -> None:
    found = problems(**values)
    assert len(found) == 1
    assert message in found[0]


def test_every_problem_is_told_at_once() -> None:
    assert len(problems(lr="x", flag=3, nonsense=1)) == 3


def test_what_is_missing_is_named_unless_somebody_provides_it() -> None:
    node = {"_target_": OUTER}
    assert "algorithm.inner: missing" in check_node("algorithm", node, trust=TRUST)[0]
    assert check_node("algorithm", node, trust=TRUST, provided={"inner"}) == []


def test_a_node_is_built_with_its_values_and_the_context() -> None:
    node = {"_target_": OUTER, "offset": [0.1, 2], "folder": "a/b", "inner": {"_target_": INNER, "size": 4}}
    built = build(node, trust=TRUST, lr=0.25, unasked="ignored")
    assert isinstance(built, Outer)
    assert (built.inner.size, built.lr, built.offset, built.folder) == (4, 0.25, (0.1, 2.0), Path("a/b"))


def test_the_nodes_own_values_win_over_the_context() -> None:
    node = {"_target_": OUTER, "lr": 0.5, "inner": {"_target_": INNER}}
    assert build(node, trust=TRUST, lr=0.25).lr == 0.5


def test_a_constructors_refusal_names_the_node() -> None:
    with pytest.raises(ConfigError, match="algorithm.inner: size is 0 or more, got -1"):
        build({"_target_": OUTER, "inner": {"_target_": INNER, "size": -1}}, trust=TRUST, path="algorithm")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "pathlib.Path.unlink",
        "torch.load",
        "subprocess.Popen",
        "builtins.eval",
        "robo_rlft.commands.runs.subprocess.Popen",
        "robo_rlft.commands.runs.os",
        "robo_rlft.config.nodes.TypeAdapter",
        "robo_rlft.config.nodes.build",
        "robo_rlft.nowhere.Thing",
        "robo_rlft.sim.floating._Filmer",
        "robo_rlft.robots.ur.driver._UrDriver",
        "stand_in.function",
        "robo_rlft",
    ],
)
def test_a_target_that_is_not_a_class_of_ours_is_refused(target: str) -> None:
    with pytest.raises(ConfigError):
        target_class(target, trust=("stand_in.function",))


@pytest.mark.parametrize("target", ["stand_in._Hidden", "_stand_in.Inner", "stand_in._part.Inner"])
def test_what_is_private_is_refused_even_if_trusted(target: str) -> None:
    with pytest.raises(ConfigError, match="names what is private"):
        target_class(target, trust=[target])


def test_a_public_name_for_a_private_class_of_ours_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robo_rlft.sim.floating.Public", floating._Filmer, raising=False)
    with pytest.raises(ConfigError, match="is the private class _Filmer"):
        target_class("robo_rlft.sim.floating.Public")


def test_a_foreign_class_needs_the_users_word() -> None:
    with pytest.raises(ConfigError, match=r"add trust=\[stand_in.Inner\]"):
        target_class(INNER)
    assert target_class(INNER, trust=[INNER]) is Inner
