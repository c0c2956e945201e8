import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from robo_rlft import load_policy
from robo_rlft.commands.policies import shipped_policy
from robo_rlft.language.instruction import InstructionError
from robo_rlft.records import Observation, stack
from robo_rlft.rollout.pool import EnvPool
from robo_rlft.rollout.running import run_episodes
from tests.simulated import env_factory, make_env

SCENES = range(12)
PROGRAM = """
import json, sys
from tests.test_shipped_policy import play
json.dump(play(workers=0), sys.stdout)
"""


def play(*, workers: int, split: str = "seen") -> list[object]:
    """Return what the shipped policy did on a few validation scenes, as plain values."""
    torch.set_num_threads(1)
    policy = load_policy(shipped_policy())
    with EnvPool(make_env=env_factory(phase="val", split=split), workers=workers) as pool:
        batches = list(run_episodes(pool, policy, SCENES, greedy=True, batch_size=6))
    return [
        [r.seed, *r.instructions, r.success, r.confidence, r.pick.tolist(), r.place.tolist()]
        for b in batches
        for r in b
    ]


def test_it_solves_seen_and_paraphrased_scenes() -> None:
    for split in ("seen", "paraphrase"):
        assert sum(bool(row[2]) for row in play(workers=0, split=split)) >= 11  # type: ignore[index]


def test_its_episodes_are_bit_equal_in_workers_and_in_another_process() -> None:
    here = play(workers=0)
    assert play(workers=2) == here
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == here


def test_a_noun_that_nothing_matches_lowers_its_confidence() -> None:
    env = make_env(phase="val")
    policy = load_policy(shipped_policy())
    state = env.start(0)
    assert state.goal is not None
    seen = env.look(state)
    env.close()
    absent = f"put the {state.goal.pick} in the zorgle"
    known, unknown = (
        policy.act(Observation(color=seen.color, height=seen.height, instruction=text), greedy=True)
        for text in (state.instruction, absent)
    )
    assert float(known.confidence) > 0.5 > float(unknown.confidence)
    assert "zorgle" in policy.encoder.unknown_words(absent)


def test_sentences_that_are_none_are_refused() -> None:
    env = make_env(phase="val")
    seen = stack([env.look(env.start(0))])
    env.close()
    policy = load_policy(shipped_policy())
    for text in ("", "put the red block in the <end_of_text>", "a" * 500):
        with pytest.raises(InstructionError, match="expected"):
            policy.act(Observation(color=seen.color, height=seen.height, instruction=(text,)), greedy=True)
