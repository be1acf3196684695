"""A real router for integration tests: a Crossbar.io node on free ports of the loopback interface."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from icefarm.farm.paths import DataDirectory
from icefarm.farm.processes.process import ChildProcess
from icefarm.farm.router.config import RouterConfig, find_crossbar
from icefarm.farm.router.node import router_program

__all__ = ["RealRouter", "free_port"]


#: The lowest port that is chosen; services of the machine have those below, as a rule.
LOWEST = 10_000


def free_port() -> int:
    """Return a TCP port of the loopback interface that is free now, and that the system gives to nobody.

    It is below those that the system chooses for connections, and for servers that ask for any free one: one of those
    could have it by the time when it is used.
    """
    first, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    while True:
        # Tests in several processes may begin their random numbers in the same way.
        port = LOWEST + secrets.randbelow(max(first, 2 * LOWEST) - LOWEST)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@frozen(eq=False)
class RealRouter:
    """A running Crossbar.io node."""

    #: Where clients and workers connect: over RawSocket, over WebSocket, over a Unix socket.
    url: str
    websocket_url: str
    local_url: str
    #: Where control connects, and its ticket.
    control_url: str
    ticket: str
    ticket_file: Path
    #: The loopback port to which HTTP requests are passed on; only tests listen there.
    http_port: int
    _node: ChildProcess

    @classmethod
    async def start(
        cls, reactor: Any, path: Path, complain: Callable[[str], None] = print, tls: tuple[Path, Path] | None = None
    ) -> RealRouter:
        """Start it with its files under ``path``, and wait until it is ready.

        ``tls``: the files of the certificate (for localhost) and key of its public port.
        """
        directory = DataDirectory(path)
        directory.create()
        port, http_port = free_port(), free_port()
        control, local = str(directory.run / "control.sock"), str(directory.run / "local.sock")
        ticket = directory.new_ticket()
        config = RouterConfig(("127.0.0.1", port), ("127.0.0.1", http_port), control, ticket, local, *(tls or ()))
        program = router_program(find_crossbar(None), config, directory, dict(os.environ))
        node = ChildProcess(reactor, program, complain)
        await node.start()
        return cls(
            url=f"http://127.0.0.1:{port}" if tls is None else f"https://localhost:{port}",
            websocket_url=f"ws://127.0.0.1:{port}/ws" if tls is None else f"wss://localhost:{port}/ws",
            local_url=f"unix:{local}",
            control_url=f"unix:{control}",
            ticket=ticket,
            ticket_file=directory.router_ticket,
            http_port=http_port,
            node=node,
        )

    async def restart(self) -> None:
        """Restart it at the same place."""
        await self._node.stop()
        await self._node.start()

    async def stop(self) -> None:
        """Stop it and wait until it is gone."""
        await self._node.stop()
