"""Pure: no I/O, no clock.  Of the serial ports of a board, the one to speak to: the lowest USB interface."""

from __future__ import annotations

from attrs import Factory, define

from icefarm.worker.usb_events import TtyAdded, TtyRemoved, UsbEvent

__all__ = ["Ports"]


@define
class Ports:
    """The serial ports in use, by board."""

    _used: dict[str, TtyAdded] = Factory(dict)

    def sift(self, event: UsbEvent) -> list[UsbEvent]:
        """Return what of an event concerns the ports to speak to; nothing for a board's further ports."""
        match event:
            case TtyAdded(serial=serial):
                used = self._used.get(serial)
                if used is not None and used.path != event.path and used.interface <= event.interface:
                    return []
                self._used[serial] = event
                if used is not None and used.path != event.path:
                    return [TtyRemoved(serial, used.path), event]
            case TtyRemoved(serial=serial, path=path):
                used = self._used.get(serial)
                if used is None or used.path != path:
                    return []
                del self._used[serial]
        return [event]
