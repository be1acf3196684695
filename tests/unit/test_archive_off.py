"""A farm that keeps no archive, and an evaluation that asks not to be kept."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest
from archive_rules import NOW, encoded, row
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from icefarm.contract import ReservationRecord
from icefarm.control.wiring.service import ControlSettings
from icefarm.errors import DeviceFailed, NoSuchProcedure, Unavailable
from icefarm.testing.memory.control_harness import MemoryControl
from icefarm.worker.archive.recorder import Recorder, ReservationRows
from icefarm.worker.archive.rows import Note

MEASURED = {"evaluation_id": "e1", "value": 7, "ended_at": NOW}
RECORD = ReservationRecord("r1", "A", "w1", "ada", "counter", {}, NOW, NOW + 100)


def now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that needs no time."""
    results: list[Any] = []
    ensureDeferred(coroutine).addBoth(results.append)
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


@pytest.mark.parametrize("kept", [True, False])
def test_control_says_whether_it_keeps_an_archive(kept: bool) -> None:
    farm = MemoryControl(ControlSettings(archive=kept))
    worker = now(farm.worker("w1", "A"))
    hello = {"name": "w1", "instance": worker.instance, "host": "host", "version": "1", "kinds": [], "devices": []}
    assert now(worker.call("hello", hello=hello))["archive"] is kept
    farm.stop_control()


def test_without_an_archive_rows_are_refused_and_nobody_answers_for_experiments() -> None:
    farm = MemoryControl(ControlSettings(archive=False))
    worker = now(farm.worker("w1", "A"))
    client = now(farm.client("ada"))
    with pytest.raises(Unavailable, match="keeps no archive"):
        now(worker.call("archive", rows=encoded(row(RECORD))))
    with pytest.raises(NoSuchProcedure):
        now(client.call("experiments"))
    assert now(farm.archive.partitions()) == []
    farm.stop_control()


@pytest.mark.parametrize(("on", "wanted"), [(True, True), (True, False), (False, True), (False, False)])
def test_an_evaluation_is_written_to_the_spool_only_where_farm_and_client_want_it(on: bool, wanted: bool) -> None:
    recorder = Recorder(Clock(), on=on)
    rows = ReservationRows(recorder, RECORD.id)
    rows.keep("e1", Note(archive=wanted), MEASURED)
    rows.keep("e2", Note(archive=wanted), Failure(DeviceFailed("the board was silent")))
    batch = recorder.spool.batch()
    assert (0 if batch is None else batch.count) == (2 if on and wanted else 0)
