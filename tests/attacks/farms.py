"""Farms to attack: one for each way of signing in, with a victim that holds a board, and attackers of every role."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import define, field
from autobahn.wamp.exception import ApplicationError
from oidc_issuer import Person
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import LoopingCall

from icefarm.bus import Bus
from icefarm.client import Farm
from icefarm.contract import DeviceReport, DeviceStatus, Role, WorkerHello, control_worker_procedure, to_wire
from icefarm.control.sessions.liveness import HEARTBEAT
from icefarm.control.sessions.sign_in.tokens import new_token, token_hash
from icefarm.control.storage.pool import Database
from icefarm.control.storage.postgres.store import PostgresStore
from icefarm.errors import IcefarmError, LinkLost, error_from_wire
from icefarm.farm.paths import DataDirectory
from icefarm.farm.postgres.server import PrivatePostgres
from icefarm.oidc.stored_login import StoredLogin, login_path
from icefarm.testing.processes.farm_process import FarmProcess, OwnProcess
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link

__all__ = ["ATTACKERS", "EXPERIMENT", "PEOPLE", "RUN", "SQUARE", "VICTIM", "WORKER", "Target", "raw"]

#: Whose board is attacked, and the worker that has it.
VICTIM, WORKER = "ada", "shelf"
#: A circuit that a board counts 2,000 pulses of in a second.
SQUARE = Path(__file__).parents[2] / "examples" / "circuits" / "square_2khz.bin"
#: An experiment of the victim's that is not shared.
EXPERIMENT = "secret"
#: The number of a run of it, which has not ended.
RUN = "5ec2e7" + "0" * 26
#: Who attacks, and with the token of which role.
ATTACKERS = {"mallory": Role.CLIENT, "rogue": Role.WORKER, "boss": Role.OPERATOR}
#: Who an attacker is at the issuer, where that is another name: it makes operators of people whose names begin so.
PEOPLE = {"boss": "op-boss"}
#: Seconds for a call, and for a sign-in.
LIMIT, PATIENCE = 30.0, 75.0


async def raw(answer: Any) -> Any:
    """Wait for an answer of Autobahn's, and raise its errors as ours."""
    try:
        return await answer
    except ApplicationError as error:
        raise error_from_wire(error.error, error.args, error.kwargs) or IcefarmError(error.error) from None


def id_token(url: str, name: str, home: Path) -> str:
    """Sign in at the farm's issuer as a person, and return the token that it gives."""
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    command = [sys.executable, "-u", "-m", "icefarm", "login", url]
    with OwnProcess(command, stdout=subprocess.PIPE, env=environment) as verb:
        assert verb.stdout is not None
        Person(PEOPLE.get(name, name)).go_through(verb.stdout.readline().split()[1])
        verb.stdout.read()
    assert verb.returncode == 0
    return StoredLogin.read(login_path(url, environment)).id_token


@define(eq=False)
class Target:
    """A farm that is attacked."""

    process: FarmProcess
    needs_tokens: bool
    ca_file: str | None = None
    #: People have no tokens of the farm: they sign in at an issuer.
    issued: bool = False
    tokens: dict[str, str] = field(factory=dict)
    sessions: dict[str, Bus] = field(factory=dict)
    links: list[Link] = field(factory=list)
    beating: LoopingCall | None = None
    database: Database | None = None
    victim: Farm | None = None
    #: What the victim reserved.
    boards: Any = None
    serial: str = ""
    reservation: str = ""

    @property
    def url(self) -> str:
        # The certificate names localhost.
        return self.process.url if self.ca_file is None else self.process.url.replace("127.0.0.1", "localhost")

    @property
    def store(self) -> PostgresStore:
        assert self.database is not None
        return PostgresStore(self.database)

    async def prepare(self, data_dir: Path) -> None:
        """Make everybody's tokens, and let the attackers in."""
        directory = DataDirectory(data_dir)
        postgres = PrivatePostgres(reactor, directory.postgres, directory.log("postgres"))
        self.database = Database(reactor, postgres.dsn, size=2)
        await self.database.start()
        for name, role in {VICTIM: Role.CLIENT, **ATTACKERS}.items():
            if self.issued and role is not Role.WORKER:
                self.tokens[name] = id_token(self.url, name, data_dir.parent / name)
                continue
            self.tokens[name] = new_token()
            await self.store.add_token(name, role, token_hash(self.tokens[name]))
        for name, role in ATTACKERS.items():
            self.sessions[name] = await self.sign_in(role, name)

    async def join_as_worker(self, name: str) -> None:
        """Let an attacker be a worker of the farm, with a board of its own that nobody wants."""
        board = DeviceReport(f"board of {name}", DeviceStatus.BROKEN, "nobody wants it")
        hello = WorkerHello(name, "attacker", "host", "1", [], [board])
        session = self.sessions[name]
        await session.call(control_worker_procedure("hello"), (), {"hello": to_wire(hello)}, timeout=LIMIT)
        # Control ends the session of a worker that is silent.
        self.beating = LoopingCall(self._beat, session)
        self.beating.start(HEARTBEAT, now=False).addErrback(lambda _: None)

    def _beat(self, session: Bus) -> Deferred[Any]:
        fields = {"instance": "attacker"}
        return ensureDeferred(session.call(control_worker_procedure("heartbeat"), (), fields, timeout=LIMIT))

    def ticket_of(self, name: str) -> str:
        """Return what somebody shows at sign-in: on an open farm, operators alone need a token."""
        needed = self.needs_tokens or ATTACKERS.get(name) is Role.OPERATOR
        return self.tokens[name] if needed else ""

    async def sign_in(self, role: Role, name: str, ticket: str | None = None, instance: str = "attacker") -> Bus:
        """Sign in once; raises what it was refused with."""
        joined: Deferred[Bus] = Deferred()

        async def have(bus: Bus) -> None:
            if not joined.called:
                joined.callback(bus)

        def refused(error: IcefarmError) -> bool:
            if isinstance(error, LinkLost):
                return True
            if not joined.called:
                joined.errback(error)
            return False

        credentials = Credentials(name, role, instance, self.ticket_of(name) if ticket is None else ticket)
        link = Link(reactor, self.url, credentials, have, refused, ca_file=self.ca_file)
        self.links.append(link)
        link.startService()
        # The guard makes this address wait, for all that the attacks from it have cost.
        joined.addTimeout(PATIENCE, reactor)  # type: ignore[arg-type]
        return await joined

    async def close(self) -> None:
        if self.beating is not None and self.beating.running:
            self.beating.stop()
        for link in reversed(self.links):
            await ensureDeferred(_stopped(link))
        if self.database is not None:
            await self.database.stop()


async def _stopped(link: Link) -> None:
    await link.stopService()
