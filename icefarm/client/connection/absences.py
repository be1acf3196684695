"""Boards whose worker is away: noticed by a call that nobody serves, asked for until they answer again.

The farm keeps such a board for its client (``--worker-grace`` of control).  The client asks the worker for a sign of
life; any answer to that, an error too, shows that the worker is there.
"""

from __future__ import annotations

from typing import Protocol

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from icefarm.client.connection.leases import Lease, Leases
from icefarm.client.connection.link import FarmLink, client_log
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Tasks, shielded
from icefarm.errors import IcefarmError, LinkLost, NoSuchProcedure, TimedOut, Unavailable

__all__ = ["PING_LIMIT", "AbsenceObserver", "Absences"]

#: Seconds for a sign of life.
PING_LIMIT = 3.0
#: Seconds between questions: from the first to the longest, doubling.
ASK_FIRST = 0.1
ASK_LONGEST = 5.0
#: Seconds of absence that are worth a line in the log: a worker that restarts is back before that.
WORTH_SAYING = 2.0

_log = client_log("boards")


class AbsenceObserver(Protocol):
    """Hears which boards come and go with their workers."""

    def board_away(self, serial: str) -> None:
        """Nobody serves the board now."""

    def board_back(self, serial: str) -> None:
        """The board's worker is there again, or the board is no longer reserved."""


@define(eq=False)
class Absences:
    """The boards of one client that nobody serves now."""

    _clock: Clock
    _link: FarmLink
    _leases: Leases
    _observer: AbsenceObserver
    #: Seconds that an evaluation waits for a board; None: as long as the board is reserved.
    patience: float | None = None
    #: By serial: what fires when the board is served again.
    away: dict[str, Deferred[None]] = Factory(dict)
    _tasks: Tasks = Factory(Tasks)

    async def wait(self, lease: Lease) -> None:
        """Wait until the board is served again, or its reservation ends.  Raises `LinkLost` when patience ends."""
        serial = lease.record.serial
        if serial not in self.away:
            self._begin(lease)
        back = shielded(self.away[serial])
        if self.patience is not None:
            back.addTimeout(self.patience, self._clock, lambda *_: self._impatient(lease))  # type: ignore[arg-type]
        await back

    async def is_served(self, lease: Lease) -> bool:
        """Ask the board's worker for a sign of life.

        Where its router is away, the others say whether the board is at another one by now.
        """
        link = self._link.at(self._leases.router_of(lease.record.serial))
        bus = link.bus or self._link.any_bus
        if bus is None:
            return False
        try:
            await bus.call(lease.prefix + "ping", (), {"reservation": lease.record.id}, timeout=PING_LIMIT)
        except (LinkLost, NoSuchProcedure, TimedOut):
            return False
        except IcefarmError as error:
            if isinstance(error, Unavailable) and "router" in error.fields:
                return self._has_moved(lease, error)
        if bus is not link.bus:
            self._leases.moved(lease, None if bus is self._link.bus else bus.router_url)
        return True

    def _has_moved(self, lease: Lease, error: Unavailable) -> bool:
        """Learn from a refusal where a board is, and tell whether that is another router, which may be in reach."""
        is_news = self._leases.redirected(lease, error, self._link.router_urls)
        return is_news and not self._link.at(self._leases.router_of(lease.record.serial)).is_lost

    def stop(self) -> None:
        """Ask no more."""
        self._tasks.stop()

    def _begin(self, lease: Lease) -> None:
        serial = lease.record.serial
        self.away[serial] = Deferred()
        self._tasks.start(f"board {serial} is asked for", lambda: self._ask(lease))

    async def _ask(self, lease: Lease) -> None:
        serial, since, pause = lease.record.serial, self._clock.seconds(), ASK_FIRST
        said = False
        # The evaluation that noticed it must wait by then: what still runs cannot be cancelled, and would call the
        # board again later although it has moved to another one.
        await deferLater(self._clock, 0)  # type: ignore[arg-type]
        self._observer.board_away(serial)
        while self._still_reserved(lease) and not await self.is_served(lease):
            if not said and self._clock.seconds() - since >= WORTH_SAYING:
                said = True
                _log.warn(
                    "board {serial}: worker {worker} is away; the farm keeps the board, its evaluations wait",
                    serial=serial,
                    worker=lease.record.worker,
                )
            try:
                await self._link.news(pause)
            except IcefarmError:
                # There will be none; what waits asks the link for a session, and gets the reason.
                said = False
                break
            pause = min(2 * pause, ASK_LONGEST)
        if said and self._still_reserved(lease):
            _log.info("board {serial}: worker {worker} is back", serial=serial, worker=lease.record.worker)
        back = self.away.pop(serial)
        self._observer.board_back(serial)
        back.callback(None)

    def _still_reserved(self, lease: Lease) -> bool:
        current = self._leases.by_serial.get(lease.record.serial)
        return current is not None and current.record.id == lease.record.id

    def _impatient(self, lease: Lease) -> None:
        raise LinkLost(
            f"worker {lease.record.worker!r} of board {lease.record.serial} has been away for {self.patience:g} s",
            serial=lease.record.serial,
        )
