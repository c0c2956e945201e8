from __future__ import annotations

import copy
import inspect
import json

import pytest
from torch import nn

from robo_rlft.geometry import Workspace
from robo_rlft.models.spec import Recorded


class Leaf(Recorded, nn.Module):
    def __init__(self, *, size: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(size, size)


class Tree(Recorded, nn.Module):
    def __init__(
        self, *, leaf: Leaf, workspace: Workspace, numbers: tuple[int, ...] = (1, 2), other: object = None
    ) -> None:
        super().__init__()
        self.leaf = leaf


def test_a_spec_holds_nested_specs_and_defaults_as_plain_values() -> None:
    spec = Tree(leaf=Leaf(), workspace=Workspace(pixel_size=0.0125)).spec()
    assert spec["class"] == f"{__name__}.Tree"
    assert spec["args"]["leaf"] == {"class": f"{__name__}.Leaf", "args": {"size": 3}}
    assert spec["args"]["workspace"]["args"]["pixel_size"] == 0.0125
    assert spec["args"]["numbers"] == [1, 2]
    assert json.loads(json.dumps(spec)) == spec


def test_a_copy_has_the_same_spec() -> None:
    tree = Tree(leaf=Leaf(size=5), workspace=Workspace())
    assert copy.deepcopy(tree).spec() == tree.spec()


def test_the_constructors_signature_stays_visible() -> None:
    assert list(inspect.signature(Leaf).parameters) == ["size"]


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(TypeError, match="siez"):
        Leaf(siez=3)  # type: ignore[call-arg]


def test_what_a_file_cannot_hold_is_named() -> None:
    with pytest.raises(TypeError, match="'other' is a set"):
        Tree(leaf=Leaf(), workspace=Workspace(), other={1}).spec()
