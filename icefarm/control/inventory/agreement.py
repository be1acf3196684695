"""Pure: no I/O, no clock.  Detects that the database has fewer boards of a worker than the worker itself."""

from __future__ import annotations

from attrs import Factory, define

__all__ = ["CountAgreement"]


@define(eq=False)
class CountAgreement:
    """Compares the counts in workers' heartbeats with the database.

    The database may legitimately have fewer: it refuses a board that another worker has.  So what counts is whether
    more are missing than after the worker's last hello.  A report may be in progress, so a single heartbeat proves
    nothing.
    """

    #: Boards that were missing after the hello, by worker.
    _after_hello: dict[str, int] = Factory(dict)
    #: Workers whose last heartbeat did not agree.
    _doubted: set[str] = Factory(set)

    def greeted(self, worker: str, present: int, stored: int | None) -> None:
        """Note a hello: how many present boards it named, and how many the database now has."""
        self._after_hello[worker] = 0 if stored is None else max(0, present - stored)
        self._doubted.discard(worker)

    def beats(self, worker: str, present: int | None, stored: int | None) -> bool:
        """Tell whether a heartbeat agrees with the database; if not, the worker must say hello.

        ``present`` is None for a worker of an earlier version, ``stored`` while the database is away.
        """
        if present is None or stored is None or present - stored <= self._after_hello.get(worker, 0):
            self._doubted.discard(worker)
            return True
        agrees = worker not in self._doubted
        self._doubted.add(worker)
        return agrees
