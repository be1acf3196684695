"""Pure: no I/O, no clock.  The reservations that a client has, and when to extend each."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from attrs import Factory, define, evolve, frozen

from icefarm.contract import ReservationRecord, device_prefix
from icefarm.errors import Unavailable

__all__ = ["Lease", "Leases"]

#: Extend a reservation when this part of its time has passed, so that several attempts can fail before it ends.
EXTEND_AT = 0.5
#: Minimum seconds between attempts to extend.
EXTEND_PAUSE = 5.0


@frozen
class Lease:
    """A reservation, with its end on the client's own clock (the farm's clock may differ)."""

    record: ReservationRecord
    #: When this client learned of it.
    since: float
    expires: float
    #: Its length in seconds, and that of each extension.
    length: float
    #: When it was made or last extended.
    renewed: float
    #: Whether to extend it automatically.
    keep: bool
    #: Prefix of the procedures of its board.
    prefix: str

    @classmethod
    def of(cls, record: ReservationRecord, now: float, *, keep: bool) -> Lease:
        """Take a new reservation; ``now`` is the moment on the client's clock."""
        length = max(0.0, record.expires_at - record.created_at)
        return cls(record, now, now + length, length, now, keep, device_prefix(record.serial))

    def ending(self, expires: float) -> Lease:
        """Return the same one with another end."""
        return evolve(self, expires=expires)

    @property
    def due(self) -> float:
        """When to extend it."""
        return self.expires - self.length * (1 - EXTEND_AT)

    def ends_sooner_than_thought(self, now: float) -> bool:
        """Tell whether to pass on a notice that it ends soon.

        Short, automatically extended reservations get no notice: one would come after every extension.
        """
        return self.keep and now - self.renewed >= self.length * (1 - EXTEND_AT) / 2


@define(eq=False)
class Leases:
    """The reservations of a client, by serial."""

    by_serial: dict[str, Lease] = Factory(dict)
    #: No automatic extension before this moment.
    _not_before: float = 0.0

    def add(self, lease: Lease) -> None:
        self.by_serial[lease.record.serial] = lease

    def remove(self, serial: str, reservation: str | None = None) -> Lease | None:
        """Remove a reservation; with ``reservation``, only if that is its id."""
        lease = self.by_serial.get(serial)
        if lease is None or (reservation is not None and lease.record.id != reservation):
            return None
        return self.by_serial.pop(serial)

    def router_of(self, serial: str) -> str | None:
        """Return the URL of the router at which a board is reached; None: that of the client's first link."""
        lease = self.by_serial.get(serial)
        return None if lease is None else lease.record.router

    def redirected(self, lease: Lease, error: Unavailable, routers: Collection[str]) -> bool:
        """Learn from a refusal at which of the farm's routers a board is reached, and tell whether that is news.

        A worker may refuse a call, too: the client shows its token to none but the farm's ``routers``.
        """
        router = error.fields.get("router")
        return isinstance(router, str) and router in routers and self.moved(lease, router)

    def moved(self, lease: Lease, router: str | None) -> bool:
        """Note at which router a board is reached, and tell whether that is news."""
        current = self.by_serial.get(lease.record.serial)
        if current is None or current.record.id != lease.record.id:
            return False
        self.by_serial[lease.record.serial] = evolve(current, record=evolve(current.record, router=router))
        return router != current.record.router

    def next_due(self) -> float | None:
        """Return when the next extension is due; None if there is nothing to extend."""
        due = min((lease.due for lease in self.by_serial.values() if lease.keep), default=None)
        return None if due is None else max(due, self._not_before)

    def take_due(self, now: float) -> dict[float, list[str]]:
        """Return the serials to extend now, keyed by the seconds of the extension; none is due again at once."""
        self._not_before = now + EXTEND_PAUSE
        due: dict[float, list[str]] = {}
        for serial, lease in self.by_serial.items():
            if lease.keep and lease.due <= now:
                due.setdefault(lease.length, []).append(serial)
        return due

    def extended(self, serials: Iterable[str], seconds: float | None, now: float) -> None:
        """Note that reservations were extended at ``now``; None for ``seconds`` is their own length."""
        for serial in serials:
            lease = self.by_serial.get(serial)
            if lease is not None:
                length = lease.length if seconds is None else seconds
                self.by_serial[serial] = evolve(lease, expires=max(lease.expires, now + length), renewed=now)

    def keep_no_longer(self, serials: Iterable[str]) -> None:
        """Extend these no more."""
        for serial in serials:
            lease = self.by_serial.get(serial)
            if lease is not None:
                self.by_serial[serial] = evolve(lease, keep=False)

    def missing(self, standing: Iterable[str], asked_at: float) -> list[str]:
        """Return the serials that control no longer counted as the client's when asked at ``asked_at``."""
        there = set(standing)
        return [serial for serial, lease in self.by_serial.items() if serial not in there and lease.since < asked_at]
