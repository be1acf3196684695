"""What `reserve` of a farm takes, by the kind of the boards, so that a type checker finds a wrong keyword.

Options of kinds that are not built in go into ``options``, where no type checker looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import update_wrapper
from typing import Any, Literal, Required, TypedDict, TypeVar

from icefarm.bus import Progress
from icefarm.client.connection.events import BoardsChange

__all__ = ["AnyKindCall", "MultiPulseCountCall", "PulseCountCall", "ReserveOptions", "VarianceCall", "documented_as"]

F = TypeVar("F", bound=Callable[..., Any])


class ReserveOptions(TypedDict, total=False):
    """What boards of every kind are reserved with, as of `icefarm.client.session.ClientSession.reserve`."""

    serials: Sequence[str] | None
    where: str | None
    options: Mapping[str, Any] | None
    wait: bool
    timeout: float | None
    seconds: float | None
    grace: float | None
    keep: bool
    progress: Progress | None
    at_least: int | None
    preemptible: bool | None
    priority: float | None
    shared: bool
    on_boards_changed: Callable[[BoardsChange], None] | None


class PulseCountCall(ReserveOptions, total=False):
    """The options of `icefarm.kinds.pulsecount`."""

    kind: Literal["pulsecount"]
    window: float
    overlap: bool
    clock_mhz: int | str


class MultiPulseCountCall(ReserveOptions, total=False):
    """The options of `icefarm.kinds.multipulsecount`."""

    kind: Required[Literal["multipulsecount"]]
    pins: Sequence[int]
    window: float
    overlap: bool
    clock_mhz: int | str


class VarianceCall(ReserveOptions, total=False):
    """The options of `icefarm.kinds.variance`."""

    kind: Required[Literal["variance"]]
    samples: int
    rate_hz: int
    delay: float
    waveform: bool
    overlap: bool
    clock_mhz: int | str


class AnyKindCall(ReserveOptions, total=False):
    """A kind of which only the name is known."""

    kind: Required[str]


def documented_as(method: Callable[..., Any]) -> Callable[[F], F]:
    """Give a method the signature and the docstring of another one, for ``help`` and editors."""

    def decorate(function: F) -> F:
        update_wrapper(function, method)
        return function

    return decorate
