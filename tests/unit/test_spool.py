"""The worker's spool: what was appended comes out once, in order, whatever tears, fills or restarts it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from icefarm.errors import Busy
from icefarm.system.files import Locked
from icefarm.worker.archive.recorder import GATHER, MOST_GATHERED, SOON, Recorder
from icefarm.worker.archive.rows import MAX_ROW, Note
from icefarm.worker.archive.spool import BATCH_BYTES, BATCH_ROWS, MEMORY, Batch, FileSpool, MemorySpool, Spool

LIMIT = 1 << 20


def rows_of(batch: Batch | None) -> list[bytes]:
    return [] if batch is None else batch.rows.split(b"\n")


def drained(spool: Spool) -> list[bytes]:
    found: list[bytes] = []
    while (batch := spool.batch()) is not None:
        found += rows_of(batch)
        spool.acknowledge(batch)
    return found


@pytest.fixture(params=["file", "memory"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Spool:
    return FileSpool.open(tmp_path / "spool", LIMIT) if request.param == "file" else MemorySpool(LIMIT)


def test_rows_come_out_in_order_and_once(spool: Spool) -> None:
    rows = [f"row {number}".encode() for number in range(BATCH_ROWS + 10)]
    for row in rows:
        spool.append(row)
    assert spool.waiting > 0
    assert drained(spool) == rows
    assert (spool.batch(), spool.waiting, spool.dropped) == (None, 0, 0)


def test_a_batch_that_is_not_acknowledged_comes_again_with_what_came_after_it(spool: Spool) -> None:
    spool.append(b"one")
    assert rows_of(spool.batch()) == [b"one"]
    spool.append(b"two")
    assert rows_of(spool.batch()) == [b"one", b"two"]


def test_rows_that_came_after_the_batch_stay_when_it_is_acknowledged(spool: Spool) -> None:
    spool.append(b"one")
    batch = spool.batch()
    assert batch is not None
    spool.append(b"two")
    spool.acknowledge(batch)
    assert drained(spool) == [b"two"]


def test_a_full_spool_drops_the_oldest_rows_and_counts_them(tmp_path: Path) -> None:
    for spool in (FileSpool.open(tmp_path, 10_000, 1000), MemorySpool(10_000)):
        rows = [f"{number:0100}".encode() for number in range(300)]
        for row in rows:
            spool.append(row)
        assert spool.waiting <= 10_000
        dropped = spool.dropped
        assert drained(spool) == rows[dropped:]
        assert 0 < dropped < 300


def test_a_file_that_is_dropped_while_its_batch_is_on_its_way_is_not_acknowledged_again(tmp_path: Path) -> None:
    spool = FileSpool.open(tmp_path, 4000, 1000)
    spool.append(b"first")
    batch = spool.batch()
    assert batch is not None
    rows = [f"{number:0100}".encode() for number in range(60)]
    for row in rows:
        spool.append(row)
    spool.acknowledge(batch)
    left = drained(spool)
    assert left == rows[-len(left) :]
    assert len(left) + spool.dropped == 61


def test_rows_that_are_written_together_count_and_come_out_one_by_one(tmp_path: Path) -> None:
    for spool in (FileSpool.open(tmp_path, 10_000, 1000), MemorySpool(10_000)):
        rows = [f"{number:0100}".encode() for number in range(300)]
        for place in range(0, 300, 3):
            spool.append(b"\n".join(rows[place : place + 3]))
        batch = spool.batch()
        assert batch is not None
        assert batch.count == len(rows_of(batch))
        assert drained(spool) == rows[spool.dropped :]
        assert 0 < spool.dropped < 300


def test_a_batch_has_at_most_so_many_rows_whatever_was_written_together(spool: Spool) -> None:
    together = b"\n".join([b"row"] * 64)
    for _ in range(BATCH_ROWS // 64 + 1):
        spool.append(together)
    batch = spool.batch()
    assert batch is not None
    assert BATCH_ROWS - 64 < batch.count <= BATCH_ROWS
    assert len(rows_of(batch)) == batch.count


def test_what_a_killed_worker_left_is_there_at_the_next_start(tmp_path: Path) -> None:
    spool = FileSpool.open(tmp_path, LIMIT, 1000)
    rows = [f"{number:0100}".encode() for number in range(50)]
    for row in rows:
        spool.append(row)
    spool._lock.release()  # What the kernel does for a process that is gone.
    assert drained(FileSpool.open(tmp_path, LIMIT, 1000)) == rows


def test_a_file_that_is_torn_at_any_byte_gives_all_whole_rows_before_it(tmp_path: Path) -> None:
    rows = [b"first", b"the second", b"3", b"x" * 40]
    spool = FileSpool.open(tmp_path / "whole", LIMIT)
    for row in rows:
        spool.append(row)
    spool.close()
    (file,) = (tmp_path / "whole").glob("*.spool")
    data = file.read_bytes()
    ends = [sum(8 + len(row) for row in rows[:count]) for count in range(len(rows) + 1)]
    for length in range(len(data) + 1):
        torn = tmp_path / f"torn-{length}"
        torn.mkdir()
        (torn / file.name).write_bytes(data[:length])
        opened = FileSpool.open(torn, LIMIT)
        whole = sum(end <= length for end in ends[1:])
        opened.append(b"after")
        assert drained(opened) == [*rows[:whole], b"after"]
        opened.close()


def test_damage_in_the_middle_loses_what_follows_in_that_file_and_no_more(tmp_path: Path) -> None:
    spool = FileSpool.open(tmp_path, LIMIT, 100)
    rows = [f"{number:020}".encode() for number in range(12)]
    for row in rows:
        spool.append(row)
    first = min(tmp_path.glob("*.spool"))
    data = bytearray(first.read_bytes())
    data[30] ^= 0xFF
    first.write_bytes(data)
    left = drained(spool)
    assert left[0] == rows[0]
    assert left[1:] == rows[3:]
    assert spool.dropped > 0


def test_two_workers_cannot_have_one_spool(tmp_path: Path) -> None:
    spool = FileSpool.open(tmp_path, LIMIT)
    with pytest.raises(Locked):
        FileSpool.open(tmp_path, LIMIT)
    spool.close()
    FileSpool.open(tmp_path, LIMIT).close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["append", "send", "acknowledge", "restart"]), max_size=60))
def test_nothing_is_lost_whatever_the_order_of_rows_acknowledgements_and_restarts(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    directory = tmp_path_factory.mktemp("spool")
    spool = FileSpool.open(directory, LIMIT, 60)
    number, delivered, sent = 0, set[bytes](), None
    for step in steps:
        match step:
            case "append":
                spool.append(str(number).encode())
                number += 1
            case "send":
                sent = spool.batch()
                delivered.update(rows_of(sent))
            case "acknowledge" if sent is not None:
                spool.acknowledge(sent)
                sent = None
            case "restart":
                spool._lock.release()
                spool, sent = FileSpool.open(directory, LIMIT, 60), None
    delivered.update(drained(spool))
    spool.close()
    assert delivered == {str(each).encode() for each in range(number)}


# -------------------------------------------------------------------------------------------------- the sender


class Control:
    """Takes batches, or is away."""

    def __init__(self) -> None:
        self.away = False
        self.got: list[bytes] = []
        self.told: list[tuple[int, int]] = []

    async def send_rows(self, batch: Batch, spool: Spool) -> None:
        self.told.append((spool.waiting, spool.dropped))
        if self.away:
            raise Busy("the database is away")
        self.got += batch.rows.split(b"\n")


def test_rows_gather_and_are_sent_together() -> None:
    clock, control = Clock(), Control()
    recorder = Recorder(clock)
    recorder.sender.attach(control)
    for number in range(3):
        recorder.write(str(number).encode())
    assert control.got == []
    clock.advance(GATHER)
    assert (control.got, len(control.told)) == ([b"0", b"1", b"2"], 1)


def test_once_nothing_is_in_progress_rows_are_sent_soon() -> None:
    clock, control = Clock(), Control()
    recorder = Recorder(clock)
    recorder.sender.attach(control)
    recorder.write(b"row")
    recorder.sender.rest("a")
    clock.advance(SOON)
    assert control.got == [b"row"]


def test_while_a_reservation_has_nothing_in_progress_for_moments_only_rows_gather() -> None:
    clock, control = Clock(), Control()
    recorder = Recorder(clock)
    recorder.sender.attach(control)
    for number in range(15):
        recorder.write(str(number).encode())
        recorder.sender.rest("a")
        clock.advance(0.01)
        recorder.sender.resume("a")
        clock.advance(0.09)
    assert control.got == []
    clock.advance(GATHER - 1.5)
    assert (len(control.got), len(control.told)) == (15, 1)


def test_rows_of_a_reservation_that_rests_are_sent_soon_though_another_one_is_busy() -> None:
    clock, control = Clock(), Control()
    recorder = Recorder(clock)
    recorder.sender.attach(control)
    recorder.write(b"of a")
    recorder.sender.rest("b")
    clock.advance(SOON / 2)
    recorder.sender.rest("a")
    recorder.sender.resume("b")
    recorder.write(b"of b")
    clock.advance(SOON * 0.9)
    assert control.got == []
    clock.advance(SOON * 0.2)
    assert control.got == [b"of a", b"of b"]


def test_a_reservation_that_goes_on_resting_hurries_no_rows_of_others() -> None:
    clock, control = Clock(), Control()
    recorder = Recorder(clock)
    recorder.sender.attach(control)
    recorder.write(b"of a")
    recorder.sender.rest("a")
    clock.advance(SOON)
    recorder.write(b"of b")
    clock.advance(GATHER * 0.9)
    assert control.got == [b"of a"]


@pytest.mark.parametrize("attached", [True, False])
def test_where_no_rows_are_sent_reservations_that_rest_are_not_remembered(attached: bool) -> None:
    sender = Recorder(Clock()).sender
    if attached:
        sender.attach(Control())
    else:
        # Left by an earlier control, which kept an archive.
        sender.writer.spool.append(b"row")
    for number in range(10):
        sender.rest(number)
    assert not sender._resting


class SlowControl(Control):
    """Stores a batch when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: list[Deferred[None]] = []

    async def send_rows(self, batch: Batch, spool: Spool) -> None:
        await super().send_rows(batch, spool)
        self.stored.append(Deferred())
        await self.stored[-1]


def test_rows_that_arrive_while_a_batch_is_stored_gather_again() -> None:
    clock, control = Clock(), SlowControl()
    recorder = Recorder(clock)
    recorder.sender.attach(control)
    recorder.write(b"0")
    clock.advance(GATHER)
    recorder.write(b"1")
    control.stored[0].callback(None)
    recorder.write(b"2")
    assert control.got == [b"0"]
    clock.advance(GATHER)
    assert (control.got, len(control.told)) == ([b"0", b"1", b"2"], 2)


def test_rows_that_have_gathered_to_a_whole_batch_do_not_wait() -> None:
    clock, control = Clock(), Control()
    recorder = Recorder(clock, MemorySpool())
    recorder.sender.attach(control)
    row = bytes(BATCH_BYTES // 4)
    for _ in range(9):
        recorder.write(row)
    clock.advance(GATHER)
    assert (len(control.told), recorder.spool.waiting) == (2, len(row))


def test_rows_of_an_end_that_comes_while_a_batch_is_stored_are_sent_soon() -> None:
    clock, control = Clock(), SlowControl()
    recorder = Recorder(clock)
    recorder.sender.attach(control)
    recorder.write(b"0")
    clock.advance(GATHER)
    recorder.write(b"1")
    recorder.sender.rest("a")
    control.stored[0].callback(None)
    clock.advance(SOON)
    assert control.got == [b"0", b"1"]


def test_a_control_that_stores_nothing_is_not_hurried() -> None:
    clock, control = Clock(), Control()
    recorder = Recorder(clock)
    recorder.sender.attach(control)
    control.away = True
    recorder.write(b"row")
    clock.pump([0.5] * 100)
    asked = len(control.told)
    for _ in range(5):
        recorder.sender.rest("a")
        clock.advance(SOON)
    assert len(control.told) <= asked + 1


def test_while_control_cannot_store_them_rows_wait_and_are_sent_again() -> None:
    clock, control = Clock(), Control()
    recorder = Recorder(clock)
    recorder.sender.attach(control)
    control.away = True
    recorder.write(b"row")
    clock.pump([0.5] * 600)
    assert 10 < len(control.told) < 40, "less and less often"
    control.away = False
    recorder.write(b"another")
    clock.pump([0.5] * 40)
    assert control.got == [b"row", b"another"]
    assert recorder.spool.waiting == 0


def test_rows_of_a_lost_session_go_to_the_next_one() -> None:
    clock, first, second = Clock(), Control(), Control()
    recorder = Recorder(clock)
    recorder.sender.attach(first)
    recorder.write(b"row")
    recorder.sender.detach()
    clock.advance(5)
    assert first.got == []
    recorder.sender.attach(second)
    clock.advance(GATHER)
    assert second.got == [b"row"]


MEASURED = {"evaluation_id": "e1", "serial": "A", "kind": "counter", "options": {}, "value": 7, "ended_at": 1.0}


def test_measurements_gather_until_an_answer_leaves_and_are_sent_also_where_none_leaves() -> None:
    clock, control = Clock(), Control()
    recorder = Recorder(clock, on=True)
    recorder.sender.attach(control)
    for _ in range(2):
        recorder.gather("r1", Note(), MEASURED)
    assert recorder.spool.waiting == 0
    recorder.flush()
    written = recorder.spool.waiting
    assert written > 0
    recorder.gather("r1", Note(), MEASURED)
    assert recorder.spool.waiting == written
    clock.advance(GATHER)
    assert len(control.got) == 3


def test_very_many_measurements_are_written_before_any_answer() -> None:
    recorder = Recorder(Clock(), on=True)
    for _ in range(MOST_GATHERED + 1):
        recorder.gather("r1", Note(), MEASURED)
    batch = recorder.spool.batch()
    assert (0 if batch is None else batch.count) == MOST_GATHERED


def test_a_worker_that_stops_writes_what_has_gathered(tmp_path: Path) -> None:
    recorder = Recorder(Clock(), FileSpool.open(tmp_path, LIMIT), on=True)
    recorder.gather("r1", Note(), MEASURED)
    recorder.stop()
    assert len(drained(FileSpool.open(tmp_path, LIMIT))) == 1


def test_long_rows_that_gather_come_out_of_the_spool_whole(tmp_path: Path) -> None:
    recorder = Recorder(Clock(), FileSpool.open(tmp_path, 32 * MAX_ROW), on=True)
    for _ in range(10):
        recorder.gather("r1", Note(), {**MEASURED, "value": "x" * (MAX_ROW - 500)})
    recorder.flush()
    assert len(drained(recorder.spool)) == 10
    assert recorder.spool.dropped == 0


class FullDisk:
    """Takes what fits, and no more: in place of `os.write`."""

    def __init__(self, room: int) -> None:
        self.room, self._write = room, os.write

    def write(self, descriptor: int, data: bytes) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(descriptor, bytes(data)[: self.room])
        self.room -= written
        return written


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    """Return the disk that all is written to; it has room at first."""
    disk = FullDisk(LIMIT)
    monkeypatch.setattr(os, "write", disk.write)
    return disk


def test_rows_that_a_full_disk_does_not_take_wait_in_memory(tmp_path: Path, disk: FullDisk) -> None:
    clock, control = Clock(), Control()
    recorder = Recorder(clock, FileSpool.open(tmp_path, LIMIT))
    disk.room = 40
    written = [b"before", *(f"in memory {number}".encode() for number in range(5))]
    with capturedLogs() as logs:
        for row in written:
            recorder.write(row)
        assert recorder.spool.trouble is not None
        disk.room = LIMIT
        recorder.write(b"after")
    assert [formatEvent(event).split(" (")[0] for event in logs if event["log_namespace"] == "icefarm.worker"] == [
        "the spool cannot be written",
        "measurements are written to the spool again",
    ]
    recorder.sender.attach(control)
    clock.advance(GATHER)
    assert control.got == [*written, b"after"]
    assert control.told[-1][1] == 0
    assert recorder.spool.waiting == 0


def test_a_disk_that_is_full_now_and_then_is_not_told_of_at_every_row(tmp_path: Path, disk: FullDisk) -> None:
    recorder = Recorder(Clock(), FileSpool.open(tmp_path, LIMIT))
    disk.room = 0
    with capturedLogs() as logs:
        for number in range(100):
            disk.room = LIMIT if number % 2 else 0
            recorder.write(b"row")
    assert len([event for event in logs if event["log_namespace"] == "icefarm.worker"]) == 2
    assert len(drained(recorder.spool)) == 100


def test_rows_that_are_on_their_way_from_memory_come_again_when_they_are_written_and_none_is_lost(
    tmp_path: Path, disk: FullDisk
) -> None:
    spool = FileSpool.open(tmp_path, LIMIT)
    disk.room = 0
    spool.append(b"one")
    batch = spool.batch()
    assert batch is not None
    spool.append(b"two")
    disk.room = LIMIT
    spool.append(b"three")
    spool.acknowledge(batch)
    assert drained(spool) == [b"one", b"two", b"three"]
    assert spool.waiting == 0


def test_what_waits_in_memory_is_written_at_the_end_if_the_disk_has_room_then(tmp_path: Path, disk: FullDisk) -> None:
    spool = FileSpool.open(tmp_path, LIMIT)
    disk.room = 0
    rows = [f"{number:0100}".encode() for number in range(20)]
    for row in rows:
        spool.append(row)
    disk.room = LIMIT
    spool.close()
    assert drained(FileSpool.open(tmp_path, LIMIT)) == rows


def test_what_waits_in_memory_is_lost_with_the_worker_if_the_disk_has_no_room_then_and_that_is_told(
    tmp_path: Path, disk: FullDisk
) -> None:
    disk.room = LIMIT
    full = Recorder(Clock(), FileSpool.open(tmp_path / "full", LIMIT))
    full.write(b"written")
    disk.room = 0
    with capturedLogs() as logs:
        for recorder in (full, Recorder(Clock())):
            for row in (b"one", b"two"):
                recorder.write(row)
            recorder.stop()
    told = [formatEvent(event) for event in logs if "they may be lost" in str(formatEvent(event))]
    assert told == 2 * [
        "the worker ends with 2 measurements that no disk has and control has not confirmed: they may be lost"
    ]
    disk.room = LIMIT
    assert drained(FileSpool.open(tmp_path / "full", LIMIT)) == [b"written"]


def test_of_rows_that_a_full_disk_does_not_take_the_oldest_are_dropped_when_there_are_too_many(
    tmp_path: Path, disk: FullDisk
) -> None:
    spool = FileSpool.open(tmp_path, LIMIT)
    disk.room = 0
    together = b"\n".join([b"x" * 1000] * 64)
    number = MEMORY // len(together) + 10
    for _ in range(number):
        spool.append(together)
    assert spool.waiting <= MEMORY
    assert spool.dropped > 0
    assert len(drained(spool)) + spool.dropped == number * 64
