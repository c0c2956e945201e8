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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from robo_rlft.config.errors import UserError

GRACE = 30.0  # seconds that a stopped command has to write down where it was
STOPPED = 130  # exit code of a command that was stopped by the user
_PR_SET_PDEATHSIG = 1  # of Linux's prctl: the signal that comes when the parent dies


class ChildError(UserError):
    """A command failed; what it said of it is on the screen already."""


def run_child(command: str, overrides: Sequence[str], *, config_dirs: Sequence[Path] = ()) -> None:
    """Run a command and wait for it.

    Args:
        command: "train", "evaluate", ...
        overrides: What it is called with.
        config_dirs: Folders of the user's own options.

    Raises:
        ChildError: the command failed or was killed.
        KeyboardInterrupt: it was stopped, or this process is; the child has ended then, too.
    """
    options = [text for folder in config_dirs for text in ("--config-dir", str(folder))]
    arguments = [sys.executable, "-m", "robo_rlft.commands.child", str(os.getpid()), command, *overrides, *options]
    # A session of its own: Ctrl-C in a terminal reaches the parent alone, which tells the child once.
    with _sigterm_interrupts(), subprocess.Popen(arguments, stdin=subprocess.DEVNULL, start_new_session=True) as child:
        try:
            code = child.wait()
        except BaseException:
            _stop(child)
            raise
    if code == STOPPED:
        raise KeyboardInterrupt
    if code < 0:
        name = signal.Signals(-code).name
        raise ChildError(f"{command} was killed by {name}; if memory ran out, use fewer workers or smaller batches")
    if code > 0:
        raise ChildError(f"{command} ended with code {code}; the lines above say why")


def main(argv: Sequence[str] | None = None) -> int:
    """Do the child's part: run a command, and die with the parent."""
    parent, *rest = sys.argv[1:] if argv is None else argv
    _die_with(int(parent))
    # In a job in the background Ctrl-C may be ignored, and what comes here is SIGTERM in any case.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from robo_rlft.commands.cli import main as command_line

    return command_line(rest)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End a child, with time to write down where it was."""
    child.terminate()
    try:
        child.wait(GRACE)
    except BaseException:  # the time is over, or the user asks once more
        child.kill()
        child.wait()


def _die_with(parent: int) -> None:
    """End this process at once when its parent ends, however that came about; runs take that."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        sys.exit(STOPPED)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C while the context lasts, so that the child is told."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
