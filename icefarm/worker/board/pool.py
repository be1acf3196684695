"""Virtual boards on demand: plugged in and unplugged as control wants, between two numbers.

Control says how many there are to be, since it knows who waits for boards.  A board that is reserved is never
unplugged, whatever control says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from attrs import define

from icefarm.worker.board.registry import BoardRegistry

__all__ = ["BoardPool", "SpareBoards"]


class SpareBoards(Protocol):
    """A bus whose boards can be plugged in and unplugged; `icefarm.worker.sources.VirtualBoards` is one."""

    @property
    def spare(self) -> list[str]:
        """Serials of the boards that are not plugged in."""

    async def plug(self, serial: str) -> None: ...

    async def unplug(self, serial: str) -> None: ...


@define(eq=False)
class BoardPool:
    """The virtual boards of a worker, of which some are plugged in."""

    _boards: BoardRegistry
    _bus: SpareBoards
    least: int
    most: int
    model: str

    async def plug_in(self, amount: int) -> int:
        """Plug in so many more boards, as far as there are any; returns how many."""
        serials = self._bus.spare[: max(0, amount)]
        for serial in serials:
            self._boards.expect(serial)
            await self._bus.plug(serial)
        return len(serials)

    async def retire(self, serials: Iterable[str]) -> list[str]:
        """Unplug these boards, except those that are reserved; returns those that it unplugged."""
        done = []
        for serial in serials:
            board = self._boards.find(serial)
            if board is None or board.reservation is not None:
                continue
            self._boards.retire(serial)
            await self._bus.unplug(serial)
            done.append(serial)
        return done
