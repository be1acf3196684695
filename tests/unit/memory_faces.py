"""The blocking and asyncio faces on a farm in memory, which lives in the engine's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from icefarm.client import aio, blocking
from icefarm.client.api.process_engine import engine
from icefarm.client.lib.drivers import PulseCountClient
from icefarm.testing.farm import MemoryFarm
from icefarm.testing.memory.process import MemoryProcess
from icefarm.testing.memory.wamp import MemoryRouter

__all__ = ["Faces"]


class Faces:
    """A farm with boards A and B, and the classes of the faces bound to it."""

    def __init__(self, *serials: str) -> None:
        self.engine = engine()
        self.engine.run(self._start, serials or ("A", "B"))
        connect = self.process.connect

        class Farm(blocking.Farm):
            _connect = staticmethod(connect)

        class AsyncFarm(aio.Farm):
            _connect = staticmethod(connect)

        class OldClient(PulseCountClient):
            _open = Farm

        self.Farm, self.AsyncFarm, self.OldClient = Farm, AsyncFarm, OldClient

    async def _start(self, serials: tuple[str, ...]) -> None:
        self.router = MemoryRouter(self.engine.reactor)
        self.process = MemoryProcess(self.router, self.engine.reactor)
        self.farm = MemoryFarm(self.router, serials)
        await self.farm.start()

    def there(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function of the farm in its own thread, and wait for its result."""

        async def call() -> Any:
            answer = function(*args)
            return await answer if hasattr(answer, "__await__") else answer

        return self.engine.run(call)
