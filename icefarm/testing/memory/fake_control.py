"""Control as a worker sees it, for tests: answers hello and heartbeats, and records reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred

from icefarm.bus import Bus, Caller
from icefarm.contract import (
    AUTHENTICATOR,
    AUTHORIZER,
    WORKER_PROCEDURES,
    Assignment,
    Role,
    control_worker_procedure,
    permissions,
    to_wire,
    worker_procedure,
)
from icefarm.testing.memory.wamp import MemoryBus, MemoryRouter

__all__ = ["RecordingControl", "allow_all", "let_in"]


async def allow_all(_: Caller, __: str, args: Sequence[Any], ___: Mapping[str, Any]) -> dict[str, Any]:
    """Let every worker do what any worker may (handler of `AUTHORIZER`), for boards of others too."""
    _, uri, action, _ = args
    allowed = any(
        getattr(grant, action) and (uri == grant.uri or (grant.prefix and uri.startswith(grant.uri)))
        for grant in permissions()[Role.WORKER]
    )
    return {"allow": allowed, "cache": False, "disclose": True}


@define(eq=False)
class RecordingControl:
    """Answers a worker's calls.  ``assignments`` are those of boards, by serial."""

    assignments: dict[str, Assignment] = Factory(dict)
    #: Whether it knows the worker, for the answers to heartbeats.
    known: bool = True
    heartbeat_s: float = 5.0
    #: Whether it takes reports in lists; one of an earlier version does not.
    lists: bool = True
    #: Why it refuses reports of boards, by serial; in lists only.
    refused: dict[str, str] = Factory(dict)
    #: Raised instead of answering, by name of the procedure.
    errors: dict[str, Exception] = Factory(dict)
    #: Answers wait for these, by name of the procedure.
    held: dict[str, Deferred[None]] = Factory(dict)
    hellos: list[dict[str, Any]] = Factory(list)
    heartbeats: int = 0
    reports: list[dict[str, Any]] = Factory(list)
    #: How many reports came with each call.
    together: list[int] = Factory(list)
    words: list[tuple[str, dict[str, Any]]] = Factory(list)
    #: The latest report of each board, from hellos and reports.
    devices: dict[str, dict[str, Any]] = Factory(dict)
    _waiting: list[tuple[Callable[[], bool], Deferred[None]]] = Factory(list)
    _bus: Bus | None = None

    async def serve(self, router: MemoryRouter) -> MemoryBus:
        """Be control at a router, and admit every sign-in, in the role that it asks for."""
        bus = router.join("control", Role.CONTROL)
        await bus.register(AUTHENTICATOR, let_in)
        await self.join(bus)
        return bus

    async def join(self, bus: Bus) -> None:
        """Offer control's procedures on a bus."""
        self._bus = bus
        for name in WORKER_PROCEDURES:
            await bus.register(control_worker_procedure(name), self._handle)
        await bus.register(AUTHORIZER, allow_all)

    def until(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Wait until a condition on the records holds."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append((condition, waiter))
        self._check()
        return waiter

    def until_status(self, status: str, *serials: str) -> Deferred[None]:
        """Wait until the boards (default: all known ones) have a status."""
        return self.until(
            lambda: (
                bool(self.devices)
                and all(self.devices.get(serial, {}).get("status") == status for serial in serials or self.devices)
            )
        )

    async def order(self, worker: str, name: str, timeout: float = 60.0, **arguments: Any) -> Any:
        """Call a worker's procedure."""
        assert self._bus is not None
        return await self._bus.call(worker_procedure(worker, name), (), arguments, timeout=timeout)

    async def prepare(self, worker: str, serial: str, assignment: Assignment, timeout: float = 60.0) -> None:
        """Make a board serve a reservation."""
        await self.order(worker, "prepare", timeout, serial=serial, assignment=to_wire(assignment))

    async def _handle(self, _: Any, procedure: str, __: Any, arguments: Any) -> Any:
        name = procedure.rpartition(".")[2]
        if name in self.errors:
            raise self.errors[name]
        answer = self._record(name, dict(arguments))
        self._check()
        if name in self.held:
            await self.held[name]
        return answer

    def _record(self, name: str, arguments: dict[str, Any]) -> Any:
        match name:
            case "hello":
                self.hellos.append(arguments["hello"])
                self.known = True
                self.devices = {device["serial"]: device for device in arguments["hello"]["devices"]}
                wanted = {serial: to_wire(assignment) for serial, assignment in self.assignments.items()}
                answer = {"assignments": wanted, "heartbeat_s": self.heartbeat_s, "draining": False}
                return {**answer, "lists": self.lists}
            case "heartbeat":
                self.heartbeats += 1
                return {"known": self.known}
            case "report":
                self._note([arguments["report"]])
            case "reports":
                said = arguments["reports"]
                refused = {
                    each["serial"]: self.refused[each["serial"]] for each in said if each["serial"] in self.refused
                }
                self._note([each for each in said if each["serial"] not in refused])
                return {"refused": refused}
            case _:
                self.words.append((name, arguments))
        return None

    def _note(self, reports: Sequence[dict[str, Any]]) -> None:
        self.reports += reports
        self.together.append(len(reports))
        self.devices.update({report["serial"]: report for report in reports})

    def _check(self) -> None:
        for waiting in list(self._waiting):
            condition, waiter = waiting
            if condition():
                self._waiting.remove(waiting)
                waiter.callback(None)


async def let_in(_: Any, __: str, args: Any, ___: Any) -> dict[str, str]:
    """Authenticate anybody, in the requested role."""
    return {"role": args[2]["authextra"]["role"]}
