"""A Unix socket that is listened at when it is this process's turn: when nobody else holds a lock.

Crossbar.io starts its transports in order, each when the one before listens.  Where the first one waits for its turn, a
whole router stands by: started, configured, and deaf.  The kernel releases the lock when the process that has it ends,
in whatever way.

The node may run in an environment without icefarm, so this file is also a plugin that `icefarm.farm.router.node` gives
it (twisted.plugin): it imports nothing of icefarm.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from threading import Thread
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXServerEndpoint, quoteStringArgument
from twisted.internet.interfaces import IStreamServerEndpoint, IStreamServerEndpointStringParser
from twisted.logger import Logger
from twisted.plugin import IPlugin
from zope.interface import implementer

__all__ = ["STANDS_BY", "TurnEndpoint", "TurnEndpointParser", "turn_description"]

#: What is logged while another process has the lock.
STANDS_BY = "icefarm: this router stands by"
#: Connections that may wait to be accepted.
BACKLOG = 50


def turn_description(lock: str, path: str) -> str:
    """Return the endpoint as a string for `twisted.internet.endpoints.serverFromString`."""
    return f"{TurnEndpointParser.prefix}:{quoteStringArgument(lock)}:{quoteStringArgument(path)}"


@implementer(IStreamServerEndpoint)
@frozen
class TurnEndpoint:
    """Listens at the Unix socket ``path`` from the moment on when it has got the lock of the file ``lock``."""

    reactor: Any
    lock: str
    path: str

    def listen(self, factory: Any) -> Deferred[Any]:
        """Return a Deferred that fires when it listens."""
        return _turn(self.reactor, self.lock).addCallback(self._listen, factory)

    def _listen(self, _: object, factory: Any) -> Deferred[Any]:
        # The one who had its turn before may have left it there.
        with suppress(FileNotFoundError):
            os.unlink(self.path)
        return UNIXServerEndpoint(self.reactor, self.path, backlog=BACKLOG).listen(factory)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class TurnEndpointParser:
    """Makes it of ``icefarm-turn:LOCK:PATH``."""

    prefix = "icefarm-turn"

    def parseStreamServer(self, reactor: Any, *arguments: str) -> TurnEndpoint:
        lock, path = arguments
        return TurnEndpoint(reactor, lock, path)


#: The plugin.
turn_endpoint = TurnEndpointParser()


def _turn(reactor: Any, lock: str) -> Deferred[None]:
    """Return a Deferred that fires when this process has the lock, which it keeps until it ends."""
    turn: Deferred[None] = Deferred()
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        Logger(namespace="icefarm.router").info(STANDS_BY)
        # A thread of its own costs nothing while it waits, and does not keep the process from ending.
        Thread(target=_wait, args=(reactor, descriptor, turn), daemon=True).start()
    else:
        turn.callback(None)
    return turn


def _wait(reactor: Any, descriptor: int, turn: Deferred[None]) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    reactor.callFromThread(turn.callback, None)
