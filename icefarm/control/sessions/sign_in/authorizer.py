"""What a worker may register at the router: control is the router's dynamic authorizer for workers.

The permissions of the other roles are static (`icefarm.contract.permissions`).  A worker may offer the procedures of
the boards that it has by the inventory, and its own; so nobody answers for another's boards.  The router asks at each
registration, and once for each procedure that workers call; calls to boards are those of clients, and are not asked
about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from attrs import Factory, define
from twisted.logger import Logger

from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.rate_limit import RateLimit
from icefarm.contract import BOARDS, WORKER_PROCEDURES, control_worker_procedure, device_prefix, worker_prefix
from icefarm.control.storage.mirror import BoardOwners
from icefarm.errors import NotAuthorized

__all__ = ["ROUTER_ROLE", "RegistrationAuthorizer", "may_register"]

#: The role of the router's own session.
ROUTER_ROLE = "trusted"
#: Refused registrations that are logged in so many seconds.
LOG_LINES, LOG_PERIOD = 10, 60.0

_CALLS = frozenset(control_worker_procedure(name) for name in WORKER_PROCEDURES)


def may_register(worker: str, uri: str, options: Mapping[str, Any], owners: BoardOwners) -> bool:
    """Tell whether a worker may register a procedure.

    Only whole prefixes, each with one callee: a longer or exact registration would take single calls away from it, and
    a shared one some of them.
    """
    if options.get("match") != "prefix" or options.get("invoke", "single") != "single":
        return False
    if uri == worker_prefix(worker):
        return True
    serial = unquote(uri[len(BOARDS) : -1]) if uri.startswith(BOARDS) else ""
    return uri == device_prefix(serial) and owners.worker_of(serial) == worker


@define(eq=False)
class RegistrationAuthorizer:
    """Answers the router."""

    owners: BoardOwners
    clock: Clock
    _limit: RateLimit = Factory(lambda: RateLimit(LOG_LINES, LOG_PERIOD))
    _log: Logger = Factory(Logger)

    async def authorize(self, caller: Caller, _: str, args: Sequence[Any], __: Mapping[str, Any]) -> dict[str, Any]:
        """Answer (details, uri, action, options) with ``allow``; the router caches by role, never by session."""
        if caller.role != ROUTER_ROLE:
            raise NotAuthorized("only the router asks that")
        details, uri, action, options = (*args, None, None, None, None)[:4]
        worker = details.get("authid") if isinstance(details, Mapping) else None
        if not isinstance(worker, str) or not isinstance(uri, str):
            return {"allow": False, "cache": False}
        if action == "call":
            allowed = uri in _CALLS
            return {"allow": allowed, "cache": allowed, "disclose": True}
        chosen = options if isinstance(options, Mapping) else {}
        if action == "register" and may_register(worker, uri, chosen, self.owners):
            return {"allow": True, "cache": False}
        if self._limit.passes(self.clock.seconds()):
            self._log.warn(
                "worker {worker!a:.120} may not {action} {uri!a:.200}", worker=worker, action=action, uri=uri
            )
        return {"allow": False, "cache": False}
