"""Pure: no I/O, no clock.  How much an account may have and ask for.

The farm's limits hold for every account (``--limit``); an operator may set others for one of them, which the database
keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from attrs import Factory, define, evolve, field, frozen

from icefarm.contract import MAX_SECONDS, account_of
from icefarm.control.scheduling.fair_share import DEFAULT_PRIORITY
from icefarm.errors import InvalidArgument, LimitReached

__all__ = ["LIMITS", "AccountLimits", "FarmLimits", "checked_limits", "limits_text", "parse_limits"]


def _limit(default: float, most: float, what: str) -> Any:
    return field(default=default, metadata={"most": most, "what": what})


@frozen
class AccountLimits:
    """What one account may have at a time."""

    sessions: float = _limit(64, 10_000, "sessions signed in")
    calls: float = _limit(256, 100_000, "calls to control that are not answered yet")
    rate: float = _limit(100, 100_000, "calls to control a second; further ones wait")
    queue: float = _limit(100, 10_000, "requests in the queue")
    boards: float = _limit(10_000, 10_000, "boards held")
    seconds: float = _limit(7 * 86400, MAX_SECONDS, "seconds of a reservation or an extension")
    bookings: float = _limit(10, 10_000, "bookings that have not ended")
    booked: float = _limit(500, 1_000_000, "hours of boards booked, all bookings together")
    grace: float = _limit(86400, MAX_SECONDS, "seconds for which a reservation waits for its client")
    priority: float = _limit(DEFAULT_PRIORITY, 100, "as the priority of a request, which it has unless it says less")
    weight: float = _limit(1, 1000, "shares of the boards: an account of weight 2 may use twice as much as others")


#: What each limit bounds, by name.
LIMITS: Mapping[str, str] = {each.name: each.metadata["what"] for each in attrs.fields(AccountLimits)}


def checked_limits(given: Mapping[str, float]) -> dict[str, float]:
    """Return limits with their values checked.  Raises `InvalidArgument`."""
    known = attrs.fields_dict(AccountLimits)
    for name, value in given.items():
        if name not in known:
            raise InvalidArgument(f"there is no limit {name!a:.100}; there are {', '.join(known)}")
        most = known[name].metadata["most"]
        if not 0 < value <= most:
            raise InvalidArgument(f"the limit {name} must be above 0 and at most {most:g}, not {value!r:.100}")
    return dict(given)


@define(eq=False)
class FarmLimits:
    """The limits of the farm, and those of single accounts."""

    farm: AccountLimits = Factory(AccountLimits)
    #: By account: the limits that it has instead of the farm's.
    own: dict[str, dict[str, float]] = Factory(dict)

    def of(self, identity: str) -> AccountLimits:
        """Return the limits of the account that an identity belongs to."""
        own = self.own.get(account_of(identity))
        return self.farm if not own else evolve(self.farm, **own)

    def check(self, identity: str, name: str, has: float, wants: float = 1) -> None:
        """Raise `LimitReached` if the account of ``identity`` would exceed a limit."""
        most = getattr(self.of(identity), name)
        if has + wants > most:
            account = account_of(identity)
            more = f" and asks for {wants:g} more" if wants > 1 else ""
            raise LimitReached(
                f"account {account!a:.100} has {has:g} of at most {most:g} {LIMITS[name]}{more}; an operator sets the "
                f"limit: icefarm account limits ACCOUNT {name}=N",
                account=account,
                limit=name,
                most=most,
            )

    def check_request(
        self, identity: str, seconds: float, grace: float | None, priority: float | None, boards: int
    ) -> None:
        """Raise `LimitReached` if an account asks for more than it may in one request; None: it does not ask."""
        for name, asked in (("seconds", seconds), ("grace", grace), ("priority", priority)):
            if asked is not None:
                self.check_seconds(identity, name, asked)
        self.check(identity, "boards", 0, boards)

    def check_seconds(self, identity: str, name: str, seconds: float) -> None:
        """Raise `LimitReached` if an account asks for too much of what is asked for at once, such as seconds."""
        most = getattr(self.of(identity), name)
        if seconds > most:
            account = account_of(identity)
            raise LimitReached(
                f"account {account!a:.100} may ask for at most {most:g} {LIMITS[name]}, not {seconds:g}; an operator "
                f"sets the limit: icefarm account limits ACCOUNT {name}=N",
                account=account,
                limit=name,
                most=most,
            )


def parse_limits(text: str) -> dict[str, float]:
    """Parse ``boards=8,queue=10``.  Raises `InvalidArgument`."""
    given = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            given[name.strip()] = float(value)
        except ValueError:
            raise InvalidArgument(f"must be NAME=NUMBER, several with commas between, not {text!a:.100}") from None
    return checked_limits(given)


def limits_text(changes: Mapping[str, float | None]) -> str:
    """Return changes of limits as people read and write them: ``boards=8, queue=default``."""
    return ", ".join(f"{name}={'default' if value is None else f'{value:g}'}" for name, value in changes.items())
