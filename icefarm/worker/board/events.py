"""Pure: no I/O, no clock.  Events of a board beside those of USB, and the effects that follow."""

from __future__ import annotations

from attrs import frozen

from icefarm.usb.usb_events import DriveAdded, DriveRemoved, TtyAdded, TtyRemoved
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
    """The default firmware's test passed."""


@frozen
class Written:
    """The last block of an image was handed over."""


@frozen
class Cycled:
    """The power of its port was cycled; the board has not come back yet."""


@frozen
class KindStarted:
    """The kind's preparations are done."""


@frozen
class Failed:
    """The state's procedure (opening, touching, writing, testing, preparing, evaluating) failed."""

    why: str


@frozen
class PortLost:
    """The connection broke, and not by us; USB usually reports a moment later that the port is gone."""

    why: str


@frozen
class TimedOutWaiting:
    """The state's time limit has expired."""


@frozen
class Assign:
    """A reservation wants the board."""

    want: DesiredState


@frozen
class Release:
    """No reservation wants it any more."""


@frozen
class Reboot:
    """A request to restart and flash it."""


@frozen
class Retest:
    """A request to give a broken board another chance."""


@frozen
class Delete:
    """A request to forget it."""


@frozen
class Proven:
    """An evaluation gave a result."""


@frozen
class Mended:
    """Many evaluations in a row gave a result at the first attempt."""


@frozen
class Unreliable:
    """It works, but too often only at a later attempt; ``again``: flashing it did not help."""

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
    """Open the port (closing an open one) and send HELLO; then `Greeted` or `Failed`."""

    path: str


@frozen
class ClosePort:
    """Close the port."""


@frozen
class Touch1200:
    """Open the port at 1200 baud and close it; `Failed` if that is impossible."""

    path: str


@frozen
class WriteImage:
    """Write an image to the boot drive; then `Written` or `Failed`."""

    path: str
    image: Firmware


@frozen
class CyclePower:
    """Cycle the power of its hub port; then `Cycled`, unless it is back before, or `Failed`."""

    place: str


@frozen
class RunTest:
    """Make the board test itself; then `TestsPassed` or `Failed`."""


@frozen
class StartKind:
    """Let the kind prepare; then `KindStarted` or `Failed`."""


@frozen
class SuspendKind:
    """The board is away: hold evaluations until it is back."""

    why: str


@frozen
class FailWaiting:
    """Fail the calls that wait for the board: it won't come soon."""

    why: str


Effect = (
    OpenPort | ClosePort | Touch1200 | WriteImage | CyclePower | RunTest | StartKind | SuspendKind | FailWaiting
)  # fmt: skip
