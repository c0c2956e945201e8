"""The report: one HTML file that needs no network, made from plain data.

`ReportInput` is all that it knows; where policies, films and tables come from is the caller's business. Every text is
escaped by the template, and the page's own policy forbids it to load anything.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt

from robo_rlft.evaluation.curves import Curve
from robo_rlft.evaluation.figures import learning_curves, render
from robo_rlft.evaluation.files import write_bytes
from robo_rlft.evaluation.overlays import (
    check_map,
    heat_overlay,
    landscape,
    landscape_point,
    png,
    similarity_picture,
)
from robo_rlft.evaluation.results import LOW_CONFIDENCE, EvaluationResult

SIZE_LIMIT = 20_000_000  # bytes; larger pages are slow to open and refused by mail servers


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """How much each place of the picture looks like a phrase, to CLIP."""

    phrase: str
    cosine: npt.NDArray[np.floating[Any]]  # (H, W), [-1, 1]


@dataclass(frozen=True, kw_only=True)
class PolicyView:
    """What one policy makes of a scene, and what came of it."""

    pick_probability: npt.NDArray[np.floating[Any]]  # (H, W), sums to 1
    place_probability: npt.NDArray[np.floating[Any]]  # (H, W), given the pick, summed over rotations
    similarities: tuple[Similarity, ...]  # the same phrases, in the same order, for both policies
    pick: tuple[int, int]  # pixel (row, column) of the action taken
    place: tuple[int, int]
    success: bool | None  # None without a goal
    failure: str | None
    confidence: float
    film: bytes | None = None  # an MP4 file


@dataclass(frozen=True, kw_only=True)
class SceneComparison:
    """One scene and sentence, before and after."""

    title: str  # "unseen, scene 17"
    instruction: str
    color: npt.NDArray[np.uint8]  # (H, W, 3), RGB, rows along y
    before: PolicyView
    after: PolicyView


@dataclass(frozen=True, kw_only=True)
class FailureCounts:
    """How often each kind of failure came, before and after, on the same episodes."""

    split: str
    episodes: int
    before: Mapping[str, int]
    after: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class LearningFigure:
    """A figure of the report with its curves."""

    title: str
    ylabel: str
    curves: tuple[Curve, ...]
    limits: tuple[float, float] | None = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class ReportInput:
    """All that a report shows."""

    title: str
    summary: str  # one sentence
    table: Mapping[str, Any]  # as `tables.build_table` or `aggregate_seeds` returns it
    methods: Mapping[str, str]  # method -> what it is, in a few words
    before: str  # the method called "before" in comparisons: "bc"
    after: str  # "rl"
    figures: tuple[LearningFigure, ...] = ()
    scenes: tuple[SceneComparison, ...] = ()
    failures: tuple[FailureCounts, ...] = ()
    notes: tuple[str, ...] = ()  # as `doubts` returns them
    facts: tuple[tuple[str, str], ...] = ()  # name and value: command, commit, seeds, versions, times
    config: str = ""  # the resolved config


def render_report(report: ReportInput) -> str:
    """Return the report as one HTML page.

    Raises:
        ValueError: A map does not fit its picture, the two policies have different phrases, or the page exceeds
            `SIZE_LIMIT`.
    """
    package = files("robo_rlft.evaluation")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((package / "report.html.j2").read_text(encoding="utf-8"))
    page = template.render(
        report=report,
        css=(package / "report.css").read_text(encoding="utf-8"),
        splits=list(dict.fromkeys(s for row in report.table["table"].values() for s in row)),
        episodes=_episodes(report.table),
        figures=[_figure(f) for f in report.figures],
        scenes=[_scene(s, report) for s in report.scenes],
        failures=[_failures(f) for f in report.failures],
        percent=lambda value: f"{100 * value:.2f}%",
    )
    size = len(page.encode())
    if size > SIZE_LIMIT:
        raise ValueError(
            f"the report has {size / 1e6:.1f} MB, expected at most {SIZE_LIMIT / 1e6:.0f}; show fewer scenes or "
            "encode their films with a higher `quality` number"
        )
    return page


def write_report(report: ReportInput, path: Path) -> None:
    """Write the report, whole or not at all; raises what `render_report` does."""
    write_bytes(path, render_report(report).encode())


def compare_failures(before: EvaluationResult, after: EvaluationResult) -> FailureCounts:
    """Return the kinds of failure of two policies on one split."""
    return FailureCounts(split=before.split, episodes=len(before.scored), before=before.failures, after=after.failures)


def doubts(results: Mapping[str, Sequence[EvaluationResult]]) -> tuple[str, ...]:
    """Return sentences about low confidence and unknown words, for each method that has any."""
    notes = []
    for method, evaluations in results.items():
        for result in evaluations:
            where = f"{method} on {result.split}"
            if result.low_confidence:
                notes.append(
                    f"{where}: in {result.low_confidence} of {len(result.scenes)} episodes the policy doubted that the "
                    f"scene holds what the sentence names (confidence below {LOW_CONFIDENCE})."
                )
            if result.unknown_words:
                words = ", ".join(f"{word} ({count})" for word, count in result.unknown_words.items())
                notes.append(f"{where}: words that the text encoder never learned, with episodes: {words}.")
            if len(result.scored) < len(result.scenes):
                count = len(result.scenes) - len(result.scored)
                notes.append(f"{where}: {count} sentences came without a goal; they were run but not scored.")
    return tuple(notes)


def _episodes(table: Mapping[str, Any]) -> str:
    """Say how many episodes a cell stands for, where all agree."""
    cells = {(cell["episodes"], cell["decoding"]) for row in table["table"].values() for cell in row.values()}
    if len(cells) != 1:
        return ""
    ((count, decoding),) = cells
    seeds = table.get("seeds", ())
    return f"; {count} episodes each, {decoding}" + (f", mean of {len(seeds)} seeds" if seeds else "")


def _figure(figure: LearningFigure) -> dict[str, Any]:
    drawn = render(learning_curves(figure.curves, ylabel=figure.ylabel, limits=figure.limits), "svg")
    ends = ", ".join(f"{c.name} from {c.mean[0]:.2f} to {c.mean[-1]:.2f}" for c in figure.curves)
    return {
        "title": figure.title,
        "source": _data_uri("image/svg+xml", drawn),
        "alt": f"{figure.ylabel} against environment steps: {ends}",
    }


def _scene(scene: SceneComparison, report: ReportInput) -> dict[str, Any]:
    views = (scene.before, scene.after)
    phrases = [s.phrase for s in scene.before.similarities]
    if phrases != [s.phrase for s in scene.after.similarities]:
        raise ValueError(f"{scene.title}: expected the same phrases before and after, got other ones after: {phrases}")
    for view in views:
        for values in (view.pick_probability, view.place_probability, *(s.cosine for s in view.similarities)):
            check_map(scene.color, values)
    names = (f"Before: {report.before}", f"After: {report.after}")
    rows: list[dict[str, Any]] = [
        {
            "label": "Where it picks",
            "cells": [_heat(scene, v, n, place=False) for v, n in zip(views, names, strict=True)],
        },
        {
            "label": "Where it places",
            "cells": [_heat(scene, v, n, place=True) for v, n in zip(views, names, strict=True)],
        },
    ]
    rows += [_similarity_row(i, phrase, views, names) for i, phrase in enumerate(phrases)]
    if any(v.film for v in views):
        cells = [
            {"film": v.film and _data_uri("video/mp4", v.film), "alt": f"{n}, film of: {scene.instruction}"}
            for v, n in zip(views, names, strict=True)
        ]
        rows.append({"label": "Film", "cells": cells})
    return {
        "title": scene.title,
        "instruction": scene.instruction,
        "picture": _picture(landscape(scene.color), f"The table from above, for: {scene.instruction}"),
        "heads": [{"name": n, "outcome": _outcome(v), "view": v} for v, n in zip(views, names, strict=True)],
        "rows": rows,
    }


def _heat(scene: SceneComparison, view: PolicyView, name: str, *, place: bool) -> dict[str, Any]:
    probability = view.place_probability if place else view.pick_probability
    pixel = view.place if place else view.pick
    what = "places" if place else "picks"
    picture = _picture(
        landscape(heat_overlay(scene.color, probability)), f"{name}: map of where it {what}; it {what} at the mark"
    )
    x, y = landscape_point(pixel, (probability.shape[0], probability.shape[1]))
    peak = float(probability.max())
    return {
        **picture,
        "mark": {"x": x, "y": y, "cross": place},
        "note": f"peak {peak:.2g}",
    }


def _similarity_row(
    index: int, phrase: str, views: tuple[PolicyView, PolicyView], names: tuple[str, str]
) -> dict[str, Any]:
    maps = [v.similarities[index].cosine for v in views]
    low, high = min(float(m.min()) for m in maps), max(float(m.max()) for m in maps)
    cells = []
    for values, name in zip(maps, names, strict=True):
        alt = f"{name}: similarity to {phrase}, from {values.min():.2f} to {values.max():.2f}"
        picture = _picture(landscape(similarity_picture(values, (low, high))), alt)
        cells.append({**picture, "note": f"{values.min():.2f} to {values.max():.2f}"})
    if np.array_equal(maps[0], maps[1]):
        cells[1]["note"] = "same as before"
    return {"label": f"Looks like “{phrase}”", "cells": cells}


def _picture(image: npt.NDArray[np.uint8], alt: str) -> dict[str, Any]:
    return {
        "source": _data_uri("image/png", png(image)),
        "alt": alt,
        "width": image.shape[1],
        "height": image.shape[0],
    }


def _outcome(view: PolicyView) -> str:
    if view.success is None:
        return "no goal given"
    return "success" if view.success else (view.failure or "failure").replace("_", " ")


def _failures(counts: FailureCounts) -> dict[str, Any]:
    kinds = sorted(
        {*counts.before, *counts.after}, key=lambda k: (-counts.before.get(k, 0), -counts.after.get(k, 0), k)
    )
    rows: list[dict[str, Any]] = [
        {"kind": kind.replace("_", " "), "counts": [side.get(kind, 0) for side in (counts.before, counts.after)]}
        for kind in kinds
    ]
    return {
        "split": counts.split,
        "episodes": counts.episodes,
        "rows": rows,
        "totals": [sum(counts.before.values()), sum(counts.after.values())],
        "largest": max([1, *(n for row in rows for n in row["counts"])]),
    }


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
