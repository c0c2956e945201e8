"""Weights of the small encoder in a file, and where open_clip's own weights lie.

Knows nothing of training. A file is safetensors: fp16 numbers and, in its header, JSON that says what it is. Nothing in
it is executed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import open_clip
import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

FORMAT: Final = "robo_rlft.clip"
FORMAT_VERSION: Final = 1
SHIPPED: Final = Path(__file__).parent.parent / "weights" / "tabletop.safetensors"
MAX_BYTES: Final = 10_000_000
_FULL_PRECISION: Final = ("running_mean", "running_var", "presence_scale", "presence_bias")


class WeightsError(FileNotFoundError):
    """Weights that are not on this machine; the message says where they were looked for and how to get them."""


def save_encoder(state: Mapping[str, Tensor], path: Path, *, metadata: Mapping[str, Any]) -> None:
    """Write an encoder's state in fp16, whole or not at all.

    Args:
        state: `ClipEncoder.state_dict()` of the tabletop architecture.
        path: the file; its folder is made.
        metadata: plain values that JSON can hold: architecture, pixel_size, vocabulary, seed, command, figures.

    Raises:
        ValueError: The numbers take more than `MAX_BYTES`.
    """
    tensors = {name: _compact(name, tensor) for name, tensor in state.items()}
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    if size > MAX_BYTES:
        raise ValueError(f"expected weights of at most {MAX_BYTES:,} bytes; these take {size:,}")
    header = {**metadata, "format": FORMAT, "format_version": FORMAT_VERSION}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    with open(beside, "wb") as file:
        file.write(save(tensors, metadata={"robo_rlft": json.dumps(header, sort_keys=True)}))
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def load_encoder(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state (float32) and the metadata of a file that `save_encoder` wrote.

    Raises:
        WeightsError: There is no such file.
        ValueError: The file is something else, or newer than this program.
    """
    if not path.is_file():
        raise WeightsError(
            f"expected encoder weights at {path}; there is no such file. "
            "Use encoder.pretrained=tabletop (shipped), or train one with: robo-rlft train algorithm=clip"
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("robo_rlft", "null"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"expected encoder weights (safetensors) in {path}; it cannot be read: {error}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(
            f"expected a file of format {FORMAT!r} in {path}; it says {_format(header)!r}. "
            "For weights of open_clip's own models name their architecture too: encoder.architecture=RN50-quickgelu"
        )
    if not isinstance(header.get("format_version"), int) or header["format_version"] > FORMAT_VERSION:
        raise ValueError(
            f"{path} has {FORMAT} version {header.get('format_version')}; this program reads up to version "
            f"{FORMAT_VERSION}. Update robo_rlft, or train the encoder again."
        )
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}, header


def find_open_clip_weights(architecture: str, pretrained: str, *, download: bool) -> Path:
    """Return the file of open_clip's weights for a tag, or the local file itself.

    Args:
        architecture: one of open_clip's.
        pretrained: one of its tags for that architecture, or a path.
        download: fetch weights that are not on this machine; else they are refused.

    Raises:
        ValueError: The tag is not known for this architecture.
        WeightsError: The weights are not on this machine and `download` is off, or the download failed.
    """
    if Path(pretrained).is_file():
        return Path(pretrained)
    config = open_clip.pretrained.get_pretrained_cfg(architecture, pretrained)
    if not config:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "none"
        raise ValueError(
            f"expected a file or one of open_clip's tags for {architecture} ({tags}); got {pretrained!r}, "
            "and there is no such file"
        )
    cached = _cached(config)
    if cached is not None:
        return cached
    if not download:
        raise WeightsError(
            f"the weights {pretrained!r} of {architecture} are not on this machine, and nothing is fetched from the "
            "network by default. Allow it with encoder.download=true, name a local file with encoder.pretrained=FILE, "
            "or use the shipped encoder=tabletop."
        )
    try:
        return Path(open_clip.pretrained.download_pretrained(config))
    except Exception as error:  # whatever the network raises
        raise WeightsError(
            f"could not fetch the weights {pretrained!r} of {architecture}: {error}. Check the network, name a local "
            "file with encoder.pretrained=FILE, or use the shipped encoder=tabletop."
        ) from error


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a state's names and numbers."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _compact(name: str, tensor: Tensor) -> Tensor:
    if tensor.is_floating_point() and not name.endswith(_FULL_PRECISION):
        tensor = tensor.half()
    return tensor.detach().cpu().contiguous()


def _format(header: object) -> object:
    return header.get("format") if isinstance(header, dict) else None


def _cached(config: Mapping[str, Any]) -> Path | None:
    """Return the cached file of a tag, from the hub's cache or that of open_clip's plain downloads."""
    if config.get("hf_hub"):
        repository, file = os.path.split(config["hf_hub"])
        names = [file] if file else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
        for name in names:
            found = try_to_load_from_cache(repository, name)
            if isinstance(found, str):
                return Path(found)
    if config.get("url"):
        plain = Path.home() / ".cache" / "clip" / os.path.basename(config["url"])
        return plain if plain.is_file() else None
    return None
