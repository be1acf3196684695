"""A whole farm in memory whose processes can be killed and whose messages take as long as a test likes.

Control, workers and clients are the real ones; the router, the database, the boards and the clock are twins in memory.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import cache, partial
from itertools import count
from typing import Any, NamedTuple

from attrs import Factory, define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from bench.circuits import Form, circuit
from icefarm.bitstream import Bitstream, made_up_bitstream
from icefarm.client.connection.patience import Patience
from icefarm.client.evaluation.payload import item_of
from icefarm.client.evaluation.plan import RunPlan
from icefarm.client.evaluation.results import Result
from icefarm.client.evaluation.run import results_of
from icefarm.client.session import ClientSession
from icefarm.contract import ReservationRecord, Role
from icefarm.control.sessions.routers import ONLY
from icefarm.control.wiring.service import ControlSettings
from icefarm.errors import IcefarmError, LinkLost, ReservationEnded
from icefarm.kinds import Kinds
from icefarm.kinds.circuit import Admission
from icefarm.kinds.pulsecount import PulseCount
from icefarm.testing.memory.boards import MemoryBoard, MemoryHardware, memory_images
from icefarm.testing.memory.clock import MortalClock, OrderedClock
from icefarm.testing.memory.control_harness import MemoryControl
from icefarm.testing.memory.process import MemoryProcess
from icefarm.testing.memory.wamp import MemoryLink, MemoryRouter
from icefarm.usb.usb_events import UsbEvent
from icefarm.worker.control_link.link import WorkerIdentity
from icefarm.worker.flash.images import Images
from icefarm.worker.service import Worker

__all__ = ["ClientProcess", "MemoryWorld", "WorkerProcess"]

#: Seconds that clients outlast, that boards evaluate, and that clients go on without a farm.
GRACE = 3.0
EVALUATION = 0.2
PATIENCE = Patience(connect=60.0, retry=60.0)
#: How many circuits each client has, which no other has.
CIRCUITS = 3


@frozen
class OwnCircuit:
    """A circuit of one client."""

    data: Bitstream
    #: What boards get of it.
    loaded: bytes


@cache
def circuits_of(client: int) -> list[OwnCircuit]:
    """Return the circuits of a client, by its number.

    One is sparse; two are dense and relatives, of which one travels as its difference from the other.
    """
    relatives = [circuit(2 * client + number, Form.RELATED) for number in range(CIRCUITS - 1)]
    made = [made_up_bitstream(client, sparseness=14), *relatives]
    return [OwnCircuit(each, Admission().admit(each.data).payload) for each in made]


def pulses_of(serial: str, payload: bytes) -> int:
    """Return what a circuit, as it is sent, gives on a board."""
    return zlib.crc32(payload, zlib.crc32(serial.encode())) % 1_000_000


class Held(NamedTuple):
    """Who has a board."""

    serial: str
    reservation: str
    client: str


@define(eq=False, repr=False)
class BoardsInMemory:
    """Boards as a worker's source; they outlive it."""

    boards: list[MemoryBoard]

    async def images(self, _: Kinds) -> Images:
        return memory_images("default", "pulse_count")

    async def start(self, tell: Callable[[UsbEvent], None]) -> None:
        for board in self.boards:
            board.tell = tell
            board.show()

    async def stop(self) -> None:
        for board in self.boards:
            board.tell = lambda _: None


@define(eq=False, repr=False)
class WorkerProcess:
    """A worker, and the boards that are plugged in there."""

    clock: Clock
    router: MemoryRouter
    name: str
    boards: list[MemoryBoard]
    failures: list[Any]
    worker: Worker = field(init=False)
    process: MemoryProcess = field(init=False)
    life: MortalClock = field(init=False)
    _starts: Any = Factory(lambda: count(1))

    def start(self) -> None:
        self.life = MortalClock(self.clock)
        self.process = MemoryProcess(self.router, self.life)
        self.worker = self.process.worker(
            WorkerIdentity(self.name, f"start {next(self._starts)}", "host", "1.0"), MemoryHardware(self.boards),
            Kinds.of(PulseCount), BoardsInMemory(self.boards), failed=self.failures.append, left=lambda: None,
        )  # fmt: skip
        self.worker.startService()

    @property
    def link(self) -> MemoryLink:
        return self.process.link

    @property
    def runs(self) -> bool:
        return self.life.alive

    def kill(self, *, silently: bool) -> None:
        self.life.die()
        self.process.vanish(silently=silently)
        for board in self.boards:
            board.tell = lambda _: None
            board.let_go()

    def held(self) -> set[Held]:
        """Return what its boards serve."""
        serving = [(board.serial, board.reservation) for board in self.worker.boards]
        return {
            Held(serial, id, client)
            for serial, reservation in serving
            if reservation is not None
            for client, id in reservation.held()
        }


@define(eq=False, repr=False)
class ClientProcess:
    """An experimenter's program: carries out experiments, and keeps account of what it was answered."""

    clock: Clock
    router: MemoryRouter
    name: str
    #: Its window and its circuits are its own, so that what is measured for somebody else is seen.
    number: int
    #: What must not happen, as sentences; failures in the code.
    faults: list[Any]
    #: The farm's routers, by URL.
    routers: dict[str, MemoryRouter]
    #: The farm's, as it was given it.
    url: str
    session: ClientSession = field(init=False)
    process: MemoryProcess = field(init=False)
    life: MortalClock = field(init=False)
    #: What it does now, by number; an experiment ends by itself, whatever happens.
    doing: dict[int, str] = Factory(dict)
    values: int = 0
    errors: Counter[str] = Factory(Counter)
    _starts: Any = Factory(lambda: count(1))
    _numbers: Any = Factory(lambda: count(1))

    @property
    def window(self) -> float:
        return 0.01 * (1 + self.number)

    def start(self) -> None:
        instance = f"start {next(self._starts)}"
        self.life = MortalClock(self.clock)
        self.doing.clear()

        self.process = MemoryProcess(self.router, self.life, self.routers)
        self.session = self.process.client(self.name, instance=instance, patience=PATIENCE, url=self.url)
        self._do("sign in", self._sign_in(), self._refused)

    async def _sign_in(self) -> None:
        await self.session.start()
        # What an earlier start of this program has left.
        await self.session.end()

    def _refused(self) -> None:
        """It was not let in: the program ends."""
        if not self.session.serials:
            self.kill(silently=False)

    @property
    def link(self) -> MemoryLink:
        return self.process.link

    @property
    def runs(self) -> bool:
        return self.life.alive

    def kill(self, *, silently: bool) -> None:
        self.life.die()
        self.process.vanish(silently=silently)
        self.doing.clear()

    def stall(self, seconds: float) -> None:
        """Let all that it says be late by some seconds."""
        if self.link.bus is not None:
            self.router.stall(self.link.bus, seconds)

    def experiment(
        self, amount: int, items: int, *, wait: bool = False, timeout: float | None = None, shared: bool = False
    ) -> None:
        what = f"experiment with {amount} boards and {items} items"
        self._do(what, self._experiment(amount, items, wait, timeout, shared))

    def extend(self) -> None:
        self._do("extend", self.session.extend(seconds=600.0))

    def end(self) -> None:
        self._do("end", self.session.end())

    def _do(self, what: str, doing: Coroutine[Any, Any, Any], failed: Callable[[], None] = lambda: None) -> None:
        number, life = next(self._numbers), self.life
        self.doing[number] = what

        def ended(result: Any) -> None:
            if not life.alive:
                return
            self.doing.pop(number, None)
            error = getattr(result, "value", None)
            if isinstance(error, IcefarmError):
                self.errors[error.name] += 1
                failed()
            elif error is not None:
                self.faults.append(result)

        Deferred.fromCoroutine(doing).addBoth(ended)

    async def _experiment(self, amount: int, items: int, wait: bool, timeout: float | None, shared: bool) -> None:
        try:
            records = await self.session.reserve(
                amount, wait=wait, timeout=timeout, seconds=600.0, options={"window": self.window}, shared=shared
            )
        except LinkLost:
            # The farm was away for longer than the session asks again; what it may have granted is not wanted any more.
            await self.session.end()
            raise
        by_serial = {record.serial: record for record in records}
        if len(by_serial) != amount:
            self.faults.append(f"{self.name} asked for {amount} boards and got {sorted(by_serial)}")
        await self._evaluate(by_serial, items)
        own = [serial for serial, record in by_serial.items() if self.session.holds(serial, record.id)]
        if own:
            await self.session.end(own)

    async def _evaluate(self, by_serial: dict[str, ReservationRecord], items: int) -> None:
        answers: Counter[int] = Counter()
        run = self.session.run(RunPlan(list(by_serial)), by_serial)
        try:
            circuits = [each.data for each in circuits_of(self.number)]
            given = [item_of(number, bitstream=circuits[number % CIRCUITS]) for number in range(items)]
            async for result in results_of(run, given):
                answers[result.source] += 1
                self._check(result)
        except ReservationEnded:
            # Told by name that no board is left; what was not answered by then never is.
            if max(answers.values(), default=1) > 1:
                self.faults.append(f"{self.name} was answered twice: {answers}")
        else:
            if answers != Counter(range(items)):
                self.faults.append(f"{self.name} asked for {items} evaluations and was answered {answers}")

    def _check(self, result: Result) -> None:
        if result.error is not None:
            self.errors[result.error.name] += 1
            return
        self.values += 1
        measured = result.measurement
        expected = pulses_of(measured.serial, circuits_of(self.number)[result.source % CIRCUITS].loaded)
        if (measured.value, measured.options["window"]) != (expected, self.window):
            self.faults.append(f"{self.name} got what it had not asked for: {measured}")


@define(eq=False, repr=False)
class MemoryWorld:
    """Everybody."""

    #: Serials (16 characters) of the boards of each worker, and the names of clients.
    boards: dict[str, list[str]]
    names: list[str]
    #: Gives the seconds that the next message takes.
    latency: Callable[[], float]
    farm: MemoryControl = field(init=False)
    workers: list[WorkerProcess] = field(init=False)
    clients: list[ClientProcess] = Factory(list)
    #: When each client was last seen at the router.
    seen: dict[str, float] = Factory(dict)
    faults: list[Any] = Factory(list)
    #: The URLs of its routers; workers are dealt out to them, and clients sign in at the first.
    routers: tuple[str, ...] = (ONLY,)

    def __attrs_post_init__(self) -> None:
        self.farm = MemoryControl(ControlSettings(grace=GRACE, routers=self.routers))
        self.clock, self.router = self.farm.clock, self.farm.router
        places = list(self.farm.routers.values())
        self.workers = [
            WorkerProcess(
                self.clock,
                places[number % len(places)],
                name,
                [self._board(serial) for serial in serials],
                self.faults,
            )
            for number, (name, serials) in enumerate(self.boards.items())
        ]
        for worker in self.workers:
            worker.start()
            self.pass_time(1.0)
        for name in self.names:
            self.new_client(name)
            self.pass_time(1.0)
        self._take(self.latency)

    def _take(self, latency: float | Callable[[], float]) -> None:
        """Let messages, and questions to the database, take their time."""
        self.farm.database.latency = latency
        for router in self.farm.routers.values():
            router.latency = latency

    clock: OrderedClock = field(init=False)
    router: MemoryRouter = field(init=False)

    def _board(self, serial: str) -> MemoryBoard:
        pulses = partial(self._measured, serial)
        return MemoryBoard(self.clock, serial, lambda _: None, plugged=True, takes=EVALUATION, pulses=pulses)

    def _measured(self, serial: str, payload: bytes, window_us: int) -> int:
        """A board measures a circuit: it must be one of the client whose reservation has that window."""
        for client in self.clients:
            own = any(payload == circuit.loaded for circuit in circuits_of(client.number))
            if own and window_us != round(client.window * 1e6):
                self.faults.append(f"{serial} measured a circuit of {client.name} for somebody else")
        return pulses_of(serial, payload)

    @property
    def all_boards(self) -> list[MemoryBoard]:
        return [board for worker in self.workers for board in worker.boards]

    def pass_time(self, seconds: float) -> None:
        """Let happen what happens within some seconds, each thing at its moment."""
        end = self.clock.seconds() + seconds
        while (due := self.clock.next_call()) is not None and due <= end:
            self.clock.advance(max(0.0, due - self.clock.seconds()))
            for router in self.farm.routers.values():
                self.seen.update((bus.authid, due) for bus in router.sessions.values() if bus.role is Role.CLIENT)
        self.clock.advance(max(0.0, end - self.clock.seconds()))

    def restart_control(self) -> None:
        """Start a control, where none runs."""
        if not self.farm.life.alive:
            self.farm.start_control()

    def take_away(self, serial: str) -> None:
        """Let an operator end the reservation of a board, if control can be reached."""
        operator = self.farm.operator()

        def ended(result: Any) -> None:
            operator.bus.drop("done")
            if isinstance(result, Failure) and not isinstance(result.value, IcefarmError):
                self.faults.append(result)

        Deferred.fromCoroutine(operator.call("end_any", [serial])).addBoth(ended)

    def heal(self) -> None:
        """Whatever was wrong is right again, and messages arrive at once; dead clients stay dead."""
        self._take(0.001)
        self.farm.database.away = False
        for router in self.farm.routers.values():
            router.start()
        for board in self.all_boards:
            board.faults.clear()
            if not board.plugged:
                board.plug()
        self.restart_control()
        for worker in self.workers:
            if not worker.runs:
                worker.start()

    def new_client(self, name: str, url: str = "memory:") -> ClientProcess:
        """Start one more client, which nothing has happened to."""
        client = ClientProcess(self.clock, self.router, name, len(self.clients), self.faults, self.farm.routers, url)
        self.clients.append(client)
        client.start()
        return client

    def reserved(self) -> set[Held]:
        """Return who has which board, as the database has it."""
        return {Held(record.serial, record.id, record.client) for record in self.farm.store._active()}

    def served(self) -> set[Held]:
        """Return the same as the workers have it."""
        return {held for worker in self.workers for held in worker.held()}

    def believed(self) -> set[Held]:
        """Return the same as the clients have it."""
        return {
            Held(serial, lease.record.id, client.name)
            for client in self.clients
            if client.runs
            for serial, lease in client.session._reservations.leases.by_serial.items()
        }
