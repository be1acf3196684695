"""Pure: no I/O, no clock.  When a run's results have all arrived."""

from __future__ import annotations

from attrs import frozen

__all__ = ["LATEST", "LOST", "SETTLED", "RunStanding", "may_close", "next_look"]

#: Seconds that a failure's row may take; a failure that no board had a part in has none.
SETTLED = 10.0
#: Seconds after the end of a lost client's last reservation: workers' rows take 2 s.
LOST = 15.0
#: Seconds after which a run is closed with what is there: an outage that a worker's spool outlasts.
LATEST = 3600.0
#: Seconds until a run is looked at again: at first, and at most, doubling with the time that it waits.
SOON, SELDOM = 1.0, 60.0


@frozen
class RunStanding:
    """How far a run is."""

    #: Seconds since its client said that it has ended; None: it has not said so.
    since_end: float | None
    #: Seconds since its last reservation ended; None: there is one.
    since_reservations: float | None
    #: How many results and failures its client had.
    told_results: int
    told_failures: int
    #: How many have arrived.
    results: int
    failures: int
    #: An evaluation that was attempted again has a row of an earlier attempt only.
    superseded: bool = False
    #: Every worker of its boards has been connected for a while, and its last batch was all that it had.
    delivered: bool = True


def may_close(run: RunStanding) -> bool:
    """Tell whether nothing more is to be expected of a run."""
    if run.since_end is not None:
        if run.since_end >= LATEST:
            return True
        whole = run.results >= run.told_results and not run.superseded
        return whole and (run.failures >= run.told_failures or run.since_end >= SETTLED)
    if run.since_reservations is None:
        return False
    return run.since_reservations >= LATEST or (run.since_reservations >= LOST and run.delivered)


def next_look(waiting: float) -> float:
    """Return the seconds until a run that has waited for so long is looked at again."""
    return min(SELDOM, max(SOON, waiting / 4))
