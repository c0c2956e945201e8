"""Which number format convolutions run in on this machine."""

from __future__ import annotations

from typing import Final

import torch

PRECISIONS: Final = ("auto", "float32", "bfloat16")


def resolve_precision(name: str, device: torch.device | str = "cpu") -> torch.dtype:
    """Return the format for `name`; "auto" is bfloat16 where the processor multiplies it natively, else float32.

    Raises:
        ValueError: `name` is not in `PRECISIONS`.
    """
    if name not in PRECISIONS:
        raise ValueError(f"expected a precision out of {', '.join(PRECISIONS)}; got {name!r}")
    if name != "auto":
        return torch.float32 if name == "float32" else torch.bfloat16
    if torch.device(device).type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if _processor_has_bfloat16() else torch.float32


def _processor_has_bfloat16() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "").split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
