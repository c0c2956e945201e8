"""Modules in files: safetensors for numbers, JSON for what they are. Nothing in a file is ever executed.

A file holds a tree of {class: exact path, args: plain values} and every weight, an encoder's included. Only classes
that a kind of file lists, or that the caller trusts by exact path, are built. Knows nothing of Hydra or of training,
nor what the modules are for.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import platform
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from robo_rlft import __version__
from robo_rlft.models.spec import Spec, class_path

_HEADER_KEY: Final = "robo_rlft"
_PACKAGES: Final = ("torch", "open_clip_torch", "numpy")


class ModuleFileError(ValueError):
    """A file of a module cannot be used; the message says what was expected, what came and how to mend it."""


@dataclass(frozen=True, kw_only=True)
class ModuleKind:
    """A kind of file."""

    name: str  # "policy"
    format: str  # "robo_rlft.policy"
    version: int
    classes: tuple[str, ...]  # by exact path, that may be built without trust
    error: type[ModuleFileError]
    make: str  # how to get such a file: "train one: robo-rlft train"
    mend: str  # how to write one
    trust: str  # the call that allows another class, "load_policy(path, trust=[{name!r}])"
    hint: str = ""  # what a file of another format may be
    update: Callable[[dict[str, Any]], None] = lambda header: None  # brings an older version's header up to date

    def write(self, path: Path, module: nn.Module, tree: Spec, header: Mapping[str, Any]) -> None:
        """Write a module with all its weights, whole or not at all.

        Args:
            path: the file; its folder is made.
            module: is left as it is.
            tree: what it is built from.
            header: plain values to keep beside that.

        Raises:
            TypeError: A constructor's argument or the header is nothing that JSON can hold.
        """
        tensors = {name: compact(tensor) for name, tensor in module.state_dict().items()}
        whole = {
            **header,
            "format": self.format,
            "format_version": self.version,
            "tree": tree,
            "weights_sha256": _digest(tensors),
            "versions": _versions(),
        }
        text = json.dumps(whole, sort_keys=True, allow_nan=False)
        _write(path, save(tensors, metadata={_HEADER_KEY: text}))

    def read(self, path: Path, *, trust: Collection[str] = ()) -> nn.Module:
        """Return the module of a file, with its weights.

        Args:
            path: of a file that `write` wrote.
            trust: exact paths of further classes that may be built, such as "mypackage.fusion.MyFusion".

        Raises:
            ModuleFileError: of this kind: there is no such file, it is something else, newer than this program, or
                damaged, or it names a class that is neither known nor trusted.
        """
        header = self.read_header(path)
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        self.same_hash(path, "weights", header.get("weights_sha256"), _digest(tensors))
        module = self._build(header.get("tree"), allowed={*self.classes, *trust}, path=path)
        if not isinstance(module, nn.Module):
            raise self.error(f"expected a {self.name} in {path}, got a {type(module).__name__}; {self.mend}")
        self._load_weights(module, tensors, path)
        return module

    def read_header(self, path: Path) -> dict[str, Any]:
        """Return what a file says about itself: tree, hashes, versions, and what was kept beside them.

        Raises:
            ModuleFileError: as `read`, without looking at the weights.
        """
        self._refuse_other_kinds(path)
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {}).get(_HEADER_KEY, "null"))
        except (SafetensorError, json.JSONDecodeError, OSError) as error:
            raise self.error(
                f"expected a {self.name} file (safetensors) at {path}, cannot read it: {error}; {self.mend}"
            ) from error
        found = header.get("format") if isinstance(header, dict) else None
        if found != self.format:
            raise self.error(
                f"expected a file of format {self.format!r} at {path}, got safetensors of format {found!r}; {self.mend}"
                f"{self.hint}"
            )
        number = header.get("format_version")
        if not isinstance(number, int) or number > self.version:
            raise self.error(
                f"expected {self.format} of format_version {self.version} or older at {path}, got format_version "
                f"{number!r} (written with {header.get('versions')!r:.200}); update robo_rlft"
            )
        self.update(header)
        return cast(dict[str, Any], header)

    def same_hash(self, path: Path, what: str, expected: object, found: object) -> None:
        """Raise unless a part of a file has the hash that the file says."""
        if expected != found:
            raise self.error(
                f"the {what} in {path} should have SHA-256 {expected}, got {found}: the file was changed or damaged "
                f"after it was written; copy it again, or {self.mend}"
            )

    def _refuse_other_kinds(self, path: Path) -> None:
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "nothing"
            raise self.error(f"expected a {self.name} file at {path}, got {kind}; check the path, or {self.make}")
        with open(path, "rb") as file:
            start = file.read(9)
        # Safetensors begin with the header's length, of which any byte may occur, and then a brace.
        if start[8:] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
            raise self.error(
                f"expected a {self.name} file (safetensors) at {path}, got a pickle or zip archive, which can run code "
                f"when it is opened: it was not. For a Lightning checkpoint use the {self.name}.safetensors beside it; "
                f"{self.mend}"
            )

    def _build(self, spec: Any, *, allowed: Collection[str], path: Path) -> Any:
        """Return the object of a spec; only exact class paths in `allowed` are imported."""
        named = isinstance(spec, dict) and isinstance(spec.get("class"), str)
        if not named or not isinstance(spec.get("args"), dict):
            raise self.error(f"expected {{class, args}} in the tree of {path}, got {spec!r:.80}; {self.mend}")
        name = spec["class"]
        if name not in allowed:
            raise self.error(
                f"{path} names the class {name!r}, which is not one of {', '.join(sorted(allowed))}. If you know it "
                f"and trust it, allow it by exact path: {self.trust.format(name=name)}"
            )
        args = {
            key: self._build(value, allowed=allowed, path=path)
            if isinstance(value, dict) and "class" in value
            else value
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
            raise self.error(f"cannot build {name} as {path} asks: {error}; {self.mend}") from error

    def _load_weights(self, module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Fill in the weights, in the types that the module was built with."""
        dtypes = {name: tensor.dtype for name, tensor in module.state_dict().items()}
        try:
            module.load_state_dict({name: tensor.to(dtypes.get(name)) for name, tensor in tensors.items()})
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
            told = " ".join(lines[:3])
            raise self.error(f"the weights in {path} do not fit its tree: {told} {self.mend}") from error


def tree_of(module: Any, encoder: Any) -> Spec:
    """Return a module's spec, with what its encoder found out from the weights that it read."""
    tree: Spec = module.spec()
    args = tree["args"]["encoder"]["args"]
    args.update(
        {name: getattr(encoder, name) for name, value in args.items() if value is None and name != "pretrained"}
    )
    return tree


def compact(tensor: Tensor) -> Tensor:
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
