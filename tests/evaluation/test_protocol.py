"""What an evaluation runs, keeps and resumes; the runner is a fake that notes its batches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from robo_rlft.evaluation import protocol
from robo_rlft.evaluation.files import ResultFileError
from robo_rlft.evaluation.protocol import Checkpoint, InstructionLine, Judge, Progress, evaluate
from robo_rlft.evaluation.results import EvaluationResult
from robo_rlft.evaluation.statistics import bootstrap_mean
from robo_rlft.records import Decision, Observation, OutcomeReward, PickPlace, Policy
from robo_rlft.rollout.episode import EpisodeRecord
from robo_rlft.rollout.jobs import Instruction
from robo_rlft.tasks.task import Goal

ANYTHING = cast(Any, SimpleNamespace(told_by="task"))  # the fake runner looks at neither pool nor policy


class FakeRunner:
    """Runs episodes whose outcome is a function of the scene; draws one number a batch, to see the sampling."""

    def __init__(self, *, killed_at: int | None = None) -> None:
        self.batches: list[list[int]] = []
        self.told: list[Sequence[Instruction] | None] = []
        self._killed_at = killed_at

    def __call__(
        self,
        pool: object,
        policy: object,
        seeds: Sequence[int],
        *,
        greedy: bool,
        generator: torch.Generator,
        batch_size: int,
        instructions: Sequence[Instruction] | None = None,
        reward: OutcomeReward | None = None,
    ) -> Iterator[list[EpisodeRecord]]:
        if self._killed_at == len(self.batches):
            raise KeyboardInterrupt
        self.batches.append(list(seeds))
        self.told.append(instructions)
        drawn = float(torch.rand((), generator=generator))
        made = [record(seed, confidence=1.0 if greedy else drawn) for seed in seeds]
        yield made if reward is None else [replace(one, proxy=drawn + i) for i, one in enumerate(made)]


def record(seed: int, *, confidence: float = 1.0) -> EpisodeRecord:
    success = seed % 3 != 0
    return EpisodeRecord(
        seed=seed,
        instructions=(f"put the {'red' if seed % 2 else 'blue'} block in the gray bowl",),
        pick_names=("red block",),
        place_names=("gray bowl",),
        success=success,
        return_=float(success),
        steps=1,
        failure=None if success else "wrong_object",
        confidence=confidence,
        pick=np.zeros((1, 2), dtype=np.int64),
        place=np.zeros((1, 2), dtype=np.int64),
        rotation=np.zeros(1, dtype=np.int64),
    )


def run(monkeypatch: pytest.MonkeyPatch, runner: FakeRunner, **changes: Any) -> EvaluationResult:
    monkeypatch.setattr(protocol, "run_episodes", runner)
    settings: dict[str, Any] = {
        **{"task": "put_block_in_bowl", "split": "seen", "phase": "test", "episodes": 10, "greedy": True},
        **{"batch_size": 4, "checkpoint": Checkpoint(name="policy.safetensors", sha256="ab")},
    }
    return evaluate(ANYTHING, ANYTHING, **{**settings, **changes})


def test_scenes_are_0_to_n_in_order_and_in_batches_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = FakeRunner()
    result = run(monkeypatch, runner, seed=7)
    assert runner.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [s.seed for s in result.scenes] == list(range(10))
    assert result.decoding == "greedy"
    # Failures: 0, 3, 6, 9.
    assert result.success is not None
    assert result.success.mean == 0.6
    assert result.failures == {"wrong_object": 4}


def test_scenes_can_begin_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = FakeRunner()
    result = run(monkeypatch, runner, first_scene=200, episodes=5)
    assert runner.batches == [[200, 201, 202, 203], [204]]
    assert [s.seed for s in result.scenes] == list(range(200, 205))


def test_a_killed_evaluation_goes_on_at_the_missing_batches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    partial = tmp_path / "partial.jsonl"
    whole = run(monkeypatch, FakeRunner(), greedy=False, seed=3)
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, FakeRunner(killed_at=2), greedy=False, seed=3, partial=partial)
    with partial.open("ab") as file:
        file.write(b'{"batch": "torn')  # the kill came in the middle of a line
    rest = FakeRunner()
    resumed = run(monkeypatch, rest, greedy=False, seed=3, partial=partial)
    assert rest.batches == [[8, 9]]
    assert resumed == whole  # the sampled confidences too
    again = FakeRunner()
    assert run(monkeypatch, again, greedy=False, seed=3, partial=partial) == whole
    assert again.batches == []


def test_more_episodes_reuse_only_batches_of_equal_composition(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    partial = tmp_path / "partial.jsonl"
    run(monkeypatch, FakeRunner(), episodes=6, partial=partial)
    runner = FakeRunner()
    run(monkeypatch, runner, episodes=8, partial=partial)
    assert runner.batches == [[4, 5, 6, 7]]  # [4, 5] was another batch


@pytest.mark.parametrize("change", [{"split": "unseen"}, {"batch_size": 5}, {"checkpoint": Checkpoint(name="other")}])
def test_another_evaluations_partial_results_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: dict[str, Any]
) -> None:
    partial = tmp_path / "partial.jsonl"
    run(monkeypatch, FakeRunner(), partial=partial)
    with pytest.raises(ResultFileError, match=next(iter(change))):
        run(monkeypatch, FakeRunner(), partial=partial, **change)


def test_a_foreign_file_of_partial_results_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    partial = tmp_path / "partial.jsonl"
    partial.write_text("not JSON\n")
    with pytest.raises(ResultFileError, match="JSON lines"):
        run(monkeypatch, FakeRunner(), partial=partial)
    partial.write_text(json.dumps({"format": "shopping_list"}) + "\n")
    with pytest.raises(ResultFileError, match="shopping_list"):
        run(monkeypatch, FakeRunner(), partial=partial)


def test_sampling_is_a_function_of_seed_and_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(monkeypatch, FakeRunner(), greedy=False, seed=0)
    assert run(monkeypatch, FakeRunner(), greedy=False, seed=0) == first
    other = run(monkeypatch, FakeRunner(), greedy=False, seed=1)
    assert [s.seed for s in other.scenes] == [s.seed for s in first.scenes]
    assert other.scenes[0].confidence != first.scenes[0].confidence
    assert first.scenes[0].confidence != first.scenes[4].confidence  # another batch, other draws


def test_lines_without_a_goal_run_but_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        InstructionLine(scene_seed=1, sentence="one", pick="red block", place="blue bowl"),
        InstructionLine(scene_seed=3, sentence="three", pick="red block", place="blue bowl"),
        InstructionLine(scene_seed=5, sentence="five", pick=None, place=None),
    ]
    runner = FakeRunner()
    result = run(monkeypatch, runner, instructions=lines)
    goal = Goal(pick="red block", place="blue bowl")
    assert runner.batches == [[1, 3, 5]]
    assert runner.told == [
        [
            Instruction(sentence="one", goal=goal),
            Instruction(sentence="three", goal=goal),
            Instruction(sentence="five", goal=None),
        ]
    ]
    assert [s.success for s in result.scenes] == [True, False, None]
    assert result.scenes[2].return_ is None
    assert result.scenes[2].pick is None
    assert result.success is not None
    assert result.success.mean == 0.5
    data = result.to_json()
    assert (data["episodes"], data["without_goal"]) == (3, 1)


def test_unknown_words_and_low_confidence_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(
        monkeypatch, FakeRunner(), unknown_words=lambda s: ("blue",) if "blue" in s else (), greedy=False, batch_size=1
    )
    assert result.unknown_words == {"blue": 5}
    assert result.low_confidence == sum(s.confidence < 0.5 for s in result.scenes)
    assert 0 < result.low_confidence < 10


def test_progress_counts_up(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Progress] = []
    run(monkeypatch, FakeRunner(), progress=seen.append)
    assert [(p.done, p.successes) for p in seen] == [(4, 2), (8, 5), (10, 6)]
    assert {p.total for p in seen} == {10}


def test_the_tries_of_a_scene_are_adjacent_and_its_result_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = FakeRunner()
    result = run(monkeypatch, runner, episodes=3, tries=2, greedy=False)
    assert runner.batches == [[0, 0, 1, 1], [2, 2]]  # 4 episodes beside each other: 2 scenes
    assert [(s.seed, s.successes, s.rate) for s in result.scenes] == [(0, 0, 0.0), (1, 2, 1.0), (2, 2, 1.0)]
    assert (result.tries, result.failures) == (2, {"wrong_object": 2})
    # Rates 0, 1, 1 resampled over scenes; Wilson's interval of 4 successes in 6 would pretend to 6 scenes.
    assert result.success == bootstrap_mean([0.0, 1.0, 1.0], seed=0)


def test_more_tries_than_fit_beside_each_other_come_in_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runner = FakeRunner()
    partial = tmp_path / "partial.jsonl"
    result = run(monkeypatch, runner, episodes=2, tries=6, greedy=False, partial=partial)
    assert runner.batches == [[0] * 4, [0] * 2, [1] * 4, [1] * 2]
    assert [(s.tries, s.successes) for s in result.scenes] == [(6, 0), (6, 6)]
    again = FakeRunner()
    assert run(monkeypatch, again, episodes=2, tries=6, greedy=False, partial=partial) == result
    assert again.batches == []
    with pytest.raises(ResultFileError, match="tries 6 instead of 3"):
        run(monkeypatch, again, episodes=2, tries=3, greedy=False, partial=partial)


class CountingPolicy:
    """Picks at random; notes how many pictures it was shown and how many samples of each were asked for."""

    def __init__(self) -> None:
        self.shown: list[tuple[tuple[str, ...], int | None]] = []

    def act(
        self,
        observation: Observation,
        *,
        greedy: bool = False,
        samples: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Decision:
        self.shown.append((tuple(observation.instruction), samples))
        shape = (len(observation.instruction),) if samples is None else (len(observation.instruction), samples)
        pixel = torch.randint(100, (*shape, 2), generator=generator)
        action = PickPlace(pick=pixel, place=pixel, rotation=pixel[..., 0])
        return Decision(action=action, log_prob=torch.zeros(shape), confidence=torch.ones(shape))


def test_what_a_reward_says_is_kept_of_every_try_and_survives_a_kill(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    judge = Judge(reward=ANYTHING, identity="reward 1")
    told: dict[str, Any] = {"greedy": False, "tries": 6, "episodes": 2, "judge": judge}
    whole = run(monkeypatch, FakeRunner(), **told)
    assert [len(scene.judged) for scene in whole.scenes] == [6, 6]
    assert len({one.proxy for scene in whole.scenes for one in scene.judged}) == 12
    assert [one.success for one in whole.scenes[1].judged] == [True] * 6
    partial = tmp_path / "partial.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, FakeRunner(killed_at=2), partial=partial, **told)
    rest = FakeRunner()
    assert run(monkeypatch, rest, partial=partial, **told) == whole
    assert len(rest.batches) == 2  # of four
    with pytest.raises(ResultFileError, match="judge"):
        run(monkeypatch, FakeRunner(), partial=partial, **{**told, "judge": Judge(reward=ANYTHING, identity="2")})


def test_a_scenes_first_picture_is_looked_at_once_for_all_tries_which_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, drawn = CountingPolicy(), []

    def two_steps(pool: object, policy: Policy, seeds: Sequence[int], **options: Any) -> Iterator[list[EpisodeRecord]]:
        seen = Observation(
            color=torch.zeros(len(seeds), 3, 2, 2, dtype=torch.uint8),
            height=torch.zeros(len(seeds), 2, 2),
            instruction=tuple(f"scene {seed}" for seed in seeds),
        )
        for _ in range(2):
            drawn.append(policy.act(seen, generator=options["generator"]).action.pick)
        yield [record(seed) for seed in seeds]

    monkeypatch.setattr(protocol, "run_episodes", two_steps)
    settings: dict[str, Any] = {"task": "t", "split": "seen", "phase": "test", "checkpoint": Checkpoint(name="p")}
    evaluate(ANYTHING, cast(Any, policy), episodes=2, greedy=False, tries=2, batch_size=4, **settings)
    first, second = policy.shown
    assert first == (("scene 0", "scene 1"), 2)
    assert second == (("scene 0", "scene 0", "scene 1", "scene 1"), None)  # by now the tries have come apart
    assert [tuple(d.shape) for d in drawn] == [(4, 2), (4, 2)]
    assert len({tuple(pixel.tolist()) for pixel in drawn[0]}) == 4


def test_several_greedy_tries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="several that are sampled; got 2, greedy"):
        run(monkeypatch, FakeRunner(), tries=2)


def test_nothing_to_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="at least one episode"):
        run(monkeypatch, FakeRunner(), episodes=0)
