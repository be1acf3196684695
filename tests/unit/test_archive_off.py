"""A farm that keeps no archive, and an evaluation that asks not to be kept."""

from __future__ import annotations

from typing import Any

import pytest
from archive_rules import NOW, encoded, now, row
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from icefarm.bus import Caller
from icefarm.contract import ReservationRecord, Role
from icefarm.control.http.errors import refused
from icefarm.control.rpc.archive_api import ArchiveProcedures
from icefarm.control.rpc.runs_api import RunProcedures
from icefarm.control.wiring.service import ControlSettings
from icefarm.errors import DeviceFailed, Unavailable
from icefarm.testing.memory.control_harness import MemoryControl
from icefarm.worker.archive.recorder import Recorder, ReservationRows
from icefarm.worker.archive.rows import Note

MEASURED = {"evaluation_id": "e1", "value": 7, "ended_at": NOW}
RECORD = ReservationRecord("r1", "A", "w1", "ada", "counter", {}, NOW, NOW + 100)


@pytest.mark.parametrize("kept", [True, False])
def test_control_says_whether_it_keeps_an_archive(kept: bool) -> None:
    farm = MemoryControl(ControlSettings(archive=kept))
    worker = now(farm.worker("w1", "A"))
    hello = {"name": "w1", "instance": worker.instance, "host": "host", "version": "1", "kinds": [], "devices": []}
    assert now(worker.call("hello", hello=hello))["archive"] is kept
    farm.stop_control()


def test_without_an_archive_rows_and_questions_for_experiments_are_refused() -> None:
    farm = MemoryControl(ControlSettings(archive=False))
    worker = now(farm.worker("w1", "A"))
    client = now(farm.client("ada"))
    with pytest.raises(Unavailable, match="keeps no archive"):
        now(worker.call("archive", rows=encoded(row(RECORD))))
    with pytest.raises(Unavailable, match="keeps no measurements"):
        now(client.call("experiments"))
    assert now(farm.archive.partitions()) == []
    farm.stop_control()


@pytest.mark.parametrize("method", [*ArchiveProcedures.methods(), *RunProcedures.methods()])
def test_without_an_archive_each_of_its_procedures_says_so_whatever_the_arguments(method: Any) -> None:
    farm = MemoryControl(ControlSettings(archive=False))
    client = now(farm.client("ada"))
    for positional, named in (((), {}), (("ga-7",), {"account": "ada"}), ((1, 2), {"no_such": None})):
        with pytest.raises(Unavailable, match=r"this farm keeps no measurements \(--archive off\)"):
            now(client.call(method.__name__, *positional, **named))
    farm.stop_control()


def test_over_http_a_farm_without_an_archive_answers_409() -> None:
    farm = MemoryControl(ControlSettings(archive=False))
    with pytest.raises(Unavailable, match="keeps no measurements") as raised:
        now(farm.control.perform(Caller("ada", 0, Role.CLIENT), "experiments", {}))
    assert refused(raised.value).code == 409
    farm.stop_control()


@pytest.mark.parametrize(("on", "wanted"), [(True, True), (True, False), (False, True), (False, False)])
def test_an_evaluation_is_written_to_the_spool_only_where_farm_and_client_want_it(on: bool, wanted: bool) -> None:
    recorder = Recorder(Clock(), on=on)
    rows = ReservationRows(recorder, RECORD.id)
    rows.keep("e1", Note(archive=wanted), MEASURED)
    rows.keep("e2", Note(archive=wanted), Failure(DeviceFailed("the board was silent")))
    recorder.flush()
    batch = recorder.spool.batch()
    assert (0 if batch is None else batch.count) == (2 if on and wanted else 0)
