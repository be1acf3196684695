"""Nothing that a client asks for makes the router remember more and more."""

from __future__ import annotations

from typing import Any

import pytest
from attacks.farms import Target, raw
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, gatherResults

from bench.accounts import accounts_of, parties
from icefarm.errors import IcefarmError

pytestmark = [pytest.mark.integration, pytest.mark.attacks]

#: URIs, and how many are asked for at a time.
URIS, AT_ONCE = 4_000, 100
#: Bytes of each.
LONG = 10_000


async def _refused(session: Any, uri: str) -> None:
    try:
        await raw(session._wamp.call(uri))
    except IcefarmError:
        return
    raise AssertionError(uri)


@ensureDeferred
async def test_thousands_of_different_procedures_leave_no_trace_in_the_router(target: Target) -> None:
    members = {"router": parties(target.process.pid)["router"]}
    session = target.sessions["mallory"]

    async def call(begin: int) -> None:
        for first in range(begin, begin + URIS // 2, AT_ONCE):
            calling = [
                Deferred.fromCoroutine(_refused(session, f"icefarm.v1.device.x{number}.{'y' * LONG}"))
                for number in range(first, first + AT_ONCE)
            ]
            await gatherResults(calling, consumeErrors=True)

    await call(0)
    before = accounts_of(members).of["router"].rss
    await call(URIS // 2)
    # Half of them are 20 MB of URIs alone.
    assert accounts_of(members).of["router"].rss - before < 8 * 2**20
