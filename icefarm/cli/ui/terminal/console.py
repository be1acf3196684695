"""Where output goes: data to standard output, everything else to standard error.

`rich` draws bars and live views; ours is that data passes them by into a pipe or a file, with the bytes of file names
that are no text, and that `rich` is not even imported where nothing moves.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

from attrs import define, field

from icefarm.text.one_line import one_line

__all__ = ["Screen"]

#: Columns of a terminal that does not say.
WIDTH = 80


def _write_bytes(stream: TextIO, text: str) -> None:
    """Write text at once.  Bytes of file names that are not text come out unchanged."""
    encoding = stream.encoding or "utf-8"
    try:
        data = text.encode(encoding, "surrogateescape")
    except UnicodeEncodeError:
        data = text.encode(encoding, "replace")
    stream.buffer.write(data)
    stream.flush()


@define
class Screen:
    """The two streams of a process, and whether each is a terminal."""

    out: TextIO
    err: TextIO
    #: The console of a progress bar or live view; other output goes above it meanwhile.
    _live: Any = field(init=False, default=None)

    @classmethod
    def of_process(cls) -> Screen:
        return cls(sys.stdout, sys.stderr)

    @property
    def out_is_terminal(self) -> bool:
        return self.out.isatty()

    @property
    def err_is_terminal(self) -> bool:
        return self.err.isatty()

    def write(self, text: str) -> None:
        """Write data, whole lines of it."""
        if self._live is not None and self.out_is_terminal:
            self._print_above(text.removesuffix("\n"))
        else:
            _write_bytes(self.out, text)

    def say(self, text: str) -> None:
        """Write a message for the user, one line."""
        self.log(f"icefarm: {one_line(text)}")

    def log(self, line: str) -> None:
        """Write a line as it is, where messages go."""
        if self._live is not None:
            self._print_above(line)
        else:
            _write_bytes(self.err, f"{line}\n")

    @property
    def width(self) -> int:
        """The columns of the terminal that data goes to."""
        given = os.environ.get("COLUMNS", "")
        if given.isascii() and given.isdigit() and int(given) > 0:
            return int(given)
        try:
            return os.get_terminal_size(self.out.fileno()).columns or WIDTH
        except (OSError, ValueError):
            return WIDTH

    @property
    def coloured(self) -> bool:
        """Whether data may have colours (https://no-color.org)."""
        return self.out_is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def _print_above(self, text: str) -> None:
        self._live.print(text, markup=False, highlight=False, soft_wrap=True)

    def console(self, stream: TextIO) -> Any:
        from rich.console import Console

        return Console(file=stream, highlight=False)

    @contextmanager
    def progress(self, total: int, what: str) -> Iterator[Callable[[], None]]:
        """Show progress, with rate and remaining time, on a terminal.

        Yields a function to call for each of ``total`` steps.
        """
        if not self.err_is_terminal:
            yield lambda: None
            return
        from icefarm.cli.ui.terminal.progress import progress_bar

        bar = progress_bar(self.console(self.err))
        task = bar.add_task(what, total=total)
        with self.live(bar):
            yield lambda: bar.advance(task)

    @contextmanager
    def waiting(self) -> Iterator[Callable[[str], None]]:
        """Yield a function that says why a verb waits: on a terminal in one line, else in a line for each reason."""
        if not self.err_is_terminal:
            yield _Changes(self).tell
            return
        with ExitStack() as stack:
            yield _StatusLine(self, stack).tell

    @contextmanager
    def live(self, live: Any) -> Iterator[None]:
        """Show a live view of `rich`; messages go above it."""
        with live:
            self._live = live.console
            try:
                yield
            finally:
                self._live = None


@define
class _StatusLine:
    """A line of `rich` that is rewritten, from the first thing to say on."""

    screen: Screen
    _stack: ExitStack
    _status: Any = None

    def tell(self, text: str) -> None:
        from rich.text import Text

        if self._status is None:
            self._status = self.screen.console(self.screen.err).status("")
            self._stack.enter_context(self.screen.live(self._status))
        self._status.update(Text(one_line(text)))


@define
class _Changes:
    """Says what differs from what was said last."""

    screen: Screen
    _last: str = ""

    def tell(self, text: str) -> None:
        if text != self._last:
            self._last = text
            self.screen.say(text)
