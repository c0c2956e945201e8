"""The whole loop: roll out, answer at the page's own addresses, learn a reward, fine-tune on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from robo_rlft.commands.cli import main
from robo_rlft.commands.policies import file_sha256
from robo_rlft.commands.runs import read_run
from robo_rlft.data.comparisons import Attempts
from robo_rlft.data.episodes import read_episode
from robo_rlft.data.labels import read_labels
from robo_rlft.geometry import Workspace
from robo_rlft.models.clip import ClipEncoder
from robo_rlft.policies.io import load_policy, save_policy
from robo_rlft.policies.random import zero_shot_policy
from robo_rlft.rewards.learned import load_reward
from tests.commands.test_label import PATIENCE, Server, servers  # noqa: F401  # a fixture
from tests.commands.test_train import column

SCENES, TRIES = 10, 4
TASK = ["task=put_block_in_bowl", "task.blocks=1", "threads=1"]
REWARD = [
    "algorithm=reward_model",
    "algorithm.max_steps=60",
    "algorithm.data.steps_per_epoch=20",
    "algorithm.reward.judges.members=2",
    "algorithm.reward.judges.width=8",
]
RLOO = [
    "algorithm=rloo",
    "algorithm.iterations=2",
    "algorithm.data.scenes=4",
    "algorithm.data.samples=4",
    "algorithm.data.credit=episode",
    "logger=csv",
]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def returns(stem: str) -> float:
    return read_episode(Path("tries") / f"{stem}.npz").return_


def answer_all(server: Server) -> int:
    """Answer as a person would who sees what became of every attempt; return how often one was better."""
    decided, state = 0, server.state()
    while state["question"] is not None:
        left, right = (returns(stem) for stem in state["films"])  # type: ignore[attr-defined]
        decided += abs(left - right) > 1e-6
        answer = "same" if abs(left - right) <= 1e-6 else "left" if left > right else "right"
        state = server.answer(state["question"], answer)
    return decided


def right_order(reward: Path) -> float:
    """Return how often a reward puts two attempts in the order in which they were answered."""
    model = load_reward(reward)
    right = []
    for label in read_labels(Path("labels")).labels:
        if label.answer in ("left", "right"):
            seen = Attempts.of([read_episode(Path("tries") / name) for name in label.question.episodes])
            with torch.no_grad():
                left, other = model.score(model.see(seen.first), model.see(seen.last), seen.scripts).mean(dim=0)
            right.append((left > other) == (label.answer == "left"))
    return sum(map(bool, right)) / len(right)


@pytest.mark.slow
def test_from_rollouts_over_answers_and_a_reward_to_a_finer_policy(servers: list[Server]) -> None:  # noqa: F811
    start = Path("start.safetensors")
    save_policy(zero_shot_policy(encoder=ClipEncoder(), workspace=Workspace(), rotations=4), start, metadata={})

    told = [f"checkpoint={start}", f"episodes={SCENES}", f"tries={TRIES}"]
    assert main(["collect", *TASK, *told, "output=tries"]) == 0
    worth = [returns(path.stem) for path in sorted(Path("tries").glob("*.npz"))]
    assert len(worth) == SCENES * TRIES and max(worth) > min(worth)

    servers.append(server := Server("questions=60", "repeat_every=0"))
    decided = answer_all(server)
    assert server.process.wait(timeout=PATIENCE) == 0
    notes = read_run(Path("labels"))["notes"]
    assert (notes["labels"], notes["known"]) == (60, 60) and decided >= 10

    assert main(["train", *TASK, *REWARD, "data=labels", "output=reward"]) == 0
    assert right_order(Path("reward/reward.safetensors")) > 0.8

    learned = ["reward=preference", "reward.model=reward/reward.safetensors"]
    assert main(["train", *TASK, *RLOO, *learned, f"init={start}", "output=finer"]) == 0
    paid = [float(value) for value in column(Path("finer"), "reward/preference") if value]
    assert len(paid) == 2 and all(-3.0 <= value <= 3.0 for value in paid)
    before, after = (load_policy(path).state_dict() for path in (start, Path("finer/policy.safetensors")))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and not any(name.startswith("encoder.") for name in moved)
    again = [f"checkpoint={Path('finer/policy.safetensors')}", "episodes=2", "tries=2", "seed=1"]
    assert main(["collect", *TASK, *again, "output=finer_tries"]) == 0
    for path in Path("finer_tries").glob("*.npz"):
        assert read_episode(path).policy_sha256 == file_sha256(Path("finer/policy.safetensors"))
