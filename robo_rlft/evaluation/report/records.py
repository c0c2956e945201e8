"""What a report shows, as plain data: arrays, numbers, sentences and the bytes of films.

Knows nothing of how a page looks, nor of policies and simulators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_rlft.evaluation.curves import Curve
from robo_rlft.evaluation.results import EvaluationResult

Results = Mapping[str, Mapping[str, EvaluationResult]]  # run or method -> split, as the report names it


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """How much each place of the picture looks like a phrase, to CLIP."""

    phrase: str
    cosine: npt.NDArray[np.floating[Any]]  # (H, W), [-1, 1]


@dataclass(frozen=True, kw_only=True)
class StepView:
    """One action of an episode: what was asked, seen, thought and done."""

    instruction: str
    color: npt.NDArray[np.uint8]  # (H, W, 3), RGB, rows along y
    pick: tuple[int, int]  # pixel (row, column)
    place: tuple[int, int]
    turn: float  # radians, counter-clockwise
    progress: float | None  # by how much it grew; None without a goal
    pick_probability: npt.NDArray[np.floating[Any]] | None = None  # (H, W), sums to 1; None for a policy without maps
    place_probability: npt.NDArray[np.floating[Any]] | None = None  # (H, W), given the pick, summed over rotations
    similarities: tuple[Similarity, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PolicyView:
    """What one policy makes of a scene, and what came of it."""

    pick_probability: npt.NDArray[np.floating[Any]]  # (H, W), sums to 1
    place_probability: npt.NDArray[np.floating[Any]]  # (H, W), given the pick, summed over rotations
    similarities: tuple[Similarity, ...]  # the same phrases, in the same order, for both policies
    pick: tuple[int, int]  # pixel (row, column) of the first action
    place: tuple[int, int]
    success: bool | None  # None without a goal
    failure: str | None
    confidence: float
    film: bytes | None = None  # an MP4 file of the whole episode
    later: tuple[StepView, ...] = ()  # the actions after the first


@dataclass(frozen=True, kw_only=True)
class SceneComparison:
    """One scene and sentence, before and after."""

    title: str  # "unseen, scene 17"
    instruction: str
    color: npt.NDArray[np.uint8]  # (H, W, 3), RGB, rows along y
    before: PolicyView
    after: PolicyView
    split: str = ""


@dataclass(frozen=True, kw_only=True)
class EpisodeView:
    """One episode of one run, shown whole."""

    run: str
    split: str
    seed: int  # the scene's
    kind: str | None  # of failure, or "success"; None where success is unknown
    steps: tuple[StepView, ...]
    film: bytes | None = None  # an MP4 file
    starts: tuple[float, ...] = ()  # seconds of the film at which the steps begin
    shown: str | None = None  # what the episode that is shown came to, where that is something else than `kind`


@dataclass(frozen=True, kw_only=True)
class FailureCounts:
    """How often each kind of failure came on one split."""

    split: str
    episodes: Mapping[str, int]  # of each run
    kinds: Mapping[str, Mapping[str, int]]  # run -> kind -> count


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
    table: Mapping[str, Any]  # as `tables.build_table`, `aggregate_seeds` or `results_table` returns it
    methods: Mapping[str, str]  # method -> what it is, in a few words
    before: str  # the method called "before" in comparisons, and the base of differences: "bc"
    after: str  # "rl"
    figures: tuple[LearningFigure, ...] = ()
    scenes: tuple[SceneComparison, ...] = ()
    failures: tuple[FailureCounts, ...] = ()
    results: Results = field(default_factory=dict)  # for the tables by words and the list of scenes
    episodes: tuple[EpisodeView, ...] = ()  # the most telling first: the last ones go where the page grows too large
    notes: tuple[str, ...] = ()  # as `doubts` returns them
    facts: tuple[tuple[str, str], ...] = ()  # name and value: command, commit, seeds, versions, times
    config: str = ""  # the resolved config
