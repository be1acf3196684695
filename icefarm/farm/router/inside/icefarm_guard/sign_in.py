"""The sign-in of a connection: the token that it shows comes to control when it is its turn."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from attrs import define

from .router_view import is_challenged
from .turns import Turns

if TYPE_CHECKING:
    from .connection import GuardedConnection

__all__ = ["PER_FAILURE", "GatedSignIn"]

#: Seconds of the farm's time that a sign-in costs that is refused: control, the database and the audit log have to do
#: with it.
PER_FAILURE = 0.03


@define(eq=False)
class GatedSignIn:
    """What a connection has done so far to be let in."""

    connection: GuardedConnection
    #: The turns of all sign-ins of its address.
    attempts: Turns
    #: Whether its token waits for its turn.
    waits: bool = False
    #: The token that it has shown, as `GuardFactory.mark` knows it again; and the session that the router makes.
    _token: bytes | None = None
    _gated: Any = None
    _hasty: bool = False
    #: What the router does with a message.
    _on_message: Any = None

    def gate(self, session: Any) -> None:
        """See to it that the token of a session that begins comes to control when it is its turn."""
        if session is None or self._gated is not None:
            return
        self._gated = session
        self._on_message = on_message = session.onMessage
        # A client waits for the router's answers before it shows a token.  What one of them has sent before that is
        # with control already, and its address pays for it.
        self._hasty = is_challenged(session)

        def on_gated_message(message: Any) -> None:
            if self.connection.account is None and type(message).__name__ == "Authenticate":
                self._show_token(message)
            else:
                on_message(message)

        session.onMessage = on_gated_message

    def _show_token(self, message: Any) -> None:
        factory = self.connection.factory
        if self._token is not None:
            self.connection.abort("showed a second token")
            return
        self._token = token = factory.mark(str(message.signature))
        if token in factory.accepted:
            self._on_message(message)
        elif self.attempts.is_free():
            self.attempts.spend(PER_FAILURE)
            self._on_message(message)
        else:
            self.waits = True
            self.attempts.wait(_Attempt(self, token, message, self._on_message))

    def succeeded(self, session: Any) -> Any:
        """The router has let its session in; returns what that does with a message."""
        if self._token is not None:
            factory = self.connection.factory
            if self._token not in factory.accepted:
                self.attempts.give_back(PER_FAILURE)
            factory.accept(self._token)
        return session.onMessage if self._on_message is None else self._on_message

    def failed(self) -> None:
        """The connection ends, and nobody was let in."""
        if self._token is not None:
            self.connection.factory.accepted.pop(self._token, None)
        elif self._hasty:
            self.connection.turns.spend(PER_FAILURE)


@define(eq=False)
class _Attempt:
    """A token that waits for its turn."""

    sign_in: GatedSignIn
    lane: Hashable
    message: Any
    go_on: Callable[[Any], None]
    has_spoken: bool = True

    @property
    def closed(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.sign_in.connection.closed

    def read_on(self) -> None:
        """It is its turn."""
        self.sign_in.attempts.spend(PER_FAILURE)
        self.sign_in.waits = False
        self.go_on(self.message)
