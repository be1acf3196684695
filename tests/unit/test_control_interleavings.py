"""Whatever happens to clients, workers, boards, control and its database, in any order: the farm is whole again."""

from __future__ import annotations

from typing import Any

from attrs import Factory, define
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from icefarm.contract import DeviceStatus, Role
from icefarm.control.presence import ADMISSION, HEARTBEAT
from icefarm.credentials import Credentials
from icefarm.errors import DeviceFailed, IcefarmError
from icefarm.testing.control import MemoryClient, MemoryControl, RecordingWorker

BOARDS = {"w1": ["A", "B"], "w2": ["C"]}
CLIENTS = ("ada", "bob")
#: Seconds: each hop of a message, each half of a transaction, a step of the clock.
LATENCY, STEP = 0.01, 0.05


@define(eq=False)
class World:
    """Everybody, and what happens to them."""

    farm: MemoryControl = Factory(MemoryControl)
    workers: dict[str, RecordingWorker] = Factory(dict)
    clients: dict[str, MemoryClient] = Factory(dict)
    calls: list[Deferred[Any]] = Factory(list)
    faults: list[Any] = Factory(list)
    since_beat: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.farm.router.latency = self.farm.database.latency = LATENCY
        self.pass_time(1.0)
        for name, serials in BOARDS.items():
            self.workers[name] = RecordingWorker(name, serials)
        self.come_back()

    def start(self, call: Any) -> Deferred[Any]:
        """Begin what must come to an end; errors of the farm are expected, all others are faults."""
        calling = self.background(call)
        self.calls.append(calling)
        return calling

    def background(self, call: Any) -> Deferred[Any]:
        calling = Deferred.fromCoroutine(call)
        calling.addErrback(lambda failure: failure.trap(IcefarmError))
        calling.addErrback(self.faults.append)
        return calling

    def pass_time(self, seconds: float, step: float = STEP) -> None:
        """Let time pass; whoever is here sends heartbeats."""
        for _ in range(round(seconds / step)):
            self.farm.clock.advance(step)
            self.since_beat += step
            if self.since_beat >= HEARTBEAT:
                self.since_beat = 0.0
                self.beat()

    def beat(self) -> None:
        for worker in self.workers.values():
            if worker.bus is not None and worker.bus.session in self.farm.router.sessions:
                self.background(worker.heartbeat())
        for client in self.clients.values():
            if client.bus.session in self.farm.router.sessions:
                self.background(client.call("heartbeat", "i"))

    def come_back(self) -> None:
        """Whoever has no session begins one."""
        for worker in self.workers.values():
            if worker.bus is None or worker.bus.session not in self.farm.router.sessions:
                self.start(self.join(worker))
        for name in CLIENTS:
            if name not in self.clients or self.clients[name].bus.session not in self.farm.router.sessions:
                self.start(self.enter(name))
        self.pass_time(0.5)

    async def join(self, worker: RecordingWorker) -> None:
        credentials = Credentials(worker.name, Role.WORKER, worker.instance)
        await worker.joined(await self.farm.router.sign_in(credentials))

    async def enter(self, name: str) -> None:
        self.clients[name] = await self.farm.client(name)

    def act(self, action: str, which: int) -> None:
        """Let one thing happen."""
        client = self.clients.get(CLIENTS[which % 2])
        worker = self.workers[sorted(BOARDS)[which % 2]]
        serial = worker.serials[which % len(worker.serials)]
        if client is not None and action in ("reserve", "reserve_serial", "wait", "end", "extend"):
            self.start(self.ask(client, action, which))
        elif action == "client_lost" and client is not None:
            client.bus.drop("lost")
        elif action in ("worker_lost", "worker_restarted") and worker.bus is not None:
            worker.bus.drop("lost")
            if action == "worker_restarted":
                self.workers[worker.name] = RecordingWorker(worker.name, worker.serials, instance=f"start {which}")
        elif action in ("fail", "repair"):
            worker.failing.pop(serial, None)
            if action == "fail":
                worker.failing[serial] = DeviceFailed("it smokes")
        elif action in ("unplug", "broken", "plug"):
            self.report(worker, serial, action)
        elif action in ("control_lost", "control_restarted"):
            self.lose_control(restart=action == "control_restarted")
        elif action in ("database_away", "database_back"):
            self.farm.database.away = action == "database_away"
        elif action == "come_back":
            self.come_back()

    def lose_control(self, *, restart: bool) -> None:
        if restart:
            self.farm.stop_control()
            self.farm.start_control()
        elif self.farm.link.bus is not None:
            self.farm.link.bus.drop("cable cut")

    def report(self, worker: RecordingWorker, serial: str, action: str) -> None:
        plugged = DeviceStatus.AVAILABLE if worker.holds[serial] is None else DeviceStatus.RESERVED
        to = {"unplug": DeviceStatus.OFFLINE, "broken": DeviceStatus.BROKEN, "plug": plugged}
        worker.status[serial] = to[action]
        if worker.bus is not None:
            worker.tell(serial)

    async def ask(self, client: MemoryClient, action: str, which: int) -> Any:
        match action:
            case "reserve":
                return await client.call("reserve", 1 + which % 3, kind="pulsecount", seconds=600.0)
            case "reserve_serial":
                return await client.call("reserve", serials=["ABC"[which % 3]], kind="pulsecount")
            case "wait":
                return await client.call("reserve", 1 + which % 3, kind="pulsecount", wait=True, timeout=20.0)
            case "extend":
                return await client.call("extend", seconds=600.0)
        return await client.call("end")

    def heal(self) -> None:
        """Whatever was wrong is right again, and there is time."""
        self.farm.database.away = False
        for worker in self.workers.values():
            worker.failing.clear()
        self.pass_time(1.0)
        self.come_back()
        for worker in self.workers.values():
            for serial in worker.serials:
                self.report(worker, serial, "plug")
        # Time for what is tried again, for waiting, for admissions that nobody used.
        self.pass_time(30.0 + ADMISSION + 2 * HEARTBEAT, step=0.5)

    def held(self) -> dict[str, str]:
        """Return what the workers hold."""
        return {
            serial: reservation
            for worker in self.workers.values()
            for serial, reservation in worker.holds.items()
            if reservation is not None
        }


ACTIONS = st.tuples(
    st.sampled_from(
        [
            *("reserve", "reserve_serial", "wait", "end", "extend", "client_lost", "worker_lost", "worker_restarted"),
            *("fail", "repair", "unplug", "broken", "plug", "control_lost", "control_restarted"),
            *("database_away", "database_back", "come_back"),
        ]
    ),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.05, 0.1, 0.5, 3.0]),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(ACTIONS, max_size=20))
def test_after_any_events_worker_and_store_agree_and_nothing_is_left_behind(history: list[Any]) -> None:
    world = World()
    for action, which, pause in history:
        world.act(action, which)
        world.pass_time(pause)
    world.heal()
    farm, control = world.farm, world.farm.control
    assert world.faults == []
    assert world.held() == farm.store._holds
    assert all(call.called for call in world.calls)
    assert control.line.records() == []
    assert control.reserving.unconfirmed == control.reserving.preparing == control.endings.releasing == set()
    assert control.endings._doomed == {}
    # All boards can be had by somebody once everybody ends what it has.
    for client in world.clients.values():
        world.start(client.call("end"))
    world.pass_time(1.0)
    ready = world.start(world.clients["ada"].call("reserve", 3, kind="pulsecount"))
    world.pass_time(1.0)
    assert world.held().keys() == {"A", "B", "C"} == farm.store._holds.keys()
    assert ready.called
