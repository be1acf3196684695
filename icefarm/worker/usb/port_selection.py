"""Pure: no I/O, no clock.  Selects which of a board's serial ports and drives to use.

A board may have several serial ports: the worker uses the one with the lowest USB interface.  Boards are identified by
serial number, with the USB port as a cross-check: if a second device claims the same serial number at the same time
from another port, it is another board, and ignored until the first is gone.
"""

from __future__ import annotations

from attrs import Factory, define

from icefarm.usb.usb_events import DriveAdded, DriveRemoved, TtyAdded, TtyRemoved, UsbEvent

__all__ = ["Ports"]


@define
class Ports:
    """Present ports and drives, by board."""

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
