"""Scenes and episodes as the page's templates want them: pictures and films inside addresses, texts, marks.

Knows nothing of policies; what is drawn came as arrays.
"""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_rlft.evaluation.overlays import (
    check_map,
    heat_overlay,
    landscape,
    landscape_point,
    png,
    similarity_picture,
    webp,
)
from robo_rlft.evaluation.report.kinds import spoken
from robo_rlft.evaluation.report.records import EpisodeView, PolicyView, ReportInput, SceneComparison, StepView


def scene(view: SceneComparison, report: ReportInput) -> dict[str, Any]:
    """Return a scene before and after.

    Raises:
        ValueError: A map does not fit its picture, or the two policies have different phrases.
    """
    views = (view.before, view.after)
    phrases = [s.phrase for s in view.before.similarities]
    if phrases != [s.phrase for s in view.after.similarities]:
        raise ValueError(f"{view.title}: expected the same phrases before and after, got other ones after: {phrases}")
    for one in views:
        for values in (one.pick_probability, one.place_probability, *(s.cosine for s in one.similarities)):
            check_map(view.color, values)
    names = (f"Before: {report.before}", f"After: {report.after}")
    rows: list[dict[str, Any]] = [
        {"label": label, "cells": [_heat(view, v, n, place=place) for v, n in zip(views, names, strict=True)]}
        for label, place in (("Where it picks", False), ("Where it places", True))
    ]
    rows += [_similarity_row(i, phrase, views, names) for i, phrase in enumerate(phrases)]
    if any(v.film for v in views):
        cells = [
            {"film": v.film and data_uri("video/mp4", v.film), "alt": f"{n}, film of: {view.instruction}"}
            for v, n in zip(views, names, strict=True)
        ]
        rows.append({"label": "Film", "cells": cells})
    return {
        "title": view.title,
        "split": view.split,
        "instruction": view.instruction,
        "picture": _picture(landscape(view.color), f"The table from above, for: {view.instruction}"),
        "heads": [{"name": n, "outcome": _outcome(v), "view": v} for v, n in zip(views, names, strict=True)],
        "rows": rows,
        "later": [
            {"name": n, "steps": [step(s, i) for i, s in enumerate(v.later, start=2)]}
            for v, n in zip(views, names, strict=True)
            if v.later
        ],
        "outcomes": [
            [report.before, _status(view.before.success), view.before.failure],
            [report.after, _status(view.after.success), view.after.failure],
        ],
    }


def episode(view: EpisodeView) -> dict[str, Any]:
    """Return one episode with all its steps."""
    told = "; ".join(dict.fromkeys(s.instruction for s in view.steps))
    status = "unknown" if view.kind is None else "success" if view.kind == "success" else "failure"
    return {
        "run": view.run,
        "split": view.split,
        "seed": view.seed,
        "instruction": told,
        "kind": view.kind,
        "badge": "no goal given" if view.kind is None else spoken(view.kind),
        "status": status,
        "shown": view.shown and spoken(view.shown),
        "outcomes": [[view.run, status, view.kind if status == "failure" else None]],
        "film": view.film and data_uri("video/mp4", view.film),
        "alt": f"{view.run}, film of: {told}",
        "steps": [step(s, i, starts=view.starts) for i, s in enumerate(view.steps, start=1)],
    }


def step(view: StepView, number: int, *, starts: tuple[float, ...] = ()) -> dict[str, Any]:
    """Return one action: its sentence, what is known of its outcome, and small pictures."""
    size = (view.color.shape[0], view.color.shape[1])
    pictures = [_small(view.color, "the table", f"Step {number}: the table from above")]
    for values, pixel, what in (
        (view.pick_probability, view.pick, "picks"),
        (view.place_probability, view.place, "places"),
    ):
        if values is not None:
            check_map(view.color, values)
        drawn = view.color if values is None else heat_overlay(view.color, values)
        x, y = landscape_point(pixel, size)
        made = _small(drawn, what, f"Step {number}: where it {what}, at the mark")
        pictures.append({**made, "mark": {"x": x, "y": y, "cross": what == "places"}})
    for one in view.similarities:
        check_map(view.color, one.cosine)
        painted = similarity_picture(one.cosine, (float(one.cosine.min()), float(one.cosine.max())))
        pictures.append(_small(painted, f"like “{one.phrase}”", f"Step {number}: similarity to {one.phrase}"))
    degrees = round(math.degrees(view.turn)) % 360
    turned = "" if degrees == 0 else f"turned by {degrees if degrees <= 180 else degrees - 360}°"
    grown = "" if view.progress is None else f"progress {view.progress:+.2f}"
    return {
        "number": number,
        "instruction": view.instruction,
        "note": ", ".join(part for part in (turned, grown) if part),
        "start": starts[number - 1] if number <= len(starts) else None,
        "pictures": pictures,
    }


def data_uri(kind: str, data: bytes) -> str:
    """Return bytes as an address that needs no network."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _heat(view: SceneComparison, policy: PolicyView, name: str, *, place: bool) -> dict[str, Any]:
    probability = policy.place_probability if place else policy.pick_probability
    pixel = policy.place if place else policy.pick
    what = "places" if place else "picks"
    alt = f"{name}: map of where it {what}; it {what} at the mark"
    x, y = landscape_point(pixel, (probability.shape[0], probability.shape[1]))
    return {
        **_picture(landscape(heat_overlay(view.color, probability)), alt),
        "mark": {"x": x, "y": y, "cross": place},
        "note": f"peak {float(probability.max()):.2g}",
    }


def _similarity_row(
    index: int, phrase: str, views: tuple[PolicyView, PolicyView], names: tuple[str, str]
) -> dict[str, Any]:
    maps = [v.similarities[index].cosine for v in views]
    low, high = min(float(m.min()) for m in maps), max(float(m.max()) for m in maps)
    cells = []
    for values, name in zip(maps, names, strict=True):
        alt = f"{name}: similarity to {phrase}, from {values.min():.2f} to {values.max():.2f}"
        drawn = _picture(landscape(similarity_picture(values, (low, high))), alt)
        cells.append({**drawn, "note": f"{values.min():.2f} to {values.max():.2f}"})
    if np.array_equal(maps[0], maps[1]):
        cells[1]["note"] = "same as before"
    return {"label": f"Looks like “{phrase}”", "cells": cells}


def _picture(image: npt.NDArray[np.uint8], alt: str) -> dict[str, Any]:
    return {"source": data_uri("image/png", png(image)), "alt": alt, "width": image.shape[1], "height": image.shape[0]}


def _small(grid: npt.NDArray[np.uint8], label: str, alt: str) -> dict[str, Any]:
    image = landscape(grid)
    source = data_uri("image/webp", webp(image))
    return {"source": source, "alt": alt, "label": label, "width": image.shape[1], "height": image.shape[0]}


def _status(success: bool | None) -> str:
    return "unknown" if success is None else "success" if success else "failure"


def _outcome(view: PolicyView) -> str:
    if view.success is None:
        return "no goal given"
    return "success" if view.success else spoken(view.failure or "failure")
