"""Pure: no I/O, no clock.  The states of a board, their time limits, and how they are shown.

`icefarm.worker.board.state_machine` decides the transitions; docs/lifecycle.md has the whole table.
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

#: Seconds in which an unreachable board that is still wanted may come back before waiting calls fail.
REPLUG_LIMIT = 10.0
#: Seconds for opening the port and the answer to HELLO, with a few retries.
HELLO_LIMIT = 6.0
#: Seconds from the touch until the boot drive appears (about 1 s for a board, more behind busy hubs).
DRIVE_LIMIT = 10.0
#: Seconds for writing an image (400 kB of UF2 take less than 1 s at USB full speed).
WRITE_LIMIT = 30.0
#: Seconds from the last block until the serial port appears (boot ROM: 0.5 s, enumeration: 1 s).
RESTART_LIMIT = 10.0
#: Seconds for the test of the default firmware (milliseconds on the board).
TEST_LIMIT = 5.0
#: Seconds for a device kind's own preparations.
START_LIMIT = 30.0
#: Seconds for cycling the power of a hub port (`icefarm.worker.flash.hub_power` always takes less).
CYCLE_LIMIT = 20.0
#: Seconds until a broken board is tested again: the first time, and the longest, doubling in between.
RETEST_FIRST = 60.0
RETEST_LONGEST = 3600.0


@frozen
class Firmware:
    """An image by its application's name and its version, as boards report in HELLO."""

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
    """What a reservation requires of its board."""

    reservation: str
    kind: str
    firmware: Firmware


# ----------------------------------------------------------------------------------------------------- states


@frozen
class Gone:
    """Not reachable.  While ``waiting``, it may be in the middle of being plugged in again."""

    waiting: bool = False
    why: str = "not connected"


@frozen
class Seen:
    """Its port is open and HELLO was sent.  ``written`` is the image flashed just before."""

    written: Firmware | None = None


@frozen
class Touching:
    """Asked to start its boot loader; the boot drive must appear."""


@frozen
class Flashing:
    """Its boot drive is there and an image is being written."""

    image: Firmware


@frozen
class Restarting:
    """The image is written; the serial port must appear."""

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
    """Its power is being cycled, as the last remedy; once that is ``done``, it must appear."""

    why: str
    done: bool = False


@frozen
class Broken:
    """Set aside."""

    why: str


State = Gone | Seen | Touching | Flashing | Restarting | Testing | Ready | Preparing | Reserved | Cycling | Broken


@frozen
class Life:
    """A board's state and what it keeps between states."""

    default: Firmware
    state: State = Gone()
    want: DesiredState | None = None
    #: What it offers on USB now.
    port: str | None = None
    drive: str | None = None
    #: Consecutive failures, and how often it was set aside since it last worked well for a while.
    tries: int = 0
    relapses: int = 0
    #: Where it was last plugged in, such as "1-2.3".
    place: str | None = None
    #: Whether this host can cycle power at all, and whether that was tried since the board last worked.
    power: bool = False
    cycled: bool = False

    @property
    def can_cycle(self) -> bool:
        """Whether to cycle the power of its port next."""
        return self.power and not self.cycled and hub_port(self.place) is not None

    @property
    def goal(self) -> Firmware:
        """The firmware that it must run."""
        return self.default if self.want is None else self.want.firmware


def time_limit(life: Life) -> float | None:
    """Return how many seconds the state may last, or None if it may last forever."""
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
    """Return the state in one word, and its reason or purpose, for users."""
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
    # One text for all steps, so that displays show a switch of firmware as one change.
    return DeviceStatus.FLASHING, f"switching to {life.goal}"
