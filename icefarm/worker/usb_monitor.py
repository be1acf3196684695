"""Real boards: events of udev (or of the kernel, if no udevd runs) on the USB bus, as events of boards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import Factory, define
from twisted.logger import Logger

from icefarm.usb.usb_events import DriveAdded, DriveRemoved, TtyAdded, TtyRemoved, UsbEvent

__all__ = ["UsbMonitor", "event_of"]

#: USB vendor and product ids: boards in application mode (pico-ice-sdk, plain pico-sdk), and the boot ROM's drive.
APPLICATION_IDS = (("1209", "b1c0"), ("2e8a", "0009"))
BOOT_IDS = (("2e8a", "000f"),)
#: Exists while udevd runs.
UDEV_CONTROL = "/run/udev/control"
#: A property of our own: where the device is plugged in, such as "1-2.3".
USB_PATH = "ICEFARM_USB_PATH"

Properties = Mapping[str, str]


def event_of(properties: Properties) -> TtyAdded | DriveAdded | None:
    """Return the event for a new device with these udev properties; None if it is not a board's.

    Needs SUBSYSTEM, DEVNAME, ID_VENDOR_ID, ID_MODEL_ID, ID_SERIAL_SHORT; DEVTYPE of drives, ID_USB_INTERFACE_NUM of
    ports.
    """
    ids = (properties.get("ID_VENDOR_ID", "").lower(), properties.get("ID_MODEL_ID", "").lower())
    serial, path = properties.get("ID_SERIAL_SHORT", "").upper(), properties.get("DEVNAME", "")
    if not serial or not path:
        return None
    usb_path = properties.get(USB_PATH) or properties.get("ID_PATH", "")
    match properties.get("SUBSYSTEM"):
        case "tty" if ids in APPLICATION_IDS:
            return TtyAdded(serial, path, properties.get("ID_USB_INTERFACE_NUM", "00"), usb_path)
        # The whole drive: its partition would also accept the blocks, at another offset.
        case "block" if ids in BOOT_IDS and properties.get("DEVTYPE") == "disk":
            return DriveAdded(serial, path, usb_path)
    return None


def properties_of(device: Any) -> dict[str, str]:
    """Return a pyudev device's properties; those that only udevd's rules add are read from sysfs."""
    properties = dict(device.properties)
    if device.action is not None:
        properties["ACTION"] = device.action
    usb = device.find_parent("usb", "usb_device")
    if usb is not None:
        properties[USB_PATH] = usb.sys_name
        for name, attribute in (("VENDOR_ID", "idVendor"), ("MODEL_ID", "idProduct"), ("SERIAL_SHORT", "serial")):
            _fill_in(properties, "ID_" + name, usb, attribute)
    interface = device.find_parent("usb", "usb_interface")
    if interface is not None:
        _fill_in(properties, "ID_USB_INTERFACE_NUM", interface, "bInterfaceNumber")
    return properties


def _fill_in(properties: dict[str, str], name: str, device: Any, attribute: str) -> None:
    if name not in properties:
        value = device.attributes.get(attribute)
        if value is not None:
            properties[name] = value.decode(errors="replace").strip()


@define(eq=False)
class UsbMonitor:
    """Watches the USB bus for boards; a descriptor that the reactor reads."""

    _reactor: Any
    #: `pyudev.Context`.
    _context: Any
    _tell: Callable[[UsbEvent], None]
    _monitor: Any = None
    #: Added devices, by path: once a device is gone, its properties can't be read.
    _there: dict[str, UsbEvent] = Factory(dict)
    _log: Logger = Factory(Logger)

    def start(self) -> None:
        """Start watching, and report the boards already present."""
        from pyudev import Monitor

        source = "udev" if Path(UDEV_CONTROL).exists() else "kernel"
        self._monitor = Monitor.from_netlink(self._context, source=source)
        for subsystem in ("tty", "block"):
            self._monitor.filter_by(subsystem)
        self._monitor.start()
        self._reactor.addReader(self)
        for subsystem in ("tty", "block"):
            for device in self._context.list_devices(subsystem=subsystem):
                self.happened({**properties_of(device), "ACTION": "add"})

    def stop(self) -> None:
        """Stop watching."""
        if self._monitor is not None:
            self._reactor.removeReader(self)
            self._monitor = None

    def happened(self, properties: Properties) -> None:
        """Report an added or removed device, if it is a board's."""
        path = properties.get("DEVNAME", "")
        event: UsbEvent | None
        if properties.get("ACTION") == "remove":
            match self._there.pop(path, None):
                case TtyAdded(serial=serial):
                    event = TtyRemoved(serial, path)
                case DriveAdded(serial=serial):
                    event = DriveRemoved(serial, path)
                case _:
                    return
        else:
            event = event_of(properties)
            # The same device may be both enumerated and announced.
            if event is None or self._there.get(path) == event:
                return
            self._there[path] = event
        self._tell(event)

    def fileno(self) -> int:
        """For the reactor."""
        return int(self._monitor.fileno())

    def doRead(self) -> None:
        """For the reactor: read what has happened."""
        monitor = self._monitor
        while self._monitor is monitor and (device := monitor.poll(timeout=0)) is not None:
            self.happened(properties_of(device))

    def connectionLost(self, _: object) -> None:
        """For the reactor."""
        self._log.error("the USB monitor ended; boards that come or go are no longer noticed")
        self._monitor = None

    def logPrefix(self) -> str:
        """For the reactor."""
        return "usb"
