"""Where output goes: data to standard output, everything else to standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from attrs import define, field

from icefarm.cli.ui.formatting import clean

__all__ = ["Screen"]

#: Columns of what may be wider than the terminal, which wraps its lines.
WIDEST = 10_000


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
        self.log(f"icefarm: {clean(text)}")

    def log(self, line: str) -> None:
        """Write a line as it is, where messages go."""
        if self._live is not None:
            self._print_above(line)
        else:
            _write_bytes(self.err, f"{line}\n")

    @property
    def width(self) -> int:
        """The columns of the terminal that data goes to."""
        return int(self.console(self.out).width)

    def draw(self, renderable: Any, *, cut: bool = True) -> None:
        """Print a renderable of `rich` as data; without ``cut`` it may be wider than the terminal."""
        self.console(self.out, None if cut else WIDEST).print(renderable)

    def _print_above(self, text: str) -> None:
        self._live.print(text, markup=False, highlight=False, soft_wrap=True)

    def console(self, stream: TextIO, width: int | None = None) -> Any:
        from rich.console import Console

        return Console(file=stream, highlight=False, width=width)

    @contextmanager
    def progress(self, total: int, what: str) -> Iterator[Callable[[], None]]:
        """Show progress, with rate and remaining time, on a terminal.

        Yields a function to call for each of ``total`` steps.
        """
        if not self.err_is_terminal:
            yield lambda: None
            return
        from icefarm.cli.ui.progress import progress_bar

        bar = progress_bar(self.console(self.err))
        task = bar.add_task(what, total=total)
        with self._around(bar):
            yield lambda: bar.advance(task)

    @contextmanager
    def waiting(self) -> Iterator[Callable[[str], None]]:
        """Yield a function that says why a verb waits: on a terminal in one line, else in a line for each reason."""
        if not self.err_is_terminal:
            yield _Changes(self).tell
            return
        from rich.text import Text

        status = self.console(self.err).status("")
        with self._around(status):
            yield lambda text: status.update(Text(clean(text)))

    @contextmanager
    def live(self, live: Any) -> Iterator[None]:
        """Show a live view of `rich`; messages go above it."""
        with self._around(live):
            yield

    @contextmanager
    def _around(self, live: Any) -> Iterator[None]:
        with live:
            self._live = live.console
            try:
                yield
            finally:
                self._live = None


@define
class _Changes:
    """Says what differs from what was said last."""

    screen: Screen
    _last: str = ""

    def tell(self, text: str) -> None:
        if text != self._last:
            self._last = text
            self.screen.say(text)
