"""How each API of the client carries out a verb, a coroutine method of the engine.

A class declares its verbs (`Verb`) once.  It inherits from `Blocking`, `Asyncio` or `OnReactor`, which decides whether
calling a verb waits, returns an awaitable, or returns a Deferred.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

if TYPE_CHECKING:
    # Twisted is imported when a farm is made, asyncio when a verb is awaited.
    import asyncio

    from twisted.internet.defer import Deferred

    from icefarm.client.api.reactor_thread import Awaited, Engine

__all__ = ["Asyncio", "Blocking", "OnReactor", "Verb", "VerbAdapter"]

P = ParamSpec("P")
T = TypeVar("T")


class VerbAdapter:
    """Calls methods of ``_subject``, which lives in the reactor's thread."""

    _subject: Any

    def _bound(self, method: Callable[P, Awaited[T]]) -> Callable[P, Any]:
        """Return ``method`` as this caller calls it."""
        raise NotImplementedError

    def _post(self, function: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Call a function in the subject's thread, without waiting for it."""
        raise NotImplementedError

    def _call_as(self, other: Any) -> None:
        """Call like ``other``, of the same API."""

    def _heard_by(self, listener: Callable[[T], None]) -> Callable[[T], None]:
        """Return a function to call there that calls ``listener`` where this caller wants it."""
        return listener


class _FromAnotherThread(VerbAdapter):
    """Calls the engine, whose reactor has its own thread."""

    _engine: Engine

    def _post(self, function: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        self._engine.post(function, *args, **kwargs)

    def _call_as(self, other: Any) -> None:
        self._engine = other._engine


class Blocking(_FromAnotherThread):
    """Calls from its own thread, and waits."""

    def _bound(self, method: Callable[P, Awaited[T]]) -> Callable[P, T]:
        @wraps(method)
        def verb(*args: P.args, **kwargs: P.kwargs) -> T:
            return self._engine.run(method, *args, **kwargs)

        return verb


class Asyncio(_FromAnotherThread):
    """Calls from an event loop, and awaits; its listeners are called in that loop."""

    _loop: asyncio.AbstractEventLoop | None = None

    def _bound(self, method: Callable[P, Awaited[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        import asyncio

        @wraps(method)
        async def verb(*args: P.args, **kwargs: P.kwargs) -> T:
            self._loop = asyncio.get_running_loop()
            for name in ("progress", "on_boards_changed"):
                listener: Any = kwargs.get(name)
                if callable(listener):  # What is none is refused where arguments are checked.
                    kwargs[name] = self._heard_by(listener)
            return await asyncio.wrap_future(self._engine.submit(method, *args, **kwargs))

        return verb

    def _heard_by(self, listener: Callable[[T], None]) -> Callable[[T], None]:
        def tell(word: T) -> None:
            if self._loop is not None:
                with suppress(RuntimeError):  # The loop is closed: nobody listens.
                    self._loop.call_soon_threadsafe(listener, word)

        return tell


class OnReactor(VerbAdapter):
    """Calls in the reactor's thread itself, and gets a Deferred."""

    def _bound(self, method: Callable[P, Awaited[T]]) -> Callable[P, Deferred[T]]:
        from twisted.internet.defer import ensureDeferred

        @wraps(method)
        def verb(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
            return ensureDeferred(method(*args, **kwargs))

        return verb

    def _post(self, function: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)


class Verb(Generic[P, T]):
    """A coroutine method of the caller's subject, as an attribute of the caller."""

    def __init__(self, method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, caller: None, owner: type) -> Callable[..., Any]: ...
    @overload
    def __get__(self, caller: Blocking, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, caller: Asyncio, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, caller: OnReactor, owner: type) -> Callable[P, Deferred[T]]: ...
    def __get__(self, caller: VerbAdapter | None, owner: type) -> Callable[..., Any]:
        if caller is None:
            return self._method
        return caller._bound(getattr(caller._subject, self._method.__name__))
