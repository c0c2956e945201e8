"""What commands say: lines for people, and one live line of progress where there is a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

PLAIN_EVERY = 10.0  # seconds between progress lines where there is no terminal


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that colours and wraps for terminals, and writes whole plain lines elsewhere."""
    file = sys.stderr if stderr else sys.stdout
    width = None if file.isatty() else 200
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Return a time in words: '8 s', '3 min 05 s', '2 h 04 min'."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class ProgressLine:
    """One line that says what is done, how well it goes and when it ends.

    Args:
        console: Where to.
        title: What the line begins with.
        keep: Leave the last state on the screen.
    """

    def __init__(self, console: Console, title: str, *, keep: bool = True) -> None:
        self._console, self._title, self._keep = console, title, keep
        self._live = (
            Live(Text(), console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        )
        self._begun: tuple[float, float] | None = None
        self._said = 0.0
        self._last = ""

    def __enter__(self) -> ProgressLine:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if self._keep and self._last and kind is None:
            self._console.print(self._last, markup=False)
            self._last = ""

    def update(self, done: float, total: float, what: str = "") -> None:
        """Show that `done` of `total` is done; `what` says how well it goes."""
        now = time.monotonic()
        if self._begun is None:
            self._begun = (now, done)  # work done before a resume tells nothing about the speed
        line = f"{self._title}: {done:g}/{total:g}{', ' + what if what else ''}{self._eta(now, done, total)}"
        if self._live is not None:
            self._live.update(Text(line))
        elif now - self._said >= PLAIN_EVERY:
            self._console.print(line, markup=False)
            self._said = now
            self._last = ""
            return
        self._last = line

    def _eta(self, now: float, done: float, total: float) -> str:
        began, at = self._begun or (now, done)
        if done >= total:
            return f", {duration(now - began)}"
        if done <= at:
            return ""
        return f", {duration((now - began) / (done - at) * (total - done))} left"


def print_table(console: Console, title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table; the first column is text, the others are figures."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
