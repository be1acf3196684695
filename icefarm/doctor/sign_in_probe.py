"""Signs in at a farm once, in any role that the token permits, to check that it works; there is no retry."""

from __future__ import annotations

import os
import secrets
import socket
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError

from icefarm.bus import Bus
from icefarm.contract import Role, control_procedure
from icefarm.errors import IcefarmError, NotAuthorized, TimedOut
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link

__all__ = ["sign_in"]

#: Seconds for the sign-in, and for the answer.
SIGN_IN_LIMIT = 20.0
ANSWER_LIMIT = 10.0


def sign_in(url: str, token: str, ca_file: str | None) -> dict[str, str]:
    """Return the versions of the connected workers, by name; none if the token is a worker's.

    Raises `IcefarmError`.
    """
    from icefarm.client.api.process_engine import engine

    name = f"doctor-{socket.gethostname()[:60]}-{os.getpid()}"
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


async def _ask(reactor: Any, url: str, who: Credentials, ca_file: str | None) -> dict[str, str]:
    ended: Deferred[dict[str, str]] = Deferred()

    async def joined(bus: Bus) -> None:
        try:
            # Workers may not list other workers.
            snapshot = {"workers": []} if who.role is Role.WORKER else await _snapshot(bus)
        except IcefarmError as error:
            if not ended.called:
                ended.errback(error)
            return
        if not ended.called:
            ended.callback(
                {each["name"]: each["version"] for each in snapshot["workers"] if each["status"] == "online"}
            )

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


async def _snapshot(bus: Bus) -> Any:
    return await bus.call(control_procedure("snapshot"), timeout=ANSWER_LIMIT)
