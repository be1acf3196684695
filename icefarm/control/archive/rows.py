"""Pure: no I/O, no clock.  Rows of the archive, by columns, and whose they are.

This is code of each evaluation.  So a batch is columns, not rows, from the worker's message to PostgreSQL and the run's
manifest: what holds for a whole column is asked once.  What the rows of one board's reservation have in common is one
object, a `Stamp`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from operator import attrgetter, le
from typing import Any, NamedTuple

from attrs import field, fields, frozen

from icefarm.contract import account_of, default_experiment
from icefarm.runs.canonical import moments

__all__ = [
    "NO_ROWS",
    "OWN",
    "STAMPED",
    "ArchiveRow",
    "ArchiveRows",
    "OwnedRow",
    "OwnedRows",
    "Owner",
    "Stamp",
    "each_once",
    "owned",
    "owned_by",
]

_default_experiment = lru_cache(maxsize=1024)(default_experiment)


class ArchiveRow(NamedTuple):
    """One evaluation, for the archive."""

    evaluation_id: str
    reservation: str
    serial: str
    kind: str
    #: JSON.
    options: str
    value: str | None
    number: float | None
    error: str | None
    message: str | None
    sha256: str | None
    circuit: str | None
    experiment: str | None
    labels: str | None
    firmware: str | None
    firmware_version: str | None
    origin: str | None
    window_us: int | None
    load_us: int | None
    temperature_c: float | None
    sequence: int | None
    attempt: int
    started_at: float | None
    ended_at: float
    day: date
    board_labels: str | None = None
    calibration: str | None = None


class OwnedRow(NamedTuple):
    """A row with what its reservation says: whose it is."""

    row: ArchiveRow
    client: str
    #: The experiment's account and name.
    key: tuple[str, str]


@frozen(eq=False)
class Stamp:
    """What rows have in common, as `ArchiveRow` has it."""

    reservation: str
    serial: str
    kind: str
    options: str
    experiment: str | None
    firmware: str | None
    firmware_version: str | None
    origin: str | None
    board_labels: str | None
    calibration: str | None


#: The fields of a row that its stamp has, and the others.
STAMPED = tuple(each.name for each in fields(Stamp))
OWN = tuple(name for name in ArchiveRow._fields if name not in STAMPED)


@frozen(eq=False)
class ArchiveRows:
    """Rows by columns."""

    #: Of each row.
    stamps: Sequence[Stamp]
    #: The columns `OWN`.
    own: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(self.stamps)

    def __iter__(self) -> Iterator[ArchiveRow]:
        return map(ArchiveRow._make, zip(*map(self.column, ArchiveRow._fields), strict=True))

    def column(self, name: str) -> Sequence[Any]:
        """Return a field of all rows."""
        return self.own[name] if name in self.own else list(map(attrgetter(name), self.stamps))

    def taken(self, places: Iterable[int]) -> ArchiveRows:
        """Return the rows at these places."""
        some = list(places)
        return ArchiveRows(_taken(self.stamps, some), {name: _taken(values, some) for name, values in self.own.items()})

    @classmethod
    def joined(cls, parts: Sequence[ArchiveRows]) -> ArchiveRows:
        """Return the rows of several in one."""
        return cls(
            [stamp for part in parts for stamp in part.stamps],
            {name: [value for part in parts for value in part.own[name]] for name in OWN},
        )


def _taken(values: Sequence[Any], places: Sequence[int]) -> Sequence[Any]:
    return list(map(values.__getitem__, places))


@frozen(eq=False)
class Owner:
    """What a stamp's reservation says."""

    stamp: Stamp
    client: str
    #: The experiment's account and name.
    key: tuple[str, str]


@frozen(eq=False)
class OwnedRows:
    """Rows with their owners, and their times as text."""

    rows: ArchiveRows
    #: Of each row.
    owners: Sequence[Owner]
    started: Sequence[str | None] = field()
    ended: Sequence[str | None] = field()

    @started.default
    def _write_started(self) -> Sequence[str | None]:
        return moments(self.rows.own["started_at"])

    @ended.default
    def _write_ended(self) -> Sequence[str | None]:
        return moments(self.rows.own["ended_at"])

    def __len__(self) -> int:
        return len(self.owners)

    def __iter__(self) -> Iterator[OwnedRow]:
        return (OwnedRow(row, each.client, each.key) for row, each in zip(self.rows, self.owners, strict=True))

    def column(self, name: str) -> Sequence[Any]:
        """Return a field of all rows."""
        return self.rows.column(name)

    def taken(self, places: Iterable[int]) -> OwnedRows:
        """Return the rows at these places."""
        some = list(places)
        columns = (_taken(values, some) for values in (self.owners, self.started, self.ended))
        return OwnedRows(self.rows.taken(some), *columns)

    @property
    def keys(self) -> set[tuple[str, str]]:
        """The experiments."""
        return {owner.key for owner in set(self.owners)}

    def missing_of(self, rows: ArchiveRows) -> int:
        """Return how many of these rows are of reservations that none of its own is of."""
        own = {owner.stamp.reservation for owner in set(self.owners)}
        others = {stamp for stamp in set(rows.stamps) if stamp.reservation not in own}
        return sum(map(others.__contains__, rows.stamps)) if others else 0

    def in_order(self) -> OwnedRows:
        """Return the rows in the order in which they ended."""
        ends = self.column("ended_at")
        if all(map(le, ends, ends[1:])):
            return self
        return self.taken(sorted(range(len(ends)), key=ends.__getitem__))


#: None.
NO_ROWS = OwnedRows(ArchiveRows([], {name: [] for name in OWN}), [])


def owned(rows: ArchiveRows, reservations: Mapping[str, tuple[str, str]]) -> OwnedRows:
    """Return the rows of these reservations, whose board and client are known by their ids; no others.

    Nor those that another row of the batch succeeds or repeats.
    """
    stamped = list(zip(rows.stamps, rows.column("day"), strict=True))
    known = {each: _owner(*each, reservations) for each in set(stamped)}
    places: Sequence[int] = _newest_attempts(rows)
    if None in known.values():
        places = [place for place in places if known[stamped[place]] is not None]
    if len(places) < len(rows):
        rows, stamped = rows.taken(places), [stamped[place] for place in places]
    # None is left of those without an owner.
    owners: list[Any] = list(map(known.__getitem__, stamped))
    return OwnedRows(rows, owners)


def owned_by(rows: ArchiveRows, client: str, key: tuple[str, str]) -> OwnedRows:
    """Return rows that are all the same client's, and of the same experiment."""
    owners = {stamp: Owner(stamp, client, key) for stamp in set(rows.stamps)}
    return OwnedRows(rows, list(map(owners.__getitem__, rows.stamps)))


def _owner(stamp: Stamp, day: date, reservations: Mapping[str, tuple[str, str]]) -> Owner | None:
    serial, client = reservations.get(stamp.reservation, (None, ""))
    if serial != stamp.serial:
        return None
    # A client of this version names it when its run begins; others may not.
    return Owner(stamp, client, (account_of(client), stamp.experiment or _default_experiment(client, day)))


def _newest_attempts(rows: ArchiveRows) -> Sequence[int]:
    """Return the places of rows without those that another one succeeds or repeats."""
    ids, attempts = rows.column("evaluation_id"), rows.column("attempt")
    if len(set(ids)) == len(ids):
        return range(len(ids))
    newest: dict[tuple[str, str], int] = {}
    for place, (id, stamp) in enumerate(zip(ids, rows.stamps, strict=True)):
        before = newest.setdefault((stamp.reservation, id), place)
        if attempts[place] > attempts[before]:
            newest[stamp.reservation, id] = place
    return list(newest.values())


def each_once(function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    """Return what a function makes of each value; it is asked once for those that are equal."""
    made = {value: function(value) for value in set(values)}
    return list(map(made.__getitem__, values))
