"""What the USB bus says of boards, from properties as udev and the kernel give them."""

from __future__ import annotations

from typing import Any

import pytest

from icefarm.usb.usb_events import DriveAdded, DriveRemoved, TtyAdded, TtyRemoved
from icefarm.worker.board.registry import Ports
from icefarm.worker.usb_monitor import UsbMonitor, event_of, properties_of

SERIAL = "E463A8574B151439"

TTY = {
    "ACTION": "add",
    "SUBSYSTEM": "tty",
    "DEVNAME": "/dev/ttyACM0",
    "DEVPATH": "/devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2.3/1-2.3:1.0/tty/ttyACM0",
    "ID_VENDOR_ID": "1209",
    "ID_MODEL_ID": "b1c0",
    "ID_SERIAL_SHORT": SERIAL,
    "ID_USB_INTERFACE_NUM": "00",
    "ID_PATH": "pci-0000:00:14.0-usb-0:2.3:1.0",
    "ICEFARM_USB_PATH": "1-2.3",
}
DRIVE = {
    "ACTION": "add",
    "SUBSYSTEM": "block",
    "DEVTYPE": "disk",
    "DEVNAME": "/dev/sda",
    "ID_VENDOR_ID": "2e8a",
    "ID_MODEL_ID": "000f",
    "ID_SERIAL_SHORT": SERIAL,
    "ICEFARM_USB_PATH": "1-2.3",
}


def test_a_boards_serial_port_is_recognised() -> None:
    assert event_of(TTY) == TtyAdded(SERIAL, "/dev/ttyACM0", "00", "1-2.3")


def test_a_board_with_the_plain_sdk_is_recognised() -> None:
    assert isinstance(event_of({**TTY, "ID_VENDOR_ID": "2E8A", "ID_MODEL_ID": "0009"}), TtyAdded)


def test_a_boot_drive_is_recognised() -> None:
    assert event_of(DRIVE) == DriveAdded(SERIAL, "/dev/sda", "1-2.3")


@pytest.mark.parametrize(
    "properties",
    [
        {**TTY, "ID_VENDOR_ID": "0403", "ID_MODEL_ID": "6001"},
        {**TTY, "ID_SERIAL_SHORT": ""},
        {key: value for key, value in TTY.items() if key != "ID_SERIAL_SHORT"},
        {key: value for key, value in TTY.items() if key != "DEVNAME"},
        {**TTY, "SUBSYSTEM": "usb"},
        {**DRIVE, "DEVTYPE": "partition", "DEVNAME": "/dev/sda1"},
        {**DRIVE, "ID_MODEL_ID": "0009"},
        {**TTY, "ID_VENDOR_ID": "2e8a", "ID_MODEL_ID": "000f"},
        {},
    ],
)
def test_other_devices_are_passed_over(properties: dict[str, str]) -> None:
    assert event_of(properties) is None


class Told:
    """A monitor whose events are recorded."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.monitor = UsbMonitor(None, None, self.events.append)


def test_a_removal_is_told_though_nothing_can_be_read_of_what_is_gone() -> None:
    told = Told()
    told.monitor.happened(TTY)
    told.monitor.happened(DRIVE)
    told.monitor.happened({"ACTION": "remove", "SUBSYSTEM": "tty", "DEVNAME": "/dev/ttyACM0"})
    told.monitor.happened({"ACTION": "remove", "SUBSYSTEM": "block", "DEVNAME": "/dev/sda"})
    assert told.events[2:] == [TtyRemoved(SERIAL, "/dev/ttyACM0"), DriveRemoved(SERIAL, "/dev/sda")]


def test_a_device_that_is_both_enumerated_and_announced_is_told_once() -> None:
    told = Told()
    told.monitor.happened(TTY)
    told.monitor.happened(TTY)
    assert len(told.events) == 1


def test_a_removal_of_something_else_is_not_told() -> None:
    told = Told()
    told.monitor.happened({"ACTION": "remove", "SUBSYSTEM": "tty", "DEVNAME": "/dev/ttyS0"})
    assert told.events == []


class Parent:
    """A USB device or interface in sysfs, as pyudev shows it."""

    def __init__(self, name: str, **attributes: bytes) -> None:
        self.sys_name = name
        self.attributes = attributes


class Bare:
    """A device as the kernel alone announces it: what udev's rules would add has to be read from its parents."""

    action = "add"
    properties = {"SUBSYSTEM": "tty", "DEVNAME": "/dev/ttyACM1"}
    parents = {
        "usb_device": Parent("1-4", idVendor=b"1209", idProduct=b"b1c0", serial=SERIAL.encode()),
        "usb_interface": Parent("1-4:1.2", bInterfaceNumber=b"02"),
    }

    def find_parent(self, _: str, kind: str) -> Parent:
        return self.parents[kind]


def test_without_udevd_properties_are_read_from_the_parents() -> None:
    assert event_of(properties_of(Bare())) == TtyAdded(SERIAL, "/dev/ttyACM1", "02", "1-4")


# ------------------------------------------------------------------------------------------- several ports

FIRST = TtyAdded(SERIAL, "/dev/ttyACM0", "00", "1-2")
SECOND = TtyAdded(SERIAL, "/dev/ttyACM1", "02", "1-2")


def test_a_boards_second_port_is_passed_over() -> None:
    ports = Ports()
    assert ports.sift(FIRST) == [FIRST]
    assert ports.sift(SECOND) == []
    assert ports.sift(TtyRemoved(SERIAL, SECOND.path)) == []


def test_the_first_port_takes_over_from_the_second() -> None:
    ports = Ports()
    ports.sift(SECOND)
    assert ports.sift(FIRST) == [TtyRemoved(SERIAL, SECOND.path), FIRST]


def test_a_port_that_is_gone_leaves_room_for_another() -> None:
    ports = Ports()
    ports.sift(FIRST)
    assert ports.sift(TtyRemoved(SERIAL, FIRST.path)) == [TtyRemoved(SERIAL, FIRST.path)]
    assert ports.sift(SECOND) == [SECOND]


def test_drives_pass() -> None:
    drive = DriveAdded(SERIAL, "/dev/sda", "1-2")
    assert Ports().sift(drive) == [drive]


# ---------------------------------------------------------------------------------- one number, two places

TWIN = TtyAdded(SERIAL, "/dev/ttyACM1", "00", "1-3")
TWIN_LOADER = DriveAdded(SERIAL, "/dev/sdb", "1-3")


@pytest.mark.parametrize("twin", [TWIN, TWIN_LOADER])
def test_a_board_elsewhere_that_says_it_is_the_same_is_left_alone(twin: TtyAdded | DriveAdded) -> None:
    ports = Ports()
    ports.sift(FIRST)
    assert ports.elsewhere(twin) == "1-2"
    assert ports.sift(twin) == []
    gone = TtyRemoved(SERIAL, twin.path) if isinstance(twin, TtyAdded) else DriveRemoved(SERIAL, twin.path)
    assert ports.sift(gone) == []
    assert ports.sift(TtyRemoved(SERIAL, FIRST.path)) == [TtyRemoved(SERIAL, FIRST.path)]


def test_a_board_that_is_plugged_in_elsewhere_before_its_removal_is_told_is_used_then() -> None:
    ports = Ports()
    ports.sift(FIRST)
    ports.sift(TWIN)
    assert ports.sift(TtyRemoved(SERIAL, FIRST.path)) == [TtyRemoved(SERIAL, FIRST.path), TWIN]
    assert ports.elsewhere(TWIN_LOADER) is None


def test_a_board_that_re_enumerates_or_moves_is_the_same_board() -> None:
    ports = Ports()
    drive = DriveAdded(SERIAL, "/dev/sda", "1-2")
    story = [FIRST, TtyRemoved(SERIAL, FIRST.path), drive, DriveRemoved(SERIAL, drive.path), TWIN]
    assert [told for event in story for told in ports.sift(event)] == story


def test_a_path_whose_removal_was_missed_is_where_it_says_now() -> None:
    ports = Ports()
    ports.sift(FIRST)
    moved = TtyAdded(SERIAL, FIRST.path, "00", "1-3")
    assert ports.sift(moved) == [moved]
    assert ports.elsewhere(TWIN) is None
