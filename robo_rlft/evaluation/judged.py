"""What a reward said of the tries of a scene, as results keep it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class JudgedTry:
    """What a reward said of a try, and what is true of it."""

    proxy: float
    success: bool
    return_: float


def judged_to_json(judged: Sequence[JudgedTry]) -> dict[str, list[float]]:
    """Return a column for each of the three."""
    return {
        "proxy": [one.proxy for one in judged],
        "success": [int(one.success) for one in judged],
        "return": [one.return_ for one in judged],
    }


def judged_from_json(data: Mapping[str, Sequence[float]] | None, tries: int) -> tuple[JudgedTry, ...]:
    """Read what `judged_to_json` wrote of so many tries; raise `ValueError` for another number."""
    if data is None:
        return ()
    rows = list(zip(data["proxy"], data["success"], data["return"], strict=True))
    if len(rows) != tries:
        raise ValueError(f"expected {tries} tries that were judged, got {len(rows)}")
    return tuple(JudgedTry(proxy=float(p), success=bool(s), return_=float(r)) for p, s, r in rows)
