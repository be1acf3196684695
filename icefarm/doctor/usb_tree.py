"""The USB bus as sysfs shows it: boards, their hubs, speed and power."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from icefarm.worker.usb_monitor import APPLICATION_IDS, BOOT_IDS

__all__ = ["UsbDevice", "devices_in", "node_of", "parent_of"]


@frozen
class UsbDevice:
    """A device on the bus; ``name`` is where it is plugged in, such as "1-2.3"."""

    name: str
    ids: tuple[str, str]
    serial: str
    #: Mbit/s: 1.5, 12, 480, 5000 ...
    speed: float
    #: The current that it requests from its port, in mA.
    milliamperes: int
    is_hub: bool
    #: A self-powered hub (bit 6 of bmAttributes, USB 2.0 specification, table 9-10).
    self_powered: bool
    #: Its serial ports and drives, relative to /dev.
    nodes: tuple[str, ...]

    @property
    def is_board(self) -> bool:
        return self.ids in (*APPLICATION_IDS, *BOOT_IDS)

    @property
    def is_boot_drive(self) -> bool:
        return self.ids in BOOT_IDS


def devices_in(sysfs: Path) -> tuple[UsbDevice, ...]:
    """Read the devices (not the root hubs) of ``/sys``."""
    bus = sysfs / "bus" / "usb" / "devices"
    try:
        names = sorted(path.name for path in bus.iterdir() if "-" in path.name and ":" not in path.name)
    except OSError:
        return ()
    return tuple(_device(bus / name) for name in names)


def node_of(sysfs: Path, hub: str) -> str | None:
    """Return the node of a hub ("1-2", or "1" for the root hub of bus 1), relative to /dev; None if there is none."""
    path = sysfs / "bus" / "usb" / "devices" / (hub if "-" in hub else f"usb{hub}")
    try:
        bus, device = (int((path / name).read_text()) for name in ("busnum", "devnum"))
    except (OSError, ValueError):
        return None
    return f"bus/usb/{bus:03}/{device:03}"


def parent_of(name: str) -> str | None:
    """Return where a device's hub is plugged in; None for a root hub's port."""
    parent, dot, _ = name.rpartition(".")
    return parent if dot else None


def _device(path: Path) -> UsbDevice:
    def read(attribute: str) -> str:
        try:
            return (path / attribute).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    return UsbDevice(
        name=path.name,
        ids=(read("idVendor").lower(), read("idProduct").lower()),
        serial=read("serial").upper(),
        speed=_number(read("speed")),
        milliamperes=int(_number(read("bMaxPower").removesuffix("mA"))),
        is_hub=read("bDeviceClass") == "09",
        self_powered=bool(int(read("bmAttributes") or "0", 16) & 0x40),
        nodes=tuple(sorted(node.name for each in ("*/tty/*", "*/host*/target*/*/block/*") for node in path.glob(each))),
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
