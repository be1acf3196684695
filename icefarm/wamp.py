"""The bus over WAMP: Autobahn sessions at a Crossbar.io router, kept up for as long as their service runs.

Nothing else in icefarm imports Autobahn.  What it must know of Autobahn and Crossbar: RawSocket has no ping (a dead
peer shows only when the application asks); a callee that vanishes gives its caller ``wamp.error.canceled``; requests
that are pending when a session ends fail with the session's closing reason.
"""

from __future__ import annotations

import icefarm._no_bjdata  # noqa: F401 isort: skip

import random
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from attrs import Factory, define, evolve, frozen
from autobahn.exception import PayloadExceededError
from autobahn.twisted.rawsocket import WampRawSocketClientFactory, WampRawSocketClientProtocol
from autobahn.twisted.wamp import ApplicationSession
from autobahn.twisted.websocket import WampWebSocketClientFactory, WampWebSocketClientProtocol
from autobahn.wamp.exception import ApplicationError, InvalidUriError, SerializationError, TransportLost
from autobahn.wamp.serializer import CBORSerializer
from autobahn.wamp.types import CallOptions, ComponentConfig, PublishOptions, RegisterOptions, SubscribeOptions
from cbor2 import CBOREncodeError
from twisted.application.internet import backoffPolicy
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.bus import Bus, Caller, EventHandler, Handler, OnLost, Progress, Registration
from icefarm.contract import REALM
from icefarm.credentials import Credentials
from icefarm.errors import (
    IcefarmError,
    InternalError,
    InvalidArgument,
    LinkLost,
    NoSuchProcedure,
    NotAuthorized,
    TimedOut,
    error_from_wire,
    error_uri,
)
from icefarm.tls import FarmCertificate, TlsEndpoint, certificates_in

__all__ = ["Link", "RouterUrl", "parse_url"]

#: Seconds between attempts to connect: from the first to the longest, growing by the factor, with jitter.
RETRY_FIRST = 0.2
RETRY_LONGEST = 5.0
RETRY_FACTOR = 2.0
#: The longest at a Unix socket.
RETRY_LONGEST_LOCAL = 0.5
#: Seconds that a connection has for TCP, for TLS and the greeting, and then for sign-in (control asks its database).
CONNECT_LIMIT = 10.0
#: Seconds for a router's port to take a connection, where nothing more is asked of it.
REACH_LIMIT = 5.0
GREETING_LIMIT = 4.0
SIGN_IN_LIMIT = 15.0
#: Seconds that a goodbye may take.
CLOSE_LIMIT = 2.0
#: Seconds between WebSocket pings, and for their answer.
PING_INTERVAL = 10.0
PING_LIMIT = 10.0
#: What a router says to whom it knows and does not let in; whoever is told so need not try again.
_REFUSALS = tuple(
    f"wamp.error.{name}"
    for name in (
        *("not_authorized", "authorization_failed", "authentication_failed"),
        *("no_auth_method", "no_such_principal"),
    )
)
#: The keyword under which Autobahn hands over who calls; no argument of ours has a name like it.
_DETAILS = "wamp_call_details"

_SCHEMES = {
    # scheme: (transport, TLS, port when the URL names none)
    "http": ("rawsocket", False, 8080),
    "https": ("rawsocket", True, 443),
    "rs": ("rawsocket", False, 8080),
    "rss": ("rawsocket", True, 443),
    "ws": ("websocket", False, 8080),
    "wss": ("websocket", True, 443),
    "unix": ("rawsocket", False, 0),
}


@frozen
class RouterUrl:
    """Where a router listens."""

    transport: str
    tls: bool
    host: str
    port: int
    #: Path of a Unix socket, or of the WebSocket.
    path: str
    #: File with the certificates that are trusted; None: what the system trusts.
    ca_file: str | None = None

    def certificate(self) -> FarmCertificate | None:
        """Return what judges the certificate shown there, for one connection; None without TLS."""
        return FarmCertificate(self.host, self.ca_file) if self.tls else None

    def reach(self) -> None:
        """See whether anybody listens there; blocks.

        Raises OSError, and UnicodeError or OverflowError for a host or a port that can be none.
        """
        if self.host:
            socket.create_connection((self.host, self.port), timeout=REACH_LIMIT).close()
        else:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(REACH_LIMIT)
                probe.connect(self.path)

    def endpoint(self, reactor: Any, certificate: FarmCertificate | None) -> Any:
        """Return the endpoint that connects there, by TLS if there is a certificate to judge."""
        if not self.host:
            return UNIXClientEndpoint(reactor, self.path, timeout=CONNECT_LIMIT)
        endpoint: Any = HostnameEndpoint(reactor, self.host, self.port, timeout=CONNECT_LIMIT)
        if certificate is None:
            return endpoint
        return TlsEndpoint(reactor, certificate, endpoint)

    def factory(self, make_session: Callable[[], Any], lost: Callable[[Failure], None], reactor: Any) -> Any:
        """Return the protocol factory that speaks WAMP there; ``lost`` hears of the connection's end."""
        if self.transport == "rawsocket":
            raw: Any = WampRawSocketClientFactory(make_session, CBORSerializer())
            raw.protocol, raw.lost = _RawSocket, lost
            return raw
        url = f"{'wss' if self.tls else 'ws'}://{self.host}:{self.port}{self.path}"
        factory: Any = WampWebSocketClientFactory(make_session, url, serializers=[CBORSerializer()], reactor=reactor)
        factory.protocol, factory.lost = _WebSocket, lost
        factory.setProtocolOptions(
            openHandshakeTimeout=CONNECT_LIMIT, autoPingInterval=PING_INTERVAL, autoPingTimeout=PING_LIMIT
        )
        return factory


class _RawSocket(WampRawSocketClientProtocol):
    """Tells of its end also before there is a session on it, when Autobahn tells nobody."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.factory.lost(reason)


class _WebSocket(WampWebSocketClientProtocol):
    """As `_RawSocket`."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.factory.lost(reason)


def parse_url(text: str, ca_file: str | None = None) -> RouterUrl:
    """Read the URL of a farm or router.

    ``http://host:8080`` and ``rs://`` are RawSocket on that port, ``https://`` and ``rss://`` the same with TLS,
    ``ws://host:8080/ws`` and ``wss://`` WebSocket, ``unix:/path`` a Unix socket.  ``ca_file`` is a PEM file with the
    certificates that are trusted there; None: those that the system trusts.  Raises `InvalidArgument`.
    """
    if ca_file is not None:
        certificates_in(ca_file)
        return evolve(parse_url(text), ca_file=ca_file)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidArgument(f"{text!r} is no URL: {error}") from None
    if parts.scheme not in _SCHEMES:
        raise InvalidArgument(f"{text!r} is no URL of a farm; write it as http://HOST:8080 (or https, ws, wss, unix:)")
    transport, tls, default_port = _SCHEMES[parts.scheme]
    if parts.scheme == "unix":
        if not parts.path:
            raise InvalidArgument(f"{text!r} names no socket; write it as unix:/path/to/socket")
        return RouterUrl(transport, tls, "", 0, parts.path)
    if not parts.hostname:
        raise InvalidArgument(f"{text!r} names no host; write it as http://HOST:8080")
    path = parts.path if parts.path not in ("", "/") else "/ws"
    return RouterUrl(transport, tls, parts.hostname, port or default_port, path)


class _Keyword(str):
    """The keyword ``options``, where it is the application's own: Autobahn takes one of that name for itself."""

    __slots__ = ()

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __eq__(self, other: object) -> bool:
        return self is other


_OPTIONS = _Keyword("options")


def _keywords(kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return keyword arguments that reach the other side whatever they are called."""
    keywords = dict(kwargs or {})
    if "options" in keywords:
        keywords[_OPTIONS] = keywords.pop("options")
    return keywords


class _Session(ApplicationSession):
    """Autobahn's session: signs in, tells what became of that, and is what a bus calls."""

    log = Logger(namespace="icefarm.wamp")

    def __init__(self, clock: Any, credentials: Credentials, signed_in: Deferred[Bus]) -> None:
        super().__init__(ComponentConfig(REALM))
        self._clock = clock
        self._credentials = credentials
        self._signed_in = signed_in
        self._bus: _WampBus | None = None
        self._limit: Any = None

    def onConnect(self) -> None:
        who = self._credentials
        self._limit = self._clock.callLater(SIGN_IN_LIMIT, self.abort_transport)
        extra = {"role": str(who.role), "instance": who.instance}
        self.join(REALM, authmethods=["ticket"], authid=who.authid, authextra=extra)

    def onChallenge(self, _: Any) -> str:
        return self._credentials.ticket

    def onJoin(self, details: Any) -> None:
        self._limit.cancel()
        self._bus = _WampBus(self._clock, self, details.authid, details.session)
        if self._signed_in.called:  # Cancelled: nobody wants the session any more.
            self.abort_transport()
        else:
            self._signed_in.callback(self._bus)

    def onLeave(self, details: Any) -> None:
        self._fail_sign_in(_refusal(details.reason, details.message))
        # Autobahn's own method would log a warning for each end of a session; the link's owner says what matters.
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
    """Say why the router did not let a session in."""
    ours = error_from_wire(reason, [message] if message else [], {})
    if ours is not None:
        return ours
    if reason in ("wamp.error.no_such_procedure", "wamp.close.transport_lost", "wamp.error.canceled"):
        # Nobody answers for sign-ins: control is not there (yet).
        return LinkLost("the router is up, but the farm's control is not connected to it")
    if reason in _REFUSALS:
        return NotAuthorized(f"the router refused the sign-in: {message or reason} ({reason})")
    # A router that starts or stops; or none of a farm, which lacks the realm.
    return LinkLost(f"the router ended the sign-in: {message or reason} ({reason})")


@define(eq=False)
class _Ending(Registration):
    """A registration or subscription at the router."""

    take_back: Callable[[], Any]

    async def end(self) -> None:
        try:
            await self.take_back()
        except (ApplicationError, TransportLost, CancelledError):
            return  # It went with its session, or was replaced.
        except Exception as error:
            # Autobahn raises a bare Exception for what is not active any more.
            if "no longer active" not in str(error):
                raise


@define(eq=False)
class _WampBus(Bus):
    """One session at the router."""

    _clock: Any
    _wamp: _Session
    _authid: str
    _session: int
    _lost: str | None = None
    _on_lost: list[OnLost] = Factory(list)
    _log: Logger = Factory(lambda: Logger(namespace="icefarm.wamp"))

    @property
    def authid(self) -> str:
        return self._authid

    @property
    def session(self) -> int:
        return self._session

    async def call(
        self,
        procedure: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        timeout: float | None,
        progress: Progress | None = None,
    ) -> Any:
        options = {}
        if progress is not None:
            options["options"] = CallOptions(on_progress=partial(_told, progress))
        answer = self._request(self._wamp.call, procedure, *args, **_keywords(kwargs), **options)
        timed_out = False

        def give_up() -> None:
            nonlocal timed_out
            timed_out = True
            answer.cancel()

        timer = None if timeout is None else self._clock.callLater(timeout, give_up)
        try:
            return await answer
        except CancelledError:
            if timed_out:
                raise TimedOut(f"{procedure} did not answer within {timeout:g} s") from None
            raise
        except (ApplicationError, TransportLost) as error:
            raise self._explained(error, procedure) from None
        finally:
            if timer is not None and timer.active():
                timer.cancel()

    async def register(
        self, procedure: str, handler: Handler, *, prefix: bool = False, replace: bool = False
    ) -> Registration:
        options = RegisterOptions(
            match="prefix" if prefix else "exact", details_arg=_DETAILS, force_reregister=True if replace else None
        )
        endpoint = partial(self._serve, handler, procedure)
        registration = await self._asked(self._wamp.register, endpoint, procedure, options=options)
        return _Ending(registration.unregister)

    async def subscribe(self, topic: str, handler: EventHandler, *, prefix: bool = False) -> Registration:
        options = SubscribeOptions(match="prefix" if prefix else "exact", details_arg=_DETAILS)
        endpoint = partial(self._hear, handler, topic)
        subscription = await self._asked(self._wamp.subscribe, endpoint, topic, options=options)
        return _Ending(subscription.unsubscribe)

    async def publish(
        self,
        topic: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        only: str | None = None,
    ) -> None:
        options = PublishOptions(acknowledge=True, eligible_authid=None if only is None else [only])
        await self._asked(self._wamp.publish, topic, *args, **_keywords(kwargs), options=options)

    def on_lost(self, handler: OnLost) -> None:
        if self._lost is not None:
            handler(self._lost)
        else:
            self._on_lost.append(handler)

    def drop(self, reason: str) -> None:
        self.session_ended(reason)
        self._wamp.abort_transport()

    async def close(self) -> None:
        if self._lost is not None:
            return
        gone: Deferred[None] = Deferred()
        self.on_lost(lambda _: gone.callback(None))
        timer = self._clock.callLater(CLOSE_LIMIT, self.drop, "the router did not say goodbye in time")
        try:
            self._wamp.leave()
        except Exception:
            self.drop("the session could not be left")
        await gone
        if timer.active():
            timer.cancel()

    def session_ended(self, reason: str) -> None:
        """Tell once that the session is gone."""
        if self._lost is not None:
            return
        self._lost = reason
        handlers, self._on_lost = self._on_lost, []
        for handler in handlers:
            handler(reason)

    def _request(self, function: Callable[..., Deferred[Any]], *args: Any, **kwargs: Any) -> Deferred[Any]:
        if self._lost is not None:
            raise LinkLost(self._lost)
        try:
            return function(*args, **kwargs)
        except PayloadExceededError:
            raise InvalidArgument("the message is too large; the limit is 16 MiB") from None
        except InvalidUriError:
            raise InvalidArgument(f"{args[0]!a:.200} is no name of a procedure or topic") from None
        except (SerializationError, CBOREncodeError) as error:
            raise InvalidArgument(f"the arguments cannot be put on the wire: {error}") from None
        except TransportLost:
            raise LinkLost() from None

    async def _asked(self, function: Callable[..., Deferred[Any]], *args: Any, **kwargs: Any) -> Any:
        try:
            return await self._request(function, *args, **kwargs)
        except (ApplicationError, TransportLost) as error:
            raise self._explained(error, str(args[-1])) from None

    def _explained(self, error: Exception, what: str) -> IcefarmError:
        """Turn an error of the router or of the other side into one of ours."""
        if not isinstance(error, ApplicationError):
            return LinkLost()
        ours = error_from_wire(error.error, error.args, error.kwargs)
        if ours is not None:
            return ours
        match error.error:
            case "wamp.error.no_such_procedure":
                return NoSuchProcedure(f"nobody offers {what} just now")
            case "wamp.error.no_such_session":
                # Of the router's own wamp.session.*: it ended between two questions.
                return NoSuchProcedure(f"{what}: the router has no such session")
            case "wamp.error.not_authorized":
                return NotAuthorized(f"the router does not allow it: {what}")
            case "wamp.error.invalid_uri" | "wamp.error.invalid_argument" | "wamp.error.procedure_already_exists":
                return InvalidArgument(f"{what}: {error}")
            case "wamp.error.canceled":
                return LinkLost("whoever carried out the call is gone")
        if self._lost is not None or error.error.startswith("wamp.close."):
            return LinkLost(f"the session ended: {error.error}")
        self._log.error("{what} failed: {error}", what=what, error=error)
        return InternalError()

    async def _serve(self, handler: Handler, registered: str, *args: Any, **kwargs: Any) -> Any:
        details = kwargs.pop(_DETAILS)
        procedure = details.procedure or registered
        caller = Caller(details.caller_authid, details.caller, details.caller_authrole, details.progress)
        try:
            return await handler(caller, procedure, args, kwargs)
        except IcefarmError as error:
            raise ApplicationError(error_uri(error), error.message, **error.fields) from None
        except CancelledError:
            raise
        except Exception:
            self._log.failure("{procedure} failed", procedure=procedure)
            fault = InternalError()
            raise ApplicationError(error_uri(fault), fault.message) from None

    def _hear(self, handler: EventHandler, subscribed: str, *args: Any, **kwargs: Any) -> None:
        details = kwargs.pop(_DETAILS)
        topic = details.topic or subscribed
        try:
            handler(topic, args, kwargs)
        except Exception:
            self._log.failure("the handler of {topic} failed", topic=topic)


def _told(progress: Progress, word: Mapping[str, Any]) -> None:
    progress(word)


@define(eq=False)
class _Attempt:
    """One attempt to sign in; before there is a session, Autobahn tells nobody what becomes of the connection."""

    _clock: Any
    _url: str
    _certificate: FarmCertificate | None
    _credentials: Credentials
    signed_in: Deferred[Bus] = Factory(Deferred)
    _limit: Any = None

    def connected(self, protocol: Any) -> None:
        """There is a TCP connection: TLS and WAMP's greeting come next."""
        self._limit = self._clock.callLater(GREETING_LIMIT, self._silent, protocol)

    def make_session(self) -> _Session:
        """For Autobahn: the router has answered the greeting."""
        self._stop_limit()
        return _Session(self._clock, self._credentials, self.signed_in)

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

    def _stop_limit(self) -> None:
        if self._limit is not None and self._limit.active():
            self._limit.cancel()


class Link(Service):
    """Keeps a session at the router for as long as it runs.

    ``joined`` is awaited with the bus of each new session; where it raises an `IcefarmError`, the session is dropped
    and another one tried.  ``refused`` gets the reason each time that there is no session to be had, and answers
    whether to go on trying: `LinkLost` where nobody listens, or the router is up and control is not; `NameInUse` and
    `NotAuthorized` where control refused the sign-in.
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
    ) -> None:
        """``ca_file`` as of `parse_url`.  Raises `InvalidArgument` where the URL is none."""
        self.reactor = reactor
        self.url = url
        self.credentials = credentials
        self._where = parse_url(url, ca_file)
        self._joined = joined
        self._refused = refused
        self._bus: Bus | None = None
        # A router on this very host gets no crowd to spread, and is waited for by whoever has just started it.
        longest, jitter = (RETRY_LONGEST, 1.0) if self._where.host else (RETRY_LONGEST_LOCAL, 0.1)
        self._backoff = backoffPolicy(RETRY_FIRST, longest, RETRY_FACTOR, jitter=lambda: jitter * random.random())
        self._failed_attempts = 0
        #: The attempt that is under way, from the first packet to the end of the sign-in.
        self._attempt: Deferred[Any] | None = None
        self._retry: Any = None

    def startService(self) -> None:
        Service.startService(self)
        self._connect()

    def stopService(self) -> Deferred[None]:
        Service.stopService(self)
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._attempt is not None:
            self._attempt.cancel()
        return ensureDeferred(self._close())

    async def _close(self) -> None:
        if self._bus is not None:
            await self._bus.close()

    def _connect(self) -> None:
        self._retry = None
        self._attempt = ensureDeferred(self._sign_in())
        self._attempt.addCallbacks(self._signed_in, self._not_signed_in)

    async def _sign_in(self) -> Bus:
        certificate = self._where.certificate()
        attempt = _Attempt(self.reactor, self.url, certificate, self.credentials)
        factory = self._where.factory(attempt.make_session, attempt.lost, self.reactor)
        protocol = None
        try:
            protocol = await self._where.endpoint(self.reactor, certificate).connect(factory)
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
        self._attempt = None
        self._failed_attempts = 0
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
        self._failed_attempts += 1
        if self._refused(error):
            self._later()

    async def _begin(self, bus: Bus) -> None:
        try:
            await self._joined(bus)
        except IcefarmError as error:
            self._log.info("the session could not begin: {error}", error=error)
            bus.drop(f"the session could not begin: {error}")

    def _begin_failed(self, failure: Failure, bus: Bus) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("the session could not begin", failure)
        bus.drop("the session could not begin")

    def _lost(self) -> None:
        self._bus = None
        self._later()

    def _later(self) -> None:
        if self.running and self._retry is None and self._attempt is None:
            self._retry = self.reactor.callLater(self._backoff(self._failed_attempts), self._connect)
