"""The boards of a worker: found on USB, identified by serial, assigned as control wants.

A board may have several serial ports: the worker uses the one with the lowest USB interface.  Boards are identified by
serial number, with the USB port as a cross-check: if a second device claims the same serial number at the same time
from another port, it is another board, and ignored until the first is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

from attrs import Factory, define
from twisted.logger import Logger

from icefarm.contract import Assignment
from icefarm.errors import IcefarmError, UnknownDevice
from icefarm.usb.usb_events import DriveAdded, DriveRemoved, TtyAdded, TtyRemoved, UsbEvent
from icefarm.worker.board.context import WorkerContext
from icefarm.worker.board.managed_board import ManagedBoard
from icefarm.worker.flash.images import Images

__all__ = ["BoardRegistry", "Ports"]


@define
class Ports:
    """Present ports and drives, by board; says which of them to use."""

    _used: dict[str, TtyAdded] = Factory(dict)
    #: Present paths, and where each is plugged in.
    _places: dict[str, dict[str, str]] = Factory(dict)
    #: Those of boards elsewhere that have the same serial number.
    _others: dict[str, list[TtyAdded | DriveAdded]] = Factory(dict)

    def elsewhere(self, event: UsbEvent) -> str | None:
        """Return where the board with this serial number is plugged in, if that is another one."""
        match event:
            case (
                TtyAdded(serial=serial, path=path, usb_path=place)
                | DriveAdded(serial=serial, path=path, usb_path=place)
            ):
                known = self._places.get(serial, {})
                places = {known[each] for each in known if each != path and known[each]}
                if place and places and place not in places:
                    return min(places)
        return None

    def sift(self, event: UsbEvent) -> list[UsbEvent]:
        """Return the event for the ports and drives in use; None for others."""
        match event:
            case TtyAdded(serial=serial) | DriveAdded(serial=serial):
                if self.elsewhere(event) is not None:
                    others = self._others.setdefault(serial, [])
                    others[:] = [*(each for each in others if each.path != event.path), event]
                    return []
                self._places.setdefault(serial, {})[event.path] = event.usb_path
                return self._added(event) if isinstance(event, TtyAdded) else [event]
            case TtyRemoved(serial=serial, path=path) | DriveRemoved(serial=serial, path=path):
                if self._was_another(serial, path):
                    return []
                places = self._places.get(serial, {})
                places.pop(path, None)
                told: list[UsbEvent] = self._removed(event) if isinstance(event, TtyRemoved) else [event]
                return told if places else [*told, *self._take_over(serial)]

    def _added(self, event: TtyAdded) -> list[UsbEvent]:
        used = self._used.get(event.serial)
        if used is not None and used.path != event.path and used.interface <= event.interface:
            return []
        self._used[event.serial] = event
        if used is not None and used.path != event.path:
            return [TtyRemoved(event.serial, used.path), event]
        return [event]

    def _removed(self, event: TtyRemoved) -> list[UsbEvent]:
        used = self._used.get(event.serial)
        if used is None or used.path != event.path:
            return []
        del self._used[event.serial]
        return [event]

    def _was_another(self, serial: str, path: str) -> bool:
        others = self._others.get(serial, [])
        left = [each for each in others if each.path != path]
        self._others[serial] = left
        return len(left) < len(others)

    def _take_over(self, serial: str) -> list[UsbEvent]:
        """The board is gone: use what was ignored."""
        self._places.pop(serial, None)
        return [told for other in self._others.pop(serial, []) for told in self.sift(other)]


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
