"""RL is paid by weighted sums of rewards, by the command line; every term is in the run's metrics."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from robo_rlft.commands.cli import main
from robo_rlft.geometry import Workspace
from robo_rlft.models.clip import ClipEncoder
from robo_rlft.models.outcomes import Judges
from robo_rlft.records import Observation
from robo_rlft.rewards.learned import LearnedReward, save_reward
from tests.commands.test_train import RLOO

SUM = [*RLOO, "algorithm.data.credit=episode", "algorithm.iterations=2", "reward=sum", "run=rl"]
PROGRESS = ["+reward@reward.terms.done=progress", "reward.weights.done=0.5"]
SIMILARITY = ["+reward@reward.terms.similarity=similarity", "reward.weights.similarity=2.0"]


class EachStep:
    """A reward of a user's own: 3 for every step."""

    def __call__(
        self, *, before: float, after: float, observation: Observation | None, final: Observation | None
    ) -> dict[str, float]:
        return {"three": 3.0}


OWN = [
    "trust=[tests.commands.test_train_rewards.EachStep]",
    "+reward.terms.steps={_target_: tests.commands.test_train_rewards.EachStep}",
    "reward.weights.steps=0.25",
]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def learned() -> list[str]:
    """A reward that was made up, as the term `preference`."""
    torch.manual_seed(0)
    reward = LearnedReward(
        encoder=ClipEncoder(pretrained=None),
        judges=Judges(members=2, width=4),
        workspace=Workspace(pixel_size=0.025),
    )
    save_reward(reward, Path("reward.safetensors"), metadata={})
    option = "+reward@reward.terms.preference=preference"
    return [option, "reward.terms.preference.model=reward.safetensors", "reward.weights.preference=1.0"]


def rows() -> list[dict[str, float]]:
    """What was logged of each iteration."""
    with Path("runs/rl/metrics.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def test_rl_is_paid_the_weighted_sum_of_all_terms_which_are_logged_as_they_are() -> None:
    assert main(["train", *SUM, *PROGRESS, *OWN, *SIMILARITY, *learned()]) == 0
    told = [row for row in rows() if "rollout/episodic_return" in row]
    assert len(told) == 2
    for row in told:
        done, similarity, preference = (row[f"reward/{name}"] for name in ("done", "similarity", "preference"))
        assert preference != 0.0 and similarity != 0.0
        assert row["reward/steps"] == 3.0  # episodes of this task have one step
        expected = 0.5 * done + 0.75 + 2.0 * similarity + preference
        assert row["rollout/episodic_return"] == pytest.approx(expected, abs=1e-6)


def test_what_pays_steps_alone_can_be_credited_by_states() -> None:
    only = [o for o in SUM if "credit" not in o and "iterations" not in o]
    assert main(["train", *only, "algorithm.iterations=1", "algorithm.data.credit=state", *PROGRESS]) == 0
    assert "reward/done" in rows()[0]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ([], "at least one term; add +reward@reward.terms.NAME=OPTION"),
        (PROGRESS[:1], "got none for done; add weights.done=1.0"),
        ([*PROGRESS, "reward.weights.other=1.0"], "expected weights of done, which are the terms; got one of other"),
        ([PROGRESS[0], "reward.weights.done=nan"], "a finite number as weights.done, got nan"),
        ([PROGRESS[0], "reward.weights.done=much"], "reward.weights: expected a mapping"),
        ([*PROGRESS, "+reward@reward.terms.x=preference"], "reward.terms.x.model: expected a path, got null"),
        ([*PROGRESS, "reward.terms.done.power=2"], "train has no 'reward.terms.done.power'"),
        ([*PROGRESS, *SIMILARITY, "algorithm.data.credit=state"], "expected algorithm.data.credit=episode or to_go"),
    ],
)
def test_a_sum_that_cannot_be_is_refused(told: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *SUM, *told]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
