"""Boards that a client reserved together, which become fewer and more as others need them."""

from __future__ import annotations

from collections.abc import Callable

from attrs import Factory, define

from icefarm.client.connection.events import BoardsChange
from icefarm.contract import ReservationRecord

__all__ = ["BoardGroup"]


@define(eq=False)
class BoardGroup:
    """The boards of one request."""

    #: The request's.
    id: str
    #: Whether to extend the reservations.
    keep: bool
    listener: Callable[[BoardsChange], None] | None = None
    #: All that it has, and had, by serial.
    records: dict[str, ReservationRecord] = Factory(dict)

    def tell(self, change: BoardsChange) -> None:
        """Tell its owner of boards that came or left."""
        if self.listener is not None:
            self.listener(change)
