"""The report: complete, offline, accessible, escaped."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_rlft.evaluation.curves import Curve
from robo_rlft.evaluation.report import (
    EpisodeView,
    FailureCounts,
    LearningFigure,
    PolicyView,
    ReportInput,
    SceneComparison,
    Similarity,
    StepView,
    doubts,
    page,
    render_report,
    write_report,
)
from robo_rlft.evaluation.report.kinds import EXPLANATIONS
from robo_rlft.evaluation.results import EvaluationResult, SceneResult
from robo_rlft.evaluation.video import encode_mp4
from robo_rlft.rollout.episode import FAILURES

SHAPE = (16, 8)
FILM = encode_mp4([np.zeros((16, 16, 3), dtype=np.uint8)])  # once: its bytes may vary from call to call
INTERVAL = {"mean": 0.5, "low": 0.4321, "high": 0.6}
CELL = {"success": INTERVAL, "return": INTERVAL, "episodes": 200, "decoding": "greedy"}
VOID = {"meta", "link", "img", "br", "wbr", "input"}


class Page(HTMLParser):
    """Collects the elements of a page and checks that they close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
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
        if self._open[-1:] == ["script"]:
            self.scripts.append(data)
        else:
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


def figure() -> LearningFigure:
    curve = Curve(name="rl", x=(1, 2), mean=(0.5, 0.9), low=(0.4, 0.8), high=(0.6, 1.0))
    return LearningFigure(title="Success", ylabel="success rate", curves=(curve,))


def step(instruction: str = "put it there", *, maps: bool = True) -> StepView:
    view = StepView(
        instruction=instruction,
        color=np.zeros((*SHAPE, 3), dtype=np.uint8),
        pick=(0, 0),
        place=(15, 7),
        turn=np.pi / 2,
        progress=0.5,
    )
    flat = np.full(SHAPE, 1 / 128)
    likeness = (Similarity(phrase="red block", cosine=flat),)
    return replace(view, pick_probability=flat, place_probability=flat, similarities=likeness) if maps else view


def episode(kind: str | None = "slipped", **changes: Any) -> EpisodeView:
    steps = (step("put it there"), step("now the other one", maps=False))
    made = EpisodeView(run="rl", split="seen", seed=9, kind=kind, steps=steps, film=FILM, starts=(0.0, 1.25))
    return replace(made, **changes)


def comparison(**changes: Any) -> SceneComparison:
    scene = SceneComparison(
        title="seen, scene 3",
        instruction="put it there",
        color=np.zeros((*SHAPE, 3), dtype=np.uint8),
        before=view(success=False, film=FILM),
        after=view(),
        split="seen",
    )
    return replace(scene, **changes)


def full(**changes: Any) -> ReportInput:
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
        scenes=(comparison(),),
        failures=(
            FailureCounts(
                split="seen", episodes={"bc": 200, "rl": 199}, kinds={"bc": {"no_grasp": 7}, "rl": {"slipped": 1}}
            ),
        ),
        results={"bc": {"seen": result(False, False)}, "rl": {"seen": result(True, False), "unseen": result(None)}},
        episodes=(episode(), episode(kind=None, seed=10, film=None, starts=())),
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
    page = Page(render_report(full(scenes=(), failures=(), results={}, episodes=(), notes=(), facts=(), config="")))
    assert page.all("img") == []
    assert len(page.all("table")) == 3  # success, returns, facts


def test_nothing_is_loaded_from_elsewhere() -> None:
    html = render_report(full(figures=(figure(),)))
    page = Page(html)
    sources = [a[k] or "" for _, a in page.elements for k in ("src", "href", "poster", "data", "srcset") if k in a]
    assert len(sources) > 6
    assert all(s.startswith(("data:", "#")) for s in sources)
    assert "url(" not in html
    assert "@import" not in html
    policies = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert "default-src 'none'" in (policies[0] or "")


def test_the_only_script_is_the_one_that_the_page_allows() -> None:
    page = Page(render_report(full()))
    assert page.all("script") == [{}]
    digest = base64.b64encode(hashlib.sha256("".join(page.scripts).encode()).digest()).decode()
    (policy,) = (a["content"] or "" for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert re.findall(r"script-src ([^;]+);", policy) == [f"'sha256-{digest}'"]


def test_texts_are_escaped_wherever_they_come_from() -> None:
    evil = "\"><script>alert(1)</script>&'"
    scene = comparison(title=evil, instruction=evil, split=evil, before=view(phrase=evil), after=view(phrase=evil))
    table = {"table": {evil: {evil: CELL}}, "paired": {evil: {evil: INTERVAL}}}
    failures = FailureCounts(split=evil, episodes={evil: 1}, kinds={evil: {evil: 1}})
    told = replace(
        result(False), split=evil, scenes=(replace(result(False).scenes[0], instruction=evil, failure=evil),)
    )
    shown = episode(run=evil, split=evil, kind=evil, shown=evil, steps=(step(evil),))
    page = Page(
        render_report(
            full(
                **{"title": evil, "summary": evil, "table": table, "methods": {evil: evil}, "before": evil},
                **{"after": evil, "scenes": (scene,), "failures": (failures,), "notes": (evil,)},
                **{"facts": ((evil, evil),), "config": evil, "results": {evil: {evil: told}}, "episodes": (shown,)},
            )
        )
    )
    assert page.all("script") == [{}]
    assert "alert" not in "".join(page.scripts)
    # Title twice, summary, filters, table's captions and cells, scenes, episodes, failures, notes, facts, config.
    assert page.text.count(evil) >= 25
    assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_half_a_letter_in_a_sentence_does_not_keep_the_report_from_being_written(tmp_path: Path) -> None:
    write_report(full(title="half \ud800 of a pair"), tmp_path / "report.html")
    assert "half ? of a pair" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_pictures_have_alternatives_and_heads_have_scopes() -> None:
    page = Page(render_report(full(figures=(figure(),))))
    assert all((a.get("alt") or "").strip() for a in page.all("img"))
    assert all((a.get("aria-label") or "").strip() for a in page.all("video"))
    assert all(a.get("scope") in ("row", "col") for a in page.all("th"))
    assert page.all("html")[0]["lang"] == "en"


def test_marks_lie_where_the_action_was() -> None:
    # (16, 8) turned is 16 wide and 8 high; pixel (0, 0) is at its lower right: x = 15.5, y = 7.5.
    circles = [a for a in Page(render_report(full())).all("circle") if "r" in a and a["r"] == "5"]
    assert len(circles) == 12  # two views and four steps, each with halo and ink
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


def test_a_page_that_is_too_large_without_films_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(page, "SIZE_LIMIT", 1000)
    with pytest.raises(ValueError, match="fewer scenes"):
        write_report(full(), tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_films_are_made_coarser_before_any_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    report = full(episodes=(episode(film=encode_mp4(list(noise), quality=18)),), scenes=())
    monkeypatch.setattr(page, "SIZE_LIMIT", len(render_report(report)) - 10_000)
    found = Page(render_report(report))
    assert len(found.all("video")) == 1
    assert "coarser than usual" in found.text


def test_the_last_episodes_go_first_where_the_page_is_still_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    # Pictures, which do not shrink: half of the episodes have to go.
    rng = np.random.default_rng(0)
    steps = (replace(step(maps=False), color=rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)),)
    report = full(episodes=tuple(episode(seed=i, steps=steps) for i in range(40, 44)), scenes=())
    monkeypatch.setattr(page, "SIZE_LIMIT", len(render_report(report)) - 10_000)
    text = Page(render_report(report)).text
    assert [f"scene {i}" in text for i in range(40, 44)] == [True, True, False, False]
    assert "Of 4 filmed episodes 2 are left out" in text


def test_equal_input_gives_an_equal_file(tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_report(full(figures=(figure(),)), tmp_path / name)
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


def test_every_kind_of_failure_is_explained() -> None:
    assert set(FAILURES) <= set(EXPLANATIONS)
    counts = FailureCounts(split="seen", episodes={"rl": 3}, kinds={"rl": {"wrong_rotation": 2, "melted": 1}})
    text = Page(render_report(full(failures=(counts,)))).text
    assert EXPLANATIONS["wrong_rotation"] in text
    assert "a kind of this task's own" in text


def test_an_episode_shows_all_its_steps_with_their_sentences() -> None:
    found = Page(render_report(full(scenes=(), episodes=(episode(),))))
    assert "“put it there” turned by 90°, progress +0.50" in found.text
    assert "“now the other one”" in found.text
    # The table, picks, places and one likeness of the first step; without maps the table, picks and places.
    assert len([a for a in found.all("img") if (a["alt"] or "").startswith("Step 1")]) == 4
    assert len([a for a in found.all("img") if (a["alt"] or "").startswith("Step 2")]) == 3
    assert [a["data-start"] for a in found.all("button") if "data-start" in a] == ["0.00", "1.25"]


def test_later_steps_of_a_comparison_are_shown_too() -> None:
    after = replace(view(), later=(step("and then this"),))
    text = Page(render_report(full(scenes=(comparison(after=after),)))).text
    assert "After: rl, the steps after the first" in text
    assert "“and then this”" in text


def test_a_film_that_went_another_way_than_the_evaluation_says_so() -> None:
    assert "it came to: success" in Page(render_report(full(episodes=(episode(shown="success"),)))).text
    assert "it came to" not in Page(render_report(full())).text


def test_what_the_filters_go_by_is_in_the_page() -> None:
    found = Page(render_report(full()))
    items = [a for _, a in found.elements if "data-item" in a and "data-results" in a]
    results = [(a["data-split"], a["data-text"], json.loads(a["data-results"] or "")) for a in items]
    # Scene 0 of `result` is in the list of scenes, beside the comparison and the two episodes.
    assert ("seen", "a", [["bc", "failure", "no_grasp"], ["rl", "success", None]]) in results
    assert ("unseen", "a", [["rl", "unknown", None]]) in results
    assert ("seen", "put it there", [["bc", "failure", "wrong_object"], ["rl", "success", None]]) in results
    assert ("seen", "put it there; now the other one", [["rl", "failure", "slipped"]]) in results
    assert [a["value"] for a in found.all("input") if a.get("name") == "run"] == ["bc", "rl"]
    assert [a["value"] for a in found.all("input") if a.get("name") == "split"] == ["seen", "unseen"]
    links = [a["href"] for a in found.all("a")]
    assert links == ["#kind=no_grasp", "#kind=slipped"]


def test_a_long_list_of_scenes_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "ROW_LIMIT", 2)
    text = Page(render_report(full(results={"rl": {"seen": result(True, False, True)}}))).text
    assert "1 scenes more are left out" in text


def test_unknown_success_is_shown_as_unknown() -> None:
    table = {"table": {"rl": {"seen": {**CELL, "success": None, "return": None}}}}
    text = Page(render_report(full(table=table, results={"rl": {"seen": result(None, None)}}, failures=()))).text
    assert "unknown" in text
    assert "no goal given" in text
