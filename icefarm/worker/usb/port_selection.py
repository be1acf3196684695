"""Pure: no I/O, no clock.  Of the serial ports and drives that say they are of a board, those to use.

A board may have several serial ports: the one to speak to is that of the lowest USB interface.  Boards are known by
serial number; where they are plugged in is the cross-check: what says at the same time that it is the same board, and
is plugged in elsewhere, is another one, and left alone until the first is gone.
"""

from __future__ import annotations

from attrs import Factory, define

from icefarm.usb_events import DriveAdded, DriveRemoved, TtyAdded, TtyRemoved, UsbEvent

__all__ = ["Ports"]


@define
class Ports:
    """What there is, by board."""

    _used: dict[str, TtyAdded] = Factory(dict)
    #: Paths that are there, and where each is plugged in.
    _places: dict[str, dict[str, str]] = Factory(dict)
    #: Those of boards elsewhere that have the same serial number.
    _others: dict[str, list[TtyAdded | DriveAdded]] = Factory(dict)

    def elsewhere(self, event: UsbEvent) -> str | None:
        """Return where the board is plugged in that is known by this serial number, if that is another one."""
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
        """Return what of an event concerns the ports and drives to use; nothing for further ones."""
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
        """The board is gone: what was left alone is one to use."""
        self._places.pop(serial, None)
        return [told for other in self._others.pop(serial, []) for told in self.sift(other)]
