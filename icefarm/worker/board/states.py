"""Pure: no I/O, no clock.  The states that a board goes through, how long they may last, and how they are shown.

`icefarm.worker.board.state_machine` decides over these; docs/lifecycle.md has the whole table.
"""

from __future__ import annotations

import re

from attrs import frozen

from icefarm.contract import DeviceStatus
from icefarm.worker.flash.hub_ports import hub_port

__all__ = [
    "Broken",
    "Cycling",
    "DesiredState",
    "Firmware",
    "Flashing",
    "Gone",
    "Life",
    "Preparing",
    "Ready",
    "Reserved",
    "Restarting",
    "Seen",
    "State",
    "Testing",
    "Touching",
    "status_of",
    "time_limit",
]

#: Seconds in which an unreachable board that is still wanted may come back before those who wait for it are told.
REPLUG_LIMIT = 10.0
#: Seconds for opening the port and the answer to HELLO, asked anew a few times.
HELLO_LIMIT = 6.0
#: Seconds from the touch until the boot drive appears (about 1 s for a board, more behind busy hubs).
DRIVE_LIMIT = 10.0
#: Seconds for writing an image (400 kB of UF2 take less than 1 s at USB full speed).
WRITE_LIMIT = 30.0
#: Seconds from the last block until the serial port appears (boot ROM: 0.5 s, enumeration: 1 s).
RESTART_LIMIT = 10.0
#: Seconds for the test of the default firmware (milliseconds on the board).
TEST_LIMIT = 5.0
#: Seconds for what a device kind does when its board becomes usable.
START_LIMIT = 30.0
#: Seconds for cycling the power of a hub port (`icefarm.worker.flash.hub_power` takes less, whatever happens).
CYCLE_LIMIT = 20.0
#: Seconds until a broken board is tested again: the first time, and the longest, doubling in between.
RETEST_FIRST = 60.0
RETEST_LONGEST = 3600.0


@frozen
class Firmware:
    """An image by its application's name and its version, as boards say in HELLO."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def is_older_than(self, version: str) -> bool:
        """Tell by their numbers; False where this version has none."""
        mine = _release(self.version)
        return bool(mine) and mine < _release(version)


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with, such as (1, 1) for "1.1-test"."""
    numbers = re.match(r"[0-9]+(\.[0-9]+)*", version, re.ASCII)
    return () if numbers is None else tuple(map(int, numbers[0].split(".")))


@frozen
class DesiredState:
    """What a reservation wants of its board."""

    reservation: str
    kind: str
    firmware: Firmware


# ----------------------------------------------------------------------------------------------------- states


@frozen
class Gone:
    """Not reachable.  While ``waiting``, it may be just being plugged in again."""

    waiting: bool = False
    why: str = "not connected"


@frozen
class Seen:
    """Its port is open and it was asked HELLO.  ``written`` is what was flashed just before."""

    written: Firmware | None = None


@frozen
class Touching:
    """Asked to start its boot loader; the boot drive is to appear."""


@frozen
class Flashing:
    """Its boot drive is there and an image is being written."""

    image: Firmware


@frozen
class Restarting:
    """The image is written; the serial port is to appear."""

    image: Firmware


@frozen
class Testing:
    """It runs the default firmware, and tests itself."""


@frozen
class Ready:
    """Tested, and free."""


@frozen
class Preparing:
    """It runs the firmware of its kind, whose own preparations run."""


@frozen
class Reserved:
    """Usable by its client."""


@frozen
class Cycling:
    """Its power is being cycled, as the last thing to try; once that is ``done``, it is to appear."""

    why: str
    done: bool = False


@frozen
class Broken:
    """Set aside."""

    why: str


State = Gone | Seen | Touching | Flashing | Restarting | Testing | Ready | Preparing | Reserved | Cycling | Broken


@frozen
class Life:
    """A board's state and what it carries from state to state."""

    default: Firmware
    state: State = Gone()
    want: DesiredState | None = None
    #: What it offers on USB just now.
    port: str | None = None
    drive: str | None = None
    #: Failures since it last was in order, and how often it was set aside since it last did well for a while.
    tries: int = 0
    relapses: int = 0
    #: Where it was last plugged in, such as "1-2.3".
    place: str | None = None
    #: Whether power can be cycled on this host at all, and whether that was tried since the board last was in order.
    power: bool = False
    cycled: bool = False

    @property
    def can_cycle(self) -> bool:
        """Whether cycling the power of its port is still to be tried."""
        return self.power and not self.cycled and hub_port(self.place) is not None

    @property
    def goal(self) -> Firmware:
        """The firmware that it shall run."""
        return self.default if self.want is None else self.want.firmware


def time_limit(life: Life) -> float | None:
    """Return how many seconds the state may last, or None where it may last for ever."""
    match life.state:
        case Gone(waiting=True):
            return REPLUG_LIMIT
        case Broken():
            return min(RETEST_FIRST * 2.0 ** max(0, life.relapses - 1), RETEST_LONGEST)
        case Cycling(done=True):
            return RESTART_LIMIT
        case Gone() | Ready() | Reserved():
            return None
    return _LIMITS[type(life.state)]


_LIMITS: dict[type, float] = {
    Seen: HELLO_LIMIT,
    Touching: DRIVE_LIMIT,
    Flashing: WRITE_LIMIT,
    Restarting: RESTART_LIMIT,
    Testing: TEST_LIMIT,
    Preparing: START_LIMIT,
    Cycling: CYCLE_LIMIT,
}


def status_of(life: Life) -> tuple[DeviceStatus, str | None]:
    """Return the state in one word, and why or what for, for people."""
    match life.state:
        case Gone(why=why):
            return DeviceStatus.OFFLINE, why
        case Broken(why):
            return DeviceStatus.BROKEN, why
        case Ready():
            return DeviceStatus.AVAILABLE, None
        case Reserved():
            return DeviceStatus.RESERVED, None
        case Cycling(why):
            return DeviceStatus.TESTING, f"{why}; its power is cycled"
        case Testing() | Seen(written=None):
            return DeviceStatus.TESTING, None
    # One text for all steps, so that a switch of firmware is one change to those who watch.
    return DeviceStatus.FLASHING, f"switching to {life.goal}"
