"""`robo-rlft evaluate`: how often a policy succeeds on held-out scenes and sentences."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt
from rich.console import Console

from robo_rlft.commands.checks import Phase, RunArguments, check
from robo_rlft.commands.console import ProgressLine
from robo_rlft.commands.environment import GROUPS, PROVIDED, environment_factory
from robo_rlft.commands.live import LiveArguments, acts_live, check_live, live_factory, live_place
from robo_rlft.commands.policies import (
    BASELINES,
    ORACLE,
    POLICY_GROUPS,
    POLICY_PROVIDED,
    Candidate,
    candidate,
    file_sha256,
)
from robo_rlft.commands.process import prepare, sigterm_as_ctrl_c
from robo_rlft.commands.rewards import build_reward, pays_at_the_end
from robo_rlft.commands.runs import Run, folder_for, open_run
from robo_rlft.config import Composed, ConfigError, build, target_class
from robo_rlft.config.errors import did_you_mean
from robo_rlft.env import EnvState, Place
from robo_rlft.evaluation.best_of_n import best_of_n, kl_of_best
from robo_rlft.evaluation.instructions import InstructionLine, read_instructions
from robo_rlft.evaluation.protocol import Checkpoint, Judge, Progress, evaluate, scene_result
from robo_rlft.evaluation.report import doubts
from robo_rlft.evaluation.results import EvaluationResult, read_results, write_results
from robo_rlft.language.instruction import InstructionError
from robo_rlft.language.phrases import find_phrases
from robo_rlft.models.clip import ClipEncoder
from robo_rlft.rollout.episode import Episode, EpisodeRecord
from robo_rlft.rollout.pool import EnvPool
from robo_rlft.tasks.task import TaskError, named

RESULTS, PARTIAL = "results.json", "partial.jsonl"
TOLD_BY = {
    "person": "a person",
    "simulated": "a simulated person",
    "classifier": "a learned classifier",
    "nobody": "nobody",
}


@dataclass(frozen=True, kw_only=True)
class Arguments(RunArguments, LiveArguments):
    """What `evaluate` takes beside its groups."""

    checkpoint: str | None
    split: str
    phase: Phase
    episodes: PositiveInt
    first_scene: NonNegativeInt
    decoding: Literal["greedy", "sampled"]
    tries: PositiveInt
    batch_size: PositiveInt
    rotations: PositiveInt


def check_config(composed: Composed) -> None:
    """Refuse whatever cannot work, before anything is built."""
    check(composed, Arguments, (*GROUPS, "demonstrator", *POLICY_GROUPS), provided={*PROVIDED, *POLICY_PROVIDED})
    name = composed.values["checkpoint"]
    if name is not None and name not in BASELINES and "/" not in name and "." not in name and not Path(name).exists():
        hint = did_you_mean(name, BASELINES)
        raise ConfigError(f"checkpoint: expected a policy file or one of {', '.join(BASELINES)}, got '{name}'{hint}")
    tries = composed.values["tries"]
    if tries > 1 and composed.values["decoding"] == "greedy":
        raise ConfigError(
            f"tries: expected 1 with decoding=greedy, since the most probable action is the same every time; "
            f"got {tries}; add decoding=sampled"
        )
    if tries > 1 and name == ORACLE:
        raise ConfigError(f"tries: a demonstrator shows every scene once, its mistakes too; got {tries}")
    if composed.values["instructions"] is not None and composed.values["first_scene"] != 0:
        raise ConfigError("first_scene: lines of instructions=FILE name their own scenes; leave it out")
    check_live(composed, judged=True)
    if acts_live(composed) and tries > 1:
        raise ConfigError(f"tries: on a table no scene comes back; expected 1, got {tries}")
    if name == ORACLE and composed.values["instructions"] is not None:
        raise ConfigError("checkpoint=oracle knows the task's own goals only; leave instructions= out")
    if name == ORACLE and composed.values["reward"].get("model") is not None:
        raise ConfigError("reward: a learned one judges what a policy tries; leave it out with checkpoint=oracle")


def run(composed: Composed, console: Console) -> Path:
    """Evaluate; return the folder with `results.json`."""
    check_config(composed)
    values = composed.values
    prepare(values)
    chosen = candidate(composed)
    lines = _instructions(composed)
    folder = folder_for(values, _default_name(composed, chosen.checkpoint))
    with open_run(
        folder, command="evaluate", config=values, overrides=composed.overrides, overwrite=values["overwrite"]
    ) as opened:
        if opened.finished:
            console.print(f"{folder} is finished already; overwrite=true evaluates anew", markup=False)
            result = read_results(folder / RESULTS)
            _refuse_stale(result, chosen.checkpoint, lines, folder)
        else:
            result = _evaluate(composed, chosen, lines, opened, console)
            write_results(result, folder / RESULTS)
            (folder / PARTIAL).unlink(missing_ok=True)
    _tell(result, folder, console)
    return folder


def _default_name(composed: Composed, checkpoint: Checkpoint) -> str:
    values = composed.values
    which = checkpoint.name if checkpoint.sha256 is None else checkpoint.sha256[:8]
    return f"evaluate-{composed.choices['task']}-{which}-{values['split']}-{values['phase']}-seed{values['seed']}"


def _instructions(composed: Composed) -> tuple[InstructionLine, ...] | None:
    """Return the user's own sentences, all of them checked before the first is run."""
    values = composed.values
    if values["instructions"] is None or acts_live(composed):  # a table's are said as its scenes come
        return None
    path = Path(str(values["instructions"]))
    lines = read_instructions(path)
    task = build(values["task"], trust=composed.trust, path="task", rotations=values["rotations"])
    for line in lines:
        try:
            find_phrases(line.sentence)
            if line.pick is not None and line.place is not None:
                layout = task.scene(split=values["split"], phase=values["phase"], seed=line.scene_seed)
                named(layout, line.pick), named(layout, line.place)
        except (InstructionError, TaskError) as error:
            raise ConfigError(f"{path}, scene {line.scene_seed}, {line.sentence!r}: {error}") from error
    return lines


def _refuse_stale(
    result: EvaluationResult, checkpoint: Checkpoint, lines: tuple[InstructionLine, ...] | None, folder: Path
) -> None:
    """Refuse to pass off an earlier evaluation for one of a file that has changed since."""
    told = None if lines is None else [(x.scene_seed, x.sentence, x.pick, x.place) for x in lines]
    changed = "checkpoint" if result.checkpoint_sha256 != checkpoint.sha256 else None
    if told is not None and told != [(s.seed, s.instruction, s.pick, s.place) for s in result.scenes]:
        changed = "instructions"
    if changed is not None:
        raise ConfigError(
            f"{changed}: the file has changed since {folder} was made with it; run=NAME makes another run, "
            "overwrite=true moves this one aside"
        )


def _evaluate(
    composed: Composed,
    chosen: Candidate,
    lines: tuple[InstructionLine, ...] | None,
    opened: Run,
    console: Console,
) -> EvaluationResult:
    values = composed.values
    grid: Any = {"workspace": chosen.workspace, "rotations": chosen.rotations}
    live = acts_live(composed)
    if live:
        place = live_place(composed)
        make_env: Any = live_factory(composed, folder=opened.path, console=console, **grid)
    else:
        task = str(target_class(str(values["task"]["_target_"]), trust=composed.trust).name)
        place = Place(task=task, split=values["split"], phase=values["phase"])
        make_env = environment_factory(values, trust=composed.trust, **grid)
    title = f"evaluate {chosen.checkpoint.name} on {values['split']}"
    with (
        sigterm_as_ctrl_c() if live else nullcontext(),
        EnvPool(make_env=make_env, workers=values["workers"]) as pool,
        ProgressLine(console, title, keep=False) as line,
    ):
        if chosen.checkpoint.name == ORACLE:
            return _demonstrate(composed, place.task, pool, line)

        def progress(state: Progress) -> None:
            success = f"success {state.successes / state.scored:.2f}" if state.scored else "success unknown"
            line.update(state.done, state.total, success)

        encoder = getattr(chosen.policy, "encoder", None)
        known = {"unknown_words": _unknown_words(encoder)} if isinstance(encoder, ClipEncoder) else {}
        return evaluate(
            pool,
            chosen.policy,
            task=place.task,
            split=place.split,
            phase=place.phase,
            episodes=values["episodes"],
            first_scene=values["first_scene"],
            greedy=values["decoding"] == "greedy",
            batch_size=1 if live else values["batch_size"],
            checkpoint=chosen.checkpoint,
            seed=values["seed"],
            tries=values["tries"],
            instructions=lines,
            judge=None if live else _judge(composed, chosen),  # there it says what succeeded
            partial=opened.path / PARTIAL,
            progress=progress,
            **known,
        )


def _judge(composed: Composed, chosen: Candidate) -> Judge | None:
    """Return the learned reward that says of each try what it would pay; None where the environments pay."""
    reward = build_reward(composed, workspace=chosen.workspace, rotations=chosen.rotations, policy=chosen.policy)
    if not pays_at_the_end(reward):
        return None
    return Judge(reward=reward, identity=json.dumps(_with_hashes(composed.values["reward"]), sort_keys=True))


def _with_hashes(node: Any) -> Any:
    """Return a reward's node with the hashes of its files in place of their names."""
    if not isinstance(node, Mapping):
        return node
    return {
        key: file_sha256(Path(str(value))) if key == "model" and value is not None else _with_hashes(value)
        for key, value in node.items()
    }


def _unknown_words(encoder: ClipEncoder) -> Callable[[str], tuple[str, ...]]:
    """Return what names the words of a sentence's noun phrases that the encoder does not know."""

    def unknown(sentence: str) -> tuple[str, ...]:
        phrases = find_phrases(sentence)
        return tuple(dict.fromkeys(encoder.unknown_words(phrases.pick) + encoder.unknown_words(phrases.place)))

    return unknown


def _demonstrate(composed: Composed, task: str, pool: EnvPool, line: ProgressLine) -> EvaluationResult:
    """Evaluate the demonstrator itself."""
    values = composed.values
    demonstrator = build(values["demonstrator"], trust=composed.trust, path="demonstrator")
    total, size = int(values["episodes"]), int(values["batch_size"])
    scenes = range(int(values["first_scene"]), int(values["first_scene"]) + total)
    records: list[EpisodeRecord] = []
    for begin in range(0, total, size):
        seeds = list(scenes[begin : begin + size])
        starts = [start.state for start in pool.reset(seeds)]
        done = pool.demonstrate(seeds, demonstrator)
        records += [_record(episode, state) for episode, state in zip(done, starts, strict=True)]
        line.update(len(records), total, f"success {sum(r.success for r in records) / len(records):.2f}")
    return EvaluationResult(
        task=task,
        split=values["split"],
        phase=values["phase"],
        decoding=values["decoding"],
        checkpoint=ORACLE,
        checkpoint_sha256=None,
        scenes=tuple(scene_result(record) for record in records),
    )


def _record(episode: Episode, start: EnvState) -> EpisodeRecord:
    return EpisodeRecord(
        seed=episode.seed,
        instructions=start.sentences,
        pick_names=tuple(goal.pick for goal in start.goals),
        place_names=tuple(goal.place for goal in start.goals),
        success=episode.success,
        return_=float(episode.rewards.sum()),
        steps=episode.steps,
        failure=episode.failure,
        confidence=1.0,
        pick=episode.pick,
        place=episode.place,
        rotation=episode.rotation,
    )


def _count(result: EvaluationResult) -> str:
    number = len(result.scored)
    return f"{number} episodes" if result.tries == 1 else f"{number} scenes, {result.tries} tries of each"


def _tell(result: EvaluationResult, folder: Path, console: Console) -> None:
    success = result.success
    if success is None:
        console.print(f"success unknown: no sentence came with a goal; {len(result.scenes)} were run", markup=False)
    else:
        console.print(
            f"{result.checkpoint} on {result.split}: success {success.mean:.3f} "
            f"({success.low:.3f} to {success.high:.3f}), {_count(result)}, {result.decoding}"
            + ("" if result.told_by == "task" else f", as told by {TOLD_BY[result.told_by]}"),
            markup=False,
        )
    judged = [scene.judged for scene in result.scored if scene.judged]
    if judged:
        best = [best_of_n([t.proxy for t in tried], [t.success for t in tried], result.tries) for tried in judged]
        console.print(
            f"the best of {result.tries} by the learned reward: success {sum(best) / len(best):.3f}, "
            f"{kl_of_best(result.tries):.2f} nats from the policy",
            markup=False,
        )
    for note in doubts({result.checkpoint: [result]}):
        console.print(f"note: {note}", markup=False)
    console.print(f"results: {folder / RESULTS}", markup=False)
