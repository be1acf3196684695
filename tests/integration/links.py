"""Sessions at a real router, for one test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from icefarm.bus import Bus, Caller
from icefarm.contract import AUTHENTICATOR, AUTHORIZER, Role
from icefarm.errors import IcefarmError, NameInUse
from icefarm.testing.memory.fake_control import allow_all
from icefarm.testing.processes.router import RealRouter
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link

__all__ = ["Links"]


class Links:
    """Sessions of one test; all are closed at its end."""

    def __init__(self, router: RealRouter) -> None:
        self.router = router
        self.links: list[Link] = []
        self.sign_ins: list[tuple[Any, ...]] = []

    async def join(self, role: Role, name: str, url: str | None = None) -> Bus:
        """Sign in once; raises what the sign-in was refused with."""
        joined: Deferred[Bus] = Deferred()

        async def have(bus: Bus) -> None:
            joined.callback(bus)

        def refused(error: IcefarmError) -> bool:
            joined.errback(error)
            return False

        ticket = self.router.ticket if role is Role.CONTROL else ""
        credentials = Credentials(name, role, f"instance of {name}", ticket)
        where = url or (self.router.control_url if role is Role.CONTROL else self.router.url)
        link = Link(reactor, where, credentials, have, refused)
        self.links.append(link)
        link.startService()
        joined.addTimeout(20, reactor)
        return await joined

    async def control(self) -> Bus:
        """Join as control, and let in whoever comes as what they say they are."""
        bus = await self.join(Role.CONTROL, "control")

        async def authenticate(_: Caller, __: str, args: Sequence[Any], ___: Mapping[str, Any]) -> Any:
            self.sign_ins.append(tuple(args))
            _realm, authid, details = args
            if authid == "taken":
                raise NameInUse("somebody is called so")
            return {"role": details["authextra"]["role"], "extra": {}}

        await bus.register(AUTHORIZER, allow_all, replace=True)
        await bus.register(AUTHENTICATOR, authenticate, replace=True)
        return bus

    async def close(self) -> None:
        for link in reversed(self.links):
            await link.stopService()
