"""Pure: no I/O, no clock.  The states of a board, and how long each may last.

`icefarm.worker.board.state_machine` decides the transitions; docs/lifecycle.md has the whole table.
"""

from __future__ import annotations

import re
from typing import ClassVar

from attrs import frozen

__all__ = [
    "Broken",
    "Cycling",
    "DesiredState",
    "Firmware",
    "Flashing",
    "Gone",
    "Preparing",
    "Ready",
    "Reserved",
    "Restarting",
    "Seen",
    "State",
    "Testing",
    "Touching",
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

    limit: ClassVar[float] = HELLO_LIMIT
    overdue: ClassVar[str] = "did not say hello in time"

    written: Firmware | None = None


@frozen
class Touching:
    """Asked to start its boot loader; the boot drive must appear."""

    limit: ClassVar[float] = DRIVE_LIMIT
    overdue: ClassVar[str] = "did not start its boot loader in time"


@frozen
class Flashing:
    """Its boot drive is there and an image is being written."""

    limit: ClassVar[float] = WRITE_LIMIT
    overdue: ClassVar[str] = "did not take its firmware in time"

    image: Firmware


@frozen
class Restarting:
    """The image is written; the serial port must appear."""

    limit: ClassVar[float] = RESTART_LIMIT
    overdue: ClassVar[str] = "did not restart in time after it was flashed"

    image: Firmware


@frozen
class Testing:
    """It runs the default firmware, and tests itself."""

    limit: ClassVar[float] = TEST_LIMIT
    overdue: ClassVar[str] = "did not finish its test in time"


@frozen
class Ready:
    """Tested, and free."""


@frozen
class Preparing:
    """It runs the firmware of its kind, whose own preparations run."""

    limit: ClassVar[float] = START_LIMIT
    overdue: ClassVar[str] = "was not prepared in time"


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
