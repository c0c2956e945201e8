"""Warns when RL on a learned reward goes on past what the reward knows."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console

from robo_rlft.algorithms.groups import Stats
from robo_rlft.algorithms.overoptimisation import Iteration, onsets
from robo_rlft.algorithms.rollouts import FreshData, iterations_done

NOTE = "overoptimisation"  # of a run, and of its results


class PartingWatch(Callback):
    """Says when what is paid and what is true part, once an onset, and notes it in the run's record.

    Looks at rollouts that are paid by a reward that judges whole attempts; what the simulator itself pays is the truth.
    """

    def __init__(self, console: Console, notes: dict[str, Any]) -> None:
        self._console, self._notes = console, notes
        self._history: list[Iteration] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the iteration's rollouts."""
        data = getattr(trainer, "datamodule", None)
        if not isinstance(data, FreshData) or data.stats is None or data.context.reward is None:
            return
        number = iterations_done(trainer)
        self._history = [*self._history[:number], _iteration(data.stats)]
        found = list(onsets(self._history))
        if found:
            self._notes[NOTE] = [one.to_json() for one in found]
            if found[-1].iteration == number:
                self._console.print(f"warning: {found[-1]}", markup=False)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run goes on from."""
        return {"history": [vars(one) for one in self._history]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from it."""
        self._history = [Iteration(**one) for one in state_dict["history"]]


def _iteration(stats: Stats) -> Iteration:
    return Iteration(
        proxy=stats.episodic_return,
        success=None if stats.true_return is None else stats.success,
        scenes=stats.scenes,
        kl=stats.kl,
    )
