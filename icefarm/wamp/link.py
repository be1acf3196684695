"""A link keeps a session at the router for as long as its service runs."""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import Factory, define, evolve
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import ConnectingCancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.bus import Bus
from icefarm.concurrency.retry import retry_pause
from icefarm.errors import IcefarmError, InternalError, InvalidArgument, LinkLost, NotAuthorized
from icefarm.wamp.credentials import Credentials, Tickets
from icefarm.wamp.greeting import http_refusal, tls_expected, unexpected_greeting
from icefarm.wamp.probe import greets, speaks_tls
from icefarm.wamp.session import RouterSession
from icefarm.wamp.tls import FarmCertificate
from icefarm.wamp.transport import certificate_of, endpoint_of, factory_of
from icefarm.wamp.url import INSECURE, RouterUrl, parse_url

__all__ = ["INSECURE", "Link", "check_way"]

#: Seconds of the longest pause between attempts to connect.
RETRY_LONGEST = 5.0
#: The same at a Unix socket: few wait there.
RETRY_LONGEST_LOCAL = 0.5
#: Seconds for TLS and the router's greeting.
GREETING_LIMIT = 4.0
#: Seconds of silence after which the link asks whether the port waits for TLS.
GREETING_DOUBT = 1.0


@define(eq=False)
class _Attempt:
    """One attempt to sign in; before there is a session, Autobahn does not report what happens to the connection."""

    _clock: Any
    _url: str
    _where: RouterUrl
    _certificate: FarmCertificate | None
    _credentials: Credentials
    signed_in: Deferred[Bus] = Factory(Deferred)
    _limit: Any = None
    #: The call that will ask whether the port waits for TLS, and then that question.
    _doubt: Any = None
    _question: Deferred[None] | None = None

    def connected(self, protocol: Any) -> None:
        """There is a TCP connection: TLS and WAMP's greeting come next."""
        self._limit = self._clock.callLater(GREETING_LIMIT, self._silent, protocol)
        if self._certificate is None and self._where.host:
            self._doubt = self._clock.callLater(GREETING_DOUBT, self._ask_for_tls)

    def make_session(self) -> RouterSession:
        """Autobahn calls this when the router has answered the greeting."""
        self._stop_limit()
        return RouterSession(self._clock, self._credentials, self.signed_in)

    def greeted(self, answer: bytes) -> None:
        """See whether the first bytes are of another protocol."""
        address = f"{self._where.host}:{self._where.port}"
        wrong = unexpected_greeting(self._url, address, self._where.tls, answer)
        if wrong is not None:
            self._fail(wrong)

    def handshake_failed(self, reason: str) -> None:
        """The other side speaks HTTP, and refuses WebSocket."""
        self._fail(http_refusal(self._url, reason))

    def lost(self, reason: Failure) -> None:
        """The connection has ended."""
        self._stop_limit()
        if self.signed_in.called:
            return
        if self._certificate is not None:
            self.signed_in.errback(self._certificate.explain(self._url, reason.value))
        else:
            text = f"what listens at {self._url} closed the connection; is it a farm, and is its URL not https://?"
            self.signed_in.errback(LinkLost(text))

    def _silent(self, protocol: Any) -> None:
        text = f"what listens at {self._url} does not answer; is it a farm, and is its URL right about https://?"
        self.signed_in.errback(LinkLost(text))
        protocol.transport.abortConnection()

    def _ask_for_tls(self) -> None:
        self._question = ensureDeferred(self._look_for_tls())
        self._question.addErrback(lambda failure: failure.trap(CancelledError, ConnectingCancelledError))

    async def _look_for_tls(self) -> None:
        endpoint = endpoint_of(self._where, self._clock, None)
        if await speaks_tls(self._clock, self._where.host, endpoint):
            self._fail(tls_expected(self._url))

    def _fail(self, error: IcefarmError) -> None:
        if not self.signed_in.called:
            self.signed_in.errback(error)

    def _stop_limit(self) -> None:
        for timer in (self._limit, self._doubt):
            if timer is not None and timer.active():
                timer.cancel()
        if self._question is not None:
            self._question.cancel()


class Link(Service):
    """Keeps a session at the router for as long as it runs.

    ``joined`` is awaited with the bus of each new session; if it raises an `IcefarmError`, the link drops the session
    and tries another one.  ``refused`` gets the reason of each failed attempt, and returns whether to go on trying:
    `LinkLost` if nobody listens, or the router is up and control is not; `NameInUse` and `NotAuthorized` if control
    refused the sign-in.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        url: str,
        credentials: Credentials,
        joined: Callable[[Bus], Awaitable[None]],
        refused: Callable[[IcefarmError], bool],
        *,
        ca_file: str | None = None,
        insecure: bool | None = None,
        tickets: Tickets | None = None,
    ) -> None:
        """``ca_file`` as in `parse_url`; ``tickets`` replace the one of the credentials.

        Raises `InvalidArgument` if the URL is invalid."""
        self.reactor = reactor
        self.url = url
        self.credentials = credentials
        self._where = parse_url(url, ca_file)
        self._tickets = tickets
        if credentials.ticket or tickets is not None:
            check_way(self._where, url, os.environ.get(INSECURE) if insecure is None else insecure)
        self._joined = joined
        self._refused = refused
        self._bus: Bus | None = None
        #: Whether the present session has begun: one that ends before does not count.
        self._is_in = False
        #: Whether the router refused the last attempt.
        self._is_refused = False
        self._longest_pause = RETRY_LONGEST if self._where.host else RETRY_LONGEST_LOCAL
        #: Since when there has been no session.
        self._away_since = 0.0
        #: The attempt in progress, from the first packet to the end of the sign-in.
        self._attempt: Deferred[Any] | None = None
        self._retry: Any = None

    def startService(self) -> None:
        Service.startService(self)
        self._away_since = self.reactor.seconds()
        self._connect()

    def stopService(self) -> Deferred[None]:
        Service.stopService(self)
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._attempt is not None:
            self._attempt.cancel()
        return ensureDeferred(self._close())

    async def is_greeted(self) -> bool:
        """Tell whether a router greets there now.  This needs no session and makes none."""
        return await greets(self.reactor, self._where)

    async def is_of_use(self) -> bool:
        """Tell whether a router greets there now that has not refused the last sign-in."""
        return not self._is_refused and await self.is_greeted()

    async def _close(self) -> None:
        if self._bus is not None:
            await self._bus.close()

    def _connect(self) -> None:
        self._retry = None
        self._attempt = ensureDeferred(self._sign_in())
        self._attempt.addCallbacks(self._signed_in, self._not_signed_in)

    async def _sign_in(self) -> Bus:
        credentials = self.credentials
        if self._tickets is not None:
            credentials = evolve(credentials, ticket=await self._tickets.ticket())
        certificate = certificate_of(self._where)
        attempt = _Attempt(self.reactor, self.url, self._where, certificate, credentials)
        factory = factory_of(self._where, attempt.make_session, attempt, self.reactor)
        protocol = None
        try:
            protocol = await endpoint_of(self._where, self.reactor, certificate).connect(factory)
            attempt.connected(protocol)
            return await attempt.signed_in
        except CancelledError:
            if protocol is not None:
                protocol.transport.abortConnection()
            raise
        except IcefarmError:
            raise
        except Exception as error:
            raise LinkLost(f"nobody answers at {self.url}: {error}") from None

    def _signed_in(self, bus: Bus) -> None:
        self._attempt, self._is_refused = None, False
        self._bus = bus
        bus.on_lost(lambda _: self._lost())
        ensureDeferred(self._begin(bus)).addErrback(self._begin_failed, bus)

    def _not_signed_in(self, failure: Failure) -> None:
        self._attempt = None
        if failure.check(CancelledError) is not None or not self.running:
            return
        error = failure.value
        if not isinstance(error, IcefarmError):
            self._log.failure("an attempt to sign in failed", failure)
            error = InternalError()
        self._is_refused = isinstance(error, NotAuthorized)
        if self._refused(error):
            self._later()

    async def _begin(self, bus: Bus) -> None:
        try:
            await self._joined(bus)
            self._is_in = True
        except IcefarmError as error:
            self._log.info("the session could not begin: {error}", error=error)
            bus.drop(f"the session could not begin: {error}")

    def _begin_failed(self, failure: Failure, bus: Bus) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("the session could not begin", failure)
        bus.drop("the session could not begin")

    def _lost(self) -> None:
        self._bus = None
        if self._is_in:
            self._is_in, self._away_since = False, self.reactor.seconds()
        self._later()

    def _later(self) -> None:
        if self.running and self._retry is None and self._attempt is None:
            away = self.reactor.seconds() - self._away_since
            pause = retry_pause(away, random.random(), self._longest_pause)
            self._retry = self.reactor.callLater(pause, self._connect)


def check_way(where: RouterUrl, url: str, insecure: object) -> None:
    """Keep a token from a way on which others can read it.  Raises `InvalidArgument`."""
    if not where.keeps_secrets and not insecure:
        raise InvalidArgument(
            f"a token is not sent to {url} without TLS, where others on the network can read it: use an https:// URL, "
            f"or allow it with --insecure or {INSECURE}=1"
        )
