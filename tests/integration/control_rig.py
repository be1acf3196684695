"""Control at a real router, in this process or as one of its own, and who comes to it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import leftovers
from attrs import Factory, define
from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol, Protocol
from twisted.python.failure import Failure
from waiting import until

from icefarm.contract import Role
from icefarm.control.sessions.routers import ONLY
from icefarm.control.wiring.server import ControlProcess
from icefarm.control.wiring.service import ControlSettings
from icefarm.errors import IcefarmError, LinkLost
from icefarm.testing.memory.control_harness import MemoryClient, RecordingWorker
from icefarm.testing.processes.router import RealRouter
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link

__all__ = ["LIMIT", "Rig", "Twistd", "flags_for", "http", "reactor"]

reactor: Any = the_reactor
#: Seconds that anything here may take, unless said otherwise.
LIMIT = 20.0


@define(eq=False)
class Rig:
    """Control in this process at a real router, and who comes to it."""

    router: RealRouter
    dsn: str
    directory: Path
    process: ControlProcess | None = None
    links: list[Link] = Factory(list)

    def unstarted(self, http_port: int, **settings: Any) -> ControlProcess:
        """Make a control for the router and the database."""
        credentials = Credentials("control", Role.CONTROL, "c", self.router.ticket)
        chosen = ControlSettings(**{"data_directory": self.directory, **settings})
        http = ("127.0.0.1", http_port)
        return ControlProcess(reactor, {ONLY: self.router.control_url}, credentials, self.dsn, http, chosen)

    async def start(self, **settings: Any) -> ControlProcess:
        """Start control and wait until it is at the router."""
        process = self.process = self.unstarted(self.router.http_port, **settings)
        process.startService()
        await until(lambda: process.control.bus is not None, "control is at the router")
        # Whoever signs in needs the authenticator, which is registered last.
        await self.settle()
        return process

    async def settle(self) -> None:
        """Wait until control lets somebody in."""
        link, _ = await self.sign_in(Role.CLIENT, "doorbell", ticket=self.operator_token())
        await link.stopService()

    async def stop(self) -> None:
        """Stop control, and leave the others at the router."""
        if self.process is not None:
            await self.process.stopService()
            self.process = None

    def operator_token(self) -> str:
        return (self.directory / "operator.token").read_text().strip()

    async def sign_in(
        self,
        role: Role,
        name: str,
        instance: str = "i",
        ticket: str = "",
        joined: Callable[[Any], Any] | None = None,
    ) -> tuple[Link, Any]:
        """Sign in once; raises what the sign-in was refused with.  A router without control yet is tried again."""
        session: Deferred[Any] = Deferred()

        async def have(bus: Any) -> None:
            if joined is not None:
                await joined(bus)
            if not session.called:
                session.callback(bus)

        def refused(error: IcefarmError) -> bool:
            if not isinstance(error, LinkLost) and not session.called:
                session.errback(error)
                return False
            return True

        link = Link(reactor, self.router.url, Credentials(name, role, instance, ticket), have, refused)
        self.links.append(link)
        link.startService()
        return link, await session.addTimeout(LIMIT, reactor)

    async def client(self, name: str, **how: Any) -> MemoryClient:
        _, bus = await self.sign_in(how.pop("role", Role.CLIENT), name, **how)
        client = MemoryClient(bus)
        await client.listen()
        return client

    async def worker(self, name: str, *serials: str) -> tuple[Link, RecordingWorker]:
        worker = RecordingWorker(name, list(serials))
        link, _ = await self.sign_in(Role.WORKER, name, worker.instance, joined=worker.joined)
        return link, worker


async def http(port: int, text: str) -> tuple[str, dict[str, str], bytes]:
    """Send a request as it is; return status line, headers and body."""
    received: list[bytes] = []
    closed: Deferred[None] = Deferred()

    class Talk(Protocol):
        def dataReceived(self, data: bytes) -> None:
            received.append(data)

        def connectionLost(self, _: object = None) -> None:
            closed.callback(None)

    talk = Talk()
    await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", port), talk)
    assert talk.transport is not None
    talk.transport.write(text.replace("\n", "\r\n").encode())  # type: ignore[call-arg]
    await closed.addTimeout(LIMIT, reactor)
    head, _, body = b"".join(received).partition(b"\r\n\r\n")
    status, *lines = head.decode("ascii").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return status, {name.lower(): value for name, value in headers.items()}, body


@define(eq=False)
class Twistd(ProcessProtocol):
    """Control as a process of its own."""

    output: bytearray = Factory(bytearray)
    ended: Deferred[int] = Factory(Deferred)

    def childDataReceived(self, _: int, data: bytes) -> None:
        self.output += data

    def processEnded(self, reason: Failure) -> None:
        value: ProcessDone | ProcessTerminated = reason.value
        self.ended.callback(value.exitCode if value.signal is None else -value.signal)

    @classmethod
    def start(cls, script: str, *flags: str) -> Twistd:
        protocol = cls()
        program = str(Path(sys.executable).with_name(script))
        own = ["--nodaemon", "--pidfile="] if script == "twistd" else []
        reactor.spawnProcess(protocol, program, [program, *own, "icefarm-control", *flags], env=leftovers.mark())
        return protocol

    def says(self, text: str) -> bool:
        return text.encode() in self.output


def flags_for(router: RealRouter, dsn: str, http_port: int = 0) -> list[str]:
    return [
        f"--router={router.control_url}",
        f"--router-ticket-file={router.ticket_file}",
        f"--database={dsn}",
        f"--http=127.0.0.1:{http_port}",
    ]
