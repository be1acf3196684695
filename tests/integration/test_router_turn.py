"""A router that stands by listens when the one that serves has ended, and not before."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import globalLogPublisher

from icefarm.farm.router.turn import STANDS_BY, TurnEndpoint, TurnEndpointParser

pytestmark = pytest.mark.integration


def take(lock: Path) -> int:
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


@ensureDeferred
async def test_it_listens_once_the_lock_is_free_where_the_other_one_left_its_socket(tmp_path: Path) -> None:
    lock, path = tmp_path / "a:b.lock", tmp_path / "control.sock"
    said: list[str] = []
    holder = take(lock)
    path.touch()
    endpoint = TurnEndpointParser().parseStreamServer(reactor, str(lock), str(path))

    def note(event: dict[str, object]) -> None:
        said.append(str(event.get("log_format")))

    globalLogPublisher.addObserver(note)
    try:
        listening = endpoint.listen(Factory.forProtocol(Protocol))
    finally:
        globalLogPublisher.removeObserver(note)
    assert said == [STANDS_BY]
    assert not listening.called
    assert not path.is_socket()
    os.close(holder)
    port = await listening.addTimeout(20, reactor)
    connected = await UNIXClientEndpoint(reactor, str(path)).connect(Factory.forProtocol(Protocol))
    connected.transport.loseConnection()
    await port.stopListening()


@ensureDeferred
async def test_it_listens_at_once_if_nobody_has_the_lock(tmp_path: Path) -> None:
    endpoint = TurnEndpoint(reactor, str(tmp_path / "lock"), str(tmp_path / "control.sock"))
    port = await endpoint.listen(Factory.forProtocol(Protocol))
    await port.stopListening()
