"""Client processes, and the account of what they were answered."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import Factory, define, field
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from faults.farm import FaultyFarm
from faults.oracle import Oracle
from faults.parts import send
from icefarm.client.connection.reservations import FOR_OTHERS

__all__ = ["Client", "Tally"]

_TESTS = Path(__file__).resolve().parents[1]
#: Seconds for a client's end.
END_LIMIT = 40.0


@define(eq=False)
class Tally:
    """What a client was answered: each of its items must occur exactly once."""

    answers: Counter[int] = Factory(Counter)
    values: int = 0
    #: The board and the value of each evaluation, by its id: what the archive must have.
    by_id: dict[str, tuple[str, int]] = Factory(dict)
    #: Answers that are errors, by name; with the last message of each.
    failures: Counter[str] = Factory(Counter)
    messages: dict[str, str] = Factory(dict)
    #: Values that are not those of that circuit on that board.
    wrong: list[Mapping[str, Any]] = Factory(list)
    #: Answers of a later attempt than the first.
    repeated: int = 0
    refusals: Counter[str] = Factory(Counter)
    #: Boards that it gave up for others, and boards that it got in exchange.
    preempted: int = 0
    regained: int = 0
    asked: int | None = None
    owed: list[int] = Factory(list)

    def take(self, line: Mapping[str, Any], oracle: Oracle) -> None:
        """Take in a line of the client's."""
        match line["event"]:
            case "answer":
                self.answers[line["item"]] += 1
                self.values += 1
                self.by_id[line["evaluation_id"]] = (line["serial"], line["value"])
                self.repeated += line["attempt"] > 1
                if line["value"] != oracle.pulses(line["circuit"], line["serial"], line["window_us"]):
                    self.wrong.append(line)
            case "failure":
                self.answers[line["item"]] += 1
                self.failures[line["error"]] += 1
                self.messages[line["error"]] = line["message"]
            case "refused":
                self.refusals[line["error"]] += 1
                self.messages[line["error"]] = line["message"]
            case "changed":
                self.preempted += len(line["left"]) * (line["reason"] == FOR_OTHERS)
                self.regained += len(line["came"])
            case "end":
                self.asked, self.owed = line["asked"], line["owed"]

    @property
    def doubled(self) -> int:
        return sum(times - 1 for times in self.answers.values())

    @property
    def lost(self) -> int:
        """Items that were asked and never answered; known once the client has ended."""
        assert self.asked is not None, "the client has not come to its end"
        return self.asked - len(self.answers)

    def check(self) -> None:
        """Raises AssertionError where an item was not answered exactly once, or wrongly."""
        assert not self.wrong, f"{len(self.wrong)} wrong values, such as {self.wrong[0]}"
        assert self.doubled == 0, f"{self.doubled} answers too many"
        assert self.lost == 0, f"{self.lost} of {self.asked} items without an answer; owed: {self.owed[:20]}"


@define(eq=False)
class Client(ProcessProtocol):
    """One process of `faults.evaluator`."""

    farm: FaultyFarm
    name: str
    tally: Tally = Factory(Tally)
    #: Its boards and their reservations, as it believes; when each was last measured, by its worker's clock.
    held: dict[str, str] = Factory(dict)
    measured: dict[str, float] = Factory(dict)
    #: Events that are no answers.
    story: list[Mapping[str, Any]] = Factory(list)
    holding: bool = False
    #: Its boards come and go.
    lends: bool = False
    running: bool = True
    code: int | None = None
    #: What it wrote to standard error, a tail of it.
    errors: str = ""
    _rest: bytes = b""
    _gone: Deferred[None] = field(init=False, factory=Deferred)
    _transport: Any = None

    @classmethod
    def start(cls, farm: FaultyFarm, name: str, *, router: int = 0, **options: Any) -> Client:
        """Start one that signs in at a router; options are those of `faults.evaluator`."""
        client = cls(farm, name, lends=options.get("lend", False))
        given = {"url": farm.links.clients[router].url, "name": name, "circuits": farm.circuits, **options}
        words = [f"--{key}" if value is True else f"--{key}={value}" for key, value in given.items()]
        command = [sys.executable, "-m", "faults.evaluator", *words]
        path = os.pathsep.join(filter(None, [str(_TESTS), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path}
        client._transport = farm.reactor.spawnProcess(client, command[0], command, env=environment)
        return client

    @property
    def pid(self) -> int:
        return int(self._transport.pid)

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(json.loads(line))

    def errReceived(self, data: bytes) -> None:
        self.errors = (self.errors + data.decode(errors="replace"))[-4000:]

    def _line(self, line: Mapping[str, Any]) -> None:
        self.tally.take(line, self.farm.oracle)
        match line["event"]:
            case "answer":
                self.measured[line["serial"]] = line["started_at"]
                return
            case "reserved":
                self.held = dict(line["boards"])
            case "given back" | "deserted":
                self.held = {}
            case "holding":
                self.holding = True
            case "changed":
                self.held.update(dict.fromkeys(line["came"], ""))
                for serial in line["left"]:
                    self.held.pop(serial, None)
                return
            case "told" if line["name"] == "ended":
                self.held.pop(line["serial"], None)
        self.story.append(line)

    def processEnded(self, reason: Failure) -> None:
        self.running = False
        self.code = getattr(reason.value, "exitCode", None)
        self._gone.callback(None)

    def measured_since(self, moment: float) -> bool:
        """Tell whether each of its boards has carried out an evaluation that began after a moment.

        Of boards that come and go, one is enough.
        """
        measured = [self.measured.get(serial, 0.0) > moment for serial in self.held]
        return any(measured) if self.lends else bool(measured) and all(measured)

    def signal(self, number: signal.Signals) -> None:
        send(self.pid, number)

    async def finish(self, limit: float = END_LIMIT) -> Tally:
        """Have it come to its end, and return its account.  Raises AssertionError where it fails."""
        self._transport.closeStdin()
        return await self.finished(limit)

    async def finished(self, limit: float = END_LIMIT) -> Tally:
        """Wait for its end."""
        if self.running:
            await self._gone.addTimeout(limit, self.farm.reactor)
        assert self.code == 0, f"{self.name} ended with {self.code}: {self.errors}"
        return self.tally

    async def kill(self) -> None:
        """SIGKILL; harmless where it has ended."""
        if self.running:
            send(self.pid, signal.SIGKILL)
            await self._gone
