"""An in-memory control, and a worker that records control's calls: for tests of control, and against it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import Factory, define, evolve, field
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.task import Clock as TestClock
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import failures
from icefarm.contract import (
    Assignment,
    DeviceReport,
    DeviceStatus,
    KindRecord,
    PoolRecord,
    Role,
    WorkerHello,
    client_topic,
    control_procedure,
    control_worker_procedure,
    event_topic,
    from_wire,
    method_of,
    to_wire,
    worker_prefix,
)
from icefarm.control.sessions.sign_in.tokens import new_token, token_hash
from icefarm.control.wiring.service import Control, ControlSettings
from icefarm.errors import Busy, IcefarmError, TimedOut, UnknownDevice, error_to_wire
from icefarm.oidc.web_client import WebClient
from icefarm.testing.memory.archive import MemoryArchive
from icefarm.testing.memory.clock import MortalClock, OrderedClock
from icefarm.testing.memory.history import MemoryHistory
from icefarm.testing.memory.process import MemoryProcess
from icefarm.testing.memory.store import MemoryStore
from icefarm.testing.memory.wamp import MemoryBus, MemoryLink, MemoryRouter
from icefarm.wamp.credentials import Credentials

__all__ = ["PULSECOUNT", "MemoryClient", "MemoryControl", "RecordingWorker"]

PULSECOUNT = KindRecord("pulsecount", "counts pulses", "pulse_count", "1.0", ["evaluate"], shareable=True)
#: Seconds for each call of a test, on the test's own clock.
LIMIT = 1000.0


@define(eq=False, repr=False)
class MemoryClient:
    """A client's session: calls control, and records its events."""

    bus: MemoryBus
    #: Events on the client's own topic, and on the public topics: (topic's last part, fields).
    told: list[dict[str, Any]] = Factory(list)
    events: list[tuple[str, dict[str, Any]]] = Factory(list)

    async def listen(self) -> None:
        """Start recording."""
        await self.bus.subscribe(client_topic(self.bus.authid), lambda _, __, fields: self.told.append(dict(fields)))
        await self.bus.subscribe(event_topic(""), self._heard, prefix=True)

    def _heard(self, topic: str, _: Sequence[Any], fields: Mapping[str, Any]) -> None:
        self.events.append((topic.rpartition(".")[2], dict(fields)))

    async def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a procedure of control."""
        return await self.bus.call(control_procedure(name), args, kwargs, timeout=LIMIT)

    def words(self) -> list[tuple[str, str]]:
        """Return (event, serial) of all events on its own topic."""
        return [(told["event"], told["serial"]) for told in self.told]


@define(eq=False, repr=False)
class RecordingWorker:
    """A worker without boards: carries out control's orders at once, as far as a test lets it, and records them."""

    name: str
    serials: list[str]
    instance: str = "instance"
    bus: MemoryBus | None = None
    #: Control's orders: (method, serial or "", reservation or "").
    orders: list[tuple[str, str, str]] = Factory(list)
    #: Each board's reservation, and its status.
    holds: dict[str, str | None] = Factory(dict)
    status: dict[str, DeviceStatus] = Factory(dict)
    #: The reservations within that of each board that several clients share.
    shares: dict[str, set[str]] = Factory(dict)
    #: Boards whose preparation fails, and why; boards whose preparation waits for the test.
    failing: dict[str, IcefarmError] = Factory(dict)
    stuck: dict[str, Deferred[None]] = Factory(dict)
    draining: bool = False
    #: It was told to leave.
    left: bool = False
    #: It plugs in virtual boards on demand, as many as this says.
    pool: PoolRecord | None = None
    #: The labels of boards, as control sent them.
    labels: dict[str, dict[str, str]] = Factory(dict)
    #: It takes orders for many boards at once; one of an earlier version does not.
    lists: bool = True
    #: Limits the time of such an order; None: no limit.
    clock: Any = None
    #: Boards whose last report did not get through; it is resent when control is back.
    unsent: set[str] = Factory(set)
    #: How far boards are off when they measure the reference of the FPGA's oscillator, in ppm, by what `offset` says of
    #: a board at a time; None: it measures no references.
    offset: Callable[[str, float], float] | None = None
    #: Their measurements of references wait for the test.
    measuring: list[Deferred[None]] | None = None
    #: Seconds that its own clock is behind.
    late: float = 0.0

    def __attrs_post_init__(self) -> None:
        for serial in self.serials:
            self.holds[serial] = None
            self.status[serial] = DeviceStatus.AVAILABLE

    async def joined(self, bus: MemoryBus) -> None:
        """Start a session, as a real worker does."""
        self.bus = bus
        await bus.register(worker_prefix(self.name), self._ordered, prefix=True, replace=True)
        await self.hello()

    async def hello(self) -> None:
        """Say hello, and carry out the answer."""
        reports = [self.report_of(serial) for serial in self.serials]
        hello = WorkerHello(
            self.name,
            self.instance,
            "host",
            "1.0",
            [PULSECOUNT],
            reports,
            self.pool,
            self.offset is not None,
            self.lists,
        )
        answer = await self.call("hello", hello=to_wire(hello))
        self.draining = answer["draining"]
        assignments = {
            serial: from_wire(wanted, Assignment, "assignment") for serial, wanted in answer["assignments"].items()
        }
        for serial in self.serials:
            wanted = assignments[serial].reservation if serial in assignments else None
            shares = {each["reservation"] for each in answer["shares"].get(serial, ())}
            if (self.holds[serial], self.shares.get(serial, set())) != (wanted, shares):
                self._hold(serial, wanted, shares)
                self.tell(serial)
        self._resend()

    async def heartbeat(self) -> bool:
        """Send a heartbeat; say hello if control does not know this session."""
        present = sum(status is not DeviceStatus.OFFLINE for status in self.status.values())
        answer = await self.call("heartbeat", instance=self.instance, present=present)
        if not answer["known"]:
            await self.hello()
        self._resend()
        return bool(answer["known"])

    async def report(self, serial: str, status: DeviceStatus | None = None, reason: str | None = None) -> None:
        """Report one board."""
        if status is not None:
            self.status[serial] = status
        await self.call("report", report=to_wire(evolve(self.report_of(serial), reason=reason)))

    def tell(self, serial: str) -> None:
        """Report one board without waiting for the answer, until it gets through."""
        self.unsent.discard(serial)

        def failed(failure: Failure) -> None:
            failure.trap(IcefarmError)
            self.unsent.add(serial)

        Deferred.fromCoroutine(self.report(serial)).addErrback(failed)

    def _resend(self) -> None:
        for serial in sorted(self.unsent):
            self.tell(serial)

    def report_of(self, serial: str) -> DeviceReport:
        """Return the report of a board."""
        model = None if self.pool is None else self.pool.model
        shares = sorted(self.shares.get(serial, ()))
        return DeviceReport(serial, self.status[serial], reservation=self.holds[serial], model=model, shares=shares)

    async def call(self, name: str, /, **kwargs: Any) -> Any:
        """Call one of control's procedures for workers."""
        assert self.bus is not None
        return await self.bus.call(control_worker_procedure(name), (), kwargs, timeout=LIMIT)

    def asked(self, method: str) -> list[str]:
        """Return the boards for which control ordered that, in order."""
        return [serial for asked, serial, _ in self.orders if asked == method]

    async def _ordered(self, _: Caller, procedure: str, args: Sequence[Any], __: Mapping[str, Any]) -> Any:
        method = method_of(procedure)[1]
        serial = str(args[0]) if args else ""
        if method == "measure_references":
            return await self._measure(serial, float(args[2]), args[3])
        if method in ("prepare_all", "release_all"):
            return await self._ordered_for_all(method, args[0], args[1])
        match method:
            case "prepare":
                await self._prepare(serial, from_wire(args[1], Assignment, "assignment"))
            case "release":
                self._release(serial, str(args[1]))
            case "plug_in":
                self.orders.append((method, serial, ""))
                for number in range(len(self.serials), len(self.serials) + int(args[0])):
                    self._plug_in(f"V{number}")
            case "retire":
                self.orders.append((method, " ".join(args[0]), ""))
                for each in args[0]:
                    self.serials.remove(each)
                    del self.holds[each], self.status[each]
            case "relabel":
                self.orders.append((method, serial, ""))
                self.labels[serial] = dict(args[1])
            case _:
                self.orders.append((method, serial, ""))
                self.draining = method == "drain" if method in ("drain", "resume") else self.draining
                self.left = self.left or method == "leave"

    def _release(self, serial: str, reservation: str) -> None:
        self.orders.append(("release", serial, reservation))
        if self.holds.get(serial) == reservation:
            self._hold(serial, None)
            self.tell(serial)
        elif reservation in self.shares.get(serial, ()):
            self.shares[serial].remove(reservation)
            self.tell(serial)

    async def _measure(self, serial: str, window: float, circuits: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        self.orders.append(("measure_references", serial, " ".join(circuit["name"] for circuit in circuits)))
        if self.measuring is not None:
            waiting: Deferred[None] = Deferred()
            self.measuring.append(waiting)
            await waiting
        assert self.bus is not None
        assert self.offset is not None
        now = self.bus.router.clock.seconds()
        pulses = 3e6 * window * (1 + self.offset(serial, now) * 1e-6)
        measured = {
            "value": round(pulses), "serial": serial, "worker": self.name, "kind": "pulsecount", "options": {},
            "firmware": PULSECOUNT.firmware, "firmware_version": PULSECOUNT.firmware_version, "sha256": "0" * 64,
            "window_us": round(window * 1e6), "load_us": 30_000, "usb_bytes_in_window": 0, "temperature_c": 25.0,
            "sequence": 1, "attempt": 1, "started_at": now - self.late, "ended_at": now - self.late + window,
            "reference": "oscillator",
        }  # fmt: skip
        return [{**measured, "evaluation_id": f"{serial} {now} {number}"} for number in range(circuits[0]["times"])]

    async def _ordered_for_all(self, method: str, orders: Mapping[str, Any], limit: Any) -> dict[str, Any]:
        """Carry out an order for many boards; ``limit`` is the seconds for a preparation."""
        failed: dict[str, IcefarmError] = {}
        if method == "release_all":
            for serial, reservation in orders.items():
                self._release(serial, reservation)
        else:
            wanted = {serial: from_wire(each, Assignment, "assignment") for serial, each in orders.items()}
            preparing = {serial: partial(self._prepare_within, limit, serial, each) for serial, each in wanted.items()}
            failed = await failures(preparing, len(preparing))
        return {"failed": {serial: error_to_wire(error) for serial, error in failed.items()}}

    async def _prepare_within(self, limit: float, serial: str, wanted: Assignment) -> None:
        preparing = Deferred.fromCoroutine(self._prepare(serial, wanted))
        if self.clock is not None:
            preparing.addTimeout(limit, self.clock)
        try:
            await preparing
        except TimeoutError:
            raise TimedOut(f"board {serial} was not usable within {limit:g} s") from None

    async def _prepare(self, serial: str, wanted: Assignment) -> None:
        self.orders.append(("prepare", serial, wanted.reservation))
        if serial not in self.holds:
            raise UnknownDevice(f"no board {serial}")
        if serial in self.stuck:
            await self.stuck[serial]
        if serial in self.failing:
            raise self.failing[serial]
        self.labels[serial] = wanted.labels
        if wanted.within is None:
            self._hold(serial, wanted.reservation)
        else:
            before = self.shares.get(serial, set()) if self.holds[serial] == wanted.within else set()
            self._hold(serial, wanted.within, before | {wanted.reservation})
        self.tell(serial)

    def _plug_in(self, serial: str) -> None:
        self.serials.append(serial)
        self.holds[serial], self.status[serial] = None, DeviceStatus.AVAILABLE
        self.tell(serial)

    def _hold(self, serial: str, reservation: str | None, shares: Collection[str] = ()) -> None:
        self.holds[serial], self.shares[serial] = reservation, set(shares)
        self.status[serial] = DeviceStatus.AVAILABLE if reservation is None else DeviceStatus.RESERVED


@define(eq=False, repr=False)
class UnreliableStore:
    """A store whose database can be away: then every call raises `Busy`, even one that has just done its work.

    ``latency`` is the seconds before and after each transaction, or a function that returns them; None: none.
    """

    store: MemoryStore
    away: bool = False
    latency: float | Callable[[], float] | None = None

    def connection(self, clock: Clock) -> StoreConnection:
        """Return the store as one process sees it, whose clock this is: a killed one gets no answers."""
        return StoreConnection(self, clock)


@define(eq=False, repr=False)
class StoreConnection:
    """An `icefarm.control.storage.interface.Store`; every method is that of the `MemoryStore` behind it."""

    database: UnreliableStore
    clock: Clock

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.database.store, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._pause()
            result = await method(*args, **kwargs)
            await self._pause()
            return result

        return call

    async def _pause(self) -> None:
        latency = self.database.latency
        if latency is not None:
            await deferLater(self.clock, latency() if callable(latency) else latency)  # type: ignore[arg-type]
        if self.database.away:
            raise Busy("the database is away")


@define(eq=False, repr=False)
class MemoryControl:
    """Routers, a store and control, all in memory; time is the clock's."""

    settings: ControlSettings = Factory(ControlSettings)
    clock: TestClock = Factory(OrderedClock)
    history: MemoryHistory = Factory(MemoryHistory)
    #: Reaches the lab's issuer.
    web: WebClient | None = None
    #: The first one, and all of them by name.
    router: MemoryRouter = field(init=False)
    routers: dict[str, MemoryRouter] = field(init=False)
    store: MemoryStore = field(init=False)
    archive: MemoryArchive = field(init=False)
    database: UnreliableStore = field(init=False)
    control: Control = field(init=False)
    links: list[MemoryLink] = field(init=False)
    #: Of the control that is running.
    life: MortalClock = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.clock.advance(1_000_000)
        self.routers = {name: MemoryRouter(self.clock) for name in self.settings.routers}
        self.router = self.routers[self.settings.routers[0]]
        self.store = MemoryStore(self.clock)
        self.archive = MemoryArchive(self.clock, self.store)
        self.database = UnreliableStore(self.store)
        self.start_control()

    def start_control(self) -> None:
        """Start a control without any state, on the same store and router."""
        self.life = MortalClock(self.clock)
        store: Any = self.database.connection(self.life)
        process = MemoryProcess(self.router, self.life, self.routers)
        self.control = process.control(store, self.history, self.settings, self.web, self.archive)
        self.links = process.links
        for link in self.links:
            link.startService()

    def kill_control(self, *, silently: bool = False) -> None:
        """Kill control, in the middle of whatever it is doing; ``silently``: the routers do not learn of it."""
        self.life.die()
        for link in self.links:
            link.vanish(silently=silently)

    def stop_control(self) -> None:
        """Stop control in an orderly way."""
        self.control.stopService()
        for link in self.links:
            link.stopService()

    @property
    def link(self) -> MemoryLink:
        """Control's link to the first router."""
        return self.links[0]

    async def client(self, name: str, role: Role = Role.CLIENT, instance: str = "i", ticket: str = "") -> MemoryClient:
        """Sign a client in.  Raises control's error."""
        client = MemoryClient(await self.router.sign_in(Credentials(name, role, instance, ticket)))
        await client.listen()
        return client

    async def client_of(self, account: str, name: str | None = None, instance: str = "i") -> MemoryClient:
        """Sign a client in with a token of an account, made for it; ``name`` is the account's by default."""
        token = new_token()
        await self.store.add_token(
            f"{account} {len(self.router.sessions)}", Role.CLIENT, token_hash(token), account=account
        )
        return await self.client(account if name is None else name, instance=instance, ticket=token)

    def operator(self, name: str = "op") -> MemoryClient:
        """Sign an operator in, without a token."""
        return MemoryClient(self.router.join(name, Role.OPERATOR, "op"))

    async def worker(self, name: str, *serials: str) -> RecordingWorker:
        """Connect a worker with these boards."""
        worker = RecordingWorker(name, list(serials))
        await self.join(worker)
        return worker

    async def worker_of(self, account: str, *serials: str) -> RecordingWorker:
        """Connect a worker with these boards, with its own token."""
        token = new_token()
        await self.store.add_token(account, Role.WORKER, token_hash(token))
        worker = RecordingWorker(account, list(serials))
        await self.join(worker, token)
        return worker

    async def join(self, worker: RecordingWorker, ticket: str = "") -> None:
        """Start a worker's session."""
        worker.clock = self.clock
        bus = await self.router.sign_in(Credentials(worker.name, Role.WORKER, worker.instance, ticket))
        await worker.joined(bus)
        self.clock.advance(0)

    def pass_time(self, seconds: float, step: float = 0.5) -> None:
        """Advance time in small steps, so that timers fire in order."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
