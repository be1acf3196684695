"""The store over a real PostgreSQL: it does what its twin in memory does, and holds when calls run at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from attrs import Factory, define
from booking_rules import BookingMachine
from greenlet import greenlet
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from psycopg2.errors import CheckViolation, ForeignKeyViolation, UniqueViolation
from pytest_twisted import blockon, ensureDeferred
from store_rules import StoreMachine, hello_of
from twisted.internet import defer, reactor
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from waiting import until

from icefarm.calibration.records import Calibration
from icefarm.contract import BookingRecord, DeviceReport, DeviceStatus, Role, account_of
from icefarm.control.scheduling.fair_share import Hold, Ledger
from icefarm.control.scheduling.placement import ReservationRequest
from icefarm.control.sessions.revocation import RevocationWatch
from icefarm.control.sessions.roster import parse_roster
from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.interface import AuditEntry, TokenRecord
from icefarm.control.storage.pool import Database
from icefarm.control.storage.postgres.statements import take_turns
from icefarm.control.storage.postgres.store import PostgresStore
from icefarm.control.storage.shared import ACCESS_TABLES
from icefarm.errors import InvalidArgument, NotYours, Unavailable
from icefarm.testing.memory.store import MemoryStore

pytestmark = pytest.mark.integration

_PASS = """
    UPDATE reservation SET created_at = created_at - make_interval(secs => %(seconds)s),
                           expires_at = expires_at - make_interval(secs => %(seconds)s)
     WHERE ended_at IS NULL;
    UPDATE request SET wait_until = wait_until - make_interval(secs => %(seconds)s)
"""

_BACK = "- make_interval(secs => %(seconds)s)"
_PASS_BOOKED = (
    f"UPDATE reservation SET created_at = created_at {_BACK}, expires_at = expires_at {_BACK},"
    f" ended_at = ended_at {_BACK}",
    f"UPDATE booking SET starts_at = starts_at {_BACK}, ends_at = ends_at {_BACK}, created_at = created_at {_BACK}",
)


def run(call: Awaitable[Any]) -> Any:
    return blockon(defer.ensureDeferred(call))  # type: ignore[arg-type]


#: Seconds by which a twin's clock goes on with each call.  PostgreSQL's goes on by itself: of two reservations, the one
#: that was made first ends first.
MOMENT = 0.001


def run_beside(clock: Clock) -> Callable[[Awaitable[Any]], Any]:
    """Return a `run` that lets a twin's clock go on with each call."""

    def run_a_moment_later(call: Awaitable[Any]) -> Any:
        clock.advance(MOMENT)
        return run(call)

    return run_a_moment_later


async def where_calls_may_block(function: Callable[[], None]) -> None:
    """Run a function that waits for calls by `run`; the reactor goes on meanwhile."""
    done: defer.Deferred[None] = defer.Deferred()

    def body() -> None:
        try:
            function()
        except BaseException:
            tell = partial(done.errback, Failure())
        else:
            tell = partial(done.callback, None)
        # The test goes on where it began, not in here.
        reactor.callLater(0, tell)  # type: ignore[attr-defined]

    greenlet(body).switch()
    await done


async def execute(database: Database, statement: str, **parameters: object) -> list[tuple[Any, ...]]:
    return await database.transaction(lambda transaction: transaction.rows(statement, parameters))


def boards(*serials: str, status: DeviceStatus = DeviceStatus.AVAILABLE) -> list[DeviceReport]:
    return [DeviceReport(serial, status) for serial in serials]


class Chooser:
    """A transaction that chooses boards: it has its turn within ``async with``, and others wait for theirs.

    :ivar chooses: whether it still has its turn.
    """

    _WAITING = """
        SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._begun: defer.Deferred[None] = defer.Deferred()
        self._done: defer.Deferred[None] = defer.Deferred()
        self._ended: defer.Deferred[None] | None = None

    async def __aenter__(self) -> Chooser:
        self._ended = defer.Deferred.fromCoroutine(self._database.transaction(self._choose))
        await self._begun
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._ended is not None
        self._done.callback(None)
        await self._ended

    @property
    def chooses(self) -> bool:
        return self._ended is not None and not self._ended.called

    async def awaited(self) -> None:
        """Wait until another transaction waits for its turn."""
        await until(self._has_one_behind, "another transaction waits for its turn")

    async def _choose(self, transaction: Transaction) -> None:
        await take_turns(transaction)
        self._begun.callback(None)
        await self._done

    async def _has_one_behind(self) -> bool:
        return await execute(self._database, self._WAITING) == [(1,)]


_ENDED = """
    INSERT INTO reservation (serial, worker, client, kind, created_at, expires_at, ended_at, end_reason)
    VALUES (%(serial)s, 'w1', %(client)s, 'counter', now() - make_interval(secs => %(began)s), now(),
            now() - make_interval(secs => %(ended)s), 'done')
"""


@ensureDeferred
async def test_what_was_used_lately_is_added_up_by_account(database: Database) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards("A", "B")))
    now = await store.now()
    spans = [("ada", 5000.0, 4000.0), ("ada/second", 3000.0, 100.0), ("bob", 3e5, 2.9e5), ("eve", 50.0, 20.0)]
    for client, began, ended in spans:
        await execute(database, _ENDED, serial="A", client=client, began=began, ended=ended)
    await store.reserve("joe", ReservationRequest("counter", amount=1), 100.0)
    found = await store.lately(3600.0, 3)
    assert set(found.used) == {"ada", "eve"}
    assert found.at == pytest.approx(now, abs=5.0)
    ledger = Ledger(3600.0)
    for client, began, ended in spans:
        ledger.add(Hold(account_of(client), now - began, now - ended))
    assert {name: found.used[name] for name in ("ada", "eve")} == pytest.approx(
        {name: ledger.at(now)[name] for name in ("ada", "eve")}, rel=0.01
    )
    assert [hold.account for hold in found.holds] == ["ada", "ada", "eve"]
    assert [round((hold.ended or 0.0) - hold.began) for hold in found.holds] == [1000, 2900, 30]


_LATER = """
    UPDATE reservation SET created_at = created_at - interval '100 s', counted_at = counted_at - interval '100 s'
     WHERE ended_at IS NULL
"""


@ensureDeferred
async def test_who_shares_a_board_pays_for_a_part_of_its_time(database: Database) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards("A")))
    request = ReservationRequest("counter", amount=1, sharers=3)
    (of_ada,) = await store.reserve("ada", request, 1000.0)
    await execute(database, _LATER)
    (of_bob,) = await store.reserve("bob", request, 1000.0)
    await execute(database, _LATER)
    assert {each.client: each.part for each in await store.active()} == {
        "ada": pytest.approx(0.75, abs=0.02),
        "bob": pytest.approx(0.5, abs=0.02),
    }
    await store.end(client="ada", serials=None, reason="done")
    await execute(database, _LATER)
    await store.end(client="bob", serials=["A"], reason="done")
    for made in (of_ada, of_bob):
        kept = await store.reservation(made.id)
        assert kept is not None
        assert kept.part == pytest.approx(0.75, abs=0.02)
    found = await store.lately(1e9, 10)
    assert found.used == {"ada": pytest.approx(150.0, abs=5.0), "bob": pytest.approx(150.0, abs=5.0)}
    assert found.holds == []


@ensureDeferred
async def test_a_shared_board_is_held_as_long_as_somebody_shares_it_also_by_hand(database: Database) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards("A")))
    for client in ("ada", "bob"):
        await store.reserve(client, ReservationRequest("counter", amount=1, sharers=2), 1000.0)
    with pytest.raises(UniqueViolation, match="reservation_one_active_per_device"):
        await execute(
            database,
            "INSERT INTO reservation (serial, worker, client, kind, expires_at)"
            " VALUES ('A', 'w1', 'eve', 'k', now() + interval '1 h')",
        )
    by_hand = "UPDATE reservation SET ended_at = now(), end_reason = 'by hand' WHERE client = %(client)s"
    await execute(database, by_hand, client="ada")
    (device,) = await store.devices()
    assert list(device.shares.values()) == ["bob"]
    await execute(database, by_hand, client="")
    (device,) = await store.devices()
    assert (device.reservation, device.client, device.shares) == (None, None, {})
    assert await store.active() == []


@ensureDeferred
async def test_a_reservation_that_waited_for_the_end_of_another_one_begins_after_it(database: Database) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards("A")))
    await store.reserve("ada", ReservationRequest("counter", amount=1), 100.0)
    async with Chooser(database) as chooser:
        # Its transaction begins before ada's ends, and waits for its turn.
        reserving = defer.Deferred.fromCoroutine(store.reserve("bob", ReservationRequest("counter", amount=1), 0.001))
        await chooser.awaited()
        (ended,) = await store.end(client="ada", serials=None, reason="done")
    (begun,) = await reserving
    assert ended.ended_at is not None
    assert ended.created_at < ended.ended_at <= begun.created_at < begun.expires_at


@ensureDeferred
async def test_those_who_share_a_board_have_less_of_it_from_the_moment_when_another_one_comes(
    database: Database,
) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards("A")))
    request = ReservationRequest("counter", amount=1, sharers=2)
    (of_ada,) = await store.reserve("ada", request, 1000.0)
    async with Chooser(database) as chooser:
        # Its transaction begins now; it has its turn, and comes, later.
        reserving = defer.Deferred.fromCoroutine(store.reserve("bob", request, 1000.0))
        await chooser.awaited()
        ((waited_until,),) = await execute(database, "SELECT extract(epoch FROM clock_timestamp())::float8")
    (of_bob,) = await reserving
    ((counted_at, seconds),) = await execute(
        database,
        "SELECT extract(epoch FROM counted_at)::float8, board_seconds FROM reservation WHERE id = %(id)s",
        id=of_ada.id,
    )
    assert counted_at >= waited_until
    assert seconds == pytest.approx(counted_at - of_ada.created_at, abs=1e-5)
    assert of_bob.created_at == pytest.approx(counted_at, abs=1e-5)


@ensureDeferred
async def test_a_reservation_that_a_booking_limits_ends_when_that_begins(database: Database) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards("A", "B")))
    begin = await store.now() + 3600.0
    made = await store.book(BookingRecord("", "ada", 2, [], None, begin, begin + 3600.0, 2, "ada", 0.0))
    (alone,) = await store.reserve("bob", ReservationRequest("counter", amount=1), 7200.0)
    (shared,) = await store.reserve("bob", ReservationRequest("counter", amount=1, sharers=2), 7200.0)
    assert [alone.expires_at, shared.expires_at] == [made.starts_at] * 2
    # Nothing is left to be shortened for it.
    assert (await store.keep_bookings()).shortened == []


@ensureDeferred
async def test_the_database_announces_changes_of_the_tables_that_control_follows(database: Database) -> None:
    triggers = """
        SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
         WHERE proname = 'announce_change' ORDER BY 1
    """
    followed = sorted([*RevocationWatch.TABLES, *ACCESS_TABLES])
    assert [table for (table,) in await execute(database, triggers)] == followed


@define
class Listener:
    """Hears of changes."""

    missed: int = 0
    changed: list[str] = Factory(list)

    def table_changed(self, table: str) -> None:
        self.changed.append(table)

    def missed_changes(self) -> None:
        self.missed += 1


@ensureDeferred
async def test_a_connection_that_was_lost_may_have_missed_changes_also_while_others_are_left(
    database: Database,
) -> None:
    listener = Listener()
    other = Database(reactor, database.dsn, size=2, listener=listener)
    await other.start()
    try:
        await until(lambda: other._opened == 2, "both connections are open")
        assert listener.missed == 0
        ((lost,),) = await execute(other, "SELECT pg_backend_pid()")
        await execute(database, "SELECT pg_terminate_backend(%(pid)s)", pid=lost)
        await until(lambda: listener.missed == 1, "another connection has taken the place of the lost one")
        await PostgresStore(database).set_account_limits("ada", {"boards": 1})
        await until(lambda: listener.changed == ["account_limit"] * 2, "both connections hear of a change")
    finally:
        await other.stop()


@ensureDeferred
async def test_where_nothing_is_booked_an_extension_does_not_wait_for_those_that_choose_boards(
    database: Database,
) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards("A")))
    await store.reserve("ada", ReservationRequest("counter", amount=1), 100.0)
    async with Chooser(database) as chooser:
        (record,) = await store.extend("ada", None, 1000.0)
        assert chooser.chooses
    assert record.expires_at > await store.now() + 900.0


@pytest.mark.timeout(300)  # 8 s of CPU time: two minutes on a machine at load 20.
@ensureDeferred
async def test_it_does_what_its_twin_does_whatever_happens(database: Database) -> None:
    def machine() -> StoreMachine:
        clock = Clock()
        tables = "worker, device, reservation, request, access_rule, account_group, reference_reading, calibration"
        run(execute(database, f"TRUNCATE {tables}"))

        def pass_time(seconds: float) -> None:
            clock.advance(seconds)
            # The database's clock can't be moved; so what it measures is.
            run(execute(database, _PASS, seconds=seconds))

        return StoreMachine([PostgresStore(database), MemoryStore(clock)], run_beside(clock), pass_time)

    # What fails is not made smaller: that takes minutes here.
    small = settings(max_examples=25, stateful_step_count=30, deadline=None, phases=[Phase.generate])
    await where_calls_may_block(lambda: run_state_machine_as_test(machine, settings=small))


@ensureDeferred
async def test_of_calibrations_with_the_same_moment_the_last_by_id_is_the_present_one(database: Database) -> None:
    about = (1.0, 0.0, 0.0, 0.0, 1.0, None, (1.0, 0.0, 0.0, 1.0, 0.0, 1.0), 3, 1.0, None, None, 1.0, 5.0)
    made = [Calibration("", "A", "oscillator", float(offset), *about).with_id() for offset in range(8)]
    for store in (PostgresStore(database), MemoryStore(Clock())):
        await store.hello(hello_of("w1", boards("A")))
        await store.keep_readings([], made)
        assert await store.calibrations() == [max(made, key=lambda each: each.id)]


@ensureDeferred
async def test_bookings_are_kept_as_its_twin_keeps_them(database: Database) -> None:
    await execute(database, "ALTER TABLE reservation DISABLE TRIGGER reservation_ended_stays_ended")

    def machine() -> BookingMachine:
        clock = Clock()
        clock.advance(1_000_000)
        run(execute(database, "TRUNCATE worker, device, reservation, request, booking, account_group"))

        def pass_time(seconds: float) -> None:
            clock.advance(seconds)
            for statement in _PASS_BOOKED:
                run(execute(database, statement, seconds=seconds))

        return BookingMachine([PostgresStore(database), MemoryStore(clock)], run_beside(clock), pass_time)

    small = settings(max_examples=5, stateful_step_count=20, deadline=None, phases=[Phase.generate])
    await where_calls_may_block(lambda: run_state_machine_as_test(machine, settings=small))


@ensureDeferred
async def test_accounts_are_made_and_removed_all_or_none(database: Database) -> None:
    store = PostgresStore(database)
    entries = parse_roster("name,group,boards\nada,class-a,2\nbob,class-a,\n")
    hashes = {name: f"hash of {name}" for name in ("ada", "bob", "cem", "shelf")}
    assert await store.import_accounts(entries, hashes, lasts=60.0) == ["ada", "bob"]
    assert await store.import_accounts(entries, {"ada": "x", "bob": "y"}) == []
    await store.add_token("shelf", Role.WORKER, "hash of the shelf")
    with pytest.raises(InvalidArgument, match="line 3, column name: there is a token 'shelf'"):
        await store.import_accounts(parse_roster("name,group\ncem,class-b\nshelf,class-b\n"), hashes)
    assert [token.name for token in await store.list_tokens()] == ["ada", "bob", "shelf"]
    assert await store.account_groups() == {"ada": "class-a", "bob": "class-a"}
    assert await store.account_limits() == {"ada": {"boards": 2.0}}
    with pytest.raises(InvalidArgument, match="no account nobody; shelf also signs in as worker"):
        await store.remove_accounts(["ada", "nobody", "shelf"])
    assert await store.remove_accounts(["ada", "bob"]) == {"ada": 1, "bob": 1}
    assert [token.name for token in await store.list_tokens()] == ["shelf"]
    assert (await store.account_groups(), await store.account_limits()) == ({}, {})


@ensureDeferred
async def test_of_many_requests_at_once_as_many_succeed_as_there_are_boards(database: Database) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards(*(f"A{number}" for number in range(6)))))
    await store.hello(hello_of("w2", boards(*(f"B{number}" for number in range(6)))))
    requests = [ReservationRequest("counter", amount=2) for _ in range(20)]
    calls = [
        defer.ensureDeferred(store.reserve(f"client {number}", request, 60.0))
        for number, request in enumerate(requests)
    ]
    outcomes = await defer.DeferredList(calls, consumeErrors=True)
    held = [record.serial for succeeded, answer in outcomes if succeeded for record in answer]
    assert sorted(held) == sorted({*held})
    assert len(held) == 12
    assert all(failure.check(Unavailable) for succeeded, failure in outcomes if not succeeded)


@ensureDeferred
async def test_reservations_reports_and_ends_at_once_never_wait_in_a_circle(database: Database) -> None:
    store = PostgresStore(database)
    serials = [f"S{number}" for number in range(30)]
    await store.hello(hello_of("w1", boards(*serials)))
    calls: list[Any] = []
    for turn in range(8):
        calls.append(store.reserve("ada", ReservationRequest("counter", amount=20), 60.0))
        calls.append(store.hello(hello_of("w1", boards(*reversed(serials)))))
        calls.append(store.extend("ada", None, 90.0 + turn))
        calls.append(store.end(client="ada", serials=list(reversed(serials)), reason="done"))
        calls.append(store.end_expired())
        calls.append(store.worker_lost("w1", "gone"))
    outcomes = await defer.DeferredList([defer.ensureDeferred(call) for call in calls], consumeErrors=True)
    unexpected = [failure for succeeded, failure in outcomes if not succeeded and not failure.check(Unavailable)]
    assert unexpected == []


@ensureDeferred
async def test_the_database_itself_refuses_a_second_holder(database: Database) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards("A")))
    await store.reserve("ada", ReservationRequest("counter", amount=1), 60.0)
    with pytest.raises(UniqueViolation, match="reservation_one_active_per_device"):
        await execute(
            database,
            "INSERT INTO reservation (serial, worker, client, kind, expires_at)"
            " VALUES ('A', 'w1', 'bob', 'counter', now() + interval '1 h')",
        )


@ensureDeferred
async def test_the_database_itself_refuses_to_revive_a_reservation(database: Database) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards("A")))
    await store.reserve("ada", ReservationRequest("counter", amount=1), 60.0)
    await store.end(client="ada", serials=None, reason="done")
    with pytest.raises(CheckViolation, match="has ended"):
        await execute(database, "UPDATE reservation SET ended_at = NULL, end_reason = NULL")


@ensureDeferred
async def test_the_database_itself_refuses_to_forget_a_reserved_board(database: Database) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards("A")))
    await store.reserve("ada", ReservationRequest("counter", amount=1), 60.0)
    with pytest.raises(ForeignKeyViolation):
        await execute(database, "DELETE FROM device")


@ensureDeferred
async def test_a_reservation_ended_by_hand_frees_the_board(database: Database) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards("A")))
    await store.reserve("ada", ReservationRequest("counter", amount=1), 60.0)
    await execute(database, "UPDATE reservation SET ended_at = now(), end_reason = 'by hand' WHERE serial = 'A'")
    assert await store.available("counter") == ["A"]


@ensureDeferred
async def test_history_outlives_a_deleted_board(database: Database) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards("A")))
    (made,) = await store.reserve("ada", ReservationRequest("counter", amount=1), 60.0)
    await store.end(client="ada", serials=["A"], reason="done")
    await store.worker_lost("w1", "gone")
    assert await store.delete_devices(["A"]) == ["A"]
    kept = await store.reservation(made.id)
    assert kept is not None
    assert (kept.serial, kept.end_reason) == ("A", "done")


@ensureDeferred
async def test_options_come_back_as_they_went_in(database: Database) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards("A")))
    options = {"window": 1.0, "overlap": False, "names": ["ü", '"', "\\"], "far": 1e300, "none": None}
    (made,) = await store.reserve("ada", ReservationRequest("counter", amount=1, options=options), 60.0)
    (kept,) = await store.active()
    assert kept.options == made.options == options
    assert [type(kept.options[name]) for name in ("window", "far")] == [float, float]


@pytest.mark.parametrize(
    "bad",
    [
        DeviceReport("A\x00", DeviceStatus.AVAILABLE),
        DeviceReport("A", DeviceStatus.AVAILABLE, reason="\ud800"),
        DeviceReport("A", DeviceStatus.AVAILABLE, evaluations=2**70),
    ],
)
@ensureDeferred
async def test_what_the_database_can_not_keep_is_refused_by_name(database: Database, bad: DeviceReport) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards("A")))
    with pytest.raises(InvalidArgument):
        await store.report("w1", [bad])
    with pytest.raises(InvalidArgument):
        await store.end(client="a\x00", serials=None, reason="x")
    assert len(await store.devices()) == 1


@ensureDeferred
async def test_a_call_cancelled_before_its_commit_leaves_nothing(database: Database) -> None:
    started: defer.Deferred[None] = defer.Deferred()

    async def slow(transaction: Transaction) -> None:
        await transaction.rows("INSERT INTO worker (name, host, version) VALUES ('w', 'h', '1')")
        started.callback(None)
        await transaction.rows("SELECT pg_sleep(0.05)")

    call = defer.ensureDeferred(database.transaction(slow))
    await started
    call.cancel()
    with pytest.raises(defer.CancelledError):
        await call
    # As many calls as connections: the cancelled one's connection serves again.
    calls = [defer.ensureDeferred(execute(database, "SELECT name FROM worker")) for _ in range(8)]
    assert await defer.gatherResults(calls) == [[]] * 8


@ensureDeferred
async def test_a_revoked_token_opens_nothing_and_its_name_is_free_again(database: Database) -> None:
    store = PostgresStore(database)
    await store.add_token("lab", Role.CLIENT, "hash 1")
    with pytest.raises(InvalidArgument):
        await store.add_token("lab", Role.OPERATOR, "hash 2")
    found = await store.token_by_hash("hash 1")
    assert found is not None
    assert (found.name, found.role) == ("lab", Role.CLIENT)
    await store.revoke_token("lab")
    assert await store.token_by_hash("hash 1") is None
    assert await store.list_tokens() == []
    await store.add_token("lab", Role.WORKER, "hash 3")
    with pytest.raises(InvalidArgument):
        await store.revoke_token("nobody")


@ensureDeferred
async def test_a_token_is_valid_until_it_expires_and_its_name_is_free_then(database: Database) -> None:
    store = PostgresStore(database)
    expired = await store.add_token("ada", Role.CLIENT, "old", lasts=-1.0)
    lasting = await store.add_token("bob", Role.CLIENT, "other", account="ada", lasts=3600.0)
    assert await store.token_by_hash("old") is None
    assert await store.ended_tokens({expired.id, lasting.id, 4711}) == {expired.id, 4711}
    again = await store.add_token("ada", Role.CLIENT, "new")
    assert [(token.name, token.account, token.id) for token in await store.list_tokens()] == [
        ("ada", "ada", again.id),
        ("bob", "ada", lasting.id),
    ]
    assert lasting.expires_at == pytest.approx(lasting.created_at + 3600.0)


def lasting(token: TokenRecord) -> float | None:
    return None if token.expires_at is None else token.expires_at - token.created_at


@ensureDeferred
async def test_a_token_that_is_replaced_is_valid_for_a_while_longer(database: Database) -> None:
    store = PostgresStore(database)
    await store.add_token("ada", Role.WORKER, "first", account="shelf")
    second = await store.rotate_token("ada", "second", overlap=3600.0)
    assert (second.role, second.account, second.expires_at) == (Role.WORKER, "shelf", None)
    first = await store.token_by_hash("first")
    assert first is not None
    assert first.replaced
    assert first.expires_at is not None
    third = await store.rotate_token("ada", "third", overlap=0.0, lasts=60.0)
    assert await store.token_by_hash("second") is None
    assert [token.replaced for token in await store.list_tokens()] == [True, False]
    # The time that was given for one holds for those after it.
    fourth = await store.rotate_token("ada", "fourth", overlap=1.0)
    assert [lasting(token) for token in (third, fourth)] == pytest.approx([60.0, 60.0])
    await store.revoke_token("ada")
    assert await store.list_tokens() == []
    with pytest.raises(InvalidArgument, match="no token named"):
        await store.rotate_token("ada", "fifth", overlap=1.0)


@ensureDeferred
async def test_a_token_says_when_it_was_last_used_and_from_where(database: Database) -> None:
    store = PostgresStore(database)
    made = await store.add_token("ada", Role.CLIENT, "hash")
    await store.token_by_hash("hash")
    assert (await store.list_tokens())[0].last_used_at is None
    for address in ("tcp4:192.0.2.7:1", "tcp4:192.0.2.7:2"):
        await store.token_by_hash("hash", used_from=address)
        (token,) = await store.list_tokens()
        assert token.last_used_from == address
        assert token.last_used_at is not None
        assert token.last_used_at >= made.created_at


@ensureDeferred
async def test_the_audit_log_gives_back_what_was_kept_and_forgets_what_is_old(database: Database) -> None:
    store = PostgresStore(database)
    one = AuditEntry(1000.0, "ada", "ada/run", "client", 7, "tcp4:192.0.2.7", "reserve", "A, B", "done", "pulsecount")
    two = AuditEntry(2000.0, "bob", "bob", "client", None, None, "sign_in", None, "not_authorized")
    three = AuditEntry(3000.0, "ada", "ada", "client", 8, "", "end", "A", "done")
    await store.keep_audit([one, two])
    await store.keep_audit([three])
    assert await store.audit(0.0, limit=10) == [one, two, three]
    assert await store.audit(0.0, limit=2) == [two, three]
    assert await store.audit(1500.0, account="ada", limit=10) == [three]
    assert await store.audit(0.0, action="sign_in", limit=10) == [two]
    await store.forget_audit(2500.0)
    assert await store.audit(0.0, limit=10) == [three]


@ensureDeferred
async def test_an_extension_of_another_clients_board_extends_none(database: Database) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards("A", "B")))
    (own,) = await store.reserve("ada", ReservationRequest("counter", serials=["A"]), 60.0)
    await store.reserve("bob", ReservationRequest("counter", serials=["B"]), 60.0)
    with pytest.raises(NotYours):
        await store.extend("ada", ["A", "B"], 600.0)
    kept = await store.reservation(own.id)
    assert kept is not None
    assert kept.expires_at == own.expires_at


@ensureDeferred
async def test_an_extension_never_shortens(database: Database) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards("A")))
    (made,) = await store.reserve("ada", ReservationRequest("counter", amount=1), 600.0)
    (same,) = await store.extend("ada", ["A"], 60.0)
    (longer,) = await store.extend("ada", None, 6000.0)
    assert same.expires_at == made.expires_at
    assert longer.expires_at - made.expires_at == pytest.approx(5400.0, abs=30.0)
    (device,) = await store.devices(["A"])
    assert device.expires_at == longer.expires_at


@ensureDeferred
async def test_an_operator_sees_in_one_table_who_has_which_board(database: Database) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", [*boards("A"), DeviceReport("B", DeviceStatus.BROKEN, "silent")]))
    await store.reserve("ada", ReservationRequest("counter", serials=["A"]), 60.0)
    rows = await execute(database, "SELECT serial, status, reason, client, kind FROM device ORDER BY serial")
    assert rows == [("A", "reserved", None, "ada", "counter"), ("B", "broken", "silent", None, None)]


@ensureDeferred
async def test_every_table_and_column_that_needs_a_word_has_one(database: Database) -> None:
    tables = await execute(
        database,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')"
        " AND obj_description(oid) IS NULL",
    )
    assert tables == []


@ensureDeferred
async def test_requests_that_wait_for_each_other_leave_connections_for_heartbeats(database: Database) -> None:
    store = PostgresStore(database)
    await store.hello(hello_of("w1", boards(*"ABCDEF")))
    begun, ending = defer.Deferred[None](), defer.Deferred[None]()

    async def choose_for_long(transaction: Transaction) -> None:
        await take_turns(transaction)
        begun.callback(None)
        await ending

    choosing = defer.Deferred.fromCoroutine(database.transaction(choose_for_long))
    await begun
    wanted = ReservationRequest("counter", amount=1)
    asking = [defer.Deferred.fromCoroutine(store.reserve("ada", wanted, 60.0)) for _ in range(6)]
    assert await defer.Deferred.fromCoroutine(store.worker_seen("w1")).addTimeout(3, reactor) == 6  # type: ignore[arg-type]
    ending.callback(None)
    await choosing
    got = [await each for each in asking]
    assert {records[0].serial for records in got} == set("ABCDEF")
