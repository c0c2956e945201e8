"""Policies in files: safetensors for numbers, JSON for what they are. Nothing in a file is ever executed.

A file holds a tree of {class: exact path, args: plain values}, and every weight, the encoder's included. Only classes
that this module lists, or that the caller trusts by exact path, are built. Knows nothing of Hydra or of training.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import platform
import tempfile
from collections.abc import Collection, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from robo_rlft import __version__
from robo_rlft.models.spec import Spec, class_path
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
_HEADER_KEY: Final = "robo_rlft"
_PACKAGES: Final = ("torch", "open_clip_torch", "numpy")
_MEND: Final = "write policy files with robo_rlft.policies.io.save_policy or `robo-rlft train`"


class PolicyFileError(ValueError):
    """A policy file cannot be used; the message says what was expected, what came and how to mend it."""


def save_policy(policy: TransporterPolicy, path: Path | str, *, metadata: Mapping[str, Any]) -> None:
    """Write a policy with all its weights, whole or not at all.

    Args:
        policy: is left as it is.
        path: the file; its folder is made.
        metadata: plain values about its training to keep with it; "renderer" names what drew its pictures.

    Raises:
        TypeError: A constructor's argument or the metadata is nothing that JSON can hold.
    """
    path = Path(path)
    tensors = {name: _compact(tensor) for name, tensor in policy.state_dict().items()}
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "tree": _tree(policy),
        "weights_sha256": _digest(tensors),
        "encoder_sha256": getattr(policy.encoder, "sha256", None),
        "rotations": policy.rotations,
        "context_length": getattr(getattr(policy.encoder, "model", None), "context_length", None),
        "renderer": metadata.get("renderer"),
        "versions": _versions(),
        "metadata": dict(metadata),
    }
    text = json.dumps(header, sort_keys=True, allow_nan=False)
    _write(path, save(tensors, metadata={_HEADER_KEY: text}))


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
    header = read_header(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    _same_hash(path, "weights", header.get("weights_sha256"), _digest(tensors))
    policy = _build(header.get("tree"), allowed={*CLASSES, *trust}, path=path)
    if not isinstance(policy, TransporterPolicy):
        raise PolicyFileError(f"expected a TransporterPolicy in {path}, got a {type(policy).__name__}; {_MEND}")
    _load_weights(policy, tensors, path)
    policy.encoder.freeze()
    _same_hash(path, "encoder", header.get("encoder_sha256"), getattr(policy.encoder, "sha256", None))
    return policy.eval()


def read_header(path: Path | str) -> dict[str, Any]:
    """Return what a policy file says about itself: tree, hashes, versions, metadata.

    Raises:
        PolicyFileError: As `load_policy`, without looking at the weights.
    """
    path = Path(path)
    _refuse_other_kinds(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER_KEY, "null"))
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise PolicyFileError(
            f"expected a policy file (safetensors) at {path}, cannot read it: {error}; {_MEND}"
        ) from error
    found = header.get("format") if isinstance(header, dict) else None
    if found != FORMAT:
        raise PolicyFileError(
            f"expected a file of format {FORMAT!r} at {path}, got safetensors of format {found!r}; {_MEND}"
            " (an encoder's weights go to encoder.pretrained=FILE)"
        )
    number = header.get("format_version")
    if not isinstance(number, int) or number > FORMAT_VERSION:
        raise PolicyFileError(
            f"expected {FORMAT} of format_version {FORMAT_VERSION} or older at {path}, got format_version {number!r}"
            f" (written with {header.get('versions')!r:.200}); update robo_rlft"
        )
    if number < 2:
        _add_picture(header)
    return cast(dict[str, Any], header)


def _add_picture(header: dict[str, Any]) -> None:
    """Say what our policies saw before files said it (format_version 1)."""
    tree = header.get("tree")
    if isinstance(tree, dict) and tree.get("class") in _OLD_POLICIES and isinstance(tree.get("args"), dict):
        tree["args"].setdefault("picture", "rgbd")


def _refuse_other_kinds(path: Path) -> None:
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "nothing"
        raise PolicyFileError(
            f"expected a policy file at {path}, got {kind}; check the path, or train one: robo-rlft train"
        )
    with open(path, "rb") as file:
        start = file.read(9)
    # Safetensors begin with the header's length, of which any byte may occur, and then a brace.
    if start[8:] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
        raise PolicyFileError(
            f"expected a policy file (safetensors) at {path}, got a pickle or zip archive, which can run code when it"
            f" is opened: it was not. For a Lightning checkpoint use the policy.safetensors beside it; {_MEND}"
        )


def _tree(policy: TransporterPolicy) -> Spec:
    """Return the policy's spec, with what its encoder found out from the weights that it read."""
    tree = policy.spec()
    args = tree["args"]["encoder"]["args"]
    args.update(
        {name: getattr(policy.encoder, name) for name, value in args.items() if value is None and name != "pretrained"}
    )
    return tree


def _build(spec: Any, *, allowed: Collection[str], path: Path) -> Any:
    """Return the object of a spec; only exact class paths in `allowed` are imported."""
    if not isinstance(spec, dict) or not isinstance(spec.get("class"), str) or not isinstance(spec.get("args"), dict):
        raise PolicyFileError(f"expected {{class, args}} in the tree of {path}, got {spec!r:.80}; {_MEND}")
    name = spec["class"]
    if name not in allowed:
        raise PolicyFileError(
            f"{path} names the class {name!r}, which is not one of {', '.join(sorted(allowed))}. If you know it and"
            f" trust it, allow it by exact path: load_policy(path, trust=[{name!r}])"
        )
    args = {
        key: _build(value, allowed=allowed, path=path) if isinstance(value, dict) and "class" in value else value
        for key, value in spec["args"].items()
    }
    if "pretrained" in args:
        args["pretrained"] = None  # the weights come from this file, not from where they came from once
    module, _, attribute = name.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), attribute)
        if not isinstance(cls, type) or class_path(cls) != name:
            raise TypeError(f"{name} is no class of that exact path")
        return cls(**args)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise PolicyFileError(f"cannot build {name} as {path} asks: {error}; {_MEND}") from error


def _load_weights(policy: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fill in the weights, in the types that the policy was built with."""
    dtypes = {name: tensor.dtype for name, tensor in policy.state_dict().items()}
    try:
        policy.load_state_dict({name: tensor.to(dtypes.get(name)) for name, tensor in tensors.items()})
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
        raise PolicyFileError(f"the weights in {path} do not fit its tree: {' '.join(lines[:3])} {_MEND}") from error


def _same_hash(path: Path, what: str, expected: object, found: object) -> None:
    if expected != found:
        raise PolicyFileError(
            f"the {what} in {path} should have SHA-256 {expected}, got {found}: the file was changed or damaged after"
            f" it was written; copy it again, or {_MEND}"
        )


def _compact(tensor: Tensor) -> Tensor:
    """Return the numbers in half the space where that loses nothing, as for weights that were shipped in fp16."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype is torch.float32 and torch.equal(tensor.half().float(), tensor):
        return tensor.half()
    return tensor


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "robo_rlft": __version__}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: beside its place first, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
