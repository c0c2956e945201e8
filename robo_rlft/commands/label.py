"""`robo-rlft label`: ask a person, on a web page, or a simulated one, which of two attempts was better.

Attempts are those that `collect checkpoint=FILE tries=K` recorded. Answers are kept as they come, so the same command
goes on where it was stopped, however it was.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt
from rich.console import Console

from robo_rlft.apps.label import Films, LabelDesk, PageLabeler, deleted
from robo_rlft.commands.checks import RunArguments, check
from robo_rlft.commands.label_films import FilmMaker
from robo_rlft.commands.label_order import RANDOM, asked_before, check_order, digests, order_by
from robo_rlft.commands.process import sigterm_as_ctrl_c
from robo_rlft.commands.report import runs_of
from robo_rlft.commands.robots import is_real
from robo_rlft.commands.runs import CONFIG_FILE, RUN_FILE, Run, folder_for, open_run, read_config, read_run
from robo_rlft.config import Composed, ConfigError, UserError, build
from robo_rlft.data.episodes import read_episode
from robo_rlft.data.labels import FILE, Label, LabelLog, Question, attempts_digest
from robo_rlft.data.questions import SimulatedLabeler, Summary, pairs, questions

FILMS = "films"
_WAIT = 0.5  # seconds between two looks at whether the program is to stop
_LINGER = 2.0  # seconds for which the page stays when all is answered


@dataclass(frozen=True, kw_only=True)
class Arguments(RunArguments):
    """What `label` takes beside its groups; `from` is a word of Python's own."""

    mode: Literal["compare", "success"]
    questions: PositiveInt
    order: Literal["random", "disagreement"]
    reward_model: Path | None
    earlier: str | list[str] | None
    repeat_every: NonNegativeInt


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """The attempts of a run."""

    folder: Path
    summaries: dict[str, Summary]  # by the names of their files
    sentences: dict[str, tuple[str, ...]]
    unjudged: bool  # nobody said of some whether they succeeded

    @property
    def header(self) -> dict[str, str]:
        """What labels say of whose they are."""
        return {"episodes": str(self.folder), "digest": attempts_digest(self.folder)}


def check_config(composed: Composed) -> None:
    """Refuse whatever cannot work, before anything is built."""
    values = {key: value for key, value in composed.values.items() if key != "from"}
    check(Composed(**{**vars(composed), "values": values}), Arguments, ("labeler",))
    check_order(values)


def run(composed: Composed, console: Console) -> Path:
    """Ask until all is answered; return the folder with the labels."""
    check_config(composed)
    values = composed.values
    folders = runs_of(values["from"])
    if len(folders) != 1:
        raise UserError(f"from: expected one run, got {len(folders)}")
    attempts = read_attempts(folder := folders[0])
    labeler = build(values["labeler"], trust=composed.trust, path="labeler")
    way = "" if values["order"] == RANDOM else f"-{values['order']}"
    if attempts.unjudged and isinstance(labeler, SimulatedLabeler):
        raise UserError(
            f"labeler: nobody said whether the attempts in {folder} succeeded, so a simulated person knows nothing of "
            "them; expected labeler=page, or attempts that somebody judged"
        )
    name = f"label-{folder.name}-{values['mode']}{way}-{composed.choices['labeler']}-seed{values['seed']}"
    target = folder_for(values, name)
    config = {**values, "from": str(folder), **digests(values)}
    with open_run(
        target, command="label", config=config, overrides=composed.overrides, overwrite=values["overwrite"]
    ) as opened:
        if opened.finished:
            console.print(f"{target} is finished already; overwrite=true asks anew", markup=False)
            return target
        asked = ask_about(attempts, values, console, trust=composed.trust)
        with LabelLog(opened.path / FILE, **attempts.header, mode=values["mode"]) as log:
            if isinstance(labeler, SimulatedLabeler):
                simulate(log, asked, attempts, labeler, seed=values["seed"])
            else:
                _serve(composed, opened, console, labeler, log=log, asked=asked, attempts=attempts)
            labels = log.labels
        same, repeats = labels.agreement
        known = sum(label.known for label in labels.labels)
        opened.notes |= {"labels": len(labels.labels), "known": known, "agreed": same, "repeats": repeats}
    again = f"; of {repeats} asked again {same} were answered alike" if repeats else ""
    console.print(f"{len(labels.labels)} answers, {known} of them known, in {target}{again}", markup=False)
    return target


def read_attempts(folder: Path) -> Attempts:
    """Return what is known of the episodes in a folder.

    Raises:
        UserError: there is none, or they are not all there yet.
        EpisodeError: one cannot be read.
    """
    if (folder / RUN_FILE).exists() and read_run(folder).get("status") != "finished":
        raise UserError(f"from: {folder} is not finished, and what is asked would change; repeat its command first")
    summaries, sentences, unjudged = {}, {}, False
    for path in sorted(folder.glob("*.npz")):
        episode = read_episode(path)
        summaries[path.name] = Summary.of(path.name, episode)
        sentences[path.name] = episode.sentences
        unjudged |= episode.told_by == "nobody"
    if not summaries:
        raise UserError(
            f"from: expected episodes (*.npz) in {folder}, found none; `robo-rlft collect checkpoint=FILE tries=2` "
            "makes them"
        )
    return Attempts(folder=folder, summaries=summaries, sentences=sentences, unjudged=unjudged)


def ask_about(
    attempts: Attempts, values: Mapping[str, Any], console: Console, *, trust: Sequence[str] = ()
) -> list[Question]:
    """Return the questions about attempts.

    Raises:
        UserError: no two of them are of the same scene, or all were asked about before.
        RewardFileError: the reward that the questions are ordered by cannot be used for these attempts.
    """
    names = list(attempts.summaries)
    compared = values["mode"] == "compare"
    candidates = pairs(list(attempts.summaries.values())) if compared else [(name,) for name in names]
    if not candidates:
        raise UserError(
            f"from: expected several attempts at the same scene in {attempts.folder}, found none; collect them with "
            "tries=2 or more, or ask for mode=success"
        )
    before = asked_before(values, attempts.header["digest"])
    left = [names for names in candidates if frozenset(names) not in before]
    if not left:
        raise UserError(f"earlier: all {len(candidates)} questions were asked there; collect more attempts")
    return questions(
        left,
        count=values["questions"],
        seed=values["seed"],
        repeat_every=values["repeat_every"],
        order=order_by(values, attempts.folder, names, console, trust=trust),
    )


def simulate(
    log: LabelLog, asked: Sequence[Question], attempts: Attempts, labeler: SimulatedLabeler, *, seed: int
) -> None:
    """Answer every question that has no answer yet."""
    for question in asked:
        if log.get(question) is None:
            answer = labeler.answer(question, attempts.summaries, seed=seed)
            log.add(Label(question=question, answer=answer, labeler="simulated"))


def _serve(
    composed: Composed,
    opened: Run,
    console: Console,
    labeler: PageLabeler,
    *,
    log: LabelLog,
    asked: Sequence[Question],
    attempts: Attempts,
) -> None:
    try:
        from robo_rlft.apps.label_server import LabelPage
    except ImportError as error:
        raise UserError(f"the page needs what `pip install 'robo_rlft[label]'` installs ({error})") from error
    maker = FilmMaker(attempts.folder, config=_scenes(attempts.folder, composed.trust), trust=composed.trust)
    with (
        sigterm_as_ctrl_c(),
        closing(maker),
        closing(Films(opened.path / FILMS, maker, gone=deleted(log.labels))) as films,
    ):
        desk = LabelDesk(log=log, questions=asked, sentences=attempts.sentences, films=films)
        try:
            page = LabelPage(desk, port=labeler.port)
        except OSError as error:
            raise ConfigError(
                f"labeler.port: 127.0.0.1:{labeler.port} cannot be listened on ({error.strerror}); labeler.port=0 "
                "takes a free one"
            ) from error
        with page:
            console.print(f"open {page.url} in a browser on this machine; Ctrl-C stops", markup=False)
            while not desk.close():
                if desk.wait(_WAIT):
                    time.sleep(_LINGER)  # the reply reaches the page, and the last answer may still be taken back


def _scenes(folder: Path, trust: Sequence[str]) -> dict[str, Any] | None:
    """Return the config of a run whose scenes can be laid again; None for what a real robot, or nobody known, did."""
    config = read_config(folder) if (folder / CONFIG_FILE).exists() else {}
    if "task" not in config or is_real(config, trust=trust):
        return None
    return None if str(config["robot"]["_target_"]).startswith("robo_rlft.robots.") else config
