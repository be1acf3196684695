"""Pure: no I/O.  The reactor's clock as a type: what `twisted.internet.task.Clock` and every reactor offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Clock", "Timer"]


class Timer(Protocol):
    """A delayed call."""

    def active(self) -> bool:
        """Tell whether it is still pending."""

    def cancel(self) -> None:
        """Cancel it.  Raises if it is no longer pending."""


class Clock(Protocol):
    """Tells the time and calls later."""

    def seconds(self) -> float:
        """Return the seconds since some moment."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Call ``callable`` after ``delay`` seconds; the answer is a `Timer`."""
