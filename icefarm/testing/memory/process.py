"""A process of a farm in memory: the real control, worker or client in it, its clock, and its links to the router.

Every farm in memory is put together of these, and swaps what its tests are about: the store, the boards, the clock,
or a whole process (`icefarm.testing.memory.fake_control`, `icefarm.testing.farm`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any

from attrs import Factory, define, frozen
from twisted.python.failure import Failure

from icefarm.client.connection.patience import Patience
from icefarm.client.session import ClientSession
from icefarm.concurrency.clock import Clock
from icefarm.contract import Role
from icefarm.control.archive.interface import Archive
from icefarm.control.storage.history import History
from icefarm.control.storage.interface import Store
from icefarm.control.wiring.service import Control, ControlSettings
from icefarm.kinds.registry import Kinds
from icefarm.oidc.web_client import WebClient
from icefarm.testing.memory.wamp import MemoryLink, MemoryRouter
from icefarm.wamp.credentials import Credentials, Tickets
from icefarm.worker.board.hardware import Hardware
from icefarm.worker.control_link.alive import AliveFile
from icefarm.worker.control_link.link import WorkerIdentity
from icefarm.worker.service import Worker
from icefarm.worker.sources import Source

__all__ = ["MemoryProcess"]


@frozen
class _Outcomes:
    """Tells a test how a worker ended; an `icefarm.worker.control_link.shutdown.WorkerProcess`."""

    failed: Callable[[Failure], None]
    left: Callable[[], None]


@define(eq=False)
class MemoryProcess:
    """Its methods return services that are not started yet; `link` is the last link that it made."""

    router: MemoryRouter
    #: The clock of all services in it: the test's, the reactor, or a `MortalClock` for a process that can be killed.
    clock: Any
    #: The farm's other routers, by URL.
    others: Mapping[str, MemoryRouter] = Factory(dict)
    links: list[MemoryLink] = Factory(list)
    _instances: Any = Factory(lambda: count(1))

    @property
    def link(self) -> MemoryLink:
        return self.links[-1]

    def make_link(
        self, credentials: Credentials, joined: Any, refused: Any, router: MemoryRouter | None = None
    ) -> MemoryLink:
        """Make a link, as `icefarm.wamp.Link` is made."""
        self.links.append(MemoryLink(router or self.router, credentials, joined, refused, clock=self.clock))
        return self.link

    def control(
        self,
        store: Store,
        history: History,
        settings: ControlSettings,
        web: WebClient | None = None,
        archive: Archive | None = None,
    ) -> Control:
        """Make a control, and its links."""
        control = Control(self.clock, store, history, settings, web, archive)
        credentials = Credentials("control", Role.CONTROL, "c")
        for name in settings.routers:
            joined, refused = partial(control.joined, router=name), partial(control.refused, router=name)
            self.make_link(credentials, joined, refused, self.others.get(name))
        return control

    def worker(
        self,
        identity: WorkerIdentity,
        hardware: Hardware,
        kinds: Kinds,
        source: Source,
        *,
        failed: Callable[[Failure], None],
        left: Callable[[], None],
        alive: AliveFile | None = None,
    ) -> Worker:
        """Make a worker, which makes its link when it starts."""
        credentials = Credentials(identity.name, Role.WORKER, identity.instance)

        def link(joined: Any, refused: Any) -> MemoryLink:
            return self.make_link(credentials, joined, refused)

        outcomes = _Outcomes(failed, left)
        return Worker(
            identity, self.clock, hardware, kinds, [source], link, outcomes, alive=alive or AliveFile()
        )  # fmt: skip

    def client(
        self,
        name: str,
        *,
        role: Role = Role.CLIENT,
        instance: str = "",
        token: str = "",
        patience: Patience | None = None,
        url: str = "memory:",
        random: Callable[[], float] = lambda: 0.5,
        tickets: Tickets | None = None,
    ) -> ClientSession:
        """Make a client's session, which makes its link when it starts."""
        credentials = Credentials(name, role, instance or f"i{next(self._instances)}", token, follows=True)

        def make_link(url: str, credentials: Credentials, joined: Any, refused: Any) -> MemoryLink:
            link = self.make_link(credentials, joined, refused, self.others.get(url))
            link.tickets = tickets
            return link

        return ClientSession(self.clock, url, credentials, make_link, patience or Patience(5, 60), random, tickets)

    def connect(
        self, _: Clock, url: str, name: str, *, token: str, role: Role, patience: Patience, **__: Any
    ) -> ClientSession:
        """Stand in for `icefarm.client.session.connect`, for the faces of the client."""
        return self.client(name, role=role, token=token, patience=patience, url=url)

    def vanish(self, *, silently: bool = False) -> None:
        """Have the routers lose it, as when a process is killed."""
        for link in self.links:
            link.vanish(silently=silently)
