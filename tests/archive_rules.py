"""What any archive must hold to: the same tests for PostgreSQL and for its stand-in in memory.

Each rule is a coroutine function of a `World`; `RULES` has them by name.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from attrs import define, evolve
from store_rules import hello_of
from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure

from icefarm.contract import ARCHIVE_FIELDS, RESULT_FIELDS, DeviceReport, DeviceStatus, ReservationRecord, RunReport
from icefarm.control.archive.interface import (
    Archive,
    ExperimentFilter,
    FileForm,
    KnownQuery,
    ResultQuery,
    SeriesQuery,
    Stored,
)
from icefarm.control.archive.parsing import parse_rows
from icefarm.control.archive.rows import NO_ROWS, owned_by
from icefarm.control.archive.runs.arrivals import Arrivals
from icefarm.control.archive.runs.interface import Closed, Run, RunFilter
from icefarm.control.archive.usage import UsageQuery
from icefarm.control.scheduling.placement import ReservationRequest
from icefarm.control.storage.interface import Store
from icefarm.runs.canonical import canonical
from icefarm.runs.manifest import Summary, columns_of
from icefarm.runs.numbers import evaluation_id

__all__ = ["RULES", "World", "now", "row"]

#: To the microsecond, as archives keep times.
NOW = round(time.time(), 6)

Rule = Callable[["World"], Awaitable[None]]
RULES: dict[str, Rule] = {}


def now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that needs no time."""
    results: list[Any] = []
    ensureDeferred(coroutine).addBoth(results.append)
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


def rule(function: Rule) -> Rule:
    RULES[function.__name__] = function
    return function


def row(reservation: ReservationRecord, evaluation_id: str = "e1", **fields: Any) -> dict[str, Any]:
    """Return a row of a measurement by the names of its fields."""
    usual = {
        "evaluation_id": evaluation_id, "reservation": reservation.id, "serial": reservation.serial,
        "kind": "counter", "options": {"window": 1.0}, "value": 7, "sha256": "ab" * 32, "circuit": "a.bin",
        "experiment": "ga-7", "firmware": "pulse_count", "firmware_version": "1.0", "origin": "measured",
        "window_us": 1_000_000, "load_us": 50_000, "temperature_c": 31.5, "sequence": 3, "attempt": 1,
        "started_at": NOW - 2, "ended_at": NOW - 1,
    }  # fmt: skip
    return {**usual, **fields}


def failure(reservation: ReservationRecord, evaluation_id: str = "e1", **fields: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("value", "origin", "window_us", "load_us", "temperature_c", "sequence", "started_at"))
    told = {"error": "device_failed", "message": "the board was silent"}
    return row(reservation, evaluation_id, **{**nothing, **told, **fields})


def encoded(*rows: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps([each.get(name) for name in ARCHIVE_FIELDS]).encode() for each in rows)


@define
class World:
    """An archive, and the store that its reservations are in; workers w1 (A, B, C) and w2 (D)."""

    archive: Archive
    store: Store
    #: Lets a moment pass.
    tick: Callable[[], None] = lambda: None
    #: The time as the store has it.
    now: Callable[[], float] = time.time

    async def begin(self) -> World:
        await self.hello("w1", "A", "B", "C")
        await self.hello("w2", "D")
        return self

    async def hello(self, worker: str, *serials: str) -> None:
        reports = [DeviceReport(serial, DeviceStatus.AVAILABLE) for serial in serials]
        await self.store.hello(hello_of(worker, reports))

    async def reserve(self, client: str, *serials: str) -> list[ReservationRecord]:
        wanted = ReservationRequest(kind="counter", serials=list(serials), options={})
        found = await self.store.reserve(client, wanted, 1000.0)
        return sorted(found, key=lambda record: record.serial)

    async def keep(self, worker: str, *rows: dict[str, Any]) -> Stored:
        parsed = parse_rows(encoded(*rows), self.now(), 90)
        assert parsed.wrong == 0
        self.tick()
        return await self.archive.store(worker, parsed.rows)

    async def experiment(self, name: str = "ga-7") -> Any:
        (found,) = await self.archive.experiments(ExperimentFilter(name=name))
        return found

    async def results(self, name: str = "ga-7", **query: Any) -> list[dict[str, Any]]:
        found = await self.experiment(name)
        rows, _ = await self.archive.results(found.id, ResultQuery(**query))
        return [dict(zip(RESULT_FIELDS, each, strict=True)) for each in rows]


@rule
async def a_row_comes_back_as_it_was_sent_with_what_its_reservation_says(world: World) -> None:
    (a,) = await world.reserve("ada/laptop", "A")
    sent = row(a, value=[1, 2, 6], labels={"generation": 3, "who": "é\t\\N\n"}, options={"repeats": 3})
    assert (await world.keep("w1", sent)).new == {("ada", "ga-7"): 1}
    (found,) = await world.results()
    told = {name: sent.get(name) for name in RESULT_FIELDS if name in sent and not name.endswith("_at")}
    assert {name: found[name] for name in told} == told
    assert (found["client"], found["worker"], found["number"]) == ("ada/laptop", "w1", 3.0)
    assert abs(found["ended_at"] - sent["ended_at"]) < 1e-5


@rule
async def rows_of_the_farms_own_are_kept_without_a_reservation_and_everybody_may_read_them(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    sent = [{**row(a, id, experiment=None, calibration="c1"), "reservation": "calibration"} for id in ("e1", "e2")]
    parsed = parse_rows(encoded(*sent), world.now(), 90)
    rows = owned_by(parsed.rows, "icefarm", ("icefarm", "calibration"))
    await world.archive.keep("w1", rows)
    await world.archive.keep("w1", rows)
    await world.archive.keep("w1", NO_ROWS)
    found = await world.experiment("calibration")
    assert (found.account, found.done, found.shared) == ("icefarm", 2, True)
    assert [(each["serial"], each["client"], each["calibration"]) for each in await world.results("calibration")] == [
        ("A", "icefarm", "c1")
    ] * 2


@rule
async def a_batch_that_is_sent_again_adds_nothing(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    batch = [row(a, "e1"), row(a, "e2"), failure(a, "e3")]
    await world.keep("w1", *batch)
    again = await world.keep("w1", *batch)
    assert (again.new, again.known, again.foreign) == ({}, 3, 0)
    assert [each["evaluation_id"] for each in await world.results()] == ["e1", "e2", "e3"]
    found = await world.experiment()
    assert (found.done, found.failed, found.boards) == (2, 1, 1)


@rule
async def of_a_batch_of_which_some_rows_are_there_the_others_are_added_and_counted(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    await world.keep("w1", row(a, "e1", value=1), failure(a, "e2"))
    stored = await world.keep("w1", row(a, "e1", value=1), failure(a, "e2"), row(a, "e3", value=3), failure(a, "e4"))
    assert (stored.new, stored.known) == ({("ada", "ga-7"): 2}, 2)
    assert [each["evaluation_id"] for each in await world.results()] == ["e1", "e2", "e3", "e4"]
    found = await world.experiment()
    assert (found.done, found.failed) == (2, 2)
    points = (await world.archive.series(found.id, SeriesQuery(1e6, 1e6))).points
    assert {(point.serial, point.done, point.failed, point.sum) for point in points} == {
        (None, 2, 2, 4.0),
        ("A", 2, 2, 4.0),
    }


@rule
async def a_batch_of_several_days_boards_and_experiments_is_stored_and_counted_in_each(world: World) -> None:
    (a,), (b,) = await world.reserve("ada", "A"), await world.reserve("ada", "B")
    yesterday, now_ = world.now() - 86400.0, world.now() - 1.0
    await world.keep(
        "w1",
        row(a, "e1", ended_at=yesterday),
        row(a, "e2", ended_at=now_),
        row(b, "e3", ended_at=yesterday, experiment="ga-8"),
        failure(b, "e4", ended_at=now_, experiment="ga-8"),
    )
    assert len(await world.archive.partitions()) == 2
    for name, serial, failed in (("ga-7", "A", 0), ("ga-8", "B", 1)):
        (board,) = await world.archive.boards((await world.experiment(name)).id)
        assert (board.serial, board.done, board.failed) == (serial, 2 - failed, failed)
        assert abs(board.first_at - yesterday) < 1e-5
        assert abs(board.last_at - now_) < 1e-5
        assert len(await world.results(name)) == 2


@rule
async def a_row_that_cannot_be_stored_does_not_keep_the_others_from_it(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    numbers = (2**31, -(2**53), 2**60, 10**400)
    wrong = [row(a, f"attempt {number}", attempt=number) for number in numbers]
    wrong += [
        row(a, f"{name} {time}", **{name: time}) for name in ("started_at", "ended_at") for time in (1e15, 10**400)
    ]
    values = [2**31, 10**400, [10**400, 0.5], [1e308, 1e308]]
    stored = [row(a, f"value {number}", value=value) for number, value in enumerate(values)]
    parsed = parse_rows(encoded(*wrong, *stored, row(a, attempt=2**31 - 1)), world.now(), 90)
    assert parsed.wrong == len(wrong)
    endless = encoded(row(a, "endless", value=[1.5])).replace(b"1.5", b"1e999")
    assert parse_rows(endless, world.now(), 90).wrong == 1
    assert (await world.archive.store("w1", parsed.rows)).new == {("ada", "ga-7"): 5}
    assert [each["number"] for each in await world.results()] == [2.0**31, None, None, None, 7.0]


@rule
async def values_that_are_too_large_to_be_summed_up_are_kept_and_are_no_numbers(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    for id in ("e1", "e2"):
        await world.keep("w1", row(a, f"{id} float", value=1e308), row(a, f"{id} whole", value=10**308))
    assert {(each["value"], each["number"]) for each in await world.results()} == {(1e308, None), (10**308, None)}
    found = await world.experiment()
    points = (await world.archive.series(found.id, SeriesQuery(1e6, 1e6))).points
    assert [(point.serial, point.done, point.numbers) for point in points] == [(None, 4, 0), ("A", 4, 0)]


@rule
async def an_evaluation_twice_in_a_batch_is_one_row_that_of_the_later_attempt(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    await world.keep("w1", row(a, value=1), row(a, value=2, attempt=2))
    assert [each["value"] for each in await world.results()] == [2]


@rule
async def of_an_evaluation_that_was_carried_out_twice_the_later_attempt_stays(world: World) -> None:
    a, d = [(await world.reserve("ada", serial))[0] for serial in ("A", "D")]
    await world.keep("w1", row(a, value=1))
    await world.keep("w2", row(d, value=2, attempt=2))
    assert [each["value"] for each in await world.results()] == [2]
    found = await world.experiment()
    assert (found.done, found.failed) == (1, 0)


@rule
async def an_earlier_attempt_that_arrives_later_is_left_out_also_on_another_day(world: World) -> None:
    a, d = [(await world.reserve("ada", serial))[0] for serial in ("A", "D")]
    await world.keep("w2", row(d, value=2, attempt=2))
    stored = await world.keep("w1", row(a, value=1, ended_at=NOW - 2 * 86400))
    assert (stored.new, stored.known) == ({}, 1)
    assert [each["value"] for each in await world.results()] == [2]


@rule
async def the_failure_of_an_earlier_attempt_on_another_board_stays(world: World) -> None:
    a, b = await world.reserve("ada", "A", "B")
    await world.keep("w1", failure(a), row(b, value=5, attempt=2))
    found = {each["serial"]: (each["value"], each["error"]) for each in await world.results()}
    assert found == {"A": (None, "device_failed"), "B": (5, None)}
    assert await world.archive.failures((await world.experiment()).id) == {"device_failed": 1}


@rule
async def a_worker_adds_nothing_to_reservations_that_it_does_not_serve(world: World) -> None:
    a, d = [(await world.reserve("ada", serial))[0] for serial in ("A", "D")]
    stored = await world.keep("w2", row(a, "e1"), row(d, "e2"))
    assert (stored.foreign, sum(stored.new.values())) == (1, 1)
    forged = await world.keep("w2", {**row(d, "e3"), "serial": "A"}, {**row(d, "e4"), "reservation": "none"})
    assert (forged.foreign, forged.new) == (2, {})


@rule
async def a_worker_still_delivers_what_it_measured_before_the_board_moved(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    await world.store.worker_lost("w1", "it is gone")
    await world.hello("w2", "D", "A")
    assert (await world.store.reservation(a.id)).worker == "w2"  # type: ignore[union-attr]
    assert (await world.keep("w1", row(a, "e1"))).new == {("ada", "ga-7"): 1}
    assert (await world.keep("w2", row(a, "e2"))).new == {("ada", "ga-7"): 1}


@rule
async def the_same_id_of_another_client_is_another_evaluation(world: World) -> None:
    a, b = [(await world.reserve(client, serial))[0] for client, serial in (("ada", "A"), ("bob", "B"))]
    await world.keep("w1", row(a, value=1), row(b, value=2, attempt=9))
    found = await world.archive.experiments(ExperimentFilter(name="ga-7"))
    assert sorted((each.account, each.done) for each in found) == [("ada", 1), ("bob", 1)]


@rule
async def without_an_experiment_it_is_the_clients_name_and_the_day(world: World) -> None:
    (a,) = await world.reserve("ada/laptop", "A")
    stored = await world.keep("w1", row(a, experiment=None))
    day = datetime.fromtimestamp(NOW - 1, UTC).date()
    assert stored.new == {("ada", f"laptop {day}"): 1}


@rule
async def results_are_chosen_by_board_time_kind_failure_and_circuit(world: World) -> None:
    a, b = await world.reserve("ada", "A", "B")
    await world.keep(
        "w1", row(a, "e1", ended_at=NOW - 30), row(b, "e2", ended_at=NOW - 20, kind="variance", sha256="cd" * 32)
    )
    await world.keep("w1", failure(b, "e3", ended_at=NOW - 10))

    async def ids(**query: Any) -> list[str]:
        return [each["evaluation_id"] for each in await world.results(**query)]

    assert await ids() == ["e1", "e2", "e3"]
    assert await ids(serials=["B"]) == ["e2", "e3"]
    assert await ids(since=NOW - 20, until=NOW - 10) == ["e2"]
    assert (await ids(failed=True), await ids(failed=False)) == (["e3"], ["e1", "e2"])
    assert (await ids(kind="variance"), await ids(sha256=["cd" * 32])) == (["e2"], ["e2"])


@rule
async def pages_have_every_result_once_in_the_order_of_arrival(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    for start in range(0, 30, 10):
        await world.keep("w1", *(row(a, f"e{n}", ended_at=NOW - n) for n in range(start, start + 10)))
    seen: list[str] = []
    after = 0
    while page := await world.results(after=after, limit=7):
        seen += [each["evaluation_id"] for each in page]
        after = page[-1]["seq"]
    assert len(seen) == 30
    assert set(seen) == {f"e{n}" for n in range(30)}


@rule
async def boards_are_counted_with_their_first_and_last_time(world: World) -> None:
    a, b = await world.reserve("ada", "A", "B")
    await world.keep("w1", row(a, "e1", ended_at=NOW - 100), row(a, "e2", ended_at=NOW - 1), failure(b, "e3"))
    first, second = await world.archive.boards((await world.experiment()).id)
    assert (first.serial, first.done, first.failed) == ("A", 2, 0)
    assert abs(first.first_at - (NOW - 100)) < 1e-3
    assert abs(first.last_at - (NOW - 1)) < 1e-3
    assert (second.serial, second.done, second.failed) == ("B", 0, 1)


@rule
async def boards_are_counted_whatever_signs_their_serials_have(world: World) -> None:
    serials = ['"', "\\", "{a,b}", "NULL", "'%s'", "é"]
    await world.hello("w1", *serials)
    reservations = await world.reserve("ada", *serials)
    await world.keep("w1", *(row(each, f"e{number}") for number, each in enumerate(reservations)))
    found = await world.experiment()
    boards = await world.archive.boards(found.id)
    assert {(board.serial, board.done) for board in boards} == {(serial, 1) for serial in serials}
    points = (await world.archive.series(found.id, SeriesQuery(1e6, 1e6))).points
    assert {point.serial for point in points} == {None, *serials}


@rule
async def experiments_are_listed_the_last_active_first_and_in_pages(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    for name in ("one", "two", "three"):
        await world.keep("w1", row(a, f"e-{name}", experiment=name))
    await world.keep("w1", row(a, "e-again", experiment="one"))
    found = await world.archive.experiments(ExperimentFilter(limit=2))
    assert [each.name for each in found] == ["one", "three"]
    rest = await world.archive.experiments(ExperimentFilter(before=(found[-1].active_at, found[-1].id)))
    assert [each.name for each in rest] == ["two"]


@rule
async def pages_have_every_experiment_of_a_batch_once(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    await world.keep("w1", *(row(a, f"e{n}", experiment=f"x{n}") for n in range(5)))
    seen: list[str] = []
    before = None
    while page := await world.archive.experiments(ExperimentFilter(before=before, limit=2)):
        seen += [each.name for each in page]
        before = page[-1].active_at, page[-1].id
    assert sorted(seen) == [f"x{n}" for n in range(5)]


@rule
async def others_see_what_is_shared_and_nothing_on_a_private_farm(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    await world.keep("w1", row(a, "e1", experiment="open"), row(a, "e2", experiment="own"))
    await world.archive.announce(("ada", "own"), None, False)

    async def seen(reader: str | None, private: bool = False) -> set[str]:
        found = await world.archive.experiments(ExperimentFilter(reader=reader, private=private))
        return {each.name for each in found}

    assert await seen("ada") == await seen(None) == await seen("ada", True) == {"open", "own"}
    assert (await seen("bob"), await seen("bob", True)) == ({"open"}, set())


@rule
async def results_come_as_lines_of_a_file(world: World) -> None:
    (a,) = await world.reserve("ada/laptop", "A")
    odd = 'é, "x"\\N\\\n'
    sent = row(a, "e1", value=[1, 2.5], labels={"who": odd}, circuit=odd), row(a, "e2", value="text", circuit="")
    await world.keep("w1", *sent, failure(a, "e3", message=odd))
    id = (await world.experiment()).id
    results = await world.results()
    lines = await world.archive.extract(id, ResultQuery(), FileForm.JSON_LINES)
    assert [json.loads(line) for line in lines.data.decode().splitlines()] == results
    assert (lines.rows, lines.last, lines.more) == (3, results[-1]["seq"], False)
    table = await world.archive.extract(id, ResultQuery(), FileForm.CSV)
    rows = list(csv.reader(io.StringIO(table.data.decode(), newline="")))
    told = [dict(zip(RESULT_FIELDS, each, strict=True)) for each in rows]
    assert [each["circuit"] for each in told] == [each["circuit"] or "" for each in results]
    assert [json.loads(each["value"] or "null") for each in told] == [[1, 2.5], "text", None]
    assert json.loads(told[0]["labels"]) == {"who": odd}
    assert [float(each["ended_at"]) for each in told] == [each["ended_at"] for each in results]
    assert (table.rows, table.last) == (3, lines.last)


@rule
async def pages_of_results_end_where_they_are_long_enough(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    await world.keep("w1", *(row(a, f"e{n}", value="x" * 5000 * (n % 2)) for n in range(6)))
    id = (await world.experiment()).id
    for form in (None, *FileForm):
        seen: list[Any] = []
        after, more, pages = 0, True, 0
        while more:
            query = ResultQuery(after, size=6000)
            if form is None:
                page, more = await world.archive.results(id, query)
                after = page[-1][0] if page else after
                seen += [each[1] for each in page]
                count = len(page)
            else:
                part = await world.archive.extract(id, query, form)
                after, more, count = part.last, part.more, part.rows
                seen += range(count)
            assert count <= 4
            pages += 1
        assert len(seen) == 6
        assert pages > 1


def known_query(**fields: Any) -> KnownQuery:
    return KnownQuery(**{"kind": "counter", "options": {"window": 1}, "sha256": ["aa" * 32, "bb" * 32], **fields})


@rule
async def what_an_experiment_knows_of_circuits_is_the_newest_value_of_each_board_or_of_any(world: World) -> None:
    a, b = await world.reserve("ada", "A", "B")
    aa, bb = {"sha256": "aa" * 32}, {"sha256": "bb" * 32}
    await world.keep("w1", row(a, "e1", value=1, **aa), row(b, "e2", value=2, **aa))
    await world.keep("w1", row(a, "e3", value=3, **aa), failure(a, "e4", **bb), row(a, "e5", sha256="cc" * 32))
    other_options = row(a, "e6", value=6, options={"window": 1, "repeats": 2}, **bb)
    nul = row(a, "e7", options={"window": 1, "text": "\0"}, **bb)
    await world.keep("w1", other_options, nul, row(a, "e8", kind="other", **bb), row(a, "e9", message="left out", **bb))
    await world.keep("w1", row(a, "x1", experiment="other", value=9, **bb))
    found = await world.experiment()

    async def known(**fields: Any) -> list[tuple[str, Any]]:
        rows, more = await world.archive.known(found.id, known_query(**fields))
        assert not more
        results = [dict(zip(RESULT_FIELDS, each, strict=True)) for each in rows]
        return [(each["serial"], each["value"]) for each in results]

    assert await known() == [("A", 3)]
    assert await known(serials=["A", "B", "C"]) == [("A", 3), ("B", 2)]
    assert await known(serials=["C"]) == await known(kind="none") == await known(sha256=["dd" * 32]) == []
    assert await known(options={"repeats": 2, "window": 1.0}) == [("A", 6)]


@rule
async def what_is_known_comes_in_pages_of_so_many_bytes(world: World) -> None:
    a, b = await world.reserve("ada", "A", "B")
    digests = [f"{n:064x}" for n in range(5)]
    await world.keep("w1", *(row(each, f"e{each.serial}{n[-1]}", sha256=n) for n in digests for each in (a, b)))
    id = (await world.experiment()).id
    seen: list[tuple[str, str]] = []
    more = True
    while more:
        query = known_query(sha256=digests, serials=["A", "B"], after=seen[-1] if seen else ("", ""), bytes=1200)
        rows, more = await world.archive.known(id, query)
        assert 0 < len(rows) <= 3
        results = [dict(zip(RESULT_FIELDS, each, strict=True)) for each in rows]
        seen += [(each["sha256"], each["serial"]) for each in results]
    assert seen == [(digest, serial) for digest in digests for serial in "AB"]


@rule
async def results_are_summed_up_over_time_together_and_by_board(world: World) -> None:
    a, b = await world.reserve("ada", "A", "B")
    begin = NOW // 64 * 64 - 128
    batch = [row(a, "e1", value=4, ended_at=begin), row(a, "e2", value=[1, 3], ended_at=begin + 1.5)]
    batch += [row(b, "e3", value=10, ended_at=begin + 2), row(b, "e4", value="no number", ended_at=begin + 62)]
    await world.keep("w1", *batch, failure(b, "e5", ended_at=begin + 63))
    found = await world.experiment()

    async def series(**query: Any) -> list[tuple[Any, ...]]:
        points = (await world.archive.series(found.id, SeriesQuery(2.0, 64.0, **query))).points
        return [(p.serial, p.time - begin, p.done, p.failed, p.numbers, p.sum, p.least, p.most) for p in points]

    together = [(None, 0, 2, 0, 2, 6, 2, 4), (None, 2, 1, 0, 1, 10, 10, 10), (None, 62, 1, 1, 0, None, None, None)]
    of_a, of_b = ("A", 0, 2, 0, 2, 6, 2, 4), ("B", 0, 2, 1, 1, 10, 10, 10)
    assert await series() == [*together, of_a, of_b]
    assert await series(serials=["A"]) == [together[0], of_a]
    assert await series(since=begin + 1, until=begin + 2) == [(None, 0, 1, 0, 1, 2, 2, 2), ("A", 0, 1, 0, 1, 2, 2, 2)]


@rule
async def sums_over_time_lose_what_a_later_attempt_replaces(world: World) -> None:
    a, d = [(await world.reserve("ada", serial))[0] for serial in ("A", "D")]
    begin = NOW // 64 * 64 - 64
    batch = [row(a, "e1", value=1, ended_at=begin), row(a, "e2", value=5, ended_at=begin + 1)]
    await world.keep("w1", *batch, row(a, "e3", value=3, ended_at=begin + 2))
    await world.keep("w2", row(d, "e1", value=9, attempt=2, ended_at=begin + 3))
    found = await world.experiment()
    series = await world.archive.series(found.id, SeriesQuery(64.0, 64.0))
    told = [(p.serial, p.done, p.numbers, p.sum, p.least, p.most) for p in series.points]
    assert told == [(None, 3, 3, 17, 3, 9), ("A", 2, 2, 8, 3, 5), ("D", 1, 1, 9, 9, 9)]


@rule
async def a_series_goes_on_with_what_arrived_since(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    await world.keep("w1", row(a, "e1"), row(a, "e2"))
    found = await world.experiment()
    first = await world.archive.series(found.id, SeriesQuery(64.0, 64.0))
    await world.keep("w1", row(a, "e3"))
    more = await world.archive.series(found.id, SeriesQuery(64.0, 64.0, after=first.last))
    assert [(point.serial, point.done) for point in more.points] == [(None, 1), ("A", 1)]
    assert more.last > first.last
    nothing = await world.archive.series(found.id, SeriesQuery(64.0, 64.0, after=more.last))
    assert (nothing.last, nothing.points) == (more.last, [])


@rule
async def a_boards_experiments_are_those_that_the_reader_may_read_the_last_one_first(world: World) -> None:
    a, b = await world.reserve("ada", "A", "B")
    await world.keep("w1", row(a, "e1", experiment="old", ended_at=NOW - 60), row(b, "e2", experiment="other board"))
    await world.keep("w1", row(a, "e3"), failure(a, "e4"), row(b, "e5"), row(a, "e6", experiment="own"))
    await world.archive.announce(("ada", "own"), None, False)

    async def seen(**query: Any) -> set[tuple[str, int, int]]:
        parts = await world.archive.of_board("A", ExperimentFilter(**query))
        return {(part.name, part.done, part.failed) for part in parts}

    assert await seen() == await seen(reader="ada") == {("old", 1, 0), ("ga-7", 1, 1), ("own", 1, 0)}
    assert await seen(reader="bob") == {("old", 1, 0), ("ga-7", 1, 1)}
    assert await seen(reader="bob", private=True) == set()
    assert [part.name for part in await world.archive.of_board("A", ExperimentFilter())][-1] == "old"


@rule
async def what_a_client_announces_and_logs_is_kept(world: World) -> None:
    await world.archive.announce(("ada", "ga-7"), 500, None)
    await world.archive.announce(("ada", "ga-7"), None, False)
    for generation in range(3):
        await world.archive.log(("ada", "ga-7"), {"generation": generation, "best": 0.5}, NOW + generation)
    found = await world.experiment()
    assert (found.total, found.shared, found.done, found.first_at) == (500, False, 0, None)
    first, *rest = await world.archive.figures(found.id, 0, 10)
    assert (first.figures, abs(first.time - NOW) < 1e-3, len(rest)) == ({"generation": 0, "best": 0.5}, True, 2)
    assert await world.archive.figures(found.id, first.id, 10) == rest


@rule
async def usage_has_the_time_of_reservations_and_what_was_measured(world: World) -> None:
    # These rules may be tried long after this file was read.
    now = world.now()
    a, b = await world.reserve("ada/laptop", "A", "B")
    (d,) = await world.reserve("bob", "D")
    await world.keep(
        "w1", row(a, "e1", ended_at=now - 1), row(a, "e2", ended_at=now - 0.5), failure(b, "e3", ended_at=now)
    )
    await world.keep("w2", row(d, "e4", experiment="other", ended_at=now))
    held, measured = await world.archive.usage(UsageQuery(now - 5, now + 1000))
    spans = {(each.account, each.serial): each for each in held}
    assert set(spans) == {("ada", "A"), ("ada", "B"), ("bob", "D")}
    for each in held:
        # They have not ended: the time counts to the end of what was asked for.
        assert each.reservations == 1
        assert 900 < each.seconds <= 1005
        assert abs(each.last_at - (now + 1000)) < 1e-3
    found = {(each.account, each.experiment, each.serial): each for each in measured}
    assert set(found) == {("ada", "ga-7", "A"), ("ada", "ga-7", "B"), ("bob", "other", "D")}
    assert (found["ada", "ga-7", "A"].evaluations, found["ada", "ga-7", "B"].failed) == (2, 1)
    assert abs(found["ada", "ga-7", "A"].seconds - 0.5) < 1e-3


@rule
async def usage_is_of_one_account_and_of_the_time_that_was_asked_for(world: World) -> None:
    now = world.now()
    (a,) = await world.reserve("ada", "A")
    (d,) = await world.reserve("bob", "D")
    await world.keep("w1", row(a, ended_at=now))
    await world.keep("w2", row(d, ended_at=now))
    held, measured = await world.archive.usage(UsageQuery(now - 5, now + 1000, "ada"))
    assert {each.account for each in (*held, *measured)} == {"ada"}
    await world.store.end(client="ada", serials=None, reason="done")
    held, _ = await world.archive.usage(UsageQuery(now - 5, now + 1000, "ada"))
    assert held[0].seconds < 900
    assert await world.archive.usage(UsageQuery(now + 500, now + 1000, "ada")) == ([], [])
    assert await world.archive.usage(UsageQuery(now - 50_000, now - 40_000)) == ([], [])


@rule
async def a_day_is_dropped_with_its_counts(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    old = NOW - 3 * 86400
    await world.keep("w1", row(a, "e1", ended_at=old), row(a, "e2"))
    day = datetime.fromtimestamp(old, UTC).date()
    assert day in [each.day for each in await world.archive.partitions()]
    await world.archive.drop(day)
    assert day not in [each.day for each in await world.archive.partitions()]
    assert [each["evaluation_id"] for each in await world.results()] == ["e2"]
    assert (await world.experiment()).done == 1


@rule
async def a_day_can_be_made_ahead_and_again(world: World) -> None:
    days = [datetime.fromtimestamp(NOW, UTC).date() + timedelta(days=ahead) for ahead in range(3)]
    await world.archive.prepare(days)
    await world.archive.prepare(days)
    assert [each.day for each in await world.archive.partitions()][-3:] == days


# -------------------------------------------------------------------------------------------------------------- runs

NUMBER, OTHER = "0a" * 16, "0b" * 16


def told(number: str = NUMBER, **fields: Any) -> RunReport:
    return RunReport(number, "counter", {"A": "none"}, **fields)


def of_run(number: str, index: int, board: int = 0) -> str:
    return evaluation_id(number, index, board)


async def reported(world: World, report: RunReport, client: str = "ada", name: str = "ga-7") -> Run:
    """Report a run, and return it."""
    world.tick()
    await world.archive.runs.report(client, [report], [name])
    (run,) = await world.archive.runs.runs(RunFilter(prefix=report.number, reader=client.partition("/")[0]))
    return run


def closed(seq: int = 10**9, **fields: Any) -> Closed:
    usual = {"manifest_id": "ab" * 32, "manifest": b"{}", "results": 1, "failed": 0, "boards": 1, "last_seq": seq}
    return Closed(**{**usual, "first": NOW - 2, "last": NOW - 1, **fields})


@rule
async def a_run_is_open_from_its_first_report_until_it_is_closed(world: World) -> None:
    begun = await reported(world, told(labels={"n": 1}), "ada/laptop")
    assert (begun.account, begun.experiment, begun.client) == ("ada", "ga-7", "ada/laptop")
    assert (begun.told.labels, begun.ended_at, begun.closed_at, begun.manifest_id) == ({"n": 1}, None, None, None)
    ended = await reported(world, told(ended=True, results=3, retried={"x": 2}), "ada/laptop")
    assert ended.id == begun.id
    assert ended.ended_at is not None
    assert (ended.told.results, ended.told.retried) == (3, {"x": 2})
    assert [run.id for run in await world.archive.runs.open()] == [begun.id]
    assert await world.archive.runs.manifest(begun.id) is None
    await world.archive.runs.close(begun.id, closed(results=3, manifest=b'{"a":1}'))
    assert await world.archive.runs.open() == []
    (run,) = await world.archive.runs.runs(RunFilter(prefix="ab" * 5))
    assert (run.results, run.boards, run.manifest_id, run.closed_at is not None) == (3, 1, "ab" * 32, True)
    assert await world.archive.runs.manifest(begun.id) == b'{"a":1}'


@rule
async def of_runs_that_are_open_accounts_have_one_after_the_other(world: World) -> None:
    mine = [await reported(world, told(f"0{digit}" * 16)) for digit in "cde"]
    theirs = await reported(world, told(OTHER), "bob", "noise")
    open_ = [run.id for run in await world.archive.runs.open()]
    assert open_ == [mine[0].id, theirs.id, mine[1].id, mine[2].id]


@rule
async def what_is_told_of_a_run_after_its_end_changes_nothing(world: World) -> None:
    await reported(world, told(ended=True, results=3))
    late = await reported(world, told(ended=False, results=0))
    assert (late.told.results, late.ended_at is not None) == (3, True)
    await world.archive.runs.close(late.id, closed())
    again = await reported(world, told(ended=True, results=9))
    assert (again.told.results, again.results) == (3, 1)
    await world.archive.runs.close(late.id, closed(manifest_id="cd" * 32, manifest=b"[]"))
    assert await world.archive.runs.manifest(late.id) == b"{}"


@rule
async def a_runs_rows_are_those_whose_ids_begin_with_its_number_in_the_order_of_the_run(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    (b,) = await world.reserve("bob", "B")
    run = await reported(world, told())
    ids = [of_run(NUMBER, 2), of_run(NUMBER, 0, 2), of_run(NUMBER, 0, 1), of_run(OTHER, 1), "e1", NUMBER]
    await world.keep("w1", *(row(a, id) for id in ids), row(b, of_run(NUMBER, 1)))
    found = await world.archive.runs.rows(run, NUMBER, 10)
    wanted = [of_run(NUMBER, 0, 1), of_run(NUMBER, 0, 2), of_run(NUMBER, 2)]
    assert [each["evaluation_id"] for each in found] == wanted
    assert (found[0]["serial"], found[0]["value"], found[0]["client"]) == ("A", 7, "ada")
    assert [each["evaluation_id"] for each in await world.archive.runs.rows(run, wanted[0], 1)] == wanted[1:2]
    assert await world.archive.runs.rows(run, wanted[2], 10) == []


@rule
async def an_evaluation_of_a_run_counts_once_by_its_value_or_else_by_its_last_failure(world: World) -> None:
    a, d = (await world.reserve("ada", "A"))[0], (await world.reserve("ada", "D"))[0]
    run = await reported(world, told(retried={of_run(NUMBER, 0): 3}))
    both, twice = of_run(NUMBER, 0), of_run(NUMBER, 1)
    await world.keep("w1", failure(a, both), failure(a, twice, message="first"))
    assert (await world.archive.runs.progress(run)).superseded
    await world.keep("w2", row(d, both, value=9, attempt=3), failure(d, twice, attempt=2, message="second"))
    found = await world.archive.runs.rows(run, NUMBER, 10)
    assert [(each["value"], each["message"]) for each in found] == [(9, None), (None, "second")]
    progress = await world.archive.runs.progress(run)
    assert (progress.results, progress.failures, progress.superseded) == (1, 1, False)
    assert progress.last_seq == max(each["seq"] for each in await world.results())
    assert (await world.archive.runs.progress(await reported(world, told(OTHER)))).last_seq is None


@rule
async def what_a_store_says_of_its_rows_makes_the_lines_that_are_read_back(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    run = await reported(world, told())
    odd: list[dict[str, Any]] = [
        {"started_at": NOW + n / 7 - 0.123456789, "ended_at": NOW + n * 1.0000005} for n in range(50)
    ] + [
        {"circuit": 'a\\b\t"é\u2028.bin', "message": "", "firmware": "", "origin": None},
        {"circuit": "", "temperature_c": 31, "sha256": None, "ended_at": 1},
        {"value": [1, 2.5, -0.0, 1e-9, 2**60, "\ud800", {"b": [None, True]}], "board_labels": {"lab": "é", "a": "1"}},
        {"value": "text", "temperature_c": -0.0, "sequence": None, "window_us": -1, "board_labels": {}},
        {"value": None, "started_at": None, "load_us": 2**53, "temperature_c": 1e-7},
    ]
    sent = [row(a, of_run(NUMBER, index), **fields) for index, fields in enumerate(odd)]
    stored = await world.keep("w1", *sent, failure(a, of_run(NUMBER, len(odd)), message="x" * 1000))
    arrivals, read = Arrivals(), Summary()
    arrivals.note("w1", stored)
    arrived = arrivals.take("ada", NUMBER, len(stored.rows))
    assert arrived is not None
    for _ in arrived.rest():
        pass
    rows = await world.archive.runs.rows(run, NUMBER, 1000)
    lines = read.add(columns_of(rows))
    assert arrived.summary is not None
    assert arrived.summary.manifest({}) == read.manifest({})
    assert read.digest == sha256(lines).hexdigest()
    assert lines == b"".join(canonical(json.loads(line)) + b"\n" for line in lines.splitlines())


@rule
async def a_row_that_arrives_after_a_run_is_closed_is_not_in_it(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    run = await reported(world, told())
    await world.keep("w1", row(a, of_run(NUMBER, 0)))
    (first,) = await world.archive.runs.rows(run, NUMBER, 10)
    await world.archive.runs.close(run.id, closed(first["seq"]))
    await world.keep("w1", row(a, of_run(NUMBER, 1)))
    (run,) = await world.archive.runs.runs(RunFilter(prefix=NUMBER))
    assert [each["evaluation_id"] for each in await world.archive.runs.rows(run, NUMBER, 10)] == [of_run(NUMBER, 0)]


@rule
async def a_later_attempt_replaces_nothing_in_a_run_that_is_closed(world: World) -> None:
    (a,), (d,) = await world.reserve("ada", "A"), await world.reserve("ada", "D")
    run = await reported(world, told())
    await world.keep("w1", row(a, of_run(NUMBER, 0)), failure(a, of_run(NUMBER, 1)), row(a, of_run(NUMBER, 2)))
    before = await world.archive.runs.rows(run, NUMBER, 10)
    await world.archive.runs.close(run.id, closed(max(each["seq"] for each in before)))
    again = {"attempt": 2, "value": 9}
    await world.keep("w1", row(a, of_run(NUMBER, 0), **again), row(a, of_run(NUMBER, 1), **again))
    await world.keep("w2", row(d, of_run(NUMBER, 2), **again))
    (run,) = await world.archive.runs.runs(RunFilter(prefix=NUMBER))
    assert await world.archive.runs.rows(run, NUMBER, 10) == before
    # Of another reservation, it is in the archive all the same.
    assert [each["value"] for each in await world.results() if each["attempt"] == 2] == [9]


@rule
async def a_run_is_over_when_all_of_its_reservations_have_ended(world: World) -> None:
    reserved = await world.reserve("ada", "A", "B")
    run = await reported(world, evolve(told(), boards={each.serial: each.id for each in reserved}))
    assert await world.archive.runs.over_at(run) is None
    await world.store.end(client="ada", serials=["A"], reason="released")
    assert await world.archive.runs.over_at(run) is None
    await world.store.end(client="ada", serials=["B"], reason="released")
    assert await world.archive.runs.over_at(run) is not None
    # Those that nobody knows any more have ended.
    assert await world.archive.runs.over_at(await reported(world, told(OTHER))) is not None


@rule
async def runs_are_read_by_those_who_may_read_their_experiment(world: World) -> None:
    mine = await reported(world, told())
    theirs = await reported(world, told(OTHER), "bob", "secret")
    await world.archive.announce(("bob", "secret"), None, False)

    async def seen(**query: Any) -> list[str]:
        return [run.number for run in await world.archive.runs.runs(RunFilter(**query))]

    assert await seen() == [OTHER, NUMBER]
    assert await seen(reader="ada") == [NUMBER]
    assert await seen(reader="bob") == [OTHER, NUMBER]
    assert await seen(reader="bob", private=True) == [OTHER]
    assert await seen(reader="ada", prefix=OTHER[:8]) == []
    assert await seen(before=theirs.id) == [NUMBER]
    assert await seen(limit=1) == [OTHER]
    assert await seen(experiment=(await world.experiment("secret")).id) == [OTHER]
    await world.archive.runs.forget(mine.id)
    assert await seen() == [OTHER]


@rule
async def a_run_outlives_its_results_and_says_since_when(world: World) -> None:
    (a,) = await world.reserve("ada", "A")
    run = await reported(world, told())
    await world.keep("w1", row(a, of_run(NUMBER, 0)))
    await world.archive.runs.close(run.id, closed())
    day = datetime.fromtimestamp(NOW - 2, UTC).date()
    await world.archive.drop(day - timedelta(days=1))
    (before,) = await world.archive.runs.runs(RunFilter(prefix=NUMBER))
    assert before.dropped_at is None
    await world.archive.drop(day)
    (after,) = await world.archive.runs.runs(RunFilter(prefix=NUMBER))
    assert after.dropped_at is not None
    assert await world.archive.runs.manifest(run.id) == b"{}"
    assert (await world.experiment()).name == "ga-7"


@rule
async def a_circuit_is_kept_once_for_an_account_and_read_by_the_runs_that_have_it(world: World) -> None:
    runs = world.archive.runs
    one, other = await reported(world, told()), await reported(world, told(OTHER))
    await runs.report("bob", [told(NUMBER)], ["noise"])
    (theirs,) = await runs.runs(RunFilter(experiment=(await world.experiment("noise")).id))
    assert not await runs.keep_circuit("ada", NUMBER, "ab" * 32)
    assert await runs.circuit(one, "ab" * 32) is None
    assert await runs.add_circuit("ada", "ab" * 32, 100, b"block", 1000)
    assert await runs.keep_circuit("ada", NUMBER, "ab" * 32)
    assert await runs.circuit(one, "ab" * 32) == (100, b"block")
    assert await runs.circuit(other, "ab" * 32) is None
    assert await runs.keep_circuit("ada", OTHER, "ab" * 32)
    assert await runs.circuit(other, "ab" * 32) == (100, b"block")
    # Another account's is its own.
    assert not await runs.keep_circuit("bob", NUMBER, "ab" * 32)
    assert await runs.circuit(theirs, "ab" * 32) is None


@rule
async def circuits_of_an_account_are_bounded(world: World) -> None:
    runs = world.archive.runs
    assert await runs.add_circuit("ada", "ab" * 32, 100, bytes(600), 1000)
    assert not await runs.add_circuit("ada", "cd" * 32, 100, bytes(600), 1000)
    assert await runs.add_circuit("bob", "cd" * 32, 100, bytes(600), 1000)
