"""The boards of a worker: found on USB, known by serial, brought to what control wants of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from attrs import Factory, define
from twisted.logger import Logger

from icefarm.contract import Assignment
from icefarm.errors import IcefarmError, UnknownDevice
from icefarm.usb_events import UsbEvent
from icefarm.worker.board.managed_board import ManagedBoard
from icefarm.worker.flash.images import Images
from icefarm.worker.usb.port_selection import Ports

__all__ = ["BoardRegistry"]


@define(eq=False)
class BoardRegistry:
    """All boards that were seen since the worker started and were not deleted."""

    _make: Callable[[str, Images], ManagedBoard]
    #: Told of a device that is known from now on, or no longer.
    _added: Callable[[ManagedBoard], None]
    _removed: Callable[[ManagedBoard], None]
    _devices: dict[str, ManagedBoard] = Factory(dict)
    _ports: Ports = Factory(Ports)
    _log: Logger = Factory(lambda: Logger(namespace="icefarm.worker"))

    def __iter__(self) -> Iterator[ManagedBoard]:
        return iter(list(self._devices.values()))

    def get(self, serial: str) -> ManagedBoard:
        """Raises `UnknownDevice`."""
        try:
            return self._devices[serial]
        except KeyError:
            raise UnknownDevice(f"this worker has no board {serial}", serial=serial) from None

    def usb(self, images: Images, event: UsbEvent) -> None:
        """Take what happened on USB, on a bus whose boards run ``images``."""
        other = self._ports.elsewhere(event)
        if other is not None:
            self._log.warn(
                "two boards say that they are {serial}: the one at USB {other} is used; {event} is left alone",
                serial=event.serial, other=other, event=event,
            )  # fmt: skip
        for relevant in self._ports.sift(event):
            device = self._devices.get(relevant.serial)
            if device is None:
                device = self._devices[relevant.serial] = self._make(relevant.serial, images)
                self._added(device)
            device.usb(relevant)

    def delete(self, serial: str) -> None:
        """Forget a board; it is found again when it is plugged in again.  Raises `UnknownDevice`."""
        device = self.get(serial)
        device.delete()
        del self._devices[serial]
        self._removed(device)

    def converge(self, assignments: Mapping[str, Assignment], apart_from: Collection[str]) -> None:
        """Have each board serve the reservation that it is assigned, or none."""
        for device in self:
            if device.serial in apart_from:
                continue
            wanted = assignments.get(device.serial)
            if wanted is None:
                device.release(None, "it is not known to the farm any more")
                continue
            try:
                device.assign(wanted)
            except IcefarmError as error:
                self._log.error("{serial}: {error}", serial=device.serial, error=error)

    def stop(self) -> None:
        """Let go of every board."""
        for device in self:
            device.stop()
