from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from robo_rlft.config import build
from robo_rlft.policies.transporter import TransporterPolicy
from tests.policies.fakes import SQUARE, ColorEncoder

FILES = sorted((Path(__file__).parents[2] / "conf" / "policy").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_option_builds_a_policy_of_plain_values(file: Path) -> None:
    node = yaml.safe_load(file.read_text())
    provided = {"encoder": ColorEncoder(), "workspace": SQUARE, "rotations": 4}
    policy = build(node, path="policy", **provided)
    assert isinstance(policy, TransporterPolicy)
    args = policy.spec()["args"]
    assert {key: args[key] for key in node if not isinstance(node[key], dict) and key != "_target_"} == {
        key: value for key, value in node.items() if not isinstance(value, dict) and key != "_target_"
    }
    assert args["fusion"]["class"] == node["fusion"]["_target_"]


def test_there_is_a_choice_of_policies() -> None:
    assert {file.stem for file in FILES} >= {"transporter", "cliport_small", "linear_probe"}


def test_cliports_control_is_of_the_size_of_what_it_is_compared_with() -> None:
    sizes = {}
    for name in ("transporter", "cliport_small"):
        node = yaml.safe_load((FILES[0].parent / f"{name}.yaml").read_text())
        policy = build(node, path="policy", encoder=ColorEncoder(dim=64), workspace=SQUARE, rotations=4)
        sizes[name] = sum(p.numel() for n, p in policy.named_parameters() if not n.startswith("encoder."))
    assert sizes["cliport_small"] == pytest.approx(sizes["transporter"], rel=0.05)
