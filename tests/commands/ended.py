"""A step of a grid that is over as soon as it has begun."""

from __future__ import annotations

from robo_rlft.commands.child import ChildError


class Ended:
    """A step that is over, or failed."""

    def __init__(self, failure: ChildError | None = None) -> None:
        self.failure = failure

    def ended(self) -> bool:
        if self.failure is not None:
            raise self.failure
        return True

    def stop(self) -> None: ...

    def wait(self, deadline: float) -> None: ...
