"""Pure: no I/O, no clock.  The credentials of a session at the router."""

from __future__ import annotations

from typing import Protocol

from attrs import field, frozen, validators

from icefarm.contract import Role

__all__ = ["Credentials", "Tickets"]


@frozen
class Credentials:
    """The credentials that a session presents at sign-in.

    Each process (or client object) chooses ``instance`` at random: by it, control tells a process that reconnects
    after a lost link from a second one under the same name.
    """

    authid: str
    role: Role
    instance: str
    ticket: str = field(default="", repr=False, validator=validators.instance_of(str))
    #: A client's: it follows its boards to other routers of the farm.
    follows: bool = False


class Tickets(Protocol):
    """Has a fresh ticket for each sign-in, where tickets last for minutes and sessions for days."""

    def is_due(self) -> bool:
        """Tell whether the ticket that was given last is about to expire."""

    async def ticket(self) -> str:
        """Return a valid ticket.

        Raises `NotAuthorized` if only a person can get another one, `LinkLost` while it cannot be had.
        """
