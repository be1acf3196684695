"""The boards of a worker: found on USB, identified by serial, assigned as control wants."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

from attrs import Factory, define
from twisted.logger import Logger

from icefarm.contract import Assignment
from icefarm.errors import IcefarmError, UnknownDevice
from icefarm.usb.usb_events import UsbEvent
from icefarm.worker.board.context import WorkerContext
from icefarm.worker.board.managed_board import ManagedBoard
from icefarm.worker.flash.images import Images
from icefarm.worker.usb.port_selection import Ports

__all__ = ["BoardRegistry"]


@define(eq=False)
class BoardRegistry:
    """All boards seen since the worker started and not deleted."""

    _context: WorkerContext
    _boards: dict[str, ManagedBoard] = Factory(dict)
    #: Virtual boards that are not needed: what USB says of them does not count.
    _retired: set[str] = Factory(set)
    _ports: Ports = Factory(Ports)
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker"))

    def __iter__(self) -> Iterator[ManagedBoard]:
        return iter(list(self._boards.values()))

    def find(self, serial: str) -> ManagedBoard | None:
        """Return a board, or None if it is not known."""
        return self._boards.get(serial)

    def get(self, serial: str) -> ManagedBoard:
        """Return a board.  Raises `UnknownDevice`."""
        board = self.find(serial)
        if board is None:
            raise UnknownDevice(f"this worker has no board {serial}", serial=serial)
        return board

    def usb(self, images: Images, event: UsbEvent) -> None:
        """Apply a USB event, on a bus whose boards run ``images``."""
        other = self._ports.elsewhere(event)
        if other is not None:
            self._log.warn(
                "two boards say that they are {serial}: the one at USB {other} is used; {event} is ignored",
                serial=event.serial, other=other, event=event,
            )  # fmt: skip
        for relevant in self._ports.sift(event):
            if relevant.serial in self._retired:
                continue
            board = self._boards.get(relevant.serial)
            if board is None:
                board = self._boards[relevant.serial] = ManagedBoard(relevant.serial, images, self._context)
                self._context.observer.added(board)
            board.post(relevant)

    def delete(self, serial: str) -> None:
        """Forget a board; plugging it in again brings it back.  Raises `UnknownDevice`."""
        board = self.get(serial)
        board.delete()
        del self._boards[serial]
        self._context.observer.removed(board)

    def retire(self, serial: str) -> None:
        """Forget a board that is about to be unplugged because it is not needed."""
        self._retired.add(serial)
        if serial in self._boards:
            self.delete(serial)

    def expect(self, serial: str) -> None:
        """Take a board in again that is about to be plugged in."""
        self._retired.discard(serial)

    def converge(
        self,
        assignments: Mapping[str, Assignment],
        shares: Mapping[str, Sequence[Assignment]],
        apart_from: Collection[str],
    ) -> None:
        """Make each board serve the reservation that it is assigned, or those that share it, or none."""
        for board in self:
            if board.serial in apart_from:
                continue
            wanted = assignments.get(board.serial)
            if wanted is None:
                board.release(None, "the farm no longer knows it")
                continue
            try:
                if board.serial in shares:
                    board.share_among(wanted, shares[board.serial])
                else:
                    board.assign(wanted)
            except IcefarmError as error:
                self._log.error("{serial}: {error}", serial=board.serial, error=error)

    def stop(self) -> None:
        """Release every board."""
        for board in self:
            board.stop()
