"""What the guard knows of the router's own objects: the only module that looks into Crossbar.io's and Autobahn's.

They are found anew each time: a connection's protocol is made with its first bytes, and its session after that.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "channel_of", "forget_permissions", "has_more", "is_busy", "is_challenged", "joined_as", "router_of", "session_of",
    "spoken_by", "trim", "unanswered_calls", "unread", "was_ended",
]  # fmt: skip

#: Characters of URIs in the router's cache of permissions, which has no bound of its own: 2,000 boards and more.
CACHED = 256 * 1024


def spoken_by(wrapped: Any) -> Any:
    """Return the protocol that a connection speaks, None before its first bytes."""
    # Crossbar.io counts connections with a wrapper of its own.
    while (inner := wrapped.__dict__.get("wrappedProtocol")) is not None:
        wrapped = inner
    return getattr(wrapped, "_proto", None)


def session_of(wrapped: Any) -> Any:
    """Return the session of a connection that speaks WAMP, None before there is one."""
    return getattr(spoken_by(wrapped), "_session", None)


def channel_of(wrapped: Any) -> Any:
    """Return the HTTP channel of a connection, None where it speaks WAMP."""
    return getattr(spoken_by(wrapped), "_channel", None)


def is_busy(wrapped: Any) -> bool:
    """Tell whether a request over HTTP is being answered."""
    return bool(getattr(channel_of(wrapped), "_handlingRequest", False))


def has_more(channel: Any) -> bool:
    """Tell whether more has arrived than the request that is being answered."""
    return any(channel._dataBuffer)


def is_challenged(session: Any) -> bool:
    """Tell whether a session is about to be let in or refused: control knows of it."""
    return getattr(session, "_pending_auth", None) is not None


def joined_as(session: Any) -> tuple[str, str] | None:
    """Return the identity and the role under which the router has let a session in; None: it has not."""
    authid = getattr(session, "_authid", None)
    number = getattr(session, "_session_id", None) or getattr(session, "_previous_session_id", None)
    if number is None or not isinstance(authid, str):
        return None
    return authid, getattr(session, "_authrole", "")


def was_ended(session: Any) -> bool:
    """Tell whether the router has said goodbye to a session."""
    return bool(getattr(session, "_goodbye_sent", False))


def router_of(session: Any) -> Any:
    """Return the router of the realm that a session has joined; None: it is at none."""
    return getattr(session, "_router", None)


def unanswered_calls(session: Any) -> int:
    """Return how many calls of a session wait for their answers."""
    router = router_of(session)
    return 0 if router is None else len(router._dealer._caller_to_invocations.get(session, ()))


def unread(transport: Any) -> int:
    """Return the bytes that a transport has not handed to the kernel yet."""
    while (inner := getattr(transport, "transport", None)) is not None:
        transport = inner
    return len(transport.dataBuffer) - transport.offset + transport._tempDataLen


def trim(permissions: dict[tuple[str, str, str, str], Any]) -> None:
    """Empty such a memory if it is too large."""
    if sum(len(uri) for _, _, uri, _ in permissions) > CACHED:
        permissions.clear()


def forget_permissions(router: Any) -> None:
    """Forget what a router remembers of permissions, if callers have asked it for too many URIs."""
    trim(router._authorization_cache)
