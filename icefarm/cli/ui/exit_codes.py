"""Pure: no I/O, no clock.  The exit codes of ``icefarm``; scripts rely on them, so their meaning never changes.

click has 1 for its own errors and 2 for wrong usage; what a farm answers needs more.
"""

from __future__ import annotations

from enum import IntEnum

from icefarm.errors import (
    Busy,
    IcefarmError,
    InvalidArgument,
    InvalidBitstream,
    LimitReached,
    NameInUse,
    NotAuthorized,
    TimedOut,
    TransportError,
    Unavailable,
    UnknownDevice,
    UnknownKind,
    UnknownRun,
    UnknownWorker,
)

__all__ = ["Exit", "exit_of"]


class Exit(IntEnum):
    """The exit code of a verb."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 3
    UNREACHABLE = 4
    NOT_AUTHORIZED = 5
    INCOMPLETE = 6
    #: As in shells: 128 plus the number of the signal, here SIGINT and SIGPIPE.
    INTERRUPTED = 130
    NOBODY_READS = 141


_EXITS: tuple[tuple[tuple[type[IcefarmError], ...], Exit], ...] = (
    ((InvalidArgument, InvalidBitstream, UnknownDevice, UnknownRun, UnknownWorker), Exit.USAGE),
    ((Unavailable, UnknownKind, Busy), Exit.UNAVAILABLE),
    ((TransportError, TimedOut), Exit.UNREACHABLE),
    ((NotAuthorized, NameInUse, LimitReached), Exit.NOT_AUTHORIZED),
)


def exit_of(error: IcefarmError) -> Exit:
    """Return the exit code of a verb that ended with this error."""
    for classes, code in _EXITS:
        if isinstance(error, classes):
            return code
    return Exit.FAILED
