"""Pure: no I/O, no clock.  What happens to a board beside USB's own events, and what is done about it."""

from __future__ import annotations

from attrs import frozen

from icefarm.usb_events import DriveAdded, DriveRemoved, TtyAdded, TtyRemoved
from icefarm.worker.board.states import DesiredState, Firmware

__all__ = [
    "Assign",
    "ClosePort",
    "CyclePower",
    "Cycled",
    "Delete",
    "Effect",
    "Event",
    "FailWaiting",
    "Failed",
    "Greeted",
    "KindStarted",
    "Mended",
    "OpenPort",
    "PortLost",
    "Proven",
    "Reboot",
    "Release",
    "Retest",
    "RunTest",
    "StartKind",
    "SuspendKind",
    "TestsPassed",
    "TimedOutWaiting",
    "Touch1200",
    "Unreliable",
    "WriteImage",
    "Written",
]


@frozen
class Greeted:
    """The board answered HELLO."""

    firmware: Firmware


@frozen
class TestsPassed:
    """The default firmware found nothing wrong."""


@frozen
class Written:
    """The last block of an image was handed over."""


@frozen
class Cycled:
    """The power of its port went off and on again; it has not come back yet."""


@frozen
class KindStarted:
    """The kind's preparations are done."""


@frozen
class Failed:
    """What the state does (opening, touching, writing, testing, preparing, evaluating) failed."""

    why: str


@frozen
class PortLost:
    """The connection broke, and not by us; USB usually says a moment later that the port is gone."""

    why: str


@frozen
class TimedOutWaiting:
    """The state's time limit is over."""


@frozen
class Assign:
    """A reservation wants the board."""

    want: DesiredState


@frozen
class Release:
    """Nobody wants it any more."""


@frozen
class Reboot:
    """Somebody asks to restart and flash it."""


@frozen
class Retest:
    """Somebody asks to give a broken board another chance."""


@frozen
class Delete:
    """Somebody asks to forget it."""


@frozen
class Proven:
    """It did its work: an evaluation gave a result."""


@frozen
class Mended:
    """It did its work many times in a row, without fault."""


@frozen
class Unreliable:
    """It does its work, but too much of it only at a later attempt; ``again``: flashing it did not help."""

    why: str
    again: bool = False


Event = (
    TtyAdded | TtyRemoved | DriveAdded | DriveRemoved | Greeted | TestsPassed | Written | KindStarted | Cycled | Failed
    | PortLost | TimedOutWaiting | Assign | Release | Reboot | Retest | Delete | Proven
    | Mended | Unreliable
)  # fmt: skip

# ---------------------------------------------------------------------------------------------------- effects


@frozen
class OpenPort:
    """Open the port (closing what was open) and ask HELLO; then `Greeted` or `Failed`."""

    path: str


@frozen
class ClosePort:
    """Close the port."""


@frozen
class Touch1200:
    """Open the port at 1200 baud and close it; `Failed` where that can't be done."""

    path: str


@frozen
class WriteImage:
    """Write an image to the boot drive; then `Written` or `Failed`."""

    path: str
    image: Firmware


@frozen
class CyclePower:
    """Cycle the power of the hub port where it hangs; then `Cycled`, unless it is back before, or `Failed`."""

    place: str


@frozen
class RunTest:
    """Have the board test itself; then `TestsPassed` or `Failed`."""


@frozen
class StartKind:
    """Let the kind prepare; then `KindStarted` or `Failed`."""


@frozen
class SuspendKind:
    """The board is away: keep evaluations until it is back."""

    why: str


@frozen
class FailWaiting:
    """Tell those who wait for the board that it won't come soon."""

    why: str


Effect = (
    OpenPort | ClosePort | Touch1200 | WriteImage | CyclePower | RunTest | StartKind | SuspendKind | FailWaiting
)  # fmt: skip
