"""The blocking and asyncio faces on a farm in memory, which lives in the engine's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from icefarm.client import aio, blocking
from icefarm.client.api.reactor_thread import engine
from icefarm.client.connection.link import Patience
from icefarm.client.lib.drivers import PulseCountClient
from icefarm.client.session import ClientSession
from icefarm.contract import Role
from icefarm.testing.farm import MemoryFarm
from icefarm.testing.memory.wamp import MemoryLink, MemoryRouter
from icefarm.wamp.credentials import Credentials

__all__ = ["Faces"]


class Faces:
    """A farm with boards A and B, and the classes of the faces bound to it."""

    def __init__(self, *serials: str) -> None:
        self.engine = engine()
        self.engine.run(self._start, serials or ("A", "B"))

        class Farm(blocking.Farm):
            _connect = staticmethod(self.connect)

        class AsyncFarm(aio.Farm):
            _connect = staticmethod(self.connect)

        class OldClient(PulseCountClient):
            _open = Farm

        self.Farm, self.AsyncFarm, self.OldClient = Farm, AsyncFarm, OldClient

    async def _start(self, serials: tuple[str, ...]) -> None:
        self.router = MemoryRouter(self.engine.reactor)
        self.farm = MemoryFarm(self.router, serials)
        await self.farm.start()

    def connect(
        self, reactor: Any, url: str, name: str, *, token: str, role: Role, patience: Patience, **_: Any
    ) -> Any:
        def link(credentials: Credentials, joined: Any, refused: Any) -> MemoryLink:
            return MemoryLink(self.router, credentials, joined, refused)

        return ClientSession(reactor, url, Credentials(name, role, "i1", token), link, patience)

    def there(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function of the farm in its own thread, and wait for its result."""

        async def call() -> Any:
            answer = function(*args)
            return await answer if hasattr(answer, "__await__") else answer

        return self.engine.run(call)
