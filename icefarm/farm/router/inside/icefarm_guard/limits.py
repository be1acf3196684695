"""What the operator may set of the guard."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Limits"]


@frozen
class Limits:
    """What the operator may set, with defaults."""

    #: Seconds to sign in, or to send a request.
    sign_in: float = 10.0
    #: Connections of an address, and those of them that are not signed in.
    connections: int = 1024
    pending: int = 256
    #: Bytes before sign-in.
    unsigned: int = 64 * 1024
    #: Bytes of a request over HTTP, with its headers.
    request: int = 1024 * 1024 + 64 * 1024
    #: Calls of a session that are not answered yet: three for each board of a large farm.
    unanswered: int = 1024
    #: Bytes of answers that may wait at a client.
    unread: int = 4 * 1024 * 1024
    #: Seconds in which a client must read something of them.
    stalled: float = 30.0
    #: Part of the router's time that an account may use while others want some, and an address before sign-in at most.
    share: float = 0.25
