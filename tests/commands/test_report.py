"""`robo-rlft report` compares evaluations, names them, and shows telling episodes whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from robo_rlft.commands.cli import main
from robo_rlft.commands.evaluations import Evaluation, chosen_run, read_evaluations
from robo_rlft.commands.filming import film_runs, telling_failures
from robo_rlft.commands.replays import open_player
from robo_rlft.commands.runs import open_run, read_config
from robo_rlft.config import UserError
from robo_rlft.evaluation.results import EvaluationResult, SceneResult, read_results, write_results
from robo_rlft.evaluation.video import decode_mp4

TASK = {"_target_": "robo_rlft.tasks.put_block_in_bowl.PutBlockInBowl", "blocks": 1}
FAST = ["workspace.pixel_size=0.025", "rotations=2", "threads=1", "phase=val", "batch_size=4"]


def scene(seed: int, failure: str | None, *, success: bool | None = False) -> SceneResult:
    return SceneResult(
        seed=seed,
        instruction="put the red block in the blue bowl",
        pick="red block",
        place="blue bowl",
        success=success,
        return_=0.0,
        steps=1,
        failure=failure,
        confidence=1.0,
    )


def results(split: str, checkpoint: str = "shipped", scenes: tuple[SceneResult, ...] = ()) -> EvaluationResult:
    return EvaluationResult(
        task="put_block_in_bowl",
        split=split,
        phase="val",
        decoding="greedy",
        checkpoint=checkpoint,
        checkpoint_sha256=None,
        scenes=scenes or (scene(0, "slipped"),),
    )


def folder(path: Path, split: str, *, checkpoint: str = "shipped", **task: Any) -> Path:
    with open_run(path, command="evaluate", config={"task": {**TASK, **task}, "checkpoint": checkpoint, "threads": 1}):
        write_results(results(split, checkpoint), path / "results.json")
    return path


def names(*folders: Path) -> list[tuple[str, str]]:
    return [(one.run, one.column) for one in read_evaluations(folders)]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_one_policy_on_several_splits_is_one_run(tmp_path: Path) -> None:
    found = names(folder(tmp_path / "rl-seen", "seen"), folder(tmp_path / "rl-unseen", "unseen"))
    assert found == [("rl", "seen"), ("rl", "unseen")]


def test_other_policies_and_equal_splits_keep_their_folders_names(tmp_path: Path) -> None:
    a, b = folder(tmp_path / "rl-seen", "seen"), folder(tmp_path / "rl_unseen", "unseen", checkpoint="bc.safetensors")
    assert names(a, b) == [("rl-seen", "seen"), ("rl_unseen", "unseen")]
    c, d = folder(tmp_path / "x" / "rl", "seen"), folder(tmp_path / "y" / "rl", "seen")
    assert names(c, d) == [(str(c), "seen"), (str(d), "seen")]


def test_scenes_of_other_numbers_stand_in_columns_of_their_own(tmp_path: Path) -> None:
    one, three = folder(tmp_path / "one", "seen"), folder(tmp_path / "three", "seen", blocks=3)
    assert names(one, three) == [("one", "blocks 1, seen"), ("three", "blocks 3, seen")]


def test_the_base_is_named_by_its_run_or_its_folder(tmp_path: Path) -> None:
    found = read_evaluations(
        [folder(tmp_path / "bc-seen", "seen", checkpoint="bc"), folder(tmp_path / "rl-seen", "seen")]
    )
    assert chosen_run(found, None) == "bc"
    assert chosen_run(found, "rl-seen") == chosen_run(found, "rl") == "rl"
    with pytest.raises(UserError, match="expected one of bc, rl; got 'rll'; did you mean rl"):
        chosen_run(found, "rll")


def test_runs_that_are_no_evaluations_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_run(tmp_path / "demos", command="collect", config={}) as run:
        (run.path / "a").touch()
    assert main(["report", "from=demos"]) == 2
    assert "expected folders of evaluations or experiments, got demos (collect)" in capsys.readouterr().err


def test_every_kind_and_every_run_gets_its_turn() -> None:
    def evaluation(run: str, *scenes: SceneResult) -> Evaluation:
        return Evaluation(folder=Path(run), run=run, column="seen", config={}, result=results("seen", run, scenes))

    many = [scene(i, "no_grasp") for i in range(9)]
    found = [
        evaluation("a", *many, scene(20, "slipped"), scene(21, None, success=True)),
        evaluation("b", scene(30, "no_grasp"), scene(31, None, success=None)),
    ]
    # Kinds in turn: no_grasp, unknown, slipped; within a kind the run that is asked for first; at most four of a kind.
    shown = [(p.kind, p.evaluation.run, p.scene.seed) for p in telling_failures(found, first="b", most=99)]
    assert shown == [
        ("no_grasp", "b", 30),
        (None, "b", 31),
        ("slipped", "a", 20),
        ("no_grasp", "a", 0),
        ("no_grasp", "a", 1),
        ("no_grasp", "a", 2),
    ]
    assert [p.scene.seed for p in telling_failures(found, first="b", most=2)] == [30, 31]


def test_a_policy_that_is_gone_is_told_of_and_nothing_else_is_lost(tmp_path: Path) -> None:
    found = read_evaluations([folder(tmp_path / "gone", "seen", checkpoint="gone.safetensors")])
    filmed = film_runs(found, before="gone.safetensors", after="gone.safetensors", films=3)
    assert filmed.episodes == ()
    assert len(filmed.notes) == 1 and "gone.safetensors on seen: not shown step by step" in filmed.notes[0]


def test_an_episode_of_several_sentences_is_filmed_whole(tmp_path: Path) -> None:
    told = ["evaluate", "task=stack_blocks", "task.blocks=3", "checkpoint=random", "episodes=1", "run=stack", *FAST]
    assert main(told) == 0
    result = read_results(tmp_path / "runs" / "stack" / "results.json")
    with open_player(read_config(tmp_path / "runs" / "stack"), result) as player:
        assert not player.has_maps
        replay = player.play(result.scenes[0])
    # Three blocks: two sentences, two actions.
    assert [s.instruction for s in replay.steps] == [result.scenes[0].instruction.split("; ")[0]] * 2
    assert (len(replay.starts), replay.starts[0]) == (2, 0.0)
    assert replay.film is not None
    assert len(decode_mp4(replay.film)) > 24 * replay.starts[1] > 10
    torch.set_num_threads(2)


def test_evaluations_are_compared_in_one_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        {"scene_seed": 0, "sentence": "put the <b>block</b> in the bowl"},
        {"scene_seed": 1, "sentence": "put this cube in that dish"},
    ]
    (tmp_path / "own.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    small = ["encoder.pretrained=null", "episodes=2", *FAST]
    for told in (
        ["checkpoint=zero_shot", "run=zero", *small],
        ["checkpoint=oracle", "run=oracle", *small],
        ["checkpoint=random", "run=own", "instructions=own.jsonl", *small],
    ):
        assert main(["evaluate", *told]) == 0
    assert main(["report", "from=zero,oracle,own", "base=oracle", "films=2", "output=three.html"]) == 0
    page = (tmp_path / "three.html").read_text()
    assert "Against oracle, on the same scenes" in page
    assert page.count("data:video/mp4") == 2
    assert "put the &lt;b&gt;block&lt;/b&gt; in the bowl" in page
    assert "<b>block</b>" not in page
    assert "instructions own.jsonl, seen" in page
    capsys.readouterr()
    assert main(["report", "from=zero", "films=0"]) == 0
    assert "data:video/mp4" not in (tmp_path / "runs" / "zero" / "report.html").read_text()
    assert main(["report", "from=zero", "films=-1"]) == 2
    assert "films" in capsys.readouterr().err
    torch.set_num_threads(2)
