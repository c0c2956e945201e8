"""The file of results: exact contents, round trip, refusals."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from robo_rlft.evaluation.files import ResultFileError, write_json
from robo_rlft.evaluation.judged import JudgedTry
from robo_rlft.evaluation.results import EvaluationResult, SceneResult, read_results, write_results
from robo_rlft.evaluation.statistics import wilson


def scene(seed: int, *, success: bool | None, instruction: str = "a", confidence: float = 1.0) -> SceneResult:
    return SceneResult(
        seed=seed,
        instruction=instruction,
        pick=None if success is None else "red block",
        place=None if success is None else "blue bowl",
        success=success,
        return_=None if success is None else float(success),
        steps=1,
        failure="slipped" if success is False else None,
        confidence=confidence,
    )


def result(*scenes: SceneResult) -> EvaluationResult:
    return EvaluationResult(
        task="put_block_in_bowl",
        split="seen",
        phase="test",
        decoding="greedy",
        checkpoint="policy.safetensors",
        checkpoint_sha256="00ff",
        scenes=scenes,
    )


def test_the_file_holds_what_the_design_promises(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.json"
    write_results(result(scene(0, success=True), scene(1, success=False, confidence=0.2)), path)
    data = json.loads(path.read_text())
    assert {k: data[k] for k in ("task", "split", "phase", "decoding", "checkpoint", "checkpoint_sha256")} == {
        "task": "put_block_in_bowl",
        "split": "seen",
        "phase": "test",
        "decoding": "greedy",
        "checkpoint": "policy.safetensors",
        "checkpoint_sha256": "00ff",
    }
    assert (data["format_version"], data["episodes"], data["low_confidence"]) == (1, 2, 1)
    assert data["success"] == wilson(1, 2).to_json()
    # Returns 1 and 0: the bootstrap of two values spans everything.
    assert data["return"] == {"mean": 0.5, "low": 0.0, "high": 1.0}
    assert data["scenes"][1] == {
        "seed": 1,
        "instruction": "a",
        "pick": "red block",
        "place": "blue bowl",
        "success": False,
        "return": 0.0,
        "steps": 1,
        "failure": "slipped",
        "confidence": 0.2,
        "unknown_words": [],
    }


def test_results_survive_the_file_and_equal_results_give_equal_bytes(tmp_path: Path) -> None:
    before = result(scene(0, success=True), scene(1, success=None), scene(2, success=False))
    write_results(before, tmp_path / "a.json")
    assert read_results(tmp_path / "a.json") == before
    write_results(read_results(tmp_path / "a.json"), tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def tried(seed: int, *outcomes: bool | None) -> SceneResult:
    first, *rest = (scene(seed, success=outcome) for outcome in outcomes)
    return functools.reduce(SceneResult.joined, rest, first)


def test_tries_of_a_scene_add_up() -> None:
    three = tried(4, False, True, False)
    assert (three.successes, three.tries, three.failures) == (1, 3, ("slipped", "slipped"))
    assert three.rate == pytest.approx(1 / 3)
    assert three.return_ == pytest.approx(1 / 3)
    assert tried(4, None, None).successes is None
    with pytest.raises(ValueError, match="tries of scene 4"):
        three.joined(scene(5, success=True))


def test_several_tries_make_a_file_of_version_2_that_survives(tmp_path: Path) -> None:
    several = replace(result(tried(0, True, False), tried(1, False, False), tried(2, None, None)), tries=2)
    write_results(several, tmp_path / "results.json")
    data = json.loads((tmp_path / "results.json").read_text())
    assert (data["format_version"], data["tries"]) == (2, 2)
    assert [(s["successes"], s["failures"]) for s in data["scenes"]] == [
        (1, ["slipped"]),
        (0, ["slipped", "slipped"]),
        (None, []),
    ]
    assert data["success"]["mean"] == 0.25
    assert read_results(tmp_path / "results.json") == several


@pytest.mark.parametrize(
    "change", [{"successes": 2}, {"successes": None}, {"failures": "slipped"}, {"successes": 0, "failures": ["a", "b"]}]
)
def test_tries_that_do_not_add_up_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    data = replace(result(tried(0, True, False)), tries=2).to_json()
    data["scenes"][0] |= change
    write_json(tmp_path / "results.json", data)
    with pytest.raises(ResultFileError, match="expected successes and failures of 2 tries"):
        read_results(tmp_path / "results.json")


def test_each_sentence_has_its_row() -> None:
    rows = result(
        scene(0, success=True, instruction="b"),
        scene(1, success=False, instruction="a"),
        scene(2, success=True, instruction="b"),
        scene(3, success=None, instruction="c"),
    ).per_instruction
    assert [(r.instruction, r.episodes, r.success.mean) for r in rows] == [("a", 1, 0.0), ("b", 2, 1.0)]


def test_without_any_goal_the_means_are_null() -> None:
    data = result(scene(0, success=None)).to_json()
    assert (data["success"], data["return"], data["without_goal"]) == (None, None, 1)


def test_nan_is_not_written_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(result(scene(0, success=True)), path)
    old = path.read_bytes()
    with pytest.raises(ValueError, match="scene 1"):
        write_results(result(scene(1, success=True, confidence=float("nan"))), path)
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"value": float("inf")})
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "robo_rlft.policy"}, "expected format 'robo_rlft.results', got 'robo_rlft.policy'"),
        ({"format_version": 3}, "newer"),
        ({"format_version": "1"}, "whole number"),
        ({"scenes": [{"seed": 0}]}, "damaged"),
        ({"scenes": 3}, "damaged"),
    ],
)
def test_foreign_newer_and_damaged_files_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({**result(scene(0, success=True)).to_json(), **change}))
    with pytest.raises(ResultFileError, match=message):
        read_results(path)


def test_a_missing_file_and_one_that_is_not_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultFileError, match="found none"):
        read_results(tmp_path / "results.json")
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(ResultFileError, match="could not read"):
        read_results(tmp_path / "results.json")


def test_what_a_reward_said_of_each_try_comes_back_from_the_file(tmp_path: Path) -> None:
    tried = (JudgedTry(proxy=-0.25, success=False, return_=0.5), JudgedTry(proxy=1.5, success=True, return_=1.0))
    alone = [replace(scene(0, success=one.success), judged=(one,)) for one in tried]
    both = replace(result(alone[0].joined(alone[1])), tries=2)
    write_results(both, tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == both
    assert both.scenes[0].judged == tried
    data = json.loads((tmp_path / "results.json").read_text())
    data["scenes"][0]["judged"] = {"proxy": [1.0], "success": [1], "return": [1.0]}
    write_json(tmp_path / "results.json", data)
    with pytest.raises(ResultFileError, match="expected 2 tries that were judged, got 1"):
        read_results(tmp_path / "results.json")
