"""Pure: no I/O, no clock.  Who used which boards, for how long, and for what: rows of the database added up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import define, field, frozen

from icefarm.contract import UsageRecord
from icefarm.errors import InvalidArgument

__all__ = ["DIMENSIONS", "HeldTime", "Measured", "UsageQuery", "dimensions", "used"]

#: By what usage can be told apart.
DIMENSIONS = ("account", "board", "experiment")

#: An account, a board, an experiment; None where they are not told apart.
Key = tuple[str | None, str | None, str | None]


@frozen
class UsageQuery:
    """Usage between two times, of one account or all."""

    since: float
    until: float
    account: str | None = None


@frozen
class HeldTime:
    """The reservations of a board by an account, as far as they are within the time."""

    account: str
    serial: str
    reservations: int
    seconds: float
    first_at: float
    last_at: float


@frozen
class Measured:
    """What a board measured for an experiment."""

    account: str
    experiment: str
    serial: str
    evaluations: int
    failed: int
    #: From the first result of each day to its last.
    seconds: float
    first_at: float
    last_at: float


@define
class _Sum:
    """A row of the answer, as it grows."""

    serials: set[str] = field(factory=set)
    reservations: int = 0
    seconds: float = 0.0
    evaluations: int = 0
    failed: int = 0
    times: list[float] = field(factory=list)

    def add(self, row: HeldTime | Measured) -> None:
        """Add the time that a board was used."""
        self.serials.add(row.serial)
        self.seconds += row.seconds
        self.times += [row.first_at, row.last_at]
        self.reservations += row.reservations if isinstance(row, HeldTime) else 0

    def record(self, key: Key) -> UsageRecord:
        begin, end = min(self.times, default=None), max(self.times, default=None)
        return UsageRecord(
            *key, len(self.serials), self.reservations, self.seconds, self.evaluations, self.failed, begin, end
        )


def dimensions(by: str) -> list[str]:
    """Read names that are separated by commas.  Raises `InvalidArgument`."""
    names = [name.strip() for name in by.split(",")]
    if len(set(names)) != len(names) or not set(names) <= set(DIMENSIONS):
        raise InvalidArgument(f"by must be one or several of {', '.join(DIMENSIONS)}, with commas, not {by!a:.80}")
    return names


def used(by: Sequence[str], held: Iterable[HeldTime], measured: Iterable[Measured]) -> list[UsageRecord]:
    """Add up usage, the longest first.

    The time is that of reservations; by experiment it is the time from the first result of each day to the last, since
    a reservation may serve several.
    """
    sums: dict[Key, _Sum] = {}

    def place(row: HeldTime | Measured) -> _Sum:
        experiment = row.experiment if isinstance(row, Measured) and "experiment" in by else None
        key = (row.account if "account" in by else None, row.serial if "board" in by else None, experiment)
        return sums.setdefault(key, _Sum())

    by_experiment = "experiment" in by
    for each in () if by_experiment else held:
        place(each).add(each)
    for row in measured:
        found = place(row)
        found.evaluations += row.evaluations
        found.failed += row.failed
        if by_experiment:
            found.add(row)
        else:
            # Its reservation may have begun before the time, or be forgotten.
            found.serials.add(row.serial)
    return sorted(
        (each.record(key) for key, each in sums.items()),
        key=lambda record: (-record.seconds, record.account or "", record.serial or "", record.experiment or ""),
    )
