"""The report: complete, offline, accessible, escaped."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_rlft.evaluation import report as module
from robo_rlft.evaluation.curves import Curve
from robo_rlft.evaluation.report import (
    FailureCounts,
    LearningFigure,
    PolicyView,
    ReportInput,
    SceneComparison,
    Similarity,
    compare_failures,
    doubts,
    render_report,
    write_report,
)
from robo_rlft.evaluation.results import EvaluationResult, SceneResult
from robo_rlft.evaluation.video import encode_mp4

SHAPE = (16, 8)
FILM = encode_mp4([np.zeros((16, 16, 3), dtype=np.uint8)])  # once: its bytes may vary from call to call
INTERVAL = {"mean": 0.5, "low": 0.4321, "high": 0.6}
CELL = {"success": INTERVAL, "return": INTERVAL, "episodes": 200, "decoding": "greedy"}
VOID = {"meta", "link", "img", "br", "wbr"}


class Page(HTMLParser):
    """Collects the elements of a page and checks that they close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def view(*, phrase: str = "red block", success: bool | None = True, film: bytes | None = None) -> PolicyView:
    return PolicyView(
        pick_probability=np.full(SHAPE, 1 / 128),
        place_probability=np.full(SHAPE, 1 / 128),
        similarities=(Similarity(phrase=phrase, cosine=np.linspace(-1, 1, 128).reshape(SHAPE)),),
        pick=(0, 0),
        place=(15, 7),
        success=success,
        failure=None if success else "wrong_object",
        confidence=0.25,
        film=film,
    )


def comparison(**changes: Any) -> SceneComparison:
    scene = SceneComparison(
        title="seen, scene 3",
        instruction="put it there",
        color=np.zeros((*SHAPE, 3), dtype=np.uint8),
        before=view(success=False, film=FILM),
        after=view(),
    )
    return replace(scene, **changes)


def full(**changes: Any) -> ReportInput:
    curve = Curve(name="rl", x=(1, 2), mean=(0.5, 0.9), low=(0.4, 0.8), high=(0.6, 1.0))
    report = ReportInput(
        title="A title",
        summary="One sentence.",
        table={
            "table": {"bc": {"seen": CELL}, "rl": {"seen": CELL, "unseen": CELL}},
            "paired": {"rl_minus_bc": {"seen": {"mean": 0.25, "low": 0.125, "high": 0.375}}},
        },
        methods={"rl": "fine-tuned"},
        before="bc",
        after="rl",
        figures=(LearningFigure(title="Success", ylabel="success rate", curves=(curve,)),),
        scenes=(comparison(),),
        failures=(FailureCounts(split="seen", episodes=200, before={"no_grasp": 7}, after={"slipped": 1}),),
        notes=("A doubt.",),
        facts=(("commit", "abc123"),),
        config="task: put_block_in_bowl",
    )
    return replace(report, **changes)


def test_everything_that_was_given_is_shown() -> None:
    text = Page(render_report(full())).text
    for part in ("A title", "One sentence.", "0.43 to 0.60", "+0.25", "+0.12 to +0.38", "200 episodes each, greedy"):
        assert part in text
    for part in ("fine-tuned", "put it there", "wrong object", "confidence 0.25", "no grasp", "slipped"):
        assert part in text
    for part in ("A doubt.", "abc123", "task: put_block_in_bowl", "Looks like “red block”", "not run", "not filmed"):
        assert part in text


def test_a_report_of_a_table_alone_is_whole() -> None:
    page = Page(render_report(full(figures=(), scenes=(), failures=(), notes=(), facts=(), config="")))
    assert page.all("img") == []
    assert len(page.all("table")) == 3  # success, returns, facts


def test_nothing_is_loaded_from_elsewhere() -> None:
    html = render_report(full())
    page = Page(html)
    sources = [a[k] or "" for _, a in page.elements for k in ("src", "href", "poster", "data", "srcset") if k in a]
    assert len(sources) > 6
    assert all(s.startswith("data:") for s in sources)
    assert page.all("script") == []
    assert "url(" not in html
    assert "@import" not in html
    policies = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert "default-src 'none'" in (policies[0] or "")


def test_texts_are_escaped_wherever_they_come_from() -> None:
    evil = '"><script>alert(1)</script>&'
    scene = comparison(title=evil, instruction=evil, before=view(phrase=evil), after=view(phrase=evil))
    table = {"table": {evil: {evil: CELL}}, "paired": {evil: {evil: INTERVAL}}}
    failures = FailureCounts(split=evil, episodes=1, before={evil: 1}, after={})
    page = Page(
        render_report(
            full(
                **{"title": evil, "summary": evil, "table": table, "methods": {evil: evil}, "before": evil},
                **{"after": evil, "scenes": (scene,), "failures": (failures,), "notes": (evil,)},
                **{"facts": ((evil, evil),), "config": evil},
            )
        )
    )
    assert page.all("script") == []
    # Title twice, summary, table's captions and cells, scenes, failures, notes, facts, config.
    assert page.text.count(evil) >= 15


def test_pictures_have_alternatives_and_heads_have_scopes() -> None:
    page = Page(render_report(full()))
    assert all((a.get("alt") or "").strip() for a in page.all("img"))
    assert all((a.get("aria-label") or "").strip() for a in page.all("video"))
    assert all(a.get("scope") in ("row", "col") for a in page.all("th"))
    assert page.all("html")[0]["lang"] == "en"


def test_marks_lie_where_the_action_was() -> None:
    # (16, 8) turned is 16 wide and 8 high; pixel (0, 0) is at its lower right: x = 15.5, y = 7.5.
    circles = [a for a in Page(render_report(full())).all("circle") if "r" in a and a["r"] == "5"]
    assert {(a["cx"], a["cy"]) for a in circles} == {("15.5", "7.5")}


def test_equal_similarity_maps_are_said_to_be_equal() -> None:
    assert Page(render_report(full())).text.count("same as before") == 1
    other = replace(view(), similarities=(Similarity(phrase="red block", cosine=np.zeros(SHAPE)),))
    assert "same as before" not in render_report(full(scenes=(comparison(after=other),)))


def test_maps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="the same phrases"):
        render_report(full(scenes=(comparison(after=view(phrase="blue bowl")),)))
    with pytest.raises(ValueError, match="picture's shape"):
        render_report(full(scenes=(comparison(color=np.zeros((8, 16, 3), dtype=np.uint8)),)))


def test_a_page_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "SIZE_LIMIT", 1000)
    with pytest.raises(ValueError, match="fewer scenes"):
        write_report(full(), tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_equal_input_gives_an_equal_file(tmp_path: Path) -> None:
    write_report(full(), tmp_path / "a.html")
    write_report(full(), tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def result(*successes: bool | None, confidence: float = 1.0, unknown: tuple[str, ...] = ()) -> EvaluationResult:
    scenes = tuple(
        SceneResult(
            seed=i,
            instruction="a",
            pick=None,
            place=None,
            success=s,
            return_=None if s is None else float(s),
            steps=1,
            failure="no_grasp" if s is False else None,
            confidence=confidence,
            unknown_words=unknown,
        )
        for i, s in enumerate(successes)
    )
    return EvaluationResult(
        task="t", split="seen", phase="test", decoding="greedy", checkpoint="c", checkpoint_sha256=None, scenes=scenes
    )


def test_doubts_are_told_only_where_there_are_any() -> None:
    assert doubts({"bc": [result(True)]}) == ()
    low, words, free = doubts({"rl": [result(True, None, confidence=0.2, unknown=("sun",))]})
    assert low.startswith("rl on seen: in 2 of 2 episodes")
    assert "sun (2)" in words
    assert "1 sentences came without a goal" in free


def test_failures_are_counted_before_and_after() -> None:
    counts = compare_failures(result(False, False, True), result(True, False, True))
    assert (counts.episodes, counts.before, counts.after) == (3, {"no_grasp": 2}, {"no_grasp": 1})
