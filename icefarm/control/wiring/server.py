"""Control as a process: database, routers and HTTP around the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.bus import Bus
from icefarm.contract import forwarding_path
from icefarm.control.archive.postgres import PostgresArchive
from icefarm.control.http.api import HttpApi
from icefarm.control.http.auth import HttpIdentity
from icefarm.control.http.limited_answer import LimitedAnswer
from icefarm.control.http.resource import ApiResource
from icefarm.control.http.site import FarmView, site
from icefarm.control.http.waiting import WaitingRequests
from icefarm.control.sessions.sign_in.authenticator import SignInPolicy
from icefarm.control.storage.leader import Leadership
from icefarm.control.storage.migrations import SchemaMismatch, migrate
from icefarm.control.storage.pool import Database
from icefarm.control.storage.postgres.history import PostgresHistory
from icefarm.control.storage.postgres.store import PostgresStore
from icefarm.control.wiring.router_probe import RouterProbe
from icefarm.control.wiring.service import Control, ControlSettings
from icefarm.dashboard.page import page_files
from icefarm.errors import Busy, IcefarmError
from icefarm.oidc.http import HttpClient
from icefarm.text.public_url import socket_url
from icefarm.twistd.exit import stop_as_failed
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link

__all__ = ["ControlProcess", "farm_view", "http_api"]

#: Seconds between attempts to reach a database that was away at start: the first, and the longest.
RETRY_FIRST = 1.0
RETRY_LONGEST = 10.0


def farm_view(control: Control, leader: Callable[[], str] = str, full: Callable[[], str] = str) -> FarmView:
    """Return what the pages need from control.

    ``leader``: which control leads the farm, where this one stands by; ``full`` as in `FarmView`.
    """
    return FarmView(
        control.is_connected,
        LimitedAnswer(control.overview, control.clock),
        LimitedAnswer(control.metrics_page, control.clock),
        page_files(),
        public=control.settings.sign_in is SignInPolicy.OPEN,
        issued=control.issued,
        leader=leader,
        url=None if control.settings.public_url is None else socket_url(control.settings.public_url),
        lost=control.lost_routers,
        full=full,
    )


def http_api(control: Control) -> HttpApi:
    """Return the HTTP API over control's procedures."""
    identity = HttpIdentity(control.settings.sign_in, control.credentials, control.sessions)
    requests = WaitingRequests(control.perform, control.store, control.clock)
    return HttpApi(identity, control.perform, requests, control.settings.public_url)


class ControlProcess(Service):
    """Starts control's parts in order, and stops them in reverse order.

    Where another control leads the farm, this one stands by until that is gone, or reaches no router while this one
    reaches one (`icefarm.control.storage.leader`).  The database comes first: once control is at the router, the farm
    knows its boards.  If the database or the router is away, control keeps trying; if the database does not fit this
    version, the HTTP port is taken, the router refuses control, or another control takes over, the process exits.
    """

    log = Logger(namespace="icefarm.control")

    def __init__(
        self,
        reactor: Any,
        routers: Mapping[str, str],
        credentials: Credentials,
        dsn: str,
        http: tuple[str, int],
        settings: ControlSettings,
        *,
        ca_file: str | None = None,
        insecure: bool | None = None,
    ) -> None:
        """``routers``: control's own way to each, by the URL at which clients reach it.

        ``ca_file`` as in `icefarm.wamp.parse_url`.  Raises `InvalidArgument` if a router's URL is invalid.
        """
        self.reactor = reactor
        settings = evolve(settings, routers=tuple(routers))
        self.links = {
            name: Link(
                reactor,
                url,
                credentials,
                partial(self._joined, name),
                partial(self._refused, name),
                ca_file=ca_file,
                insecure=insecure,
            )
            for name, url in routers.items()
        }
        self.probe = RouterProbe(reactor, self.links.values())
        self.leadership = Leadership(reactor, dsn, self._out, self.probe)
        self.database = Database(reactor, dsn, fence=self.leadership.fence)
        web = None if settings.oidc is None else HttpClient(reactor, settings.oidc.ca_file)
        self.archive = PostgresArchive(self.database)
        self.control = Control(
            reactor, PostgresStore(self.database), PostgresHistory(self.database), settings, web, self.archive
        )
        self.database.listener = self.control
        self.credentials = credentials
        self.http = http
        self._port: Any = None
        self._linked = False
        self._starting: Deferred[None] | None = None

    def startService(self) -> None:
        """Start; retry what is not available yet."""
        Service.startService(self)
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._failed)

    def stopService(self) -> Deferred[None]:
        """Stop, within a bounded time."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _start(self) -> None:
        await self._listen()
        await self.leadership.acquire()
        await self._reach_database()
        await self.leadership.claim()
        await self.control.prepare()
        self.control.startService()
        self._linked = True
        for link in self.links.values():
            link.startService()

    async def _listen(self) -> None:
        host, port = self.http
        endpoint = (TCP6ServerEndpoint if ":" in host else TCP4ServerEndpoint)(self.reactor, port, interface=host)
        forwarding = forwarding_path(self.credentials.ticket)
        pages = site(farm_view(self.control, self._leader, self.database.full), forwarding)
        pages.resource = ApiResource(http_api(self.control), pages.resource)
        self._port = await endpoint.listen(pages)

    async def _reach_database(self) -> None:
        """Wait for the database as long as it takes, and bring it to this version's schema."""
        try:
            await self.database.start()
        except Busy as error:
            self.log.error("{error}; retrying", error=error)
        delay = RETRY_FIRST
        while True:
            try:
                await migrate(self.database)
            except Busy:
                await deferLater(self.reactor, delay)
                delay = min(2 * delay, RETRY_LONGEST)
            else:
                return

    async def _joined(self, router: str, bus: Bus) -> None:
        """Begin a session.  In doubt whether it leads, this control takes no procedures from another one."""
        await self.control.joined(bus, replace=await self.leadership.confirm(), router=router)

    def _refused(self, router: str, error: IcefarmError) -> bool:
        tries_on = self.control.refused(error, router)
        if not tries_on:
            self.log.critical(
                "the router at {url} refuses {name!r}: {error}; --router is to name its endpoint for control, and "
                "--router-ticket-file the ticket that its configuration has for that",
                url=self.links[router].url,
                name=self.credentials.authid,
                error=error,
            )
            stop_as_failed(self.reactor)
        return tries_on

    def _leader(self) -> str:
        return self.leadership.leader if self.leadership.stands_by else ""

    def _out(self, why: str) -> None:
        """End the process, and with it whatever it does in the farm's name; its supervisor starts it as a standby."""
        self.log.critical("{why}", why=why)
        for bus in list(self.control.parts.routers.buses.values()):
            bus.drop("this control ends")
        stop_as_failed(self.reactor)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        if failure.check(SchemaMismatch, CannotListenError):
            self.log.critical("control cannot start: {why}", why=failure.getErrorMessage())
        else:
            self.log.failure("control cannot start", failure)
        stop_as_failed(self.reactor)

    async def _stop(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
        self.control.stopService()
        if self._linked:
            await gatherResults([link.stopService() for link in self.links.values()])
        if self._port is not None:
            await self._port.stopListening()
        self.archive.stop()
        await self.database.stop()
        await self.leadership.stop()
        self.probe.stop()
