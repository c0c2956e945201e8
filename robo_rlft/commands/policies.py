"""Policies from configs, from files, and by the names of baselines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robo_rlft.config import Composed, ConfigError, build
from robo_rlft.evaluation.protocol import Checkpoint
from robo_rlft.geometry import Workspace
from robo_rlft.policies.io import load_policy
from robo_rlft.policies.random import RandomPolicy, zero_shot_policy
from robo_rlft.policies.transporter import TransporterPolicy
from robo_rlft.records import Policy

POLICY_GROUPS = ("encoder", "policy")
POLICY_PROVIDED = frozenset({"encoder", "workspace", "rotations"})
ORACLE, ZERO_SHOT, RANDOM = "oracle", "zero_shot", "random"
BASELINES = (ORACLE, ZERO_SHOT, RANDOM)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What is evaluated."""

    policy: Policy
    checkpoint: Checkpoint
    workspace: Workspace
    rotations: int


def shipped_policy() -> Path:
    """Return the small trained policy that ships with the package."""
    return Path(__file__).resolve().parents[1] / "weights" / "policy.safetensors"


def build_encoder(composed: Composed) -> Any:
    """Build the encoder that the config describes."""
    return build(composed.values["encoder"], trust=composed.trust, path="encoder")


def build_policy(composed: Composed) -> TransporterPolicy:
    """Build an untrained policy from the config's groups encoder and policy."""
    workspace = build(composed.values["workspace"], trust=composed.trust, path="workspace")
    policy: TransporterPolicy = build(
        composed.values["policy"],
        trust=composed.trust,
        path="policy",
        encoder=build_encoder(composed),
        workspace=workspace,
        rotations=composed.values["rotations"],
    )
    return policy


def candidate(composed: Composed) -> Candidate:
    """Return the policy that `checkpoint=` names: a file, or a baseline built from the config.

    Raises:
        PolicyFileError: the file is missing, foreign or damaged.
        ConfigError: the config asks for another workspace or number of rotations than the file has.
    """
    name = composed.values["checkpoint"]
    if name in BASELINES:
        workspace = build(composed.values["workspace"], trust=composed.trust, path="workspace")
        rotations = int(composed.values["rotations"])
        policy: Policy = RandomPolicy(workspace=workspace, rotations=rotations)
        if name == ZERO_SHOT:
            policy = zero_shot_policy(encoder=build_encoder(composed), workspace=workspace, rotations=rotations)
        return Candidate(policy=policy, checkpoint=Checkpoint(name=name), workspace=workspace, rotations=rotations)
    path = shipped_policy() if name is None else Path(str(name))
    loaded = load_policy(path, trust=composed.trust)
    agree(composed, loaded)
    loaded.eval()
    return Candidate(
        policy=loaded,
        checkpoint=Checkpoint(name="shipped" if name is None else str(name), sha256=file_sha256(path)),
        workspace=loaded.workspace,
        rotations=loaded.rotations,
    )


def agree(composed: Composed, policy: TransporterPolicy) -> None:
    """Refuse what the user asked for and the policy file does not have: workspace, rotations, its own arguments."""
    told = {o.lstrip("+").split("=", 1)[0].split(".")[0] for o in composed.overrides}
    if "workspace" in told:
        wanted = build(composed.values["workspace"], trust=composed.trust, path="workspace")
        if wanted != policy.workspace:
            raise ConfigError(
                f"workspace: the policy file was trained on {policy.workspace}, got {wanted}; leave workspace= out, or "
                "train a policy for it"
            )
    if "rotations" in told and int(composed.values["rotations"]) != policy.rotations:
        raise ConfigError(
            f"rotations: the policy file has {policy.rotations}, got {composed.values['rotations']}; leave it out"
        )
    keys = [o.lstrip("+").split("=", 1)[0].split(".") for o in composed.overrides]
    made = policy.spec()["args"]
    for name in [key[1] for key in keys if key[0] == "policy" and len(key) == 2 and key[1] in made]:
        wanted = composed.values["policy"][name]
        if wanted != made[name]:
            raise ConfigError(f"policy.{name}: the policy file has {made[name]}, got {wanted}; leave it out")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
