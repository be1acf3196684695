"""Who listens: which topics somebody has subscribed to at the router, so that nothing is sent to nobody.

A thousand boards that change hands cause thousands of events, and most of the time no display is open.  The router says
which subscriptions there are, before it answers the one who subscribes: who then asks for a snapshot misses nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from attrs import Factory, define
from twisted.logger import Logger

from icefarm.bus import Bus
from icefarm.concurrency.deferreds import outcomes
from icefarm.errors import IcefarmError

__all__ = ["Audience"]

#: Seconds for an answer of the router itself.
ROUTER_LIMIT = 5.0
#: Concurrent questions about subscriptions.
AT_ONCE = 64


@define(eq=False)
class Audience:
    """The subscriptions at the router.  As long as they are not known, somebody listens to everything."""

    _known: bool = False
    #: By the router's number of a subscription: (URI, how it matches).
    _subscriptions: dict[int, tuple[str, str]] = Factory(dict)
    #: The topics among them, the prefixes, and how many other patterns there are.
    _exact: Counter[str] = Factory(Counter)
    _prefixes: tuple[str, ...] = ()
    _patterns: int = 0
    _log: Logger = Factory(Logger)

    async def attach(self, bus: Bus) -> None:
        """Learn the subscriptions at a newly joined router, and follow them."""
        self.detach()
        try:
            await bus.subscribe("wamp.subscription.on_create", self._created)
            await bus.subscribe("wamp.subscription.on_delete", self._deleted)
            found = await bus.call("wamp.subscription.list", timeout=ROUTER_LIMIT)
            numbers = [number for some in found.values() for number in some]
            asked = await outcomes([partial(_details, bus, number) for number in numbers], AT_ONCE)
        except IcefarmError as error:
            self._log.warn("the router does not say who has subscribed to what: {error}", error=error)
            return
        for details in asked:
            if isinstance(details, Mapping):
                self._add(details)
        self._known = True

    def detach(self) -> None:
        """Forget the subscriptions: the router is out of reach."""
        self._known = False
        self._subscriptions.clear()
        self._exact.clear()
        self._prefixes, self._patterns = (), 0

    def listens(self, topic: str) -> bool:
        """Tell whether somebody may have subscribed to a topic."""
        return not self._known or self._patterns > 0 or topic in self._exact or topic.startswith(self._prefixes)

    def _created(self, _: str, args: Sequence[Any], __: Mapping[str, Any]) -> None:
        if len(args) > 1 and isinstance(args[1], Mapping):
            self._add(args[1])

    def _deleted(self, _: str, args: Sequence[Any], __: Mapping[str, Any]) -> None:
        gone = self._subscriptions.pop(args[1], None) if len(args) > 1 else None
        if gone is not None:
            self._count(*gone, -1)

    def _add(self, details: Mapping[str, Any]) -> None:
        number, uri, match = details["id"], str(details["uri"]), str(details.get("match", "exact"))
        if number not in self._subscriptions:
            self._subscriptions[number] = (uri, match)
            self._count(uri, match, 1)

    def _count(self, uri: str, match: str, more: int) -> None:
        if match == "exact":
            self._exact[uri] += more
            if not self._exact[uri]:
                del self._exact[uri]
        elif match == "prefix":
            self._prefixes = tuple(sorted({uri for uri, how in self._subscriptions.values() if how == "prefix"}))
        else:
            self._patterns += more


async def _details(bus: Bus, number: int) -> Any:
    return await bus.call("wamp.subscription.get", [number], timeout=ROUTER_LIMIT)
