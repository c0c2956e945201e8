"""pass@k: the chance that one of k sampled tries succeeds, before and after RL.

Where RL only moves probability onto what the policy could do already, the curves meet at large k.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robo_rlft.evaluation.evidence.drawing import Drawn, finish, looks, panels, rate_axis, ticks_at, title
from robo_rlft.evaluation.evidence.groups import (
    INTERVAL,
    TASK,
    Group,
    label_of,
    pick_evaluation,
    same_scenes,
    tasks_of,
    varying,
)
from robo_rlft.evaluation.statistics import Interval, success_interval
from robo_rlft.evaluation.statistics import pass_at_k as unbiased

RESAMPLES = 2000  # of each k; there may be a hundred


def pass_at_k(groups: Sequence[Group], *, evaluation: str | None = None) -> Drawn:
    """Draw pass@k for k from 1 to the number of tries: a panel a task, a line a method.

    Raises:
        ValueError: No cell has an evaluation with several tries.
    """
    name = pick_evaluation(groups, evaluation, several_tries=True)
    there = [group for group in groups if any(name in cell.evaluations for cell in group.cells)]
    varied = varying(there, leave_out=(TASK,))
    tasks = tasks_of(there)
    labels = [label_of(group, varied) for group in there]
    look = looks(list(dict.fromkeys(labels)))
    figure, axes = panels(tasks)
    rows = []
    most = 1
    for group, label in zip(there, labels, strict=True):
        curve = chances(group, name)
        most = max(most, len(curve))
        x = np.arange(1, len(curve) + 1)
        style, panel = look[label], axes[tasks.index(group.axes.get(TASK, ""))]
        panel.fill_between(x, [i.low for i in curve], [i.high for i in curve], color=style.color, alpha=0.18, lw=0)
        marks = [i for i in range(len(curve)) if (i + 1) & i == 0]  # k = 1, 2, 4, ...
        panel.plot(
            x,
            [i.mean for i in curve],
            color=style.color,
            linestyle=style.linestyle,
            marker=style.marker,
            markevery=marks,
            linewidth=2,
            label=title(label),
        )
        rows.append(
            {
                "task": group.axes.get(TASK, ""),
                "line": label,
                "seeds": group.seeds,
                "seeds_planned": group.planned,
                "k": x.tolist(),
                **{part: [getattr(i, part) for i in curve] for part in ("mean", "low", "high")},
            }
        )
    for panel in axes:
        rate_axis(panel)
        panel.set_xscale("log", base=2)
        powers = [2**i for i in range(most.bit_length())]
        ticks_at(panel, powers, [str(p) for p in powers])
    note = f"unbiased from {most} sampled tries of each scene; {INTERVAL}"
    finish(figure, axes, xlabel="k, tries of a scene", ylabel=f"pass@k, {title(name)}", note=note)
    return Drawn(figure=figure, data={"evaluation": name, "interval": INTERVAL, "lines": rows})


def chances(group: Group, evaluation: str) -> list[Interval]:
    """Return pass@k of a group for k = 1 ... tries, mean over seeds and scenes."""
    found = same_scenes(
        [cell.evaluations[evaluation] for cell in group.cells if evaluation in cell.evaluations], where=evaluation
    )
    tries = min(e.tries for e in found)
    return [
        success_interval([unbiased(e.successes, e.tries, k) for e in found], seed=0, resamples=RESAMPLES)
        for k in range(1, tries + 1)
    ]
