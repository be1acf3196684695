"""Pure: no I/O, no clock.  What a dispatch handles: items, their evaluations, and the answers."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import Factory, define, frozen

from icefarm.errors import (
    IcefarmError,
    InternalError,
    InvalidArgument,
    InvalidBitstream,
    NotAuthorized,
    NotYours,
    ReservationEnded,
    UnknownDevice,
    UnknownKind,
)

__all__ = ["Attempts", "Blame", "Item", "Sending", "Task", "TaskOutcome", "blame"]


class Blame(Enum):
    """What an error says about the item and the board."""

    ITEM = "the item would fail on every board"
    BOARD = "the board failed this time"
    GONE = "the board is no longer ours"


_BLAME: tuple[tuple[tuple[type[IcefarmError], ...], Blame], ...] = (
    ((ReservationEnded, NotYours, UnknownDevice), Blame.GONE),
    ((InvalidBitstream, InvalidArgument, UnknownKind, NotAuthorized, InternalError), Blame.ITEM),
)


def blame(error: IcefarmError) -> Blame:
    """Tell whether an item with this error moves to another board, and whether its board gets more."""
    for classes, verdict in _BLAME:
        if isinstance(error, classes):
            return verdict
    return Blame.BOARD


@frozen(eq=False)
class Item:
    """Something to evaluate."""

    #: The caller's object; it comes back with each answer.
    source: Any
    #: What is sent.
    payload: Any
    #: The boards that it is for; None for any one.
    serials: tuple[str, ...] | None = None
    #: Why it can't be sent at all.
    error: IcefarmError | None = None
    #: How its boards were chosen.
    placement: Mapping[str, Any] | None = None
    #: The caller's name for the circuit, for the archive.
    name: str | None = None


@define(eq=False)
class Attempts:
    """Numbers the calls of an evaluation, on whichever board: the last one is that which is answered."""

    made: int = 0

    def withdrawn(self) -> None:
        """Note that the last call came to nothing: its board did not begin the evaluation."""
        self.made = max(0, self.made - 1)


@define(eq=False)
class Task:
    """One evaluation that needs an answer."""

    item: Item
    #: The board that it is for; None for any.
    pinned: str | None
    #: The boards that failed it, in order.
    tried: list[str] = Factory(list)
    error: IcefarmError | None = None
    attempts: Attempts = Factory(Attempts)
    #: The id under which boards know it; the sender chooses it.
    evaluation_id: str | None = None


@frozen(eq=False)
class Sending:
    """A task on its way to a board."""

    task: Task
    serial: str


@frozen(eq=False)
class TaskOutcome:
    """The outcome of a task: its result or an error."""

    item: Item
    #: None if no board was involved.
    serial: str | None
    result: Any = None
    error: IcefarmError | None = None
    #: It is from the archive: no board measured it now.
    archived: bool = False
