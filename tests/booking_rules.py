"""What any store must hold to where boards are booked: a state machine for hypothesis over one or more stores.

They get the same calls and must give the same answers; what they say about times is compared to within a minute.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import asdict
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from store_rules import hello_of

from icefarm.contract import BookingRecord, DeviceReport, DeviceStatus
from icefarm.control.scheduling.placement import ReservationRequest
from icefarm.control.storage.interface import Store
from icefarm.errors import IcefarmError

SERIALS = tuple(f"S{number}" for number in range(5))
CLIENTS = ("ada", "bob/1", "class/1", "class/2", "eve")
HOUR = 3600.0
#: Lengths of reservations; no sum of them and of the times below is another such sum, so that the moments that a real
#: clock adds do not matter.
LENGTHS = (625.0, HOUR + 25.0, 5 * HOUR + 25.0)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d )?\d\d:\d\d UTC|\d+ (s|min|h)\b|[0-9a-f]{32}")
_TIMES = ("starts_at", "ends_at", "expires_at", "created_at")
_OWN = ("id", "reservation", "ended_at", "reserved_at", "changed_at", "free_in")


class BookingMachine(RuleBasedStateMachine):
    """``run`` waits for a call; ``pass_time`` lets time pass for all stores."""

    def __init__(
        self, stores: list[Store], run: Callable[[Awaitable[Any]], Any], pass_time: Callable[[float], None]
    ) -> None:
        super().__init__()
        self.stores, self.run_call, self.let_pass = stores, run, pass_time
        self.booked: list[list[str]] = []

    def call(self, operation: Callable[[Store], Awaitable[Any]]) -> Any:
        """Do it on all stores; return the first one's answer, or the error that it raised."""
        answers: list[Any] = []
        for store in self.stores:
            try:
                answers.append(self.run_call(operation(store)))
            except IcefarmError as error:
                answers.append(error)
        times = [self.run_call(store.now()) for store in self.stores]
        shown = [self.comparable(now, each) for now, each in zip(times, answers, strict=True)]
        assert all(each == shown[0] for each in shown), shown
        self.answers = answers
        return answers[0]

    def comparable(self, now: float, value: Any) -> Any:
        """Return what two stores must agree about."""
        if isinstance(value, IcefarmError):
            return type(value), _TIME.sub("TIME", value.message)
        if isinstance(value, list):
            return [self.comparable(now, each) for each in value]
        if hasattr(value, "__attrs_attrs__"):
            return self.comparable(now, asdict(value))
        if isinstance(value, dict):
            return {
                key: round((each - now) / 60.0) if key in _TIMES and each is not None else self.comparable(now, each)
                for key, each in value.items()
                if key not in _OWN and key != "next_in"
            }
        return _TIME.sub("TIME", value) if isinstance(value, str) else value

    @initialize()
    def the_farm_starts(self) -> None:
        reports = [DeviceReport(serial, DeviceStatus.AVAILABLE) for serial in SERIALS]
        self.call(lambda store: store.hello(hello_of("w1", reports[:2])))
        self.call(lambda store: store.hello(hello_of("w2", reports[2:])))
        self.call(lambda store: store.set_account_groups({"eve": "class", "bob": "other"}))

    @rule(
        account=st.sampled_from(["class", "ada", "other"]),
        amount=st.integers(1, 5),
        named=st.booleans(),
        kind=st.sampled_from([None, None, "variance"]),
        starts_in=st.sampled_from([-600.0, 0.0, 1200.0, HOUR, 3 * HOUR]),
        lasts=st.sampled_from([1740.0, 4 * HOUR - 60.0]),
        limited=st.booleans(),
    )
    def somebody_books(
        self, account: str, amount: int, named: bool, kind: str | None, starts_in: float, lasts: float, limited: bool
    ) -> None:
        serials = list(SERIALS[:amount]) if named else []
        most = {"bookings": 2.0, "booked": 9.0} if limited else None

        async def book(store: Store) -> BookingRecord:
            begin = await store.now() + starts_in
            wanted = BookingRecord("", account, amount, serials, kind, begin, begin + lasts, amount, account, 0.0)
            return await store.book(wanted, most)

        made = self.call(book)
        if not isinstance(made, IcefarmError):
            self.booked.append([each.id for each in self.answers])

    @rule(data=st.data(), account=st.sampled_from([None, "class", "ada"]))
    def somebody_cancels(self, data: st.DataObject, account: str | None) -> None:
        if self.booked:
            ids = data.draw(st.sampled_from(self.booked))
            by_store = dict(zip(map(id, self.stores), ids, strict=True))
            self.call(lambda store: store.cancel_bookings([by_store[id(store)]], account, "cancelled"))

    @rule(
        client=st.sampled_from(CLIENTS),
        amount=st.integers(1, 3),
        kind=st.sampled_from(["counter", "variance"]),
        seconds=st.sampled_from(LENGTHS),
    )
    def a_client_reserves_some(self, client: str, amount: int, kind: str, seconds: float) -> None:
        self.call(lambda store: store.reserve(client, ReservationRequest(kind, amount=amount), seconds))

    @rule(client=st.sampled_from(CLIENTS), serials=st.lists(st.sampled_from(SERIALS), min_size=1, unique=True))
    def a_client_reserves_these(self, client: str, serials: list[str]) -> None:
        self.call(lambda store: store.reserve(client, ReservationRequest("counter", serials=serials), LENGTHS[1]))

    @rule(client=st.sampled_from(CLIENTS), seconds=st.sampled_from(LENGTHS))
    def a_client_extends(self, client: str, seconds: float) -> None:
        self.call(lambda store: store.extend(client, None, seconds))

    @rule(client=st.sampled_from(CLIENTS))
    def a_client_ends(self, client: str) -> None:
        self.call(lambda store: store.end(client=client, serials=None, reason="it is done"))

    @rule(serial=st.sampled_from(SERIALS), status=st.sampled_from([DeviceStatus.BROKEN, DeviceStatus.AVAILABLE]))
    def a_board_breaks_or_works(self, serial: str, status: DeviceStatus) -> None:
        worker = "w1" if serial in SERIALS[:2] else "w2"
        self.call(lambda store: store.report(worker, [DeviceReport(serial, status)]))

    @rule(seconds=st.sampled_from([300.0, 600.0, 1800.0]))
    def time_passes(self, seconds: float) -> None:
        self.let_pass(seconds)
        self.call(lambda store: store.end_expired())
        self.call(lambda store: store.keep_bookings())

    @rule()
    def bookings_are_kept(self) -> None:
        self.call(lambda store: store.keep_bookings())
        # What is done is done.
        again = self.call(lambda store: store.keep_bookings())
        assert (again.shortened, again.changed) == ([], [])

    @invariant()
    def lists_agree(self) -> None:
        async def lists(store: Store) -> list[Any]:
            return [await store.active(), await store.bookings(since=0.0), await store.account_groups()]

        self.call(lists)
