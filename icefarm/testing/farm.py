"""An in-memory farm as a client sees it: control and boards on a `MemoryRouter`, for tests of clients.

It records calls, answers at once by default, and forgets nothing by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import Factory, asdict, define, field, frozen
from twisted.internet.defer import Deferred

from icefarm.arguments import CheckedFunction
from icefarm.bus import Caller
from icefarm.calibration.records import Calibration, Reading
from icefarm.contract import (
    AUTHENTICATOR,
    AUTHORIZER,
    EVALUATE_LIST,
    Measurement,
    ReservationRecord,
    Role,
    client_topic,
    control_procedure,
    device_prefix,
    device_procedure,
    method_of,
    to_wire,
)
from icefarm.errors import (
    DeviceFailed,
    IcefarmError,
    InternalError,
    InvalidArgument,
    NotYours,
    ReservationEnded,
    Unavailable,
    UnknownBitstream,
)
from icefarm.testing.memory.fake_control import allow_all
from icefarm.testing.memory.wamp import MemoryBus, MemoryRouter
from icefarm.worker.control_link.board_calls import BoardDoor, EvaluationLists

__all__ = ["MemoryFarm"]


def _evaluate_without_note(
    evaluation_id: str, bitstream: Any, options: dict[str, Any] | None = None, attempt: int = 1
) -> None:
    """What a worker took before there was an archive."""


#: Arguments of reserve in a version whose farms never ask for boards back.
_RESERVE_ARGUMENTS = 9
_EVALUATE_WITHOUT_NOTE = CheckedFunction.of(_evaluate_without_note)


@frozen
class _MemoryDoor(BoardDoor):
    """One board, for what comes in a list."""

    farm: MemoryFarm
    serial: str

    async def evaluate(self, caller: Caller, arguments: dict[str, Any]) -> Any:
        return await self.farm._evaluate(caller, device_procedure(self.serial, "evaluate"), (), arguments)


@define(eq=False)
class MemoryFarm:
    """Control and one worker."""

    router: MemoryRouter
    serials: Sequence[str]
    #: Seconds for which boards are reserved.
    term: float = 3600.0
    control: MemoryBus = field(init=False)
    worker: MemoryBus | None = field(init=False, default=None)
    reservations: dict[str, ReservationRecord] = field(init=False, factory=dict)
    #: The boards allocated to each request.
    answered: dict[str, Any] = field(init=False, factory=dict)
    #: (procedure, keyword arguments or, for reserve, positional ones) of each call, in order.
    calls: list[tuple[str, Any]] = field(init=False, factory=list)
    #: Evaluations carried out, and the arguments of each: by (serial, evaluation id).
    carried_out: Counter[tuple[str, str]] = Factory(Counter)
    asked: list[Mapping[str, Any]] = Factory(list)
    #: Boards that fail each evaluation, and with which error.
    failing: dict[str, IcefarmError] = Factory(dict)
    #: While it is true, evaluations wait in ``held`` for `release`.
    holding: bool = False
    held: list[Deferred[None]] = Factory(list)
    #: The worker is stopped: calls reach it, and it answers none.
    stopped: bool = False
    #: The worker is of a version without an archive: it takes no note of an evaluation.
    noteless: bool = False
    #: The worker caches no bitstreams: each must be sent whole.
    forgetful: bool = False
    #: The worker takes evaluations in lists; the length of each list; and whether it fails them all.
    lists: bool = True
    listed: list[int] = Factory(list)
    fails_lists: bool = False
    #: It takes bitstreams as differences, from those that it was sent whole.
    deltas: bool = False
    #: While it is false, control answers nothing.
    answering: bool = True
    #: Raised at each sign-in of a client.
    refusal: IcefarmError | None = None
    #: Calibrations of boards; each result names the first one of its board.
    calibrations: list[Calibration] = Factory(list)
    readings: list[Reading] = Factory(list)
    _kept: dict[tuple[str, str], Any] = Factory(dict)

    async def start(self) -> None:
        self.control = self.router.join("control", Role.CONTROL)
        await self.control.register(AUTHENTICATOR, self._authenticate)
        await self.control.register(AUTHORIZER, allow_all)
        served = ("reserve", "extend", "end", "available", "heartbeat", "reboot", "drain")
        for name in (*served, "calibrations", "reference_readings"):
            await self.control.register(control_procedure(name), self._serve)
        await self.start_worker()

    async def start_worker(self) -> None:
        self.worker = await self.another_worker("w1", *self.serials)

    async def another_worker(self, name: str, *serials: str) -> MemoryBus:
        """Let another process serve some boards, until its session is dropped."""
        worker = self.router.join(name, Role.WORKER)
        lists = EvaluationLists(self.router.clock, session=worker.session)
        for serial in serials:
            lists.doors[serial] = _MemoryDoor(self, serial)
            await worker.register(device_prefix(serial), partial(self._called, lists), prefix=True)
        return worker

    def stop_worker(self) -> None:
        if self.worker is not None:
            self.worker.drop("the worker was killed")

    def release(self) -> None:
        """Continue the held evaluations."""
        held, self.held = self.held, []
        for waiting in held:
            waiting.callback(None)

    async def tell(self, client: str, event: str, serial: str, reason: str = "") -> None:
        """Send a client an event about a board; ``ended`` ends its reservation first."""
        record = self.reservations[serial]
        if event == "ended":
            del self.reservations[serial]
        fields = {"event": event, "serial": serial, "reservation": record.id, "reason": reason}
        await self.control.publish(client_topic(client), (), fields, only=client)

    async def _authenticate(self, *_: Any) -> Any:
        if self.refusal is not None:
            raise self.refusal
        return {"role": "client"}

    async def _serve(self, caller: Caller, procedure: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        name = method_of(procedure)[1] or procedure.rpartition(".")[2]
        self.calls.append((name, kwargs or list(args)))
        if not self.answering:
            await Deferred()
        match name:
            case "reserve":
                if len(args) > _RESERVE_ARGUMENTS:
                    raise InvalidArgument("too many positional arguments")
                return self._reserve(caller.authid, *args)
            case "end":
                chosen = kwargs.get("serials") or list(self._own(caller))
                return [serial for serial in chosen if self._end(caller, serial)]
            case "extend" | "reboot":
                return kwargs.get("serials") or list(self._own(caller))
            case "available":
                free = [serial for serial in self.serials if serial not in self.reservations]
                return {"amount": len(free), "serials": free}
            case "heartbeat":
                return {"time": 0.0, "reservations": list(self._own(caller)), "heartbeat_s": 5.0}
            case "calibrations":
                known = [each for each in self.calibrations if each.id in (kwargs.get("ids") or [each.id])]
                return {"calibrations": [asdict(each) for each in known], "suspects": {}, "time": 0.0}
            case "reference_readings":
                return {"readings": [asdict(each) for each in self.readings], "time": 0.0}
        raise AssertionError(name)

    def _own(self, caller: Caller) -> Iterable[str]:
        return [serial for serial, record in self.reservations.items() if record.client == caller.authid]

    def _end(self, caller: Caller, serial: str) -> bool:
        if serial in self.reservations and self.reservations[serial].client != caller.authid:
            raise NotYours(serial=serial)
        return self.reservations.pop(serial, None) is not None

    def _reserve(
        self,
        client: str,
        amount: int | None,
        serials: list[str] | None,
        kind: str,
        options: dict[str, Any],
        wait: bool,
        timeout: float | None,
        seconds: float | None,
        request: str,
        grace: float | None,
    ) -> Any:
        if request in self.answered:
            return self.answered[request]
        free = [each for each in self.serials if each not in self.reservations and (not serials or each in serials)]
        wanted = len(serials) if serials else amount or 0
        if len(free) < wanted:
            raise Unavailable(f"{len(free)} of {wanted} boards are free (wait={wait}, timeout={timeout})")
        end = 1000.0 + (self.term if seconds is None else seconds)
        records = [
            ReservationRecord(
                f"r{len(self.calls)}-{serial}",
                serial,
                "w1",
                client,
                kind,
                options,
                1000.0,
                end,
                grace=grace,
                calibration=self._calibration_of(serial),
            )
            for serial in free[:wanted]
        ]
        self.reservations.update({record.serial: record for record in records})
        self.answered[request] = [to_wire(record) for record in records]
        return self.answered[request]

    async def _called(
        self, lists: EvaluationLists, caller: Caller, procedure: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        if method_of(procedure)[1] != EVALUATE_LIST:
            return await self._evaluate(caller, procedure, args, kwargs)
        if self.stopped:
            await Deferred()
        self.listed.append(len(kwargs["evaluations"]))
        if self.fails_lists:
            raise InternalError
        return await lists.handle(caller, args, kwargs)

    async def _evaluate(self, caller: Caller, procedure: str, _: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        serial = method_of(procedure)[0]
        record = self.reservations.get(serial)
        if record is None or record.id != kwargs["reservation"] or record.client != caller.authid:
            raise ReservationEnded(serial=serial)
        if self.stopped:
            await Deferred()
        if method_of(procedure)[1] == "ping":
            return {"lists": True, "deltas": self.deltas, "brief": True} if self.lists and not self.noteless else None
        if self.noteless:
            _EVALUATE_WITHOUT_NOTE.bind((), {name: value for name, value in kwargs.items() if name != "reservation"})
        self.asked.append(kwargs)
        if (
            self.forgetful
            and isinstance(kwargs["bitstream"], Mapping)
            and not {"lz4", "plain"} & set(kwargs["bitstream"])
        ):
            raise UnknownBitstream
        key = (serial, kwargs["evaluation_id"])
        if self.holding:
            waiting: Deferred[None] = Deferred()
            self.held.append(waiting)
            await waiting
        if serial in self.failing:
            raise self.failing[serial]
        if serial not in self.reservations:
            raise DeviceFailed("gone")
        if key not in self._kept:
            self.carried_out[key] += 1
            self._kept[key] = self._measured(serial, record, kwargs)
        return self._kept[key]

    def _measured(self, serial: str, record: ReservationRecord, kwargs: Mapping[str, Any]) -> Any:
        bitstream = kwargs["bitstream"]
        digest = bitstream["sha256"] if isinstance(bitstream, dict) else "0" * 64
        return to_wire(
            Measurement(
                1000, kwargs["evaluation_id"], serial, "w1", record.kind, record.options, "pulse_count", "1.0", digest,
                1_000_000, 34_000, 0, None, len(self.asked), kwargs["attempt"], 1.0, 2.0,
                calibration=self._calibration_of(serial),
            )
        )  # fmt: skip

    def _calibration_of(self, serial: str) -> str | None:
        return next((each.id for each in self.calibrations if each.serial == serial), None)
