"""Where a live episode's scene and its judgement come from: a person at the table, a simulated one, a learned reward.

The parts of `robo_rlft.live` that know persons, tasks and rewards. A person is asked at the terminal or on a page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from robo_rlft.apps.ask import AskPage, Choice
from robo_rlft.commands.deploy.prompts import END, NO, YES, ConsoleOperator
from robo_rlft.commands.deploy.scenes import TaskScenes
from robo_rlft.commands.live_episode import REAL_PHASE, REAL_SPLIT, REAL_TASK
from robo_rlft.config import ConfigError
from robo_rlft.env import SUCCESS, Place
from robo_rlft.language.phrases import find_phrases
from robo_rlft.live import Laid
from robo_rlft.records import Observation, stack
from robo_rlft.rewards.paid_at_end import SuccessReward
from robo_rlft.tasks.task import Goal

STOPPED = "stopped by the person at the table; the same command goes on"


class Person(Protocol):
    """Whoever stands at the table."""

    def ready(self, question: str) -> None:
        """Wait until what is asked for is done; raises KeyboardInterrupt where the person wants to stop."""

    def done(self, sentence: str, *, before: Observation, after: Observation) -> bool:
        """Tell whether a sentence was done; likewise."""

    def close(self) -> None:
        """Leave the person alone; safe to call twice."""


def as_picture(seen: Observation) -> npt.NDArray[np.uint8]:
    """Return an observation's colours for people, (H, W, 3) uint8."""
    picture: npt.NDArray[np.uint8] = seen.color.permute(1, 2, 0).contiguous().numpy()
    return picture


class ConsolePerson:
    """The person at the terminal."""

    def __init__(self, operator: ConsoleOperator, *, mend: str) -> None:
        """Make one.

        Args:
            operator: who types.
            mend: what to do where nobody is at a terminal, in words.

        Raises:
            ConfigError: nobody is.
        """
        if not operator.present:
            raise ConfigError(f"a person is to be asked, and standard input is not a terminal: {mend}")
        self._operator = operator

    def ready(self, question: str) -> None:
        """Ask for Enter."""
        self._asked(f"{question} Enter goes on, q stops:", {"": True} | dict.fromkeys(YES, True))

    def done(self, sentence: str, *, before: Observation, after: Observation) -> bool:
        """Ask until the answer is yes, no or stop."""
        answers = dict.fromkeys(YES, True) | dict.fromkeys(NO, False)
        return self._asked(f"was it done: {sentence!r}? [yes/no, q stops]", answers)

    def close(self) -> None:
        """Do nothing."""

    def _asked(self, question: str, answers: Mapping[str, bool]) -> bool:
        """Ask until the answer is one; what was typed before the question is none."""
        asked = question
        while True:
            typed = self._operator.fresh_line(asked)
            if typed is None or typed.lower() in END:
                raise KeyboardInterrupt(STOPPED)
            if typed.lower() in answers:
                return answers[typed.lower()]
            asked = f"{typed!r} is no answer here. {question}"


class PagePerson:
    """The person at a page of this machine."""

    _STOP = Choice("stop", "stop here", "q")
    _READY = (Choice("ready", "ready", "Enter"), _STOP)
    _DONE = (Choice("yes", "done", "y"), Choice("no", "not done", "n"), _STOP)

    def __init__(self, page: AskPage) -> None:
        self._page = page

    def ready(self, question: str) -> None:
        """Ask for a click."""
        if self._page.ask(question, self._READY) == "stop":
            raise KeyboardInterrupt(STOPPED)

    def done(self, sentence: str, *, before: Observation, after: Observation) -> bool:
        """Show what was seen before and after, and ask."""
        pictures = [("before", as_picture(before)), ("after", as_picture(after))]
        said = self._page.ask(f"Was it done: {sentence!r}?", self._DONE, pictures=pictures)
        if said == "stop":
            raise KeyboardInterrupt(STOPPED)
        return said == "yes"

    def close(self) -> None:
        """Close the page."""
        self._page.close()


class PersonJudge:
    """Asks a person."""

    name = "person"

    def __init__(self, person: Person) -> None:
        self._person = person

    def __call__(self, sentence: str, *, line: int, before: Observation, after: Observation) -> bool:
        """Return the person's word."""
        return self._person.done(sentence, before=before, after=after)


class SimulatedJudge:
    """Sees a simulated table as it is, as a person would, and errs now and then."""

    name = "simulated"

    def __init__(self, scenes: TaskScenes, *, noise: float, seed: int) -> None:
        self._scenes, self._noise, self._seed = scenes, noise, seed

    def __call__(self, sentence: str, *, line: int, before: Observation, after: Observation) -> bool:
        """Return whether the task says that the sentence is done, or with probability `noise` the opposite."""
        layout, poses = self._scenes.layout, self._scenes.poses()
        task = self._scenes.task
        done = task.progress(layout, poses) > SUCCESS or task.line(layout, poses) > line
        entropy = (self._seed, self._scenes.number, line, *after.color.flatten()[:: after.color.numel() // 64].tolist())
        return bool(done != (np.random.default_rng(entropy).random() < self._noise))


class ClassifierJudge:
    """Asks a learned classifier."""

    name = "classifier"

    def __init__(self, reward: SuccessReward) -> None:
        self._reward = reward

    def __call__(self, sentence: str, *, line: int, before: Observation, after: Observation) -> bool:
        """Return whether even the least sure member thinks it likely enough."""
        first, last = stack([before]), stack([after])
        told = self._reward.outcomes(first=first, last=last, scripts=[(sentence,)])
        return float(sum(told.values())) > self._reward.threshold


class SimulatedTable:
    """A simulated table that a task lays: a new scene for each number, never the same twice."""

    def __init__(self, scenes: TaskScenes) -> None:
        self._scenes = scenes
        self.place = Place(task=scenes.task.name, split=scenes.split, phase=scenes.phase)

    def lay(self, number: int) -> Laid:
        """Lay the scene of a seed."""
        self._scenes.lay(number)
        layout = self._scenes.layout
        return Laid(sentences=layout.sentences, goals=layout.goals, max_steps=self._scenes.task.max_steps)

    def close(self) -> None:
        """Do nothing."""


class RealTable:
    """A table that a person lays, or that stays as the last episode left it."""

    def __init__(self, sentences: Sequence[str], *, person: Person | None, ask: bool) -> None:
        """Make one.

        Args:
            sentences: of which each episode has one, those of successive numbers in turn.
            person: who is asked; None where nobody is.
            ask: ask for the table to be laid before each episode.
        """
        self.place = Place(task=REAL_TASK, split=REAL_SPLIT, phase=REAL_PHASE)
        self._sentences = tuple(sentences)
        self._person, self._ask = person, ask

    def lay(self, number: int) -> Laid:
        """Take the episode's sentence, and have the table laid for it where a person is asked."""
        sentence = self._sentences[number % len(self._sentences)]
        phrases = find_phrases(sentence)
        if self._ask and self._person is not None:
            self._person.ready(f"Lay the table for {sentence!r}.")
        goal = Goal(pick=phrases.pick, place=phrases.place)
        return Laid(sentences=(sentence,), goals=(goal,), max_steps=1)

    def close(self) -> None:
        """Leave the person alone."""
        if self._person is not None:
            self._person.close()
