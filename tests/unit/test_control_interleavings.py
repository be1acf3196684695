"""Whatever happens to clients, workers, boards, control, router and database, in any order: the farm is whole again.

Hypothesis draws what happens, when, and how long each message and each transaction takes, so that those of different
connections overtake each other.  ``ICEFARM_INTERLEAVINGS=5000`` tries so many histories.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import cycle

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from memory_world import ClientProcess, MemoryWorld, WorkerProcess

from icefarm.control.sessions.routers import ONLY

#: Histories that are tried.
EXAMPLES = int(os.environ.get("ICEFARM_INTERLEAVINGS", "30"))
BOARDS = {"w1": ["A" * 16, "B" * 16], "w2": ["C" * 16]}
CLIENTS = ["ada", "bob", "eve"]
#: Seconds that messages take, and for which links are away: shorter and longer than the grace period.
DELAYS = (0.0, 0.001, 0.02, 0.2, 1.0, 4.0)
ABSENCES = (0.1, 1.0, 2.5, 6.0)
#: Seconds until all that was begun has ended, with all that is waited for: probation, patience, silence, retests.
LONG = 200.0

DONE_BY_CLIENTS = (
    *(*["experiment"] * 3, *["experiment in line"] * 3, "experiment in line for long"),
    *(*["shared experiment"] * 2, *["shared experiment in line"] * 3),
    *("extend", "end"),
)
DONE_TO_CLIENTS = ("kill client", "unplug client", "start client", "cut client", "stall client")
DONE_TO_WORKERS = ("kill worker", "unplug worker", "start worker", "restart worker", "cut worker")
DONE_TO_BOARDS = ("pull out", "plug in", "silent", "cdone", "repair", "take away")
DONE_TO_OTHERS = (
    *(
        "kill control",
        "start control",
        "cut control",
        "restart control",
        "stop router",
        "start router",
        "restart router",
    ),
    *("database away", "database back"),
)
#: A farm with one router, and one with a router for each worker.
ROUTERS = st.sampled_from([(ONLY,), ("http://one:8080", "http://two:8080")])
STEPS = st.tuples(
    st.sampled_from([*DONE_BY_CLIENTS, *DONE_TO_CLIENTS, *DONE_TO_WORKERS, *DONE_TO_BOARDS, *DONE_TO_OTHERS]),
    st.integers(0, 11),
    st.sampled_from([0.0, 0.01, 0.05, 0.3, 1.0, 5.0, 25.0]),
)


def act(world: MemoryWorld, step: str, which: int) -> None:
    """Let one thing happen."""
    client, worker = world.clients[which % 3], world.workers[which % 2]
    if step in (*DONE_BY_CLIENTS, *DONE_TO_CLIENTS):
        act_on_client(client, step, which)
    elif step in DONE_TO_WORKERS:
        act_on_worker(worker, step, which)
    elif step in DONE_TO_BOARDS:
        board = world.all_boards[which % 3]
        if step == "pull out" and board.plugged:
            board.unplug()
        elif step == "plug in" and not board.plugged:
            board.plug()
        elif step == "repair":
            board.faults.clear()
        elif step == "take away":
            world.take_away(board.serial)
        elif step in ("silent", "cdone"):
            board.faults.add(step)
    else:
        act_on_others(world, step, which)


def act_on_client(client: ClientProcess, step: str, which: int) -> None:
    if step == "start client":
        if not client.runs:
            client.start()
    elif client.runs and "experiment" in step:
        waits, limit = "in line" in step, None if "for long" in step else 20.0
        client.experiment(
            1 + which % 3, 5 + 5 * which, wait=waits, timeout=limit if waits else None, shared="shared" in step
        )
    elif client.runs:
        match step:
            case "extend":
                client.extend()
            case "end":
                client.end()
            case "cut client":
                cut(client, which)
            case "stall client":
                client.stall(ABSENCES[which % len(ABSENCES)])
            case _:
                client.kill(silently=False)


def act_on_worker(worker: WorkerProcess, step: str, which: int) -> None:
    if step == "start worker":
        if not worker.runs:
            worker.start()
    elif worker.runs:
        if step == "cut worker":
            cut(worker, which)
        else:
            worker.kill(silently=step == "unplug worker")
            if step == "restart worker":
                worker.start()


def cut(process: ClientProcess | WorkerProcess, which: int) -> None:
    """Lose the link, for a while."""
    process.link.delay = ABSENCES[which % len(ABSENCES)]
    if process.link.bus is not None:
        process.link.bus.drop("cable cut")


def act_on_others(world: MemoryWorld, step: str, which: int) -> None:
    farm = world.farm
    link, router = farm.links[which % len(farm.links)], list(farm.routers.values())[which % len(farm.routers)]
    match step:
        case "kill control" | "restart control" if farm.life.alive:
            farm.kill_control()
            if step == "restart control":
                farm.start_control()
        case "start control":
            world.restart_control()
        case "cut control" if link.bus is not None:
            link.bus.drop("cable cut")
        case "stop router" | "restart router" | "start router":
            if step != "start router":
                router.stop()
            if step != "stop router":
                router.start()
        case "database away" | "database back":
            farm.database.away = step == "database away"


def check_whole(world: MemoryWorld) -> None:
    """All that was begun has ended, and all agree on who has what."""
    control = world.farm.control
    assert world.faults == []
    assert {client.name: client.doing for client in world.clients if client.doing} == {}
    assert world.reserved() == world.served() == world.believed()
    assert control.parts.queue.records() == []
    assert list(control.parts.queue.line) == []
    assert world.farm.store._queue == {}
    assert control.parts.unanswered._unconfirmed == set()
    assert control.parts.worker_client._settling == {}
    assert control.parts.termination._due == {}


#: Boards are given to others while calls of the client that had them are on their way: the worker must refuse these.
LATE_CALLS = [
    ("experiment", 11, 1.0),
    *(("experiment in line", 10, 0.0), ("experiment in line", 9, 0.1)),
    ("stall client", 2, 0.3),
    *(("take away", board, 0.0) for board in range(3)),
]


@pytest.mark.thorough
@example(LATE_CALLS, [0.001], (ONLY,))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=25), st.lists(st.sampled_from(DELAYS), min_size=1, max_size=30), ROUTERS)
def test_after_any_history_all_is_answered_once_and_everybody_agrees(
    history: Sequence[tuple[str, int, float]], delays: Sequence[float], routers: tuple[str, ...]
) -> None:
    world = MemoryWorld(BOARDS, CLIENTS, cycle(delays).__next__, routers=routers)
    for step, which, pause in history:
        act(world, step, which)
        world.pass_time(pause)
    world.pass_time(max(DELAYS))
    world.heal()
    world.pass_time(LONG)
    check_whole(world)
    # All boards can be had by one client once everybody ends what it has.
    for client in world.clients:
        if client.runs:
            client.end()
    world.pass_time(1.0)
    assert world.reserved() == world.served() == world.believed() == set()
    newcomer = world.new_client("zoe")
    newcomer.experiment(3, 9)
    world.pass_time(30.0)
    check_whole(world)
    assert newcomer.values == 9


def test_a_world_is_shown_in_a_line_when_a_history_fails() -> None:
    world = MemoryWorld(BOARDS, CLIENTS, cycle([0.0]).__next__)
    world.clients[0].experiment(2, 10)
    world.pass_time(20.0)
    shown = [world, world.farm, world.farm.store, world.router, *world.workers, *world.clients, *world.all_boards]
    assert max(len(repr(each)) for each in shown) < 1000
