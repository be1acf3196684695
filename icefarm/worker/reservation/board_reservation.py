"""A reservation of a board: the kind's instance that serves it, its evaluations, and its caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from contextvars import ContextVar
from functools import cache, partial
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from icefarm.arguments import CheckedFunction, to_wire
from icefarm.concurrency.clock import Clock
from icefarm.contract import Assignment, account_of
from icefarm.errors import DeviceFailed
from icefarm.kinds.circuit import Circuit, Packed
from icefarm.kinds.handle import Answer, Parameters
from icefarm.kinds.registry import EVALUATE, Kind
from icefarm.worker.archive.recorder import ReservationRows
from icefarm.worker.archive.rows import Note, note_from_wire
from icefarm.worker.board.states import Firmware
from icefarm.worker.protocol.board_client import BoardClient
from icefarm.worker.protocol.pipeline import BoardUnusable
from icefarm.worker.reservation.idempotency import Evaluations
from icefarm.worker.reservation.measuring import Chosen, Measuring, ReservationContext, Underway, present
from icefarm.worker.reservation.turns import Turn

__all__ = ["BoardReservation"]

#: The argument of an evaluation that is for the archive, not for the kind.
NOTE = "note"

#: What the client noted of the evaluation that the present call is about.
_noted: ContextVar[Note | None] = ContextVar("noted", default=None)


@define(eq=False)
class BoardReservation:
    """One reservation of one board; the `DeviceHandle` of a kind's instance."""

    assignment: Assignment
    kind: Kind
    #: The board, as this reservation has it.
    measuring: Measuring
    _evaluations: Evaluations
    _rows: ReservationRows
    log: Logger = Factory(partial(Logger, namespace="icefarm.kinds"))
    _instance: Any = None
    #: The options of an evaluation that names none, where the kind declares what it measures.
    _usual: Chosen | None = None

    @classmethod
    def of(
        cls,
        assignment: Assignment,
        kind: Kind,
        firmware: Firmware,
        context: ReservationContext,
        turn: Turn | None = None,
    ) -> BoardReservation:
        """Begin a reservation.  Raises `InvalidArgument` for options that the kind refuses, `DeviceFailed`."""
        options = kind.check_options(assignment.options)
        plain = to_wire(options)
        stamp = {
            "serial": context.board.serial,
            "worker": context.worker,
            "kind": kind.name,
            "firmware": firmware.name,
            "firmware_version": firmware.version,
            "board_labels": assignment.labels,
            "calibration": assignment.calibration,
        }
        account = account_of(assignment.client)
        measuring = Measuring(kind, firmware, context, account, stamp, plain, turn)
        rows = ReservationRows(context.archive, assignment.reservation, {**stamp, "options": plain})
        reservation = cls(assignment, kind, measuring, Evaluations(context.board.tally, rows), rows)
        try:
            reservation._instance = kind.make(reservation, options)
        except Exception:
            # Code of another author's kind: its errors must not reach callers of other boards.
            reservation.log.failure("kind {kind} could not be started", kind=kind.name)
            raise DeviceFailed(f"device kind {kind.name} is faulty; the worker's log has the details") from None
        if kind.evaluation_options is not None:
            reservation._usual = _usual(kind.evaluation_options)
        return reservation

    @property
    def firmware(self) -> Firmware:
        """The image that its kind runs on."""
        return self.measuring.firmware

    def relabel(self, labels: Mapping[str, str]) -> None:
        """Note other labels of the board from now on."""
        self.measuring.stamp = {**self.measuring.stamp, "board_labels": dict(labels)}
        self._rows.stamp = {**self._rows.stamp, "board_labels": dict(labels)}

    # ------------------------------------------------------------------------------------------- the board's side

    async def start(self) -> None:
        """Let the kind prepare, once its firmware runs."""
        started = getattr(self._instance, "started", None)
        if started is not None:
            await started()

    def attach(self, client: BoardClient) -> None:
        """The board is usable."""
        client.listener = self._heard
        self.measuring.attach(client)

    def detach(self) -> None:
        """The board is unusable for now."""
        if self.measuring.client is not None:
            self.measuring.client = None
            self._call_hook("board_lost")

    def fail_waiting(self, why: str) -> None:
        """The board won't be usable soon."""
        self.measuring.fail_waiting(why)

    def end(self, reason: str) -> None:
        """The reservation is over."""
        if self.measuring.ended is not None:
            return
        waiting, ended = self.measuring.end(reason)
        self._evaluations.end(ended)
        for waiter in waiting:
            waiter.errback(ended)
        self._call_hook("stopped")

    def find(self, reservation: str) -> BoardReservation | None:
        """Return itself if that is its id."""
        return self if self.assignment.reservation == reservation else None

    def is_held_by(self, client: str) -> bool:
        """Tell whether the client holds it."""
        return self.client == client

    def held(self) -> Sequence[tuple[str, str]]:
        """Return its (client, reservation)."""
        return [(self.client, self.assignment.reservation)]

    def usable(self) -> Deferred[BoardClient]:
        """Wait for the board.  Fails with `ReservationEnded`, or with `DeviceFailed` if that won't be soon."""
        return self.measuring.usable()

    # ------------------------------------------------------------------------------------------ its client's side

    def call(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Awaitable[Any]:
        """Call one of the kind's methods, with checked arguments."""
        function = self.kind.methods.get(method)
        if function is None:
            raise self.kind.no_method(method)
        if method == EVALUATE and self._usual is not None:
            return self._evaluate(self._usual, function, args, dict(kwargs))
        note = None
        if method == EVALUATE and NOTE not in function.types:
            kwargs = dict(kwargs)
            note = _take_note(kwargs)
        arguments = function.bind(args, kwargs)
        _noted.set(note)
        answer: Awaitable[Any] = function.function(self._instance, **arguments)
        return answer

    def _evaluate(
        self, usual: Chosen, function: CheckedFunction, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Deferred[dict[str, Any]]:
        """Evaluate as the kind declares: join, admit, measure, record.  See `icefarm.kinds.handle.Evaluator`."""
        measuring, note = self.measuring, _take_note(kwargs)
        asked = function.bind(args, kwargs)
        id, bitstream, options = asked["evaluation_id"], asked["bitstream"], asked.get("options")
        chosen = usual if options is None or options == usual.options else Chosen.of(options)
        parameters = self._instance.parameters(chosen.options)
        if measuring.turn is not None:
            measuring.turn.check(parameters.window)
        if measuring.ended is not None:
            raise measuring.ended
        attempt = asked.get("attempt", 1)
        evaluate = partial(measuring.carried_out, self._instance, id, bitstream, parameters, chosen, attempt)
        return self._evaluations.once(id, (bitstream, chosen.text), evaluate, note)

    def withdraw(self, ids: Collection[str]) -> None:
        """Begin none of these evaluations any more.  See `Measuring.withdraw`."""
        self.measuring.withdraw(ids)

    def _heard(self, type_: int, payload: bytes) -> None:
        if self.measuring.ended is None:
            self._call_hook("message", type_, payload)

    def _call_hook(self, name: str, *args: Any) -> None:
        hook = getattr(self._instance, name, None)
        if hook is None:
            return
        try:
            hook(*args)
        except Exception:
            # Code of another author's kind: its errors must not prevent recovery or release of the board.
            self.log.failure("{kind}.{hook} failed", kind=self.kind.name, hook=name)

    # -------------------------------------------------------------------------------------------- the kind's side

    @property
    def serial(self) -> str:
        return self.measuring.context.board.serial

    @property
    def client(self) -> str:
        return self.assignment.client

    @property
    def clock(self) -> Clock:
        return self.measuring.context.clock

    def admit(self, bitstream: Packed | bytes) -> Circuit:
        return self.measuring.context.admission.admit(bitstream, self.measuring.account)

    def once(self, evaluation_id: str, content: Hashable, evaluate: Callable[[], Awaitable[Any]]) -> Deferred[Any]:
        if self.measuring.ended is not None:
            raise self.measuring.ended

        async def evaluated() -> Any:
            present.set(Underway(evaluation_id))
            return await evaluate()

        return self._evaluations.once(evaluation_id, content, evaluated, _noted.get())

    async def measure(self, circuit: Circuit, parameters: bytes, *, window: float, overlap: bool) -> Answer:
        answer = await self.measuring.measure(circuit, Parameters(parameters, window, overlap), present.get())
        self.measuring.context.board.tally.measured(answer)
        return answer

    async def ask(self, type_: int, payload: bytes) -> bytes:
        client = self.measuring.client
        if client is None:
            client = await self.usable()
        try:
            return await client.message(type_, payload)
        except BoardUnusable as error:
            raise self.measuring.failure(str(error)) from None

    def measurement(
        self,
        answer: Answer,
        circuit: Circuit,
        value: object,
        *,
        evaluation_id: str,
        attempt: int,
        **options: object,
    ) -> dict[str, Any]:
        return self.measuring.record(answer, circuit, value, evaluation_id, attempt, options)

    def emit(self, event: str, **fields: object) -> None:
        if self.measuring.ended is None:
            self.measuring.context.board.emit(self.assignment.reservation, event, fields)


@cache
def _usual(evaluation_options: type) -> Chosen:
    """Return what an evaluation has whose client names no options."""
    return Chosen.of(evaluation_options())


def _take_note(arguments: dict[str, Any]) -> Note:
    """Take the note out of the arguments of an evaluation."""
    return note_from_wire(arguments.pop(NOTE, None), arguments.get("bitstream"), arguments.get("attempt", 1))
