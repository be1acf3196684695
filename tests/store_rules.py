"""What any store must hold to, whatever happens in whatever order: a state machine for hypothesis.

It drives one or more stores with the same calls, compares their answers, and checks after each call that no board has
two holders, that nothing is leaked, and that boards and reservations agree.  What reads alone could show is compared
after the calls that change it, and once more at the end: also that what has ended stayed so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import evolve, fields
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from icefarm.calibration.records import Calibration, Reading
from icefarm.contract import (
    AccessRule,
    BoardCalibration,
    BoardHealth,
    DeviceReport,
    DeviceStatus,
    KindRecord,
    ReservationRecord,
    WorkerHello,
)
from icefarm.control.inventory.calibration.interface import KeptReading
from icefarm.control.scheduling.availability import Sharing, free
from icefarm.control.scheduling.placement import ReservationRequest, Terms
from icefarm.control.storage.interface import Store
from icefarm.errors import IcefarmError
from icefarm.selectors.boards import parse_boards
from icefarm.selectors.language import Selector

WORKERS = ("w1", "w2")
CLIENTS = ("ada", "bob")
REQUESTS = ("r1", "r2", "r3")
SERIALS = tuple(f"S{number}" for number in range(5))
#: What a worker offers.
KINDS = {"w1": ["counter"], "w2": ["counter", "variance"]}
#: Lengths of reservations, and of time that passes. Sums of the second never come near those of the first, so that
#: the moments that a real clock adds do not matter.
LENGTHS, PAUSES = (10.0, 100.0, 1000.0), (15.0, 150.0, 1500.0)

#: Seconds that a call may take.
CALL = 5.0

#: Fields that differ between two stores that behave the same.
_OWN = {
    "id",
    "reservation",
    "created_at",
    "expires_at",
    "ended_at",
    "changed_at",
    "reserved_at",
    "last_seen",
    "free_in",
    "since",
    "left",
    "number",
    "within",
    "part",
}

some_serials = st.lists(st.sampled_from(SERIALS), min_size=1, max_size=2, unique=True)
one_or_all = st.one_of(st.none(), st.none(), some_serials)
labels = st.dictionaries(
    st.sampled_from(["lab", "batch", *(f"l{number}" for number in range(18))]),
    st.sampled_from(["3", "4", "\u00e9 x", None]),
    min_size=1,
    max_size=12,
)
selectors = st.sampled_from([None, None, *map(parse_boards, ("lab=3", "not lab=3", "worker=w1", "virtual", "batch"))])
access_rules = st.builds(
    AccessRule,
    st.just(0),
    account=st.sampled_from([None, "ada"]),
    where=st.sampled_from([None, "lab=3"]),
    seconds=st.sampled_from([None, 60.0]),
    kinds=st.sampled_from([None, ["counter", "variance"]]),
)
readings = st.builds(
    KeptReading,
    st.builds(
        Reading,
        st.sampled_from(SERIALS),
        st.sampled_from(["oscillator", "ring"]),
        st.just(3e6),
        st.integers(2_999_900, 3_000_100).map(float),
        st.just(1_000_000),
        st.integers(1_000_000, 1_000_020).map(float),
        st.sampled_from([None, 25.5]),
        st.sampled_from(["pulse_count 1.0", "pulse_count 1.1"]),
    ),
    st.sampled_from(["1", "2"]),
)
# Of few boards and moments, so that some are of the same ones.
calibrations = st.builds(
    Calibration,
    id=st.just(""),
    serial=st.sampled_from(SERIALS[:2]),
    reference=st.just("oscillator"),
    offset_ppm=st.sampled_from([-1.5, 0.0, 7.25]),
    noise_ppm=st.just(1.0),
    session_noise_ppm=st.just(0.0),
    drift_ppm_per_day=st.just(0.0),
    ppm_per_kelvin=st.just(0.0),
    reference_time=st.just(1.0),
    reference_temperature_c=st.none(),
    covariance=st.just((1.0, 0.0, 0.0, 1.0, 0.0, 1.0)),
    readings=st.just(3),
    degrees_of_freedom=st.just(1.0),
    coldest_c=st.none(),
    hottest_c=st.none(),
    first_time=st.just(1.0),
    valid_from=st.sampled_from([1_000_000.0, 1_000_008.0, 1_000_016.0]),
).map(Calibration.with_id)
reports = st.builds(
    DeviceReport,
    serial=st.sampled_from(SERIALS),
    status=st.sampled_from([*DeviceStatus, *[DeviceStatus.AVAILABLE] * 6]),
    reason=st.sampled_from([None, "no answer"]),
    firmware=st.sampled_from([None, "default"]),
    failures=st.integers(0, 3),
    model=st.sampled_from([None, None, "simulated"]),
    health=st.builds(BoardHealth, attempts=st.just(60), timeouts=st.integers(0, 3), set_aside=st.integers(0, 2)),
)


def hello_of(worker: str, devices: list[DeviceReport], instance: str = "1") -> WorkerHello:
    kinds = [
        KindRecord(name, name, name, "1", ["evaluate"], f"{name} 2", shareable=name == "counter")
        for name in KINDS[worker]
    ]
    return WorkerHello(worker, instance, "host", "1.0", kinds, devices)


def _comparable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_comparable(each) for each in value]
    if hasattr(value, "__attrs_attrs__"):
        return _comparable({each.name: getattr(value, each.name) for each in fields(type(value))})
    if isinstance(value, dict):
        return {key: _comparable(_named(key, each)) for key, each in value.items() if key not in _OWN}
    return value


def _named(field: str, value: Any) -> Any:
    """Return what two stores say alike of a field: who shares a board, without the ids of the reservations."""
    return list(value.values()) if field == "shares" and isinstance(value, dict) else value


def _latest(calibrations: list[Calibration]) -> dict[str, Calibration]:
    return {each.serial: each for each in sorted(calibrations, key=lambda each: (each.valid_from, each.id))}


board_figures = st.builds(
    BoardCalibration,
    *(st.just("id"), st.just("oscillator"), st.just(1.0), st.sampled_from([None, 25.5]), st.sampled_from([-2.5, 3.0])),
    *(st.just(0.5), st.just(1.0), st.just(0.0), st.just(1.0), st.just(0.0), st.just(1.0), st.just(3)),
    suspect=st.sampled_from([None, "it jumped"]),
    rule=st.sampled_from(["avoid", "set-aside"]),
)


class StoreMachine(RuleBasedStateMachine):
    """``stores`` get the same calls.  ``run`` waits for one; ``pass_time`` lets time pass for all of them."""

    def __init__(
        self,
        stores: list[Store],
        run: Callable[[Awaitable[Any]], Any],
        pass_time: Callable[[float], None],
    ) -> None:
        super().__init__()
        self.stores, self.run_call, self.let_pass = stores, run, pass_time
        #: Of the first store: all that were ever made, as last seen.
        self.seen: dict[str, ReservationRecord] = {}
        self.answers: list[Any] = []
        #: The ids of all calibrations that were ever made.
        self.calibrated: set[str] = set()

    def call(self, operation: Callable[[Store], Awaitable[Any]]) -> Any:
        """Do it on all stores; returns the first one's answer, or the error that it raised."""
        self.answers = []
        for store in self.stores:
            try:
                self.answers.append(self.run_call(operation(store)))
            except IcefarmError as error:
                self.answers.append(error)
        if len(self.stores) > 1:
            shown = [
                (type(answer), _comparable(answer.fields)) if isinstance(answer, IcefarmError) else _comparable(answer)
                for answer in self.answers
            ]
            assert all(each == shown[0] for each in shown), shown
        return self.answers[0]

    def teardown(self) -> None:
        """Compare what no step does."""
        self.calibrations_agree()
        self.call(lambda store: store.access())
        devices = self.call(lambda store: store.devices())
        for worker in WORKERS:
            own = self.call(lambda store, worker=worker: store.devices(worker=worker))
            assert own == [device for device in devices if device.worker == worker]
        for kind in ("counter", "variance", None):
            self.call(lambda store, kind=kind: store.available(kind))
        for record in self.seen.values():
            kept = self.run_call(self.stores[0].reservation(record.id))
            assert (kept.ended_at, kept.end_reason) == (record.ended_at, record.end_reason)

    @initialize()
    def the_farm_starts(self) -> None:
        boards = [DeviceReport(serial, DeviceStatus.AVAILABLE) for serial in SERIALS]
        self.call(lambda store: store.hello(hello_of("w1", boards[:3])))
        self.call(lambda store: store.hello(hello_of("w2", boards[3:])))

    @rule(
        worker=st.sampled_from(WORKERS),
        devices=st.lists(reports, max_size=5),
        instance=st.sampled_from(["1", "1", "2"]),
    )
    def a_worker_says_hello(self, worker: str, devices: list[DeviceReport], instance: str) -> None:
        self.call(lambda store: store.hello(hello_of(worker, devices, instance)))

    @rule(
        worker=st.sampled_from(WORKERS),
        said=st.lists(reports, min_size=1, max_size=4, unique_by=lambda report: report.serial),
    )
    def a_worker_reports(self, worker: str, said: list[DeviceReport]) -> None:
        taken = self.call(lambda store: store.report(worker, said))
        if not isinstance(taken, IcefarmError):
            known = {device.serial for device in taken.devices} | taken.contested.keys()
            assert known == {report.serial for report in said}

    @rule(worker=st.sampled_from(WORKERS))
    def a_worker_is_lost(self, worker: str) -> None:
        self.call(lambda store: store.worker_lost(worker, "its connection was lost"))

    @rule(labels=labels, serials=some_serials, worker=st.none() | st.sampled_from(WORKERS))
    def boards_are_labelled(self, labels: dict[str, str | None], serials: list[str], worker: str | None) -> None:
        named = serials if worker is None else None
        boards = self.call(lambda store: store.set_labels(labels, serials=named, worker=worker))
        if not isinstance(boards, IcefarmError) and worker is None:
            wanted = {name: value for name, value in labels.items() if value is not None}
            assert all(wanted.items() <= board.labels.items() for board in boards)

    @rule(
        measured=st.lists(readings, min_size=1, max_size=3, unique_by=lambda each: each.reading.time),
        made=st.lists(calibrations, max_size=6),
    )
    def boards_measure_references(self, measured: list[KeptReading], made: list[Calibration]) -> None:
        self.calibrated |= {each.id for each in made}
        self.call(lambda store: store.keep_readings(measured, made))
        found = self.calibrations_agree()
        assert all(each in found for each in made)

    @rule(figures=st.dictionaries(st.sampled_from([*SERIALS, "nowhere"]), board_figures, max_size=2))
    def figures_of_boards_are_shown(self, figures: dict[str, BoardCalibration]) -> None:
        known = self._known()
        records = self.call(lambda store: store.show_calibrations(figures))
        assert {record.serial: record.calibration for record in records} == {
            serial: each for serial, each in figures.items() if serial in known
        }

    @rule(before=st.integers(1_000_000, 1_000_021).map(float))
    def old_readings_are_forgotten(self, before: float) -> None:
        had = self.calibrations_agree()
        self.call(lambda store: store.forget_readings(before))
        past, known = [each for each in had if each.valid_from < before], self._known()
        # What boards measured at that moment, or later, names one of these.
        last = {serial: each for serial, each in _latest(past).items() if serial in known}
        kept = [each for each in had if each not in past or each == last.get(each.serial)]
        assert self.calibrations_agree() == kept

    def _known(self) -> set[str]:
        return {board.serial for board in self.run_call(self.stores[0].devices())}

    def calibrations_agree(self) -> list[Calibration]:
        """Return those that there are."""
        present, known = self.call(lambda store: store.calibrations()), self._known()
        found: list[Calibration] = self.call(lambda store: store.calibrations(sorted(self.calibrated)))
        latest = _latest(found)
        assert present == [latest[serial] for serial in sorted(latest) if serial in known]
        assert self.call(lambda store: store.last_measured()).keys() <= known
        self.call(lambda store: store.reference_readings("S0", "oscillator", 1_000_005.0, 3))
        return found

    @rule(made=access_rules)
    def a_rule_of_access_is_made(self, made: AccessRule) -> None:
        stored = [self.run_call(store.add_access(made)) for store in self.stores]
        assert [evolve(each, id=0) for each in stored] == [made] * len(stored)
        # One that there is already has its id still.
        assert stored == [self.run_call(store.add_access(made)) for store in self.stores]
        self.call(lambda store: store.access())

    @rule(place=st.integers(0, 2))
    def a_rule_of_access_is_removed(self, place: int) -> None:
        for store in self.stores:
            ids = [rule.id for rule in self.run_call(store.access()).rules][place : place + 1]
            assert self.run_call(store.remove_access([*ids, 2**40])) == ids
        self.call(lambda store: store.access())

    @rule(worker=st.sampled_from(WORKERS), draining=st.booleans(), leaving=st.booleans())
    def a_worker_is_drained(self, worker: str, draining: bool, leaving: bool) -> None:
        self.call(lambda store: store.set_draining(worker, draining, leaving=leaving))

    @rule(
        client=st.sampled_from(CLIENTS),
        amount=st.integers(1, 3),
        kind=st.sampled_from([*["counter"] * 4, "variance", "unheard of"]),
        seconds=st.sampled_from(LENGTHS),
        where=selectors,
    )
    def a_client_reserves_some(
        self, client: str, amount: int, kind: str, seconds: float, where: Selector | None
    ) -> None:
        state = self.run_call(self.stores[0].state())
        free_now = free(state.devices, state.workers, kind, where)
        request = ReservationRequest(kind, amount=amount, options={"window": 0.5}, where=where)
        made = self.call(lambda store: store.reserve(client, request, seconds))
        if isinstance(made, IcefarmError):
            assert len(free_now) < amount
        else:
            assert len(made) == amount
            assert {record.serial for record in made} <= set(free_now)
            self._check_new(made, client)

    @rule(client=st.sampled_from(CLIENTS), serials=some_serials, seconds=st.sampled_from(LENGTHS))
    def a_client_reserves_these(self, client: str, serials: list[str], seconds: float) -> None:
        state = self.run_call(self.stores[0].state())
        # A board that is named may be virtual.
        free_now = free(state.devices, state.workers, "counter", parse_boards("real or virtual"))
        request = ReservationRequest("counter", serials=serials)
        made = self.call(lambda store: store.reserve(client, request, seconds))
        if isinstance(made, IcefarmError):
            assert not set(serials) <= set(free_now)
        else:
            assert [record.serial for record in made] == serials
            assert set(serials) <= set(free_now)
            self._check_new(made, client)

    @rule(
        client=st.sampled_from(CLIENTS),
        amount=st.integers(1, 2),
        kind=st.sampled_from([*["counter"] * 6, "variance"]),
        sharers=st.sampled_from([1, 2, 2, 2]),
        seconds=st.sampled_from(LENGTHS),
    )
    def a_client_shares_some(self, client: str, amount: int, kind: str, sharers: int, seconds: float) -> None:
        state = self.run_call(self.stores[0].state())
        places = free(state.devices, state.workers, kind, sharing=Sharing(client, sharers))
        request = ReservationRequest(kind, amount=amount, options={"window": 0.5}, sharers=sharers)
        made = self.call(lambda store: store.reserve(client, request, seconds))
        if isinstance(made, IcefarmError):
            assert kind == "variance" or len(places) < amount
            return
        assert {record.serial for record in made} <= set(places)
        assert all(record.within is not None for record in made)
        self._check_new(made, client)

    @rule(
        client=st.sampled_from(CLIENTS),
        serials=some_serials,
        sharers=st.sampled_from([1, 2, 2]),
        id=st.sampled_from(REQUESTS),
    )
    def a_client_shares_these(self, client: str, serials: list[str], sharers: int, id: str) -> None:
        request = ReservationRequest("counter", serials=serials, sharers=sharers)
        made = self.call(lambda store: store.reserve(client, request, 1000.0, request_id=id))
        if not isinstance(made, IcefarmError):
            self.seen.update({record.id: record for record in made})

    @rule(serials=some_serials)
    def shared_boards_are_taken_from_all(self, serials: list[str]) -> None:
        """Under the farm's own reservation: its board broke, or its worker did not come back."""
        ids = [
            [board.reservation for board in self.run_call(store.devices()) if board.serial in serials and board.shares]
            for store in self.stores
        ]
        by_store = dict(zip(map(id, self.stores), ids, strict=True))
        self._ended(self.call(lambda store: store.end_reservations(by_store[id(store)], "a device failed")))

    def _check_new(self, made: list[ReservationRecord], client: str) -> None:
        assert all(record.client == client and record.ended_at is None for record in made)
        assert not self.seen.keys() & {record.id for record in made}
        self.seen.update({record.id: record for record in made})

    @rule(
        client=st.sampled_from(CLIENTS),
        serials=st.one_of(st.none(), st.none(), some_serials),
        seconds=st.sampled_from(LENGTHS),
    )
    def a_client_extends(self, client: str, serials: list[str] | None, seconds: float) -> None:
        extended = self.call(lambda store: store.extend(client, serials, seconds, until={"another": 0.0}))
        if not isinstance(extended, IcefarmError):
            for record in extended:
                assert record.client == client
                assert record.expires_at >= self.seen[record.id].expires_at
                assert record.expires_at >= self.run_call(self.stores[0].now()) + seconds - CALL
                self.seen[record.id] = record

    @rule(
        client=st.sampled_from(CLIENTS),
        amount=st.integers(1, 3),
        id=st.sampled_from(REQUESTS),
        timeout=st.sampled_from([None, *LENGTHS]),
        since=st.sampled_from([None, None, -1000.0, -2000.0]),
        where=selectors,
        priority=st.sampled_from([10.0, 50.0]),
    )
    def a_client_waits(
        self,
        client: str,
        amount: int,
        id: str,
        timeout: float | None,
        since: float | None,
        where: Selector | None,
        priority: float,
    ) -> None:
        at_least, sharers = 1 if amount == 3 else None, 4 if amount == 2 else None
        request = ReservationRequest("counter", amount=amount, where=where, at_least=at_least, sharers=sharers)
        queued = self.call(lambda store: store.enqueue(client, request, id, timeout, since=since, priority=priority))
        if not isinstance(queued, IcefarmError):
            assert (queued.id, queued.client) == (id, client)

    @rule(
        client=st.sampled_from(CLIENTS),
        wanted=st.integers(1, 4),
        id=st.sampled_from(REQUESTS),
        priority=st.sampled_from([10.0, 50.0]),
        least=st.sampled_from([1, None]),
    )
    def a_client_reserves_a_group(self, client: str, wanted: int, id: str, priority: float, least: int | None) -> None:
        free = self.run_call(self.stores[0].available("counter"))
        before = self.run_call(self.stores[0].answered(client, id))
        request = ReservationRequest("counter", amount=wanted, at_least=1)
        terms = Terms(priority, wanted, least)
        made = self.call(lambda store: store.reserve(client, request, 1000.0, request_id=id, terms=terms))
        if isinstance(made, IcefarmError):
            return
        if before:
            assert {record.id for record in made} == {record.id for record in before}
            return
        assert len(made) == min(wanted, len(free))
        assert {(one.request, one.priority, one.wanted, one.at_least) for one in made} == {
            (id, priority, wanted, least)
        }
        self._check_new(made, client)

    @rule(client=st.sampled_from(CLIENTS), id=st.sampled_from(REQUESTS), boards=st.integers(1, 2))
    def a_client_wants_fewer_boards(self, client: str, id: str, boards: int) -> None:
        before = {record.id: record.wanted for record in self.run_call(self.stores[0].answered(client, id))}
        self.call(lambda store: store.want_fewer(client, id, boards))
        for record in self.run_call(self.stores[0].answered(client, id)):
            wanted = before[record.id]
            assert record.wanted == (None if wanted is None else max(1, wanted - boards))
            # One that keeps all of its boards goes on to.
            assert record.at_least == self.seen[record.id].at_least
            self.seen[record.id] = record

    @rule(client=st.sampled_from(CLIENTS), id=st.sampled_from(REQUESTS))
    def a_waiting_client_is_served_and_asks_again(self, client: str, id: str) -> None:
        request = ReservationRequest("counter", amount=1)
        before = self.run_call(self.stores[0].waiting())
        made = self.call(lambda store: store.reserve(client, request, 100.0, request_id=id, grace=5.0))
        if not isinstance(made, IcefarmError):
            waiting = self.run_call(self.stores[0].waiting())
            assert (client, id) not in {(queued.client, queued.id) for queued in waiting}
            assert {queued.id for queued in before if queued.client != client} <= {queued.id for queued in waiting}
            self.seen.update({record.id: record for record in made})
            again = self.call(lambda store: store.reserve(client, request, 100.0, request_id=id))
            assert [record.serial for record in again] == [record.serial for record in made]
            assert [record.grace for record in again] == [record.grace for record in made]

    @rule(ids=st.lists(st.sampled_from(REQUESTS), max_size=2))
    def requests_are_struck_off(self, ids: list[str]) -> None:
        self.call(lambda store: store.dequeue(ids))

    @invariant()
    def queues_agree(self) -> None:
        waiting = self.call(lambda store: store.waiting())
        assert len({queued.number for queued in waiting}) == len(waiting)
        places = [(queued.since, queued.number) for queued in waiting]
        assert places == sorted(places)

    @rule(client=st.none() | st.sampled_from(CLIENTS), serials=some_serials)
    def boards_are_given_back(self, client: str | None, serials: list[str]) -> None:
        ended = self.call(lambda store: store.end(client=client, serials=serials, reason="given back"))
        self._ended(ended)
        if not isinstance(ended, IcefarmError):
            assert all(client in (None, record.client) for record in ended)

    @rule(client=st.sampled_from(CLIENTS))
    def a_client_ends_all(self, client: str) -> None:
        self._ended(self.call(lambda store: store.end(client=client, serials=None, reason="client gone")))
        assert self.run_call(self.stores[0].active(client=client)) == []

    @rule(serials=some_serials)
    def reservations_are_ended(self, serials: list[str]) -> None:
        ids = [
            [one.id for one in self.run_call(store.active()) if one.serial in serials] + ["unheard of"]
            for store in self.stores
        ]
        by_store = dict(zip(map(id, self.stores), ids, strict=True))
        self._ended(self.call(lambda store: store.end_reservations(by_store[id(store)], "a device failed")))

    @rule(seconds=st.sampled_from(PAUSES))
    def time_passes(self, seconds: float) -> None:
        self.let_pass(seconds)
        active = self.run_call(self.stores[0].active())
        self.seen.update({record.id: record for record in active})
        now = self.run_call(self.stores[0].now())
        overdue = any(record.expires_at <= now for record in active)
        ended = self.call(lambda store: store.end_expired())
        assert bool(ended) == overdue
        assert all(record.end_reason == "expired" for record in ended)
        self._ended(ended)

    @rule(serials=some_serials)
    def boards_are_deleted(self, serials: list[str]) -> None:
        self.call(lambda store: store.delete_devices(serials))
        self.calibrations_agree()

    @rule(serials=some_serials)
    def virtual_boards_are_retired(self, serials: list[str]) -> None:
        known = {device.serial: device.reservation for device in self.run_call(self.stores[0].devices())}
        retired = self.call(lambda store: store.retire([*serials, "unheard of"]))
        assert retired == sorted(serial for serial in serials if serial in known and known[serial] is None)
        self.calibrations_agree()

    def _ended(self, ended: list[ReservationRecord] | IcefarmError) -> None:
        if isinstance(ended, IcefarmError):
            return
        for record in ended:
            assert self.seen[record.id].ended_at is None
            assert record.ended_at is not None
            self.seen[record.id] = record

    @invariant()
    def boards_and_reservations_agree_and_nothing_is_leaked(self) -> None:
        self.call(lambda store: store.workers())
        devices = self.call(lambda store: store.devices())
        active = self.call(lambda store: store.active())
        assert {record.id for record in active} == {one.id for one in self.seen.values() if one.ended_at is None}
        by_serial: dict[str, list[ReservationRecord]] = defaultdict(list)
        for record in active:
            by_serial[record.serial].append(record)
        assert by_serial.keys() <= {device.serial for device in devices}
        for device in devices:
            held = by_serial.get(device.serial, [])
            assert {record.worker for record in held} <= {device.worker}
            assert (device.client is None) is (device.reservation is None) is (not held)
            if device.shares:
                assert {record.id: record.client for record in held} == device.shares
                assert len({record.client for record in held}) == len(held)
                assert {(record.within, record.kind) for record in held} == {(device.reservation, device.kind)}
                assert device.expires_at == max(record.expires_at for record in held)
            elif held:
                assert [(one.id, one.client, one.within) for one in held] == [(device.reservation, device.client, None)]
