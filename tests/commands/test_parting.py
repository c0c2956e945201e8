"""A run on a learned reward says when reward and truth part, once, and writes it down."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from robo_rlft.algorithms.groups import RolloutStats
from robo_rlft.algorithms.rollouts import RolloutData
from robo_rlft.commands.parting import NOTE, PartingWatch
from robo_rlft.data.context import TrainContext
from robo_rlft.geometry import Workspace

FALL = [0.9] * 10 + [0.2] * 10


def data(*, paid_at_end: bool = True) -> RolloutData:
    context = TrainContext(
        policy=cast(Any, None),
        workspace=Workspace(),
        make_env=None,
        data_dir=None,
        run_dir=Path(),
        seed=0,
        workers=0,
        reward=cast(Any, object()) if paid_at_end else None,
    )
    return RolloutData(context=context, credit="episode")


def follow(watch: PartingWatch, rollouts: RolloutData, success: list[float], *, begin: int = 0) -> None:
    for number, share in enumerate(success[begin:], start=begin):
        rollouts.stats = RolloutStats(
            rollouts=128,
            scenes=32,
            decisions=128,
            episodic_return=0.1 * number,
            success=share,
            mixed_groups=0.5,
            groups=32,
            true_return=share,
            kl=0.2 * number,
        )
        progress = SimpleNamespace(epoch_progress=SimpleNamespace(current=SimpleNamespace(processed=number)))
        trainer = SimpleNamespace(datamodule=rollouts, fit_loop=progress)
        watch.on_train_epoch_start(cast(Any, trainer), cast(Any, None))


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


def watch(said: io.StringIO, notes: dict[str, Any]) -> PartingWatch:
    return PartingWatch(Console(file=said, width=400), notes)


def test_an_onset_is_said_and_noted_once(said: io.StringIO) -> None:
    notes: dict[str, Any] = {}
    follow(watch(said, notes), data(), FALL)
    assert said.getvalue().count("warning: the reward and the truth part") == 1
    (note,) = notes[NOTE]
    assert note["iteration"] > 10
    assert note["success"]["high"] < note["best_success"]["low"]
    assert note["kl"] == pytest.approx(0.2 * note["iteration"])


def test_a_resumed_run_goes_on_from_what_was_seen(said: io.StringIO) -> None:
    first: dict[str, Any] = {}
    follow(before := watch(said, first), data(), FALL[:10])
    assert first == {}
    again: dict[str, Any] = {}
    after = watch(said, again)
    after.load_state_dict(before.state_dict())
    follow(after, data(), FALL, begin=10)
    assert len(again[NOTE]) == 1
    assert said.getvalue().count("warning") == 1


def test_the_simulators_own_reward_is_not_doubted(said: io.StringIO) -> None:
    notes: dict[str, Any] = {}
    follow(watch(said, notes), data(paid_at_end=False), FALL)
    assert (notes, said.getvalue()) == ({}, "")
