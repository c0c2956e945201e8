"""Run a command in a process of its own, which never outlives the one that started it.

A process gives its memory back when it ends, so what a command's peak is said to be is its own. As a program,
`python -m robo_rlft.commands.child PARENT COMMAND [overrides]` is the child's side.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from robo_rlft.config.errors import UserError

GRACE = 30.0  # seconds that a stopped command has to write down where it was
STOPPED = 130  # exit code of a command that was stopped by the user
_PR_SET_PDEATHSIG = 1  # of Linux's prctl: the signal that comes when the parent dies


class ChildError(UserError):
    """A command failed; what it said of it is on the screen already, or in its log."""


class Stoppable(Protocol):
    """What can be told to stop, and be waited for."""

    def stop(self) -> None:
        """Tell it to stop."""

    def wait(self, deadline: float) -> None:
        """Wait until it has ended, and end it by force after the deadline."""


@dataclass(frozen=True, kw_only=True)
class Child:
    """A command that runs in a process of its own."""

    command: str
    process: subprocess.Popen[bytes]
    log: Path | None = None  # where it writes what it says; None for the screen

    def ended(self) -> bool:
        """Tell whether it has ended, and well.

        Raises:
            ChildError: the command failed or was killed.
            KeyboardInterrupt: it was stopped.
        """
        code = self.process.poll()
        if code is None:
            return False
        if code == STOPPED:
            raise KeyboardInterrupt
        if code < 0:
            name = signal.Signals(-code).name
            advice = "if memory ran out, use fewer lanes, fewer workers or smaller batches"
            raise ChildError(f"{self.command} was killed by {name}; {advice}")
        if code > 0:
            where = "the lines above say why" if self.log is None else f"the end of {self.log} says why"
            raise ChildError(f"{self.command} ended with code {code}; {where}")
        return True

    def stop(self) -> None:
        """Tell it to stop."""
        self.process.terminate()

    def wait(self, deadline: float) -> None:
        """Wait until it has ended; at the deadline, of `time.monotonic`, or at Ctrl-C it is killed."""
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except BaseException:  # the time is over, or the user asks once more
            self.process.kill()
            self.process.wait()


def stop_all(children: Collection[Stoppable]) -> None:
    """Stop children, all at once, with time to write down where they were."""
    for child in children:
        child.stop()
    deadline = time.monotonic() + GRACE
    for child in children:
        child.wait(deadline)


def start_child(
    command: str, overrides: Sequence[str], *, config_dirs: Sequence[Path] = (), log: Path | None = None
) -> Child:
    """Start a command; it ends when this process does.

    Args:
        command: "train", "evaluate", ...
        overrides: What it is called with.
        config_dirs: Folders of the user's own options.
        log: A file that what it says is added to; None leaves it on the screen.
    """
    options = [text for folder in config_dirs for text in ("--config-dir", str(folder))]
    arguments = [sys.executable, "-m", "robo_rlft.commands.child", str(os.getpid()), command, *overrides, *options]
    # A session of its own: Ctrl-C in a terminal reaches the parent alone, which tells the child once.
    if log is None:
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, start_new_session=True)
    else:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
    return Child(command=command, process=process, log=log)


def main(argv: Sequence[str] | None = None) -> int:
    """Do the child's part: run a command, and die with the parent."""
    parent, *rest = sys.argv[1:] if argv is None else argv
    _die_with(int(parent))
    # In a job in the background Ctrl-C may be ignored, and what comes here is SIGTERM in any case.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from robo_rlft.commands.cli import main as command_line

    return command_line(rest)


def _die_with(parent: int) -> None:
    """End this process at once when its parent ends, however that came about; runs take that."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        sys.exit(STOPPED)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C while the context lasts, so that children are told."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
