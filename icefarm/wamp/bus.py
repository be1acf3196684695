"""`icefarm.bus.Bus` over one Autobahn session."""

from __future__ import annotations

import icefarm.wamp._lean_autobahn  # noqa: F401 isort: skip

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import Factory, define
from autobahn.exception import PayloadExceededError
from autobahn.wamp.exception import ApplicationError, InvalidUriError, SerializationError, TransportLost
from autobahn.wamp.types import CallOptions, PublishOptions, RegisterOptions, SubscribeOptions
from cbor2 import CBOREncodeError
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from icefarm.bus import Bus, Caller, EventHandler, Handler, OnLost, Progress, Registration
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
from icefarm.text.durations import in_words
from icefarm.text.echo import without_echo

if TYPE_CHECKING:
    from icefarm.wamp.session import RouterSession

__all__ = ["WampBus"]

T = TypeVar("T")

#: Seconds that a goodbye may take.
CLOSE_LIMIT = 1.0
#: The keyword under which Autobahn passes the caller; none of our arguments has a name like it.
_DETAILS = "wamp_call_details"


class _Keyword(str):
    """The application's own keyword ``options``: Autobahn takes a plain one of that name for itself."""

    __slots__ = ()

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __eq__(self, other: object) -> bool:
        return self is other


_OPTIONS = _Keyword("options")


def _keywords(kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return keyword arguments that reach the other side under any name."""
    keywords = dict(kwargs or {})
    if "options" in keywords:
        keywords[_OPTIONS] = keywords.pop("options")
    return keywords


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
            # Autobahn raises a bare Exception if it is no longer active.
            if "no longer active" not in str(error):
                raise


@define(eq=False)
class WampBus(Bus):
    """One session at the router."""

    _clock: Any
    _wamp: RouterSession
    _authid: str
    _session: int
    _router: str = ""
    _routers: frozenset[str] = frozenset()
    _lost: str | None = None
    _on_lost: list[OnLost] = Factory(list)
    _log: Logger = Factory(partial(Logger, namespace="icefarm.wamp"))

    @property
    def authid(self) -> str:
        return self._authid

    @property
    def session(self) -> int:
        return self._session

    @property
    def router_url(self) -> str:
        return self._router

    @property
    def router_urls(self) -> frozenset[str]:
        return self._routers

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
                raise TimedOut(f"{procedure} did not answer within {in_words(timeout or 0)}") from None
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
        # Without an acknowledgement, which would double the messages: the publisher is permitted, and does not wait.
        options = PublishOptions(eligible_authid=None if only is None else [only])
        self._request(self._wamp.publish, topic, *args, **_keywords(kwargs), options=options)

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
            self.drop("leaving the session failed")
        await gone
        if timer.active():
            timer.cancel()

    def session_ended(self, reason: str) -> None:
        """Call the handlers once when the session is gone."""
        if self._lost is not None:
            return
        self._lost = reason
        handlers, self._on_lost = self._on_lost, []
        for handler in handlers:
            handler(reason)

    def _request(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        if self._lost is not None:
            raise LinkLost(self._lost)
        try:
            return function(*args, **kwargs)
        except PayloadExceededError:
            raise InvalidArgument(f"the message is too large; the limit is {self._largest_message()} bytes") from None
        except InvalidUriError:
            raise InvalidArgument(f"{args[0]!a:.200} is not a valid name of a procedure or topic") from None
        except (SerializationError, CBOREncodeError) as error:
            raise InvalidArgument(f"the arguments cannot be put on the wire: {error}") from None
        except TransportLost:
            raise LinkLost() from None

    def _largest_message(self) -> str:
        """Return the limit that the router states; else RawSocket's own limit."""
        transport = getattr(self._wamp, "_transport", None)
        return f"{getattr(transport, '_max_len_send', None) or 2**24:,}"

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
                return NoSuchProcedure(f"nobody offers {what} now")
            case "wamp.error.authorization_failed":
                return NoSuchProcedure(f"{what}: control, which decides who may do that, is not connected just now")
            case "wamp.error.no_such_session" | "wamp.error.no_such_subscription":
                # From the router's own wamp.session.* and wamp.subscription.*: the session ended between two calls.
                return NoSuchProcedure(f"{what}: the router has no such session or subscription")
            case "wamp.error.not_authorized":
                return NotAuthorized(f"the router does not allow it: {what}")
            case "wamp.error.invalid_uri" | "wamp.error.invalid_argument" | "wamp.error.procedure_already_exists":
                return InvalidArgument(f"{what}: {error}")
            case "wamp.error.canceled":
                return LinkLost("the session that carried out the call is gone")
        if self._lost is not None or error.error.startswith("wamp.close.") or _of_a_router_that_stops(error):
            return LinkLost(f"the session ended: {error.error}")
        self._log.error("{what} failed: {error}", what=what, error=error)
        return InternalError()

    async def _serve(self, handler: Handler, registered: str, *args: Any, **kwargs: Any) -> Any:
        details = kwargs.pop(_DETAILS)
        procedure = details.procedure or registered
        caller = Caller(details.caller_authid, details.caller, details.caller_authrole, details.progress)
        try:
            return await handler(caller, procedure, args, kwargs)
        except (IcefarmError, CancelledError) as error:
            answer = error
        except Exception:
            self._log.failure("{procedure} failed", procedure=procedure)
            answer = InternalError()
        if not self._wamp.is_connected():
            # The caller is gone.  Autobahn drops a result then, but fails to send an error.
            return None
        if isinstance(answer, CancelledError):
            raise answer
        answer = without_echo(answer, (procedure, args, kwargs))
        raise ApplicationError(error_uri(answer), answer.message, **answer.fields)

    def _hear(self, handler: EventHandler, subscribed: str, *args: Any, **kwargs: Any) -> None:
        details = kwargs.pop(_DETAILS)
        topic = details.topic or subscribed
        try:
            handler(topic, args, kwargs)
        except Exception:
            self._log.failure("the handler of {topic} failed", topic=topic)


def _of_a_router_that_stops(error: ApplicationError) -> bool:
    """Tell whether Crossbar could not pass a call on, because it stops or what it called does; ours always say more."""
    return error.error == "wamp.error.runtime_error" and not error.args


def _told(progress: Progress, word: Mapping[str, Any]) -> None:
    progress(word)
