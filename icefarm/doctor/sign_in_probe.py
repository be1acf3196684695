"""Signs in at a farm once, in any role that the token permits, to check that it works; there is no retry."""

from __future__ import annotations

import secrets
import socket
from typing import Any

from attrs import Factory, frozen
from twisted.internet.defer import Deferred, TimeoutError

from icefarm.bus import Bus
from icefarm.contract import Role, control_procedure
from icefarm.errors import IcefarmError, LinkLost, NotAuthorized, TimedOut
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link

__all__ = ["SignedIn", "sign_in"]

#: Seconds for the sign-in, and for the answer.
SIGN_IN_LIMIT = 20.0
ANSWER_LIMIT = 10.0
#: Lists in each other, of a message that the farm's own router refuses (`icefarm.farm.router.inside.icefarm_messages`)
#: and that harms no other.
TOO_DEEP = 120


@frozen
class SignedIn:
    """What a session shows of a farm."""

    #: Of the connected workers, by name; none if the token is a worker's.
    versions: dict[str, str] = Factory(dict)
    #: Whether the router ends a session for a message that is nested too deeply.
    bounds_messages: bool = True
    #: The URLs of the farm's other routers.
    others: tuple[str, ...] = ()


def sign_in(url: str, token: str, ca_file: str | None) -> SignedIn:
    """Sign in, and see what there is.  Raises `IcefarmError`."""
    from icefarm.client.api.process_engine import engine

    # The session before, at another router, may not have ended yet.
    name = f"doctor-{socket.gethostname()[:60]}-{secrets.token_hex(4)}"
    running = engine()
    try:
        return running.run(_ask, running.reactor, url, Credentials(name, Role.CLIENT, _instance(), token), ca_file)
    except NotAuthorized as error:
        if not token:
            raise
        try:
            as_worker = Credentials(name, Role.WORKER, _instance(), token)
            return running.run(_ask, running.reactor, url, as_worker, ca_file)
        except NotAuthorized:
            raise error from None


def _instance() -> str:
    return secrets.token_hex(8)


async def _ask(reactor: Any, url: str, who: Credentials, ca_file: str | None) -> SignedIn:
    ended: Deferred[SignedIn] = Deferred()

    async def joined(bus: Bus) -> None:
        try:
            found = await _looked_at(bus, who.role)
        except IcefarmError as error:
            if not ended.called:
                ended.errback(error)
            return
        if not ended.called:
            ended.callback(found)

    def refused(error: IcefarmError) -> bool:
        if not ended.called:
            ended.errback(error)
        return False

    link = Link(reactor, url, who, joined, refused, ca_file=ca_file)
    link.startService()
    ended.addTimeout(SIGN_IN_LIMIT, reactor)
    try:
        return await ended
    except TimeoutError:
        raise TimedOut(f"the farm did not answer within {SIGN_IN_LIMIT:g} s") from None
    finally:
        await link.stopService()


async def _looked_at(bus: Bus, role: Role) -> SignedIn:
    # Workers may not list other workers.
    workers = [] if role is Role.WORKER else await _workers(bus)
    versions = {each["name"]: each["version"] for each in workers if each["status"] == "online"}
    others = tuple(sorted(bus.router_urls - {bus.router_url}))
    # Last, for it may end the session.
    return SignedIn(versions, await _bounds_messages(bus), others)


async def _workers(bus: Bus) -> Any:
    return (await bus.call(control_procedure("snapshot"), timeout=ANSWER_LIMIT))["workers"]


async def _bounds_messages(bus: Bus) -> bool:
    nested: list[Any] = []
    for _ in range(TOO_DEEP):
        nested = [nested]
    try:
        await bus.call(control_procedure("heartbeat"), (nested,), timeout=ANSWER_LIMIT)
    except LinkLost:
        return True
    except IcefarmError:
        # Control refuses it: it has come through.
        return False
    return False
