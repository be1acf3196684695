"""A farm with several routers, each for the boards of some workers; all of it in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from itertools import cycle
from typing import Any

import pytest
from memory_world import CIRCUITS, ClientProcess, MemoryWorld, circuits_of
from twisted.internet.defer import Deferred

from icefarm.client.connection.events import ClientEvent
from icefarm.client.connection.link import ELSEWHERE_AFTER
from icefarm.client.evaluation.payload import item_of
from icefarm.client.evaluation.plan import RunPlan
from icefarm.client.evaluation.run import results_of
from icefarm.contract import (
    ReservationRecord,
    Role,
    control_procedure,
    device_prefix,
    device_procedure,
    event_topic,
)
from icefarm.control.rpc.elsewhere import only_here
from icefarm.control.sessions.liveness import ROUTER_PATIENCE
from icefarm.doctor.sign_in_probe import _looked_at
from icefarm.errors import LinkLost, NameInUse, NoSuchProcedure, NotAuthorized, Unavailable
from icefarm.selectors.boards import parse_boards
from icefarm.testing.memory.wamp import MemoryBus
from icefarm.wamp.credentials import Credentials

ONE, TWO, THREE = "http://one:8080", "http://two:8081", "http://three:8082"
A, B, C = "A" * 16, "B" * 16, "C" * 16


@pytest.fixture
def world() -> MemoryWorld:
    """Two boards at the first router, one at the second."""
    return MemoryWorld({"w1": [A, B], "w2": [C]}, ["ada"], cycle([0.001]).__next__, routers=(ONE, TWO))


def done(world: MemoryWorld, doing: Coroutine[Any, Any, Any], seconds: float = 30.0) -> Any:
    """Return the result of what takes at most so many seconds."""
    got: list[Any] = []
    Deferred.fromCoroutine(doing).addBoth(got.append)
    world.pass_time(seconds)
    (result,) = got
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result


def reserve(world: MemoryWorld, client: ClientProcess, amount: int, **more: Any) -> dict[str, ReservationRecord]:
    records = done(world, client.session.reserve(amount, options={"window": client.window}, **more))
    return {record.serial: record for record in records}


def evaluating(client: ClientProcess, records: dict[str, ReservationRecord], items: int) -> Deferred[list[Any]]:
    """Begin a run of evaluations."""

    async def run() -> list[Any]:
        run = client.session.run(RunPlan(list(records)), records)
        circuits = [each.data for each in circuits_of(client.number)]
        given = [item_of(number, bitstream=circuits[number % CIRCUITS]) for number in range(items)]
        return [result async for result in results_of(run, given)]

    return Deferred.fromCoroutine(run())


def evaluate(world: MemoryWorld, client: ClientProcess, records: dict[str, ReservationRecord], items: int) -> set[str]:
    """Return on which boards evaluations were carried out."""
    results = done(world, _awaited(evaluating(client, records, items)))
    assert [result.error for result in results if result.error is not None] == []
    return {result.measurement.serial for result in results}


async def _awaited(deferred: Deferred[Any]) -> Any:
    return await deferred


def signed_in(world: MemoryWorld, router: str, name: str, **more: Any) -> MemoryBus:
    """Sign a client in that knows nothing of other routers."""
    credentials = Credentials(name, Role.CLIENT, f"instance of {name}", **more)
    bus: MemoryBus = done(world, world.farm.routers[router].sign_in(credentials), 1.0)
    return bus


def call(world: MemoryWorld, bus: MemoryBus, name: str, *args: Any, **kwargs: Any) -> Any:
    return done(world, bus.call(control_procedure(name), args, kwargs, timeout=None), 10.0)


def names_at(world: MemoryWorld, router: str) -> list[str]:
    return sorted(bus.authid for bus in world.farm.routers[router].sessions.values())


def test_a_client_evaluates_on_boards_of_all_routers(world: MemoryWorld) -> None:
    (ada,) = world.clients
    assert "ada" not in names_at(world, TWO)
    records = reserve(world, ada, 3)
    assert {record.serial: record.router for record in records.values()} == {A: None, B: None, C: TWO}
    assert evaluate(world, ada, records, 12) == {A, B, C}
    assert "ada" in names_at(world, TWO)
    assert world.faults == []


def test_a_client_has_links_to_the_routers_of_its_boards_only(world: MemoryWorld) -> None:
    (ada,) = world.clients
    records = reserve(world, ada, 1, where=f"serial={A}")
    assert evaluate(world, ada, records, 4) == {A}
    assert names_at(world, TWO) == ["control", "w2"]


def test_a_client_that_signs_in_at_the_second_router_reaches_all_boards(world: MemoryWorld) -> None:
    world.router = world.farm.routers[TWO]
    bob = world.new_client("bob")
    world.pass_time(1.0)
    records = reserve(world, bob, 3)
    assert {record.serial: record.router for record in records.values()} == {A: ONE, B: ONE, C: None}
    assert evaluate(world, bob, records, 12) == {A, B, C}


def test_all_links_of_a_client_end_with_it(world: MemoryWorld) -> None:
    (ada,) = world.clients
    evaluate(world, ada, reserve(world, ada, 3), 6)
    done(world, ada.session.stop())
    assert names_at(world, ONE) == ["control", "w1"]
    assert names_at(world, TWO) == ["control", "w2"]
    assert world.reserved() == set()


def test_evaluations_go_on_while_another_router_is_lost(world: MemoryWorld) -> None:
    (ada,) = world.clients
    records = reserve(world, ada, 3)
    evaluate(world, ada, records, 6)
    world.farm.routers[TWO].stop()
    running = evaluating(ada, records, 40)
    world.pass_time(20.0)
    assert {held.serial for held in world.reserved()} == {A, B, C}
    # All but what waits for the board that is away.
    assert sorted(ada.session.serials) == [A, B, C]
    assert evaluate(world, ada, {serial: records[serial] for serial in (A, B)}, 8) == {A, B}
    world.farm.routers[TWO].start()
    results = done(world, _awaited(running), 60.0)
    assert sorted(result.source for result in results) == list(range(40))
    assert evaluate(world, ada, {C: records[C]}, 2) == {C}
    assert world.faults == []


def test_boards_of_a_router_that_is_lost_are_offline_until_it_is_back(world: MemoryWorld) -> None:
    watcher = signed_in(world, ONE, "bob")
    world.farm.routers[TWO].stop()
    world.pass_time(ROUTER_PATIENCE + 1.0)
    assert call(world, watcher, "available")["serials"] == [A, B]
    assert world.farm.control.lost_routers() == [TWO]
    world.farm.routers[TWO].start()
    world.pass_time(5.0)
    assert call(world, watcher, "available")["serials"] == [A, B, C]


def metrics(world: MemoryWorld) -> dict[str, float]:
    text, _ = done(world, world.farm.control.metrics_page(), 1.0)
    lines = (line.rpartition(" ") for line in text.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_metrics_say_of_each_router_whether_it_is_up_and_how_many_are_there(world: MemoryWorld) -> None:
    evaluate(world, world.clients[0], reserve(world, world.clients[0], 3), 6)
    found = metrics(world)
    for router in (ONE, TWO):
        assert found[f'icefarm_router_up{{router="{router}"}}'] == 1
        assert found[f'icefarm_sessions{{role="client",router="{router}"}}'] == 1
        assert found[f'icefarm_sessions{{role="worker",router="{router}"}}'] == 1
    world.farm.routers[TWO].stop()
    world.pass_time(1.0)
    found = metrics(world)
    assert (found[f'icefarm_router_up{{router="{ONE}"}}'], found[f'icefarm_router_up{{router="{TWO}"}}']) == (1, 0)
    assert found["icefarm_router_connected"] == 1
    assert f'icefarm_sessions{{role="client",router="{TWO}"}}' not in found
    world.farm.routers[TWO].start()
    world.pass_time(5.0)
    assert metrics(world)[f'icefarm_router_sessions_total{{router="{TWO}"}}'] == 2


def test_a_reservation_of_a_router_that_is_lost_has_the_workers_grace(world: MemoryWorld) -> None:
    (ada,) = world.clients
    reserve(world, ada, 3, seconds=3600.0)
    world.farm.routers[TWO].stop()
    world.pass_time(world.farm.control.settings.worker_grace - 10.0)
    assert {held.serial for held in world.reserved()} == {A, B, C}
    world.pass_time(30.0)
    assert {held.serial for held in world.reserved()} == {A, B}


def test_a_client_whose_own_router_is_lost_keeps_its_boards_and_evaluates_at_the_others(world: MemoryWorld) -> None:
    (ada,) = world.clients
    records = reserve(world, ada, 3)
    evaluate(world, ada, records, 6)
    world.farm.routers[ONE].stop()
    world.pass_time(20.0)
    assert evaluate(world, ada, {C: records[C]}, 4) == {C}
    assert {held.serial for held in world.reserved()} == {A, B, C}
    # What it asks control goes over another of its links.
    assert done(world, ada.session.end([C])) == [C]
    again = reserve(world, ada, 1)
    assert {record.serial: record.router for record in again.values()} == {C: TWO}
    assert evaluate(world, ada, again, 4) == {C}
    records.update(again)
    world.farm.routers[ONE].start()
    world.pass_time(10.0)
    assert evaluate(world, ada, records, 12) == {A, B, C}


def test_the_doctor_sees_other_routers_and_that_these_do_not_bound_messages(world: MemoryWorld) -> None:
    found = done(world, _looked_at(signed_in(world, ONE, "doctor"), Role.CLIENT), 5.0)
    assert (set(found.versions), found.bounds_messages, found.others) == ({"w1", "w2"}, False, (TWO,))


def test_a_board_elsewhere_says_where_it_is_reached(world: MemoryWorld) -> None:
    bob = signed_in(world, ONE, "bob")
    with pytest.raises(Unavailable) as caught:
        done(world, bob.call(device_procedure(C, "evaluate"), (), {}, timeout=None))
    assert caught.value.fields == {"serial": C, "router": TWO}
    assert TWO in caught.value.message


def test_a_board_that_nobody_serves_is_no_boards_at_another_router(world: MemoryWorld) -> None:
    bob = signed_in(world, ONE, "bob")
    world.workers[0].kill(silently=False)
    for serial in (A, "Z" * 16):
        with pytest.raises(NoSuchProcedure):
            done(world, bob.call(device_procedure(serial, "ping"), (), {}, timeout=None))


def test_a_worker_that_moves_to_another_router_takes_its_clients_along(world: MemoryWorld) -> None:
    (ada,) = world.clients
    records = reserve(world, ada, 3)
    evaluate(world, ada, records, 6)
    worker = world.workers[1]
    worker.kill(silently=False)
    worker.router = world.farm.routers[ONE]
    running = evaluating(ada, {C: records[C]}, 4)
    world.pass_time(5.0)
    worker.start()
    results = done(world, _awaited(running), 60.0)
    assert [result.error for result in results] == [None] * 4


def test_a_worker_that_moves_while_its_router_is_lost_is_found(world: MemoryWorld) -> None:
    (ada,) = world.clients
    records = reserve(world, ada, 3)
    evaluate(world, ada, records, 6)
    worker = world.workers[1]
    world.farm.routers[TWO].stop()
    worker.kill(silently=False)
    world.pass_time(ROUTER_PATIENCE + 1.0)
    worker.router = world.farm.routers[ONE]
    worker.start()
    world.pass_time(5.0)
    assert evaluate(world, ada, {C: records[C]}, 4) == {C}


def test_a_worker_that_leaves_the_clients_own_router_while_that_is_lost_is_found_within_seconds(
    world: MemoryWorld,
) -> None:
    (ada,) = world.clients
    records = reserve(world, ada, 3)
    evaluate(world, ada, records, 6)
    world.farm.routers[ONE].stop()
    running = evaluating(ada, {A: records[A], B: records[B]}, 4)
    world.pass_time(ROUTER_PATIENCE + 1.0)
    worker = world.workers[0]
    worker.kill(silently=False)
    worker.router = world.farm.routers[TWO]
    worker.start()
    results = done(world, _awaited(running), 10.0)
    assert {result.measurement.serial for result in results} == {A, B}
    world.farm.routers[ONE].start()
    world.pass_time(10.0)
    assert evaluate(world, ada, records, 12) == {A, B, C}
    assert world.faults == []


def test_a_client_that_is_at_no_router_but_the_lost_one_signs_in_at_another_and_finds_its_boards(
    world: MemoryWorld,
) -> None:
    (ada,) = world.clients
    records = reserve(world, ada, 2, where="worker=w1")
    evaluate(world, ada, records, 4)
    assert "ada" not in names_at(world, TWO)
    world.farm.routers[ONE].stop()
    running = evaluating(ada, records, 4)
    worker = world.workers[0]
    worker.kill(silently=False)
    worker.router = world.farm.routers[TWO]
    worker.start()
    results = done(world, _awaited(running), ELSEWHERE_AFTER + ROUTER_PATIENCE + 5.0)
    assert {result.measurement.serial for result in results} == {A, B}
    assert "ada" in names_at(world, TWO)


def test_a_client_whose_router_is_back_at_once_signs_in_nowhere_else(world: MemoryWorld) -> None:
    (ada,) = world.clients
    records = reserve(world, ada, 2, where="worker=w1")
    world.farm.routers[ONE].stop()
    world.pass_time(ELSEWHERE_AFTER / 4)
    world.farm.routers[ONE].start()
    assert evaluate(world, ada, records, 4) == {A, B}
    assert "ada" not in names_at(world, TWO)


def test_a_client_whose_router_stays_away_asks_control_at_another(world: MemoryWorld) -> None:
    (ada,) = world.clients
    world.farm.routers[ONE].stop()
    world.pass_time(ROUTER_PATIENCE + 1.0)
    records = reserve(world, ada, 1)
    assert {record.serial: record.router for record in records.values()} == {C: TWO}
    assert evaluate(world, ada, records, 4) == {C}


def test_a_client_that_starts_while_its_first_router_is_away_signs_in_at_the_next_that_it_was_given(
    world: MemoryWorld,
) -> None:
    world.farm.routers[ONE].stop()
    world.pass_time(ROUTER_PATIENCE + 1.0)
    bob = world.new_client("bob", f"{ONE},{TWO}")
    world.pass_time(1.0)
    assert "bob" in names_at(world, TWO)
    assert evaluate(world, bob, reserve(world, bob, 1), 4) == {C}
    world.farm.routers[ONE].start()
    world.pass_time(20.0)
    records = reserve(world, bob, 2)
    assert {record.serial: record.router for record in records.values()} == {A: ONE, B: ONE}
    assert evaluate(world, bob, records, 4) == {A, B}


def test_a_client_whose_router_stays_away_hears_at_another_that_its_board_is_gone(world: MemoryWorld) -> None:
    (ada,) = world.clients
    reserve(world, ada, 1, where=f"serial={C}", seconds=60.0, keep=False)
    world.farm.routers[ONE].stop()
    world.pass_time(20.0)
    assert ada.session.serials == [C]
    world.pass_time(20.0)
    assert ada.session.serials == []


def test_a_client_of_three_routers_hears_each_event_once_while_its_own_is_lost() -> None:
    world = MemoryWorld({"w1": [A], "w2": [B], "w3": [C]}, [], cycle([0.001]).__next__, routers=(ONE, TWO, THREE))
    ada, heard, freed, published = world.new_client("ada"), list[ClientEvent](), list[int](), list[int]()
    ada.session.on_event(heard.append)
    ada.session.on_available(freed.append)
    world.pass_time(1.0)
    evaluate(world, ada, reserve(world, ada, 3, seconds=100.0, keep=False), 6)
    world.farm.routers[ONE].stop()
    world.pass_time(10.0)
    watcher = signed_in(world, THREE, "eve")
    topic = event_topic("available")
    done(world, watcher.subscribe(topic, lambda _, __, fields: published.append(fields["amount"])), 1.0)
    freed.clear()
    world.pass_time(100.0)
    counts = Counter((event.name, event.serial) for event in heard)
    assert counts["ended", B] == counts["ended", C] == 1
    assert set(counts.values()) == {1}
    assert freed == published != []


def test_a_client_that_is_refused_tries_no_other_router(world: MemoryWorld) -> None:
    (ada,) = world.clients
    records = reserve(world, ada, 1, where=f"serial={C}")
    world.farm.routers[ONE].stop()
    world.pass_time(ELSEWHERE_AFTER / 4)
    assert not ada.session._link._refused(NotAuthorized("its token is revoked"))
    results = done(world, _awaited(evaluating(ada, records, 2)), ELSEWHERE_AFTER + 1.0)
    assert [str(result.error) for result in results] == ["its token is revoked"] * 2
    assert "ada" not in names_at(world, TWO)


def test_while_all_routers_are_lost_an_evaluation_ends_when_patience_does(world: MemoryWorld) -> None:
    (ada,) = world.clients
    records = reserve(world, ada, 3)
    evaluate(world, ada, records, 6)
    for router in (ONE, TWO):
        world.farm.routers[router].stop()
    results = done(world, _awaited(evaluating(ada, records, 3)), 300.0)
    assert {type(result.error) for result in results} == {LinkLost}


def test_events_are_heard_at_each_router_where_somebody_listens(world: MemoryWorld) -> None:
    heard: dict[str, list[str]] = {ONE: [], TWO: []}

    def note(router: str) -> Callable[..., None]:
        return lambda _, __, fields: heard[router].append(fields["serial"])

    for router, name in ((ONE, "bob"), (TWO, "eve")):
        bus = signed_in(world, router, name)
        done(world, bus.subscribe(event_topic("reservation"), note(router)), 1.0)
    reserve(world, world.clients[0], 3)
    assert heard[ONE] == heard[TWO]
    assert set(heard[ONE]) == {A, B, C}


def test_a_restarted_control_prepares_boards_of_each_router_before_their_workers_say_hello(world: MemoryWorld) -> None:
    (ada,) = world.clients
    world.farm.kill_control()
    world.farm.start_control()
    world.pass_time(0.2)
    records = done(world, ada.session.reserve(3, options={"window": ada.window}), 2.0)
    assert {record.serial: record.router for record in records} == {A: None, B: None, C: TWO}


def test_a_restarted_control_learns_who_is_at_which_router(world: MemoryWorld) -> None:
    (ada,) = world.clients
    records = reserve(world, ada, 3)
    evaluate(world, ada, records, 6)
    world.farm.kill_control()
    world.farm.start_control()
    world.pass_time(60.0)
    assert {held.serial for held in world.reserved()} == {A, B, C}
    assert evaluate(world, ada, records, 12) == {A, B, C}
    assert call(world, signed_in(world, TWO, "eve"), "available")["serials"] == []


def test_another_control_takes_over_at_all_routers(world: MemoryWorld) -> None:
    (ada,) = world.clients
    records = reserve(world, ada, 3)
    running = evaluating(ada, records, 60)
    world.pass_time(1.0)
    # As when the leader's machine loses power: the routers keep its sessions, and its procedures.
    world.farm.kill_control(silently=True)
    world.farm.start_control()
    results = done(world, _awaited(running), 60.0)
    assert sorted(result.source for result in results) == list(range(60))
    assert {result.error for result in results} == {None}
    assert world.reserved() == world.served() == world.believed()
    assert len(world.reserved()) == 3
    for router, name in ((ONE, "bob"), (TWO, "eve")):
        assert call(world, signed_in(world, router, name), "available")["serials"] == []
    assert names_at(world, TWO).count("control") == 2
    assert evaluate(world, ada, records, 12) == {A, B, C}


def test_a_router_that_is_lost_while_control_lists_its_sessions_takes_nobody_away(world: MemoryWorld) -> None:
    sessions, link = world.farm.control.sessions, world.farm.links[1]

    def is_listing() -> bool:
        return link.bus is not None and TWO in sessions._meanwhile and len(link.bus._asking) > 1

    assert link.bus is not None
    link.bus.drop("cable cut")
    for _ in range(2000):
        world.pass_time(0.0005)
        if is_listing():
            break
    assert is_listing()
    link.bus.drop("cable cut again")
    assert sessions.state.worker_is_here("w2")
    world.pass_time(10.0)
    assert call(world, signed_in(world, TWO, "eve"), "available")["serials"] == [A, B, C]


def test_a_control_that_finds_one_router_only_takes_nobody_elses_boards(world: MemoryWorld) -> None:
    (ada,) = world.clients
    reserve(world, ada, 3)
    world.farm.kill_control()
    world.farm.routers[TWO].stop()
    world.farm.start_control()
    world.pass_time(60.0)
    assert {held.serial for held in world.reserved()} == {A, B, C}
    world.farm.routers[TWO].start()
    world.pass_time(10.0)
    assert world.reserved() == world.served() == world.believed()


def test_a_client_that_knows_one_router_gets_boards_of_that_one_only(world: MemoryWorld) -> None:
    bob = signed_in(world, ONE, "bob")
    got = call(world, bob, "reserve", amount=2, kind="pulsecount")
    assert {record["serial"]: record["router"] for record in got} == {A: None, B: None}
    with pytest.raises(Unavailable, match="worker in"):
        call(world, bob, "reserve", amount=1, kind="pulsecount")
    eve = signed_in(world, TWO, "eve")
    assert [record["serial"] for record in call(world, eve, "reserve", amount=1, kind="pulsecount")] == [C]


def test_a_client_that_knows_one_router_is_told_where_a_board_is_that_it_names(world: MemoryWorld) -> None:
    bob = signed_in(world, ONE, "bob")
    with pytest.raises(Unavailable) as caught:
        call(world, bob, "reserve", serials=[C], kind="pulsecount")
    assert caught.value.fields["router"] == TWO


def test_a_client_that_says_so_gets_boards_of_all_routers(world: MemoryWorld) -> None:
    bob = signed_in(world, ONE, "bob", follows=True)
    got = call(world, bob, "reserve", amount=3, kind="pulsecount")
    assert {record["serial"]: record["router"] for record in got} == {A: None, B: None, C: TWO}


def test_a_name_is_refused_at_the_other_router(world: MemoryWorld) -> None:
    with pytest.raises(NameInUse):
        signed_in(world, TWO, "ada")


@pytest.mark.parametrize(
    ("where", "here", "elsewhere", "wanted"),
    [
        (None, ["w1"], ["w2", "w3"], "worker in (w1)"),
        ("lab=3 or lab=4", ["w1"], ["w2", "w3"], "(lab=3 or lab=4) and worker in (w1)"),
        (None, ["a long name", "another long name"], ["w2"], "not worker in (w2)"),
        (None, [], ["a worker"], 'worker in ("")'),
        ("lab=3", [f"worker-{number}" for number in range(500)], [f"w{number}" for number in range(500)], "lab=3"),
    ],
)
def test_a_selector_leaves_the_boards_of_one_router(
    where: str | None, here: list[str], elsewhere: list[str], wanted: str
) -> None:
    narrowed = only_here(where, here, elsewhere)
    assert narrowed == wanted
    assert narrowed is not None
    parse_boards(narrowed)


def test_control_learns_the_state_of_the_farm_once_it_has_joined_all_routers(world: MemoryWorld) -> None:
    world.farm.kill_control()
    world.farm.start_control()
    control, learnt = world.farm.control, []
    learn = control._learn

    async def noted() -> None:
        learnt.append(set(control.parts.routers.buses))
        await learn()

    control._learn = noted  # type: ignore[method-assign]
    world.pass_time(30.0)
    assert learnt == [{ONE, TWO}]


def test_a_worker_leads_no_client_to_a_router_that_is_none_of_the_farms(world: MemoryWorld) -> None:
    (ada,) = world.clients
    records = reserve(world, ada, 1, where=f"serial={A}")
    made = len(ada.process.links)
    worker = world.workers[0].process.link.bus
    assert worker is not None

    async def refuse(*_: Any) -> Any:
        raise Unavailable("call it there", serial=A, router="https://elsewhere.example")

    done(world, worker.register(device_prefix(A), refuse, prefix=True, replace=True), 1.0)
    (result,) = done(world, _awaited(evaluating(ada, records, 1)), 60.0)
    assert isinstance(result.error, Unavailable)
    assert len(ada.process.links) == made


def test_a_url_that_leads_to_another_router_is_said_and_ends_no_session_again_and_again(world: MemoryWorld) -> None:
    (ada,) = world.clients
    # As a proxy does that has one router behind two URLs.
    ada.process.others = {TWO: world.farm.routers[ONE]}
    records = reserve(world, ada, 3)
    for _ in range(2):
        results = done(world, _awaited(evaluating(ada, {C: records[C]}, 2)))
        assert {type(result.error) for result in results} == {Unavailable}
        assert f"{TWO} leads to another router of the farm, {ONE}" in str(results[0].error)
    sessions = dict(world.farm.routers[ONE].sessions)
    assert evaluate(world, ada, {serial: records[serial] for serial in (A, B)}, 8) == {A, B}
    assert world.farm.routers[ONE].sessions == sessions
    assert names_at(world, ONE) == ["ada", "control", "w1"]
    assert len(ada.process.links) == 2


def test_a_client_whose_first_link_comes_to_another_router_has_one_session_there(world: MemoryWorld) -> None:
    (ada,) = world.clients
    records = reserve(world, ada, 3)
    evaluate(world, ada, records, 6)
    first = ada.process.links[0]
    # As a proxy does that spreads connections.
    first.router = world.farm.routers[TWO]
    assert first.bus is not None
    first.bus.drop("cable cut")
    world.pass_time(10.0)
    assert names_at(world, TWO) == ["ada", "control", "w2"]
    sessions = set(world.farm.routers[TWO].sessions)
    assert evaluate(world, ada, records, 12) == {A, B, C}
    assert set(world.farm.routers[TWO].sessions) == sessions
    assert names_at(world, ONE) == ["ada", "control", "w1"]
