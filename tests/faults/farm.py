"""A real farm, each part a process of its own, with a relay on each way between two of them."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg2
from attrs import Factory, define, evolve, field
from psycopg2.extensions import make_dsn, parse_dsn
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from waiting import until

from faults.links import FarmLinks, RouterAddress
from faults.logs import LogCheck
from faults.oracle import OFFSET_PPM, Oracle, write_circuits
from faults.parts import Victim, of_postgres, of_process
from icefarm.client.session import ClientSession, Snapshot, connect
from icefarm.contract import DeviceStatus
from icefarm.errors import IcefarmError
from icefarm.farm.database import prepare_database
from icefarm.farm.paths import DataDirectory
from icefarm.farm.plan import FarmOptions, control_program, own_environment, worker_program
from icefarm.farm.postgres.server import PrivatePostgres
from icefarm.farm.processes.process import ChildProcess
from icefarm.farm.router.config import Address, RouterConfig, find_crossbar
from icefarm.farm.router.node import router_program
from icefarm.testing.processes.clusters import lay_cluster
from icefarm.testing.processes.farm_process import Witness, command_of, descendants
from icefarm.testing.processes.router import free_port

__all__ = ["CIRCUITS", "FaultyFarm"]

#: How many different circuits there are.
CIRCUITS = 64
#: Seconds for boards to become available, the slowest start of all parts included.
READY_LIMIT = 60.0
#: How a control ends in whose place another one leads, or is to: it is started again, as a standby.
DISPLACED = "over from this control, which"
#: Seconds for an answer at the socket for boards' commands.
COMMAND_LIMIT = 10.0


class _OneAnswer(LineReceiver):
    """Gives a command and takes the answer."""

    delimiter = b"\n"

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words
        self.answer: Deferred[str] = Deferred()

    def connectionMade(self) -> None:
        self.sendLine(" ".join(self.words).encode())

    def lineReceived(self, line: bytes) -> None:
        answer, self.answer = self.answer, Deferred()
        answer.callback(line.decode())
        self.transport.loseConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.answer.addErrback(lambda _: None)
        self.answer.errback(reason)


@define(eq=False)
class FaultyFarm:
    """One farm, from `start` to `stop`: PostgreSQL, routers, controls, and workers of virtual boards.

    The first worker is at the first router, and so on, in turn.  Of several controls one leads, the others stand by.
    """

    reactor: Any
    #: Boards of each worker, by its name.
    boards: Mapping[str, int]
    grace: float = 30.0
    routers_wanted: int = 1
    controls_wanted: int = 1
    #: Of the boards; a window of a second lasts 1 / speed.
    speed: str = "20"
    directory: Path = Factory(lambda: Path(tempfile.mkdtemp(prefix="icefarm-faults-")))
    said: list[str] = Factory(list)
    postgres: Victim = field(init=False)
    routers: list[Victim] = field(init=False, factory=list)
    controls: list[Victim] = field(init=False, factory=list)
    workers: dict[str, Victim] = field(init=False, factory=dict)
    #: The router of each worker.
    places: dict[str, int] = field(init=False, factory=dict)
    #: The relays between these.
    links: FarmLinks = field(init=False)
    oracle: Oracle = field(init=False)
    #: A client that looks on, past the relays.
    watcher: ClientSession = field(init=False)
    dsn: str = ""
    _options: FarmOptions = field(init=False)
    #: Where each router listens, and each control serves HTTP.
    _listens: list[Address] = field(init=False)
    _https: list[Address] = field(init=False)
    _layout: DataDirectory = field(init=False)
    _environment: dict[str, str] = field(init=False)
    #: Workers of boards, as they are after the start.
    homes: dict[str, str] = Factory(dict)
    logs: LogCheck = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._layout = DataDirectory(self.directory / "farm")
        self.logs = LogCheck(self._layout.logs)
        for name in ("tmp", "circuits", "relays"):
            (self.directory / name).mkdir()
        self._listens = [("127.0.0.1", free_port()) for _ in range(self.routers_wanted)]
        self._https = [("127.0.0.1", free_port()) for _ in range(self.controls_wanted)]
        self._environment = {**own_environment(os.environ), "TMPDIR": str(self.directory / "tmp")}
        self._options = FarmOptions(
            # Boards that nobody uses do nothing.
            calibration=False,
            data_dir=self._layout.path,
            speed=self.speed,
            model="landscape",
            offset_ppm=OFFSET_PPM,
            grace=self.grace,
            worker_grace=self.grace,
        )

    @property
    def circuits(self) -> Path:
        """Where files 0.bin, 1.bin, ... are."""
        return self.directory / "circuits"

    @property
    def parts(self) -> list[Victim]:
        """All of them that there are by now, each before what it needs."""
        database = [self.postgres] if hasattr(self, "postgres") else []
        return [*self.workers.values(), *self.controls, *self.routers, *database]

    @property
    def control(self) -> Victim:
        """The control that leads, or led last."""
        pid = self.leader()
        return next((control for control in self.controls if control.runs and control.pid == pid), self.controls[0])

    def leader(self) -> int:
        """Return the process of the control that leads, or led last, as PostgreSQL has it."""
        ((pid,),) = self.query("SELECT pid FROM control_leader")
        return int(pid)

    @property
    def operator_token(self) -> str:
        return self._layout.operator_token.read_text().strip()

    @property
    def amount(self) -> int:
        return sum(self.boards.values())

    async def start(self) -> None:
        """Start everything and wait until all boards are available."""
        self.oracle = Oracle.of(write_circuits(self.circuits, CIRCUITS), self.directory)
        self._layout.create(self.routers_wanted)
        await self._start_database()
        await self._start_relays()
        ticket = self._layout.new_ticket()
        for number, listen in enumerate(self._listens):
            self.routers.append(of_process(self._router(number, listen, ticket)))
        await gatherResults([Deferred.fromCoroutine(router.start()) for router in self.routers])
        await self._start_controls()
        for number, name in enumerate(self.boards):
            await self._start_worker(name, number % self.routers_wanted)
        host, port = self._listens[0]
        self.watcher = connect(self.reactor, f"http://{host}:{port}", "watcher")
        await self._sign_in()
        await self.all_available()
        self.homes = {device.serial: device.worker for device in (await self.watcher.snapshot()).devices}

    async def stop(self, *, keep: bool = False) -> list[str]:
        """Stop everything; returns what stayed behind though it should not: processes and files.

        With ``keep`` the directory stays, for its logs.  A farm whose start has failed can be stopped as well.
        """
        witness = Witness([pid for part in self.parts if part.runs for pid in (part.pid, *descendants(part.pid))])
        if hasattr(self, "watcher"):
            await self.watcher.stop()
        for part in self.parts:
            await part.stop()
        for link in self.links.all if hasattr(self, "links") else ():
            await link.stop()
        left = [*witness.left(), *(str(path) for path in (self.directory / "tmp").iterdir())]
        # A stop is a thing that happens to a farm, too.
        left.extend(self.logs.found())
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)
        return left

    async def set_grace(self, seconds: float) -> None:
        """Start control anew with another grace period."""
        if seconds != self.grace:
            self.grace = seconds
            self._options = evolve(self._options, grace=seconds, worker_grace=seconds)
            for control in self.controls:
                await control.stop()
            await self._start_controls()
            await self.watcher.snapshot()

    async def move_worker(self, name: str, router: int) -> None:
        """Start a worker again at another router, as its operator would."""
        await self.workers[name].stop()
        await self._start_worker(name, router)

    async def command(self, *words: str) -> None:
        """Give a command for a virtual board; the second word is its serial."""
        endpoint = UNIXClientEndpoint(self.reactor, str(self._commands(self.homes[words[1]])))
        protocol = await connectProtocol(endpoint, _OneAnswer(words))
        answer = await protocol.answer.addTimeout(COMMAND_LIMIT, self.reactor)
        assert answer == "done", f"{' '.join(words)}: {answer}"

    def boards_process(self, worker: str) -> int:
        """Return the process that runs a worker's boards."""
        (pid,) = [pid for pid in descendants(self.workers[worker].pid) if "icefarm-boards" in command_of(pid)]
        return pid

    def serials(self, worker: str | None = None) -> list[str]:
        return sorted(serial for serial, home in self.homes.items() if worker in (None, home))

    async def snapshot(self) -> Snapshot:
        return await self.watcher.snapshot()

    async def all_available(self, limit: float = READY_LIMIT) -> float:
        """Wait until every board is available to everybody; returns the seconds that it took."""
        began = self.reactor.seconds()
        states: list[tuple[str, str, str | None]] = []

        async def are_available() -> bool:
            snapshot = await self.watcher.snapshot()
            states[:] = [(device.serial, device.status.value, device.reason) for device in snapshot.devices]
            return len(states) == self.amount and all(state[1] == DeviceStatus.AVAILABLE for state in states)

        await until(are_available, lambda: f"all boards are available: {states}", limit)
        return float(self.reactor.seconds() - began)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask PostgreSQL, past control."""
        connection = psycopg2.connect(self.dsn)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()

    async def _start_database(self) -> None:
        lay_cluster(self._layout.postgres)
        private = PrivatePostgres(self.reactor, self._layout.postgres, self._layout.log("postgres"))
        self.dsn = private.dsn
        self.postgres = of_postgres(private)
        await self.postgres.start()
        await prepare_database(self.reactor, self.dsn, self._layout, worker=None, reachable=False)

    async def _sign_in(self) -> None:
        """Sign the watcher in, as soon as control lets somebody."""

        async def is_in() -> bool:
            try:
                await self.watcher.start()
            except IcefarmError:
                self.watcher = connect(self.reactor, self.watcher.url, "watcher")
                return False
            return True

        await until(is_in, "control lets the watcher in", READY_LIMIT)

    async def _start_relays(self) -> None:
        where = parse_dsn(self.dsn)
        self.links = FarmLinks.of(
            self.reactor,
            self.directory / "relays",
            [
                RouterAddress(listen, self._layout.router_place(number).control)
                for number, listen in enumerate(self._listens, start=1)
            ],
            self.controls_wanted,
            Path(where["host"], f".s.PGSQL.{where['port']}"),
        )
        for link in self.links.all:
            await link.start()

    async def _start_controls(self) -> None:
        """Start them one after the other; which of them leads is PostgreSQL's to say."""
        self.controls = [
            of_process(self._control(number), restart_after=DISPLACED if self.controls_wanted > 1 else None)
            for number in range(self.controls_wanted)
        ]
        for control in self.controls:
            await control.start()

    async def _start_worker(self, name: str, router: int) -> None:
        self.places[name] = router
        self.workers[name] = of_process(self._worker(name, self.boards[name], router))
        await self.workers[name].start()

    def _router(self, number: int, listen: Address, ticket: str) -> ChildProcess:
        place = self._layout.router_place(number + 1)
        config = RouterConfig(listen, self._https[0], str(place.control), ticket, str(place.local))
        label = f"router {number + 1}"
        program = router_program(
            find_crossbar(None), config, self._layout, self._environment, node=place.nodes[0], label=label
        )
        return ChildProcess(self.reactor, program, self.said.append)

    def _control(self, number: int) -> ChildProcess:
        ways = [f"unix:{way.own}" for way in self.links.controls[number]]
        if len(ways) > 1:
            # Clients go through their relay to each router that control names.
            ways = [f"{way}={link.url}" for way, link in zip(ways, self.links.clients, strict=True)]
        program = control_program(
            self._options,
            twistd=_twistd(),
            router=",".join(ways),
            ticket_file=self._layout.router_ticket,
            database=make_dsn(self.dsn, host=str(self.links.databases[number].own.parent)),
            http=self._https[number],
            sign_in="open",
            environment=self._environment,
        )
        program = evolve(program, name=f"control {number + 1}", log=self._layout.log(f"control-{number + 1}"))
        return ChildProcess(self.reactor, program, self.said.append)

    def _worker(self, name: str, boards: int, router: int) -> ChildProcess:
        options = evolve(self._options, name=name, boards=boards)
        url = self.links.workers[router].url
        program = worker_program(options, twistd=_twistd(), url=url, token_file=None, environment=self._environment)
        command = (*program.command, f"--virtual-commands={self._commands(name)}")
        program = evolve(program, name=name, log=self._layout.log(name), command=command, stop_signal=signal.SIGTERM)
        return ChildProcess(self.reactor, program, self.said.append)

    def _commands(self, worker: str) -> Path:
        return self.directory / f"{worker}.sock"


def _twistd() -> str:
    return str(Path(sys.executable).with_name("twistd"))
