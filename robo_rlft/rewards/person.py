"""What a person at the table says, as a reward: the increase of what they call done.

Knows that a person may be asked, not how: whoever runs the episodes asks.
"""

from __future__ import annotations

from typing import Literal

from robo_rlft.records import Observation

Ask = Literal["keyboard", "page", "simulated"]
ASK: tuple[Ask, ...] = ("keyboard", "page", "simulated")


class PersonReward:
    """One term, `person`: how much farther the task is, in the words of whoever stands at the table."""

    def __init__(self, *, ask: Ask = "keyboard", port: int = 0, noise: float = 0.0) -> None:
        """Say how a person is asked.

        Args:
            ask: at the terminal's keyboard, on a web page of this machine, or nobody: a simulated person, who sees a
                simulated table as it is.
            port: of the page; 0 takes a free one.
            noise: how often a simulated person errs, in [0, 1].

        Raises:
            ValueError: for anything else.
        """
        if ask not in ASK or not 0.0 <= noise <= 1.0:
            raise ValueError(f"expected ask as one of {', '.join(ASK)} and noise from 0 to 1, got {ask!r} and {noise}")
        if noise > 0.0 and ask != "simulated":
            raise ValueError(f"noise is of a simulated person's answers; expected 0 with ask={ask}, got {noise}")
        self.ask, self.port, self.noise = ask, port, noise

    def __call__(
        self, *, before: float, after: float, observation: Observation | None, final: Observation | None
    ) -> dict[str, float]:
        """Return the term; the pictures are the person's to look at."""
        return {"person": after - before}
