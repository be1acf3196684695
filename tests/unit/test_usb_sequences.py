"""Boards that come, go and re-enumerate, as udev tells of them, many at once and in any order between them.

A board that is touched at 1200 baud leaves as serial port, comes as drive with its partition, leaves as drive, and
comes back as serial port. The kernel gives each the lowest number that is free, so another board's name is soon
somebody else's.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from icefarm.usb.usb_events import DriveAdded, DriveRemoved, TtyAdded, TtyRemoved, UsbEvent
from icefarm.worker.usb_monitor import UsbMonitor

#: What one board does, in order: a flash, and then it is unplugged in the middle of another one.
STORY = ("tty+", "tty-", "drive+", "drive-", "tty+", "tty-", "drive+", "drive-")
EXPECTED = (TtyAdded, TtyRemoved, DriveAdded, DriveRemoved, TtyAdded, TtyRemoved, DriveAdded, DriveRemoved)


class Bus:
    """The kernel's side: names of devices, and events as udev words them."""

    def __init__(self) -> None:
        self.names: dict[tuple[str, str], str] = {}

    def happens(self, serial: str, what: str, usb_path: str) -> list[dict[str, str]]:
        kind, plugged = what[:-1], what[-1] == "+"
        subsystem = {"tty": "tty", "drive": "block"}[kind]
        name = self._take(serial, kind) if plugged else self.names.pop((serial, kind))
        event = {"ACTION": "add" if plugged else "remove", "SUBSYSTEM": subsystem, "DEVNAME": name}
        if plugged:
            ids = ("1209", "b1c0") if kind == "tty" else ("2e8a", "000f")
            event |= {"ID_VENDOR_ID": ids[0], "ID_MODEL_ID": ids[1], "ID_SERIAL_SHORT": serial}
            event["ICEFARM_USB_PATH"] = usb_path
        if kind == "tty":
            return [{**event, "ID_USB_INTERFACE_NUM": "00"}]
        partition = {**event, "DEVNAME": name + "1", "DEVTYPE": "partition"}
        disk = {**event, "DEVTYPE": "disk"}
        return [disk, partition] if plugged else [partition, disk]

    def _take(self, serial: str, kind: str) -> str:
        form = "/dev/ttyACM{}" if kind == "tty" else "/dev/sd{}"
        numbers: Any = range(100) if kind == "tty" else "abcdefghijklmnopqrstuvwxyz"
        name = next(form.format(each) for each in numbers if form.format(each) not in self.names.values())
        self.names[serial, kind] = name
        return name


@st.composite
def orders(draw: st.DrawFn) -> list[int]:
    """Draw how far each board of some is told of, interleaved: the number of the board at each step."""
    boards = draw(st.integers(1, 8))
    steps = [board for board in range(boards) for _ in range(draw(st.integers(0, len(STORY))))]
    return draw(st.permutations(steps))


def _told(order: list[int], repeated: bool) -> list[UsbEvent]:
    told: list[UsbEvent] = []
    monitor, bus = UsbMonitor(None, None, told.append), Bus()
    done: dict[int, int] = {}
    for board in order:
        step = done.get(board, 0)
        done[board] = step + 1
        for event in bus.happens(f"{board:016X}", STORY[step], f"1-{board + 1}"):
            monitor.happened(event)
            if repeated:
                # Enumerated and announced at once, or changed by a rule: the same device again.
                monitor.happened(event if event["ACTION"] == "remove" else {**event, "ACTION": "change"})
    return told


@given(orders(), st.booleans())
def test_each_board_is_told_of_as_if_it_were_alone(order: list[int], repeated: bool) -> None:
    told = _told(order, repeated)
    for board in set(order):
        own = [event for event in told if event.serial == f"{board:016X}"]
        assert [type(event) for event in own] == list(EXPECTED[: order.count(board)])


@given(orders())
def test_what_leaves_is_what_came_under_that_name(order: list[int]) -> None:
    there: dict[str, str] = {}
    for event in _told(order, repeated=False):
        match event:
            case TtyAdded(serial=serial, path=path) | DriveAdded(serial=serial, path=path):
                assert path not in there
                there[path] = serial
            case TtyRemoved(serial=serial, path=path) | DriveRemoved(serial=serial, path=path):
                assert there.pop(path) == serial


def test_a_hub_of_boards_that_is_switched_off_and_on_is_told_of_whole() -> None:
    boards = list(range(20))
    told = _told([*boards, *reversed(boards), *boards, *boards, *reversed(boards)], repeated=False)
    assert sum(isinstance(event, TtyAdded) for event in told) == 40
    assert len(told) == 100
