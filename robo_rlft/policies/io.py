"""Policies in files: safetensors for numbers, JSON for what they are. Nothing in a file is ever executed.

A file holds a tree of {class: exact path, args: plain values}, and every weight, the encoder's included. Only classes
that this module lists, or that the caller trusts by exact path, are built. Knows nothing of Hydra or of training.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from robo_rlft.models.files import ModuleFileError, ModuleKind, tree_of
from robo_rlft.policies.transporter import TransporterPolicy

FORMAT: Final = "robo_rlft.policy"
FORMAT_VERSION: Final = 2
CLASSES: Final = (
    "robo_rlft.geometry.Workspace",
    "robo_rlft.models.clip.ClipEncoder",
    "robo_rlft.models.fusion.SimilarityFusion",
    "robo_rlft.models.fusion.TiledFusion",
    "robo_rlft.models.streams.ConvStream",
    "robo_rlft.models.streams.TwoStream",
    "robo_rlft.policies.linear_probe.LinearProbePolicy",
    "robo_rlft.policies.transporter.TransporterPolicy",
)
_OLD_POLICIES: Final = CLASSES[-2:]  # those of format_version 1, which saw colours


class PolicyFileError(ModuleFileError):
    """A policy file cannot be used; the message says what was expected, what came and how to mend it."""


def _add_picture(header: dict[str, Any]) -> None:
    """Say what our policies saw before files said it (format_version 1)."""
    tree = header.get("tree")
    if not isinstance(tree, dict) or header["format_version"] >= 2 or tree.get("class") not in _OLD_POLICIES:
        return
    if isinstance(tree.get("args"), dict):
        tree["args"].setdefault("picture", "rgbd")


_KIND: Final = ModuleKind(
    name="policy",
    format=FORMAT,
    version=FORMAT_VERSION,
    classes=CLASSES,
    error=PolicyFileError,
    make="train one: robo-rlft train",
    mend="write policy files with robo_rlft.policies.io.save_policy or `robo-rlft train`",
    trust="load_policy(path, trust=[{name!r}])",
    hint=" (an encoder's weights go to encoder.pretrained=FILE)",
    update=_add_picture,
)


def save_policy(policy: TransporterPolicy, path: Path | str, *, metadata: Mapping[str, Any]) -> None:
    """Write a policy with all its weights, whole or not at all.

    Args:
        policy: is left as it is.
        path: the file; its folder is made.
        metadata: plain values about its training to keep with it; "renderer" names what drew its pictures.

    Raises:
        TypeError: A constructor's argument or the metadata is nothing that JSON can hold.
    """
    header = {
        "encoder_sha256": getattr(policy.encoder, "sha256", None),
        "rotations": policy.rotations,
        "context_length": getattr(getattr(policy.encoder, "model", None), "context_length", None),
        "renderer": metadata.get("renderer"),
        "metadata": dict(metadata),
    }
    _KIND.write(Path(path), policy, tree_of(policy, policy.encoder), header)


def load_policy(path: Path | str, *, trust: Collection[str] = ()) -> TransporterPolicy:
    """Return the policy of a file, in evaluation mode and with a frozen encoder.

    Args:
        path: of a file that `save_policy` wrote.
        trust: exact paths of further classes that may be built, such as "mypackage.fusion.MyFusion".

    Raises:
        PolicyFileError: There is no such file, it is something else, newer than this program, damaged, or it names a
            class that is neither known nor trusted.
    """
    path = Path(path)
    policy = _KIND.read(path, trust=trust)
    if not isinstance(policy, TransporterPolicy):
        raise PolicyFileError(f"expected a TransporterPolicy in {path}, got a {type(policy).__name__}; {_KIND.mend}")
    policy.encoder.freeze()
    expected = read_header(path).get("encoder_sha256")
    _KIND.same_hash(path, "encoder", expected, getattr(policy.encoder, "sha256", None))
    return policy.eval()


def read_header(path: Path | str) -> dict[str, Any]:
    """Return what a policy file says about itself: tree, hashes, versions, metadata.

    Raises:
        PolicyFileError: As `load_policy`, without looking at the weights.
    """
    return _KIND.read_header(Path(path))
