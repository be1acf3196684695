"""A whole farm on one machine: PostgreSQL, the router, control and a worker, started together and stopped together."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import Factory, define, evolve, field
from twisted.internet.defer import CancelledError, Deferred, FirstError, ensureDeferred, gatherResults
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.protocol import Factory as ProtocolFactory
from twisted.internet.protocol import Protocol

from icefarm.farm.errors import CannotStart
from icefarm.farm.listen import HeldAddress, check_certificate, is_loopback, public_url
from icefarm.farm.paths import DataDirectory, DirectoryLock, RouterPlace
from icefarm.farm.plan import FarmOptions, control_program, own_environment, worker_program
from icefarm.farm.postgres.server import PrivatePostgres
from icefarm.farm.processes.process import ChildProcess, Program
from icefarm.farm.processes.supervisor import Part, Supervisor
from icefarm.farm.router.config import Address, RouterConfig, find_crossbar
from icefarm.farm.router.node import router_program
from icefarm.farm.router.pair import RouterPair
from icefarm.text.public_url import socket_url

__all__ = ["LocalFarm"]

#: Names of the parts without their numbers, in the order of stopping: each before what it needs.
_STOP_ORDER = ("worker", "control", "router", "PostgreSQL")


@define(eq=False)
class LocalFarm:
    """One farm, from ``start`` to ``stop``."""

    reactor: Any
    options: FarmOptions
    #: Gets each line for the user.
    tell: Callable[[str], None]
    environment: Mapping[str, str] = Factory(lambda: dict(os.environ))
    #: Where the farm can be reached, and whether that needs a token; known once it has started.
    url: str = ""
    #: Where each of its own routers can be reached.
    urls: list[str] = Factory(list)
    needs_tokens: bool = False
    #: Whether other hosts can reach it.
    _reachable: bool = False
    #: A line about each board that has failed its test.
    complaints: list[str] = Factory(list)
    _directory: DataDirectory = field(init=False)
    _lock: DirectoryLock = field(init=False)
    _parts: dict[str, Supervisor] = Factory(dict)
    _starting: Deferred[Any] | None = None
    _failure: CannotStart | None = None
    _http: Address = ("127.0.0.1", 0)
    #: Where its own routers listen.
    _listens: list[Address] = Factory(list)
    #: Where its servers listen, for as long as it runs: one that is restarted finds its port free.
    _held: list[HeldAddress] = Factory(list)

    def __attrs_post_init__(self) -> None:
        self._directory = DataDirectory(self.options.data_dir)
        self._lock = DirectoryLock(self._directory.path / "lock")

    async def start(self) -> None:
        """Start everything and wait until the boards are ready.

        Raises `CannotStart`; then, and when cancelled, nothing of it is left running.
        """
        self._starting = ensureDeferred(self._start())
        try:
            await self._starting
        except (CannotStart, CancelledError) as error:
            await self.stop()
            raise self._failure or error from None
        for part in self._parts.values():
            part.settle()
        if self.options.router is None:
            self._directory.note_running(self.url, self.needs_tokens, self._urls_of_clients())

    async def stop(self) -> None:
        """Stop everything, each part before what it needs.  Harmless when nothing runs."""
        if self._lock.held:
            self._directory.note_stopped()
        for kind in _STOP_ORDER:
            names = [name for name in self._parts if name.partition(" ")[0] == kind]
            await gatherResults([ensureDeferred(self._parts.pop(name).stop()) for name in names])
        while self._held:
            self._held.pop().release()
        self._lock.release()

    async def _start(self) -> None:
        if self._directory.path.is_dir():
            # First: where this farm runs already, its own port is in use too, and that would say less.
            self._take_directory()
        self._check()
        self._take_directory()
        # The router takes longest by far; everything else starts meanwhile, and finds it when it is up.
        await _together(self._start_routers(), self._start_services())
        await self._wait_for_boards()

    def _take_directory(self) -> None:
        self._directory.create(self.options.routers)
        if not self._lock.held:
            self._lock.acquire()

    async def _wait_for_boards(self) -> None:
        from icefarm.farm.readiness import BoardCount, wait_for_boards

        boards = BoardCount([worker.name for worker in self.options.workers()], self.options.boards)
        try:
            await wait_for_boards(self.reactor, self._local_url(), self._token(), boards, ca_file=self._ca_file())
        except CannotStart as error:
            raise CannotStart(f"{error}; control's log is {self._directory.log('control')}") from None
        self.complaints = boards.complaints()
        if boards.ready < self.options.boards:
            self.complaints.append(f"{boards.ready} of {self.options.boards} boards are ready")

    def _check(self) -> None:
        """Find mistakes before anything starts."""
        options = self.options
        check_certificate(options.certificate, options.key)
        if options.router is None:
            find_crossbar(options.crossbar)
            self._check_router_urls()
            self.options = options = evolve(options, listen=self._hold(options.listen))
            self._listens = [options.listen]
            for _ in range(1, options.routers):
                self._listens.append(self._hold_next(self._listens[-1]))
            self.urls = [public_url(listen, options.certificate is not None) for listen in self._listens]
            self.url = self.urls[0]
            # A proxy passes on connections from anywhere.
            self._reachable = not is_loopback(options.listen[0]) or bool(options.proxies)
        else:
            if options.routers > 1:
                raise CannotStart("--routers starts routers, and --router uses one that runs already: give one of them")
            if options.router_ticket_file is None:
                raise CannotStart("--router needs the ticket that control joins it with: --router-ticket-file FILE")
            self.url = options.url or options.router
            host = urlsplit(self.url).hostname
            self._reachable = host is not None and not is_loopback(host)
        if options.public_url is not None:
            # To the router, all who come through the proxy are on the proxy's host.
            self._reachable = self._reachable or not is_loopback(urlsplit(options.public_url).hostname or "")
        self.needs_tokens = self._reachable or options.require_tokens or options.private or bool(options.oidc)
        self._http = self._hold(options.http or self._http)

    def _hold(self, wanted: Address) -> Address:
        self._held.append(held := HeldAddress.hold(*wanted))
        return held.address

    def _hold_next(self, before: Address) -> Address:
        host, port = before
        self._held.append(held := HeldAddress.hold_next(host, port + 1 if self.options.listen[1] else 0))
        return held.address

    def _check_router_urls(self) -> None:
        options = self.options
        wanted = 0 if options.public_url is None else options.routers - 1
        if len(options.router_urls) != wanted:
            raise CannotStart(
                f"behind a proxy, each router after the first needs a URL of its own: give --router-url {wanted} times"
                if wanted
                else "--router-url is for farms behind a proxy: give --public-url, too, and --routers"
            )

    async def _start_routers(self) -> None:
        options = self.options
        if options.router is not None:
            self.tell(f"router: {options.router}, already running")
            await self._check_router(options.router)
            return
        ticket = self._directory.new_ticket()
        numbered = enumerate(self._listens, start=1)
        await _together(*(self._start_router(number, listen, ticket) for number, listen in numbered))

    async def _start_router(self, number: int, listen: Address, ticket: str) -> None:
        options, place = self.options, self._directory.router_place(number)
        name = _numbered("router", number)
        self.tell(f"{name}: Crossbar.io at {listen[0]} port {listen[1]}")
        config = RouterConfig(
            listen=listen,
            http=self._http,
            control=str(place.control),
            local=str(place.local),
            ticket=ticket,
            certificate=options.certificate,
            key=options.key,
            any_origin=self.needs_tokens,
            guard=options.limits.guard,
            proxies=options.proxies,
        )
        await self._supervise(name, self._router(name, place, config))

    def _router(self, name: str, place: RouterPlace, config: RouterConfig) -> Part:
        """Return one of the farm's routers: two nodes if one can stand by, else one."""
        if self.options.standby:
            config = evolve(config, turn=str(place.turn))
        programs = [
            router_program(
                find_crossbar(self.options.crossbar),
                config,
                self._directory,
                own_environment(self.environment),
                node=node,
                as_json=self.options.log_format == "json",
                label=name,
            )
            for node in place.nodes[: 2 if self.options.standby else 1]
        ]
        if len(programs) == 1:
            return ChildProcess(self.reactor, programs[0], self.tell)
        return RouterPair(self.reactor, (programs[0], programs[1]), self.tell)

    async def _check_router(self, url: str) -> None:
        """Check that something listens there: control would retry forever, which is right only later."""
        from icefarm.wamp.transport import endpoint_of
        from icefarm.wamp.url import parse_url

        try:
            connected = await endpoint_of(parse_url(url), self.reactor, None).connect(
                ProtocolFactory.forProtocol(Protocol)
            )
        except (ConnectError, DNSLookupError) as error:
            raise CannotStart(f"no router answers at {url}: {error}; see --router") from None
        connected.transport.loseConnection()

    async def _start_services(self) -> None:
        # Imported here because it takes half a second, during which the router already boots.
        from icefarm.farm import readiness  # noqa: F401
        from icefarm.farm.database import prepare_database

        database = await self._start_database()
        worker = self.options.name if self.needs_tokens and self.options.has_worker else None
        # Where people sign in at an issuer, no token need be made for them.
        by_token_only = self._reachable and not self.options.oidc
        await prepare_database(self.reactor, database, self._directory, worker=worker, reachable=by_token_only)
        await self._start_control(database)
        for number, options in enumerate(self.options.workers(), start=1):
            if options.has_worker:
                await self._start_worker(number, options)

    async def _start_database(self) -> str:
        """Return the address of the database."""
        if self.options.database is not None:
            self.tell("database: the PostgreSQL that --database names")
            return self.options.database
        self.tell(f"database: a private PostgreSQL in {self._directory.postgres}")
        postgres = PrivatePostgres(self.reactor, self._directory.postgres, self._directory.log("postgres"))
        await self._supervise("PostgreSQL", postgres)
        return postgres.dsn

    async def _start_control(self, database: str) -> None:
        self.tell("control: reservations, boards and sign-in")
        program = control_program(
            self.options,
            twistd=_twistd(),
            router=self.options.router or self._ways_of_control(),
            ticket_file=self.options.router_ticket_file or self._directory.router_ticket,
            database=database,
            http=self._http,
            sign_in="tokens" if self.needs_tokens else "open",
            environment=self.environment,
        )
        await self._run(program)

    def _ways_of_control(self) -> str:
        """Return where control joins each router, and if there are several, where clients reach it."""
        sockets = [
            f"unix:{self._directory.router_place(number).control}" for number in range(1, self.options.routers + 1)
        ]
        if len(sockets) == 1:
            return sockets[0]
        return ",".join(f"{socket}={url}" for socket, url in zip(sockets, self._urls_of_clients(), strict=True))

    def _urls_of_clients(self) -> list[str]:
        """Return where clients reach each router."""
        public = self.options.public_url
        return self.urls if public is None else [socket_url(each) for each in (public, *self.options.router_urls)]

    async def _start_worker(self, number: int, worker: FarmOptions) -> None:
        most = "" if worker.most_boards is None else f", up to {worker.most_boards} as they are needed"
        label = _numbered("worker", number)
        self.tell(f"{label}: {worker.name!r} with {worker.boards} virtual boards{most}")
        program = worker_program(
            worker,
            twistd=_twistd(),
            url=self._local_url(number),
            label=label,
            token_file=self._directory.worker_token if self.needs_tokens else None,
            environment=self.environment,
        )
        await self._run(program)

    async def _run(self, program: Program) -> None:
        await self._supervise(program.name, ChildProcess(self.reactor, program, self.tell))

    async def _supervise(self, name: str, part: Part) -> None:
        self._parts[name] = supervisor = Supervisor(self.reactor, name, part, self.tell, failed=self._ended_early)
        await supervisor.start()

    def _ended_early(self, error: CannotStart) -> None:
        """A part has ended while the others start: the farm can't start."""
        self._failure = error
        if self._starting is not None:
            self._starting.cancel()

    def _local_url(self, number: int = 1) -> str:
        """Return where this host's own worker joins a router, independent of the public port's TLS and address."""
        return self.url if self.options.router is not None else f"unix:{self._directory.router_place(number).local}"

    def _ca_file(self) -> str | None:
        return None if self.options.ca_file is None else str(self.options.ca_file)

    def _token(self) -> str:
        return self._directory.operator_token.read_text().strip() if self.needs_tokens else ""


async def _together(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run them concurrently; the first error cancels the others and is raised."""
    running = [ensureDeferred(coroutine) for coroutine in coroutines]
    try:
        await gatherResults(running, consumeErrors=True)
    except FirstError as error:
        for one in running:
            one.cancel()
        failed: Any = error.subFailure.value
        raise failed from None


def _numbered(kind: str, number: int) -> str:
    return kind if number == 1 else f"{kind} {number}"


def _twistd() -> str:
    """Return the path of twistd, which comes with Twisted."""
    found = shutil.which(str(Path(sysconfig.get_path("scripts"), "twistd"))) or shutil.which("twistd")
    if found is None:
        raise CannotStart("twistd is not installed; install icefarm again: pip install 'icefarm[farm]'")
    return found
