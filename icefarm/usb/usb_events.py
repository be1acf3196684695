"""Pure: no I/O, no clock.  Events of boards on a USB bus, real or virtual."""

from __future__ import annotations

from attrs import frozen

__all__ = ["DriveAdded", "DriveRemoved", "TtyAdded", "TtyRemoved", "UsbEvent"]


@frozen
class TtyAdded:
    """A board in application mode offers a serial port.

    ``interface`` is the USB interface number, two hexadecimal digits: a board may have several ports.  ``usb_path`` is
    where it is plugged in, such as ``1-2.3``.
    """

    serial: str
    path: str
    interface: str
    usb_path: str


@frozen
class TtyRemoved:
    """A serial port is gone."""

    serial: str
    path: str


@frozen
class DriveAdded:
    """A board in its boot loader offers its boot drive."""

    serial: str
    path: str
    usb_path: str


@frozen
class DriveRemoved:
    """A boot drive is gone."""

    serial: str
    path: str


UsbEvent = TtyAdded | TtyRemoved | DriveAdded | DriveRemoved
