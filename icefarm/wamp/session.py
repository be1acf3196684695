"""Autobahn's session at the router: signs in, and reports the outcome."""

from __future__ import annotations

import icefarm.wamp._lean_autobahn  # noqa: F401 isort: skip

from typing import Any

from autobahn.twisted.wamp import ApplicationSession
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.message import Call, Error, Event, Invocation, Result, Unregistered
from autobahn.wamp.types import ComponentConfig
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.bus import Bus
from icefarm.concurrency.rate_limit import RateLimit
from icefarm.contract import REALM, Role
from icefarm.errors import IcefarmError, LinkLost, NotAuthorized, error_from_wire, error_uri
from icefarm.wamp.bus import WampBus
from icefarm.wamp.credentials import Credentials

__all__ = ["RouterSession"]

#: Seconds for a sign-in (control asks its database).
SIGN_IN_LIMIT = 15.0
#: Refused messages that are logged in so many seconds.
FORGED_LINES, FORGED_PERIOD = 5, 60.0
#: The router's reasons for a refusal that another attempt would not change.
_REFUSALS = tuple(
    f"wamp.error.{name}"
    for name in (
        *("not_authorized", "authorization_failed", "authentication_failed"),
        *("no_auth_method", "no_such_principal"),
    )
)


class RouterSession(ApplicationSession):
    """Autobahn's session: signs in, reports the outcome, and carries out the calls of a bus."""

    log = Logger(namespace="icefarm.wamp")

    def __init__(self, clock: Any, credentials: Credentials, signed_in: Deferred[Bus]) -> None:
        super().__init__(ComponentConfig(REALM))
        self._clock = clock
        self._credentials = credentials
        self._signed_in = signed_in
        self._bus: WampBus | None = None
        self._limit: Any = None
        self._forged = RateLimit(FORGED_LINES, FORGED_PERIOD)

    def onConnect(self) -> None:
        who = self._credentials
        self._limit = self._clock.callLater(SIGN_IN_LIMIT, self.abort_transport)
        extra = {"role": str(who.role), "instance": who.instance, **({"follows": True} if who.follows else {})}
        self.join(REALM, authmethods=["ticket"], authid=who.authid, authextra=extra)

    def onChallenge(self, _: Any) -> str:
        return self._credentials.ticket

    def onJoin(self, details: Any) -> None:
        self._limit.cancel()
        extra = details.authextra if isinstance(details.authextra, dict) else {}
        here, routers = str(extra.get("router", "")), frozenset(map(str, extra.get("routers", ())))
        self._bus = WampBus(self._clock, self, details.authid, details.session, here, routers)
        if self._signed_in.called:  # Cancelled: nobody wants the session any more.
            self.abort_transport()
        else:
            self._signed_in.callback(self._bus)

    def onMessage(self, msg: Any) -> None:
        if self._is_late_answer(msg):
            return
        # The option is meant for links between routers, which a farm does not have. Crossbar lets every session send
        # it, and discloses the identity in it as that of the caller or publisher.
        if isinstance(msg, Invocation | Event) and msg.forward_for is not None:
            self._refuse_forged(msg)
            return
        super().onMessage(msg)
        if isinstance(msg, Unregistered) and msg.request == 0 and self._credentials.role is Role.CONTROL:
            self._taken_over()

    def _taken_over(self) -> None:
        """End the session of a control whose procedures another one has registered: calls no longer reach it."""
        if self._bus is not None:
            self._bus.drop("another control has taken its procedures over")

    def _refuse_forged(self, msg: Any) -> None:
        """Refuse a message whose sender chose the identity that the router discloses with it."""
        if self._forged.passes(self._clock.seconds()):
            # The last one is appended by the router itself.
            self.log.warn("refused a message that {sender!a:.300} sent in another's name", sender=msg.forward_for[-1])
        if isinstance(msg, Invocation) and self._transport:
            refusal = NotAuthorized("a call must not carry the option forward_for")
            uri = error_uri(refusal)
            self._transport.send(Error(Invocation.MESSAGE_TYPE, msg.request, uri, args=[refusal.message]))

    def _is_late_answer(self, msg: Any) -> bool:
        """Tell whether a message answers a call that has its answer already.

        Crossbar answers a cancelled call at once, and answers it again when the callee's session ends (its
        ``Dealer.detach``); Autobahn would end the session for that as a breach of protocol.
        """
        is_answer = isinstance(msg, Result) or (isinstance(msg, Error) and msg.request_type == Call.MESSAGE_TYPE)
        return is_answer and msg.request not in self._call_reqs

    def onLeave(self, details: Any) -> None:
        self._fail_sign_in(_refusal(details.reason, details.message))
        # Autobahn's own method would log a warning for each end of a session; the link's owner logs what matters.
        self._errback_outstanding_requests(ApplicationError(details.reason, details.message))
        if self._transport:
            self.disconnect()

    def onDisconnect(self) -> None:
        if self._limit is not None and self._limit.active():
            self._limit.cancel()
        self._errback_outstanding_requests(TransportLost())
        self._fail_sign_in(LinkLost("the router closed the connection during the sign-in"))
        if self._bus is not None:
            self._bus.session_ended("the connection to the router was lost")

    def onUserError(self, fail: Failure, msg: str) -> None:
        if fail.check(ApplicationError, CancelledError) is None:
            self.log.failure("{msg}", fail, msg=msg)

    def abort_transport(self) -> None:
        """Break the connection."""
        if self._transport:
            self._transport.abort()

    def _fail_sign_in(self, error: IcefarmError) -> None:
        if not self._signed_in.called:
            self._signed_in.errback(error)


def _refusal(reason: str, message: str | None) -> IcefarmError:
    """Return why the router refused a session."""
    ours = error_from_wire(reason, [message] if message else [], {})
    if ours is not None:
        return ours
    if reason in ("wamp.error.no_such_procedure", "wamp.close.transport_lost", "wamp.error.canceled"):
        # Nobody handles sign-ins: control is not connected (yet).
        return LinkLost("the router is up, but the farm's control is not connected to it")
    if reason in _REFUSALS:
        return NotAuthorized(f"the router refused the sign-in: {message or reason} ({reason})")
    # The router is starting or stopping; or it is not a farm's, and lacks the realm.
    return LinkLost(f"the router ended the sign-in: {message or reason} ({reason})")
