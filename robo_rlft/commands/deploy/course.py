"""What a deployed policy decides for a sentence, and what the sentence came to: the data of a live session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from robo_rlft.commands.deploy.figure import PlanMaps
from robo_rlft.language.phrases import find_phrases
from robo_rlft.policies.transporter import TransporterPolicy
from robo_rlft.records import Observation
from robo_rlft.robots.acting import Seen
from robo_rlft.robots.plan import Plan, PlannedPixels, make_plan
from robo_rlft.robots.primitives import PickAndPlace

RESULTS = "results.json"
FORMAT, FORMAT_VERSION = "robo_rlft.deploy", 1


@dataclass(kw_only=True)
class Course:
    """What one sentence came to."""

    number: int
    sentence: str
    scene: int | None  # seed of a simulated scene
    outcome: str = ""  # "done", "failed", "not judged", "declined", "refused", "dry run", "no picture", "stopped"
    detail: str = ""
    success: bool | None = None
    failure: str | None = None  # one of FAILURES
    confidence: float | None = None  # the policy's, at the last decision
    progress: float | None = None  # of a simulated task, in the end
    attempts: list[dict[str, Any]] = field(default_factory=list)  # plan, picture, and what came of it
    episode: str | None = None  # the file, relative to the run's folder


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What a policy wants to do."""

    pixels: PlannedPixels
    plan: Plan
    maps: PlanMaps
    confidence: float  # [0, 1]


def decide(policy: TransporterPolicy, sentence: str, seen: Seen, primitive: PickAndPlace) -> Decided:
    """Return the policy's likeliest action for a sentence, as a plan for the primitive."""
    color, height = (torch.from_numpy(array.copy()) for array in (seen.color.transpose(2, 0, 1), seen.height))
    observation = Observation(color=color, height=height, instruction=sentence)
    encoded = policy.encode(observation)
    decision = policy.act(observation, greedy=True, encoded=encoded)
    maps = policy.maps(observation, decision.action.pick, encoded=encoded)
    values = [int(value) for value in decision.action.to_array()]
    pixels = PlannedPixels(
        pick=(values[0], values[1]), place=(values[2], values[3]), rotation=values[4], rotations=policy.rotations
    )
    plan = make_plan(pixels, sentence=sentence, height=seen.height, workspace=policy.workspace, primitive=primitive)
    return Decided(
        pixels=pixels,
        plan=plan,
        maps=PlanMaps(pick=maps.pick.numpy(), place=maps.place[pixels.rotation].numpy()),
        confidence=float(decision.confidence),
    )


def unknown_words(policy: TransporterPolicy, sentence: str) -> tuple[str, ...]:
    """Return the words of a sentence's noun phrases that the policy's encoder never learned."""
    ask = getattr(policy.encoder, "unknown_words", None)
    phrases = find_phrases(sentence)
    return () if ask is None else tuple(dict.fromkeys((*ask(phrases.pick), *ask(phrases.place))))
