"""From a report's data to its one HTML page, and that page to a file of bounded size.

The page's only script is this package's own: its policy names the script's hash, so no other could run even if a text
were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from robo_rlft.evaluation.figures import learning_curves, render
from robo_rlft.evaluation.files import write_bytes
from robo_rlft.evaluation.report import pictures
from robo_rlft.evaluation.report.comparison import build_comparison, scene_rows
from robo_rlft.evaluation.report.kinds import EXPLANATIONS, spoken
from robo_rlft.evaluation.report.records import EpisodeView, FailureCounts, LearningFigure, PolicyView, ReportInput
from robo_rlft.evaluation.report.words import WordTable, word_tables
from robo_rlft.evaluation.video import smaller_mp4

SIZE_LIMIT = 20_000_000  # bytes; larger pages are slow to open and refused by mail servers
ROW_LIMIT = 1500  # rows of a list of scenes or sentences; phones grow slow beyond
SMALLER = (34, 40)  # constant rate factors that films are encoded with anew, one after the other, to make them fit


def render_report(report: ReportInput) -> str:
    """Return the report as one HTML page.

    Where the page would exceed `SIZE_LIMIT`, films are made coarser, then left out; the page says so.

    Raises:
        ValueError: A map does not fit its picture, the two policies have different phrases, or the page exceeds
            `SIZE_LIMIT` without any film too.
    """
    size, fixed = 0, _fixed(report)
    for fitted in _lighter(report):
        page = _render(fitted, fixed)
        size = len(page.encode("utf-8", "replace"))
        if size <= SIZE_LIMIT:
            return page
    raise ValueError(
        f"the report has {size / 1e6:.1f} MB without its films, expected at most {SIZE_LIMIT / 1e6:.0f}; show fewer "
        "scenes or fewer runs"
    )


def write_report(report: ReportInput, path: Path) -> None:
    """Write the report, whole or not at all; raises what `render_report` does."""
    write_bytes(path, render_report(report).encode("utf-8", "replace"))


def _lighter(report: ReportInput) -> Iterator[ReportInput]:
    """Yield the report, then ever smaller ones, each with a note that tells what was done."""
    yield report
    limit = f"so that this page stays under {SIZE_LIMIT / 1e6:.0f} MB"
    for quality in SMALLER:
        report = _coarser(report, quality)
        yield replace(report, notes=(*report.notes, f"The films are coarser than usual, {limit}."))
    total = kept = len(report.episodes)
    while kept:
        kept //= 2
        note = f"Of {total} filmed episodes {total - kept} are left out and the other films are coarser, {limit}."
        yield replace(report, episodes=report.episodes[:kept], notes=(*report.notes, note))
    bare = tuple(replace(s, before=_unfilmed(s.before), after=_unfilmed(s.after)) for s in report.scenes)
    yield replace(report, episodes=(), scenes=bare, notes=(*report.notes, f"All films are left out, {limit}."))


def _coarser(report: ReportInput, quality: int) -> ReportInput:
    def film(data: bytes | None) -> bytes | None:
        return data and smaller_mp4(data, quality=quality)

    return replace(
        report,
        episodes=tuple(replace(e, film=film(e.film)) for e in report.episodes),
        scenes=tuple(
            replace(
                s, before=replace(s.before, film=film(s.before.film)), after=replace(s.after, film=film(s.after.film))
            )
            for s in report.scenes
        ),
    )


def _unfilmed(view: PolicyView) -> PolicyView:
    return replace(view, film=None, later=())


@lru_cache(maxsize=1)
def _texts() -> dict[str, str]:
    """Return the templates, the style and the script, by the names of their files."""
    parts = files("robo_rlft.evaluation.report").iterdir()
    return {p.name: p.read_text(encoding="utf-8") for p in parts if p.name.endswith((".j2", ".css", ".js"))}


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(_texts()), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters.update(percent=lambda value: f"{100 * value:.2f}%", spoken=spoken, compact=_compact)
    return environment


def _fixed(report: ReportInput) -> dict[str, Any]:
    """Return what the page shows beside films and notes, which alone change where it has to be made smaller."""
    script = _texts()["page.js"]
    rows = scene_rows(report.results)
    return {
        "css": _texts()["page.css"],
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "explanations": EXPLANATIONS,
        "runs": _runs(report),
        "splits": _splits(report),
        "kinds": _kinds(report),
        "episodes": _episodes(report.table),
        "comparison": build_comparison(report.results, report.before),
        "figures": [_figure(f) for f in report.figures],
        "failures": [_failures(f, report) for f in report.failures],
        "word_tables": [_shortened(t) for t in word_tables(report.results, report.after)],
        "scene_rows": rows[:ROW_LIMIT],
        "scene_rows_left_out": max(0, len(rows) - ROW_LIMIT),
    }


def _render(report: ReportInput, fixed: Mapping[str, Any]) -> str:
    scenes = [pictures.scene(s, report) for s in report.scenes]
    template = _environment().get_template("page.html.j2")
    return template.render(report=report, scenes=scenes, clips=_clips(report.episodes), **fixed)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _runs(report: ReportInput) -> list[str]:
    told = (report.table["table"], report.results, {e.run: 0 for e in report.episodes})
    return list(dict.fromkeys(run for source in told for run in source))


def _splits(report: ReportInput) -> list[str]:
    tables: tuple[Mapping[str, Any], ...] = (report.table["table"], report.results)
    return list(dict.fromkeys(split for table in tables for row in table.values() for split in row))


def _kinds(report: ReportInput) -> list[str]:
    """Return the kinds of failure that occur, the most frequent first."""
    counts: dict[str, int] = {}
    for split in report.failures:
        for kinds in split.kinds.values():
            for kind, count in kinds.items():
                counts[kind] = counts.get(kind, 0) + count
    return sorted(counts, key=lambda kind: (-counts[kind], kind))


def _clips(episodes: tuple[EpisodeView, ...]) -> list[dict[str, Any]]:
    """Return the episodes by what they came to, in the order in which kinds first come."""
    kinds = dict.fromkeys(episode.kind for episode in episodes)
    return [{"kind": kind, "episodes": [pictures.episode(e) for e in episodes if e.kind == kind]} for kind in kinds]


def _shortened(table: WordTable) -> dict[str, Any]:
    return {
        "title": table.title,
        "head": table.head,
        "rows": table.rows[:ROW_LIMIT],
        "left_out": max(0, len(table.rows) - ROW_LIMIT),
        "words": len({row.label for row in table.rows}),
    }


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
        "source": pictures.data_uri("image/svg+xml", drawn),
        "alt": f"{figure.ylabel} against environment steps: {ends}",
    }


def _failures(counts: FailureCounts, report: ReportInput) -> dict[str, Any]:
    runs = list(counts.kinds)
    total = {kind: sum(counts.kinds[run].get(kind, 0) for run in runs) for run in runs for kind in counts.kinds[run]}
    kinds = sorted(total, key=lambda kind: (-total[kind], kind))
    return {
        "split": counts.split,
        "runs": [{"name": run, "role": _role(run, report), "episodes": counts.episodes[run]} for run in runs],
        "rows": [{"kind": kind, "counts": [counts.kinds[run].get(kind, 0) for run in runs]} for kind in kinds],
        "totals": [sum(counts.kinds[run].values()) for run in runs],
        "largest": max([1, *(n for run in runs for n in counts.kinds[run].values())]),
    }


def _role(run: str, report: ReportInput) -> str:
    """Call two runs before and after, where they are all or their scenes are shown beside each other."""
    several = len(_runs(report)) > 2 and not report.scenes
    if report.before == report.after or several:
        return ""
    return {report.before: "before: ", report.after: "after: "}.get(run, "")
