"""The harness of these tests: it ends what has begun, and sees what logs must not have."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from faults.farm import FaultyFarm
from faults.logs import LogCheck
from icefarm.farm.errors import CannotStart
from icefarm.farm.postgres.server import PrivatePostgres

pytestmark = pytest.mark.faults


@ensureDeferred
async def test_a_farm_whose_start_failed_halfway_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: PrivatePostgres) -> None:
        raise CannotStart("no disk")

    monkeypatch.setattr(PrivatePostgres, "start", fail)
    farm = FaultyFarm(reactor, {"w1": 1})
    with pytest.raises(CannotStart, match="no disk"):
        await farm.start()
    assert await farm.stop() == []
    assert not farm.directory.exists()


def test_a_blunder_is_seen_once_with_what_follows_it(tmp_path: Path) -> None:
    log = tmp_path / "control.log"
    log.write_text("ready\n")
    logs = LogCheck(tmp_path)
    logs.check()
    with log.open("a") as file:
        file.write("fine\n[-] Unhandled error in Deferred:\nTraceback (most recent call last):\nKeyError: 7\n")
    with pytest.raises(AssertionError, match=r"control.log:\n\[-\] Unhandled error in Deferred:(?s:.*)KeyError: 7"):
        logs.check()
    logs.check()
    log.write_text("Traceback\n")
    with pytest.raises(AssertionError, match="Traceback"):
        logs.check()


def test_the_router_s_own_errors_are_allowed_and_no_others(tmp_path: Path) -> None:
    log = tmp_path / "router.log"
    logs = LogCheck(tmp_path)
    error = "autobahn.wamp.exception.ApplicationError: ApplicationError(error=<wamp.error.no_such_procedure>)"
    away = f"[Router 7] Authorization of 'call' for 'x' failed\nTraceback (most recent call last):\nFailure: {error}\n"
    frame = 'Traceback (most recent call last):\n  File "dealer.py", line 526, in on_authorize_success\n'
    gone = f"Unhandled error in Deferred:\n\n{frame}KeyError: <crossbar.router.session.RouterSession object at 0x7f>\n"
    killed = (
        "Node worker icefarm_router ended with error ([Failure instance: Traceback (failure with no frames): x\n])\n"
    )
    log.write_text(away + gone + away + killed)
    logs.check()
    log.write_text(away + gone + away + frame + "KeyError: 'boards'\n" + away)
    logs = LogCheck(tmp_path)
    with pytest.raises(AssertionError, match="KeyError: 'boards'"):
        logs.check()
