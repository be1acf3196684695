"""Whether a port waits for TLS, where nothing can be learnt about it."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from zope.interface import implementer

from icefarm.wamp.tls_probe import speaks_tls


@implementer(IStreamClientEndpoint)
class FailingEndpoint:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def connect(self, _: object) -> Deferred[object]:
        return fail(self._error)


@pytest.mark.parametrize("error", [ConnectionRefusedError(), DNSLookupError("no such host")])
@ensureDeferred
async def test_a_port_that_cannot_be_reached_is_not_said_to_speak_tls(error: Exception) -> None:
    assert not await speaks_tls(Clock(), "farm.example", FailingEndpoint(error))
