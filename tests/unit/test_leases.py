"""What a client knows of its reservations, and when it extends each."""

from __future__ import annotations

from attrs import evolve

from icefarm.client.connection.leases import EXTEND_PAUSE, Lease, Leases
from icefarm.contract import ReservationRecord
from icefarm.errors import Unavailable

#: The farm's clock, and the client's, which differs.
FARM, NOW = 1_000_000.0, 500.0


def lease(serial: str, length: float = 100.0, *, keep: bool = True, now: float = NOW) -> Lease:
    record = ReservationRecord(f"r{serial}", serial, "w", "ada", "counter", {}, FARM, FARM + length)
    return Lease.of(record, now, keep=keep)


def leases(*some: Lease) -> Leases:
    made = Leases()
    for each in some:
        made.add(each)
    return made


def test_a_reservation_ends_and_is_due_by_the_clients_clock() -> None:
    made = lease("A")
    assert (made.expires, made.due, made.renewed) == (NOW + 100, NOW + 50, NOW)
    assert made.ending(NOW + 80).due == NOW + 30
    assert evolve(made.ending(NOW + 80), expires=made.expires) == made


def test_what_is_due_is_extended_by_its_own_length_and_not_at_once_again() -> None:
    own = leases(lease("A"), lease("B"), lease("C", 40.0), lease("D", 10.0, keep=False), lease("E", 900.0))
    assert own.next_due() == NOW + 20
    assert own.take_due(NOW + 50) == {100.0: ["A", "B"], 40.0: ["C"]}
    assert own.next_due() == NOW + 50 + EXTEND_PAUSE
    own.extended(["A", "B", "X"], None, NOW + 50)
    own.extended(["C"], 300.0, NOW + 50)
    assert [own.by_serial[serial].expires - NOW for serial in "ABC"] == [150, 150, 350]
    assert {own.by_serial[serial].renewed for serial in "ABC"} == {NOW + 50}
    assert own.next_due() == NOW + 100
    # A shorter extension takes nothing away.
    own.extended(["C"], 1.0, NOW + 60)
    assert own.by_serial["C"].expires == NOW + 350


def test_what_is_not_kept_is_never_due() -> None:
    own = leases(lease("A"), lease("B"))
    own.keep_no_longer(["A", "X"])
    assert own.take_due(NOW + 99) == {100.0: ["B"]}
    own.keep_no_longer(["B"])
    assert own.next_due() is None


def test_a_reservation_is_removed_by_its_serial_and_its_id_if_that_is_given() -> None:
    own = leases(lease("A"), lease("B"))
    assert own.remove("A", "r9") is own.remove("X") is None
    assert own.remove("A", "rA") == lease("A")
    assert own.remove("B") == lease("B")
    assert own.by_serial == {}


def test_a_board_that_is_reached_at_another_router_is_news_once() -> None:
    first = lease("A")
    own = leases(first)
    assert own.router_of("A") is own.router_of("X") is None
    assert own.moved(first, "ws://two")
    assert not own.moved(first, "ws://two")
    assert own.router_of("A") == "ws://two"
    # The board has been reserved again meanwhile, or is not reserved any more.
    assert not own.moved(evolve(first, record=evolve(first.record, id="r9")), "ws://one")
    assert not own.moved(lease("X"), "ws://one")
    assert own.router_of("A") == "ws://two"


def test_a_client_goes_to_none_but_the_farms_routers() -> None:
    first, routers = lease("A"), ["ws://one", "ws://two"]
    own = leases(first)
    for fields in ({}, {"router": 7}, {"router": "ws://elsewhere"}):
        assert not own.redirected(first, Unavailable("it is elsewhere", **fields), routers)
    assert own.router_of("A") is None
    assert own.redirected(first, Unavailable("it is elsewhere", router="ws://two"), routers)
    assert own.router_of("A") == "ws://two"


def test_a_reservation_is_missing_if_control_should_have_counted_it() -> None:
    own = leases(lease("A"), lease("B"), lease("C", now=NOW + 20))
    # C was made after control had been asked.
    assert own.missing(["A"], NOW + 10) == ["B"]
    assert own.missing(["A", "B", "X"], NOW + 10) == []


def test_a_notice_is_passed_on_only_where_extending_has_failed_for_a_while() -> None:
    kept = lease("A")
    assert [kept.ends_sooner_than_thought(NOW + seconds) for seconds in (0, 24, 25, 60)] == [False, False, True, True]
    assert not lease("A", keep=False).ends_sooner_than_thought(NOW + 60)
