"""A reservation of a board: the kind's instance that serves it, its evaluations, and its caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine, Hashable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any, Protocol

from attrs import Factory, define, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from icefarm.arguments import to_wire
from icefarm.concurrency.clock import Clock
from icefarm.contract import Assignment, account_of
from icefarm.errors import Busy, DeviceFailed, ReservationEnded, Withdrawn
from icefarm.kinds.circuit import Admission, Circuit, Packed
from icefarm.kinds.handle import Answer
from icefarm.kinds.registry import EVALUATE, Kind
from icefarm.worker.archive.recorder import Recorder, ReservationRows
from icefarm.worker.archive.rows import Note, note_from_wire
from icefarm.worker.board.states import Firmware
from icefarm.worker.protocol.board_client import BoardClient
from icefarm.worker.protocol.health import Outcome, Tally
from icefarm.worker.protocol.pipeline import BoardUnusable, ParametersRefused, Pipeline, Refused, TakenBack
from icefarm.worker.reservation.idempotency import Evaluations, check_id
from icefarm.worker.reservation.turns import Turn

__all__ = ["BoardHolder", "BoardReservation", "ReservationContext"]

#: How often an evaluation that a failing board interrupted is repeated.
RERUNS = 2
#: Evaluations of a reservation that its client may withdraw; clients withdraw a handful when they give a board back.
MOST_WITHDRAWN = 512
#: The argument of an evaluation that is for the archive, not for the kind.
NOTE = "note"

#: What the client noted of the evaluation that the present call is about.
_noted: ContextVar[Note | None] = ContextVar("noted", default=None)


@define(eq=False)
class _Evaluation:
    """An evaluation that is carried out."""

    id: str
    #: A measurement of it is done: it is finished here.
    begun: bool = False


#: The one that the present code belongs to.
_present: ContextVar[_Evaluation | None] = ContextVar("present", default=None)


class BoardHolder(Protocol):
    """The board of a reservation; `icefarm.worker.board.managed_board.ManagedBoard` implements it."""

    serial: str
    tally: Tally

    def hopeless(self) -> str | None:
        """Return why waiting for the board is useless now; None if it is not."""

    def emit(self, reservation: str, event: str, fields: Mapping[str, object]) -> None:
        """Send the client an event."""


@frozen
class ReservationContext:
    """What a reservation needs of the worker."""

    worker: str
    clock: Clock
    admission: Admission
    board: BoardHolder
    archive: Recorder = Factory(lambda self: Recorder(self.clock), takes_self=True)


@frozen
class _Chosen:
    """Options of one evaluation."""

    options: Any
    #: Those that the client named or the kind has a default for, as the measurement repeats them.
    recorded: Mapping[str, Any]
    #: The same as text: options with a list in them can't be hashed.
    text: str

    @classmethod
    def of(cls, options: Any) -> _Chosen:
        recorded = {name: value for name, value in to_wire(options).items() if value is not None}
        return cls(options, recorded, str(recorded))


@define(eq=False)
class BoardReservation:
    """One reservation of one board; the `DeviceHandle` of a kind's instance."""

    assignment: Assignment
    kind: Kind
    firmware: Firmware
    _context: ReservationContext
    _options: Any
    _evaluations: Evaluations
    _rows: ReservationRows
    log: Logger = Factory(partial(Logger, namespace="icefarm.kinds"))
    _instance: Any = None
    _board_client: BoardClient | None = None
    _ended: ReservationEnded | None = None
    _waiting: list[Deferred[BoardClient]] = Factory(list)
    #: The evaluations among them, by id.
    _stalled: dict[str, Deferred[BoardClient]] = Factory(dict)
    #: Evaluations that are not to be begun.
    _withdrawn: set[str] = Factory(set)
    #: The kind's options and the provenance of results, which each measurement repeats.
    _stamp: dict[str, Any] = Factory(dict)
    _plain_options: dict[str, Any] = Factory(dict)
    #: The options of an evaluation that names none, where the kind declares what it measures.
    _usual: _Chosen | None = None
    #: Its place among those who share the board; None: it has the board for itself.
    _turn: Turn | None = None

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
        rows = ReservationRows(context.archive, assignment.reservation, {**stamp, "options": plain})
        evaluations = Evaluations(context.board.tally, rows)
        reservation = cls(assignment, kind, firmware, context, options, evaluations, rows)
        try:
            reservation._instance = kind.make(reservation, options)
        except Exception:
            # Code of another author's kind: its errors must not reach callers of other boards.
            reservation.log.failure("a {kind} device could not be made", kind=kind.name)
            raise DeviceFailed(f"device kind {kind.name} is faulty; the worker's log has the details") from None
        reservation._plain_options = plain
        if kind.evaluation_options is not None:
            reservation._usual = _Chosen.of(kind.evaluation_options())
        reservation._stamp = stamp
        reservation._turn = turn
        return reservation

    @property
    def in_progress(self) -> int:
        """Evaluations that run, or wait for the board."""
        return self._evaluations.in_progress

    def relabel(self, labels: Mapping[str, str]) -> None:
        """Note other labels of the board from now on."""
        self._stamp = {**self._stamp, "board_labels": dict(labels)}
        self._rows.stamp = {**self._rows.stamp, "board_labels": dict(labels)}

    # ------------------------------------------------------------------------------------------- the board's side

    async def start(self) -> None:
        """Let the kind prepare, once its firmware runs."""
        started = getattr(self._instance, "started", None)
        if started is not None:
            await started()

    def attach(self, client: BoardClient) -> None:
        """The board is usable."""
        self._board_client = client
        client.listener = self._heard
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(client)

    def detach(self) -> None:
        """The board is unusable for now."""
        if self._board_client is not None:
            self._board_client = None
            self._call_hook("board_lost")

    def fail_waiting(self, why: str) -> None:
        """The board won't be usable soon."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.errback(self._failure(why))

    def end(self, reason: str) -> None:
        """The reservation is over."""
        if self._ended is not None:
            return
        self._ended = ReservationEnded(f"the reservation has ended: {reason}", serial=self.serial)
        self._board_client = None
        waiting, self._waiting = self._waiting, []
        self._evaluations.end(self._ended)
        for waiter in waiting:
            waiter.errback(self._ended)
        self._call_hook("stopped")

    def find(self, reservation: str) -> BoardReservation | None:
        """Return itself if that is its id."""
        return self if self.assignment.reservation == reservation else None

    def is_held_by(self, client: str) -> bool:
        """Tell whether it is that client's."""
        return self.client == client

    def held(self) -> Sequence[tuple[str, str]]:
        """Return its (client, reservation)."""
        return [(self.client, self.assignment.reservation)]

    def usable(self) -> Deferred[BoardClient]:
        """Wait for the board.  Fails with `ReservationEnded`, or with `DeviceFailed` if that won't be soon."""
        waiter: Deferred[BoardClient] = Deferred(self._waiting.remove)
        hopeless = self._context.board.hopeless()
        if self._ended is not None:
            waiter.errback(self._ended)
        elif self._board_client is not None:
            waiter.callback(self._board_client)
        elif hopeless is not None:
            waiter.errback(self._failure(hopeless))
        else:
            self._waiting.append(waiter)
        return waiter

    def call(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Awaitable[Any]:
        """Call one of the kind's methods, with checked arguments."""
        function = self.kind.methods.get(method)
        if function is None:
            raise self.kind.no_method(method)
        note = None
        if method == EVALUATE and NOTE not in function.types:
            own = dict(kwargs)
            note = note_from_wire(own.pop(NOTE, None), own.get("bitstream"), own.get("attempt", 1))
            kwargs = own
        arguments = function.bind(args, kwargs)
        if method == EVALUATE and self._usual is not None:
            return self.evaluate(**arguments, note=note)
        _noted.set(note)
        answer: Awaitable[Any] = function.function(self._instance, **arguments)
        return answer

    def evaluate(
        self,
        evaluation_id: str,
        bitstream: Packed | bytes,
        options: Any = None,
        attempt: int = 1,
        note: Note | None = None,
    ) -> Deferred[dict[str, Any]]:
        """Evaluate as the kind declares: join, admit, measure, record.  See `icefarm.kinds.handle.Evaluator`."""
        usual = self._usual
        assert usual is not None
        chosen = usual if options is None or options == usual.options else _Chosen.of(options)
        parameters = self._instance.parameters(chosen.options)
        if self._turn is not None:
            self._turn.check(parameters.window)

        async def evaluated() -> dict[str, Any]:
            circuit = self.admit(bitstream)
            answer = await self.measure(
                circuit, parameters.content, window=parameters.window, overlap=parameters.overlap
            )
            value = self._instance.decode(answer.content, chosen.options)
            return self._record(answer, circuit, value, evaluation_id, attempt, chosen.recorded)

        return self._joined(evaluation_id, (bitstream, chosen.text), evaluated, note)

    def _joined(
        self,
        evaluation_id: str,
        content: Hashable,
        evaluate: Callable[[], Coroutine[Deferred[Any], Any, Any]],
        note: Note | None,
    ) -> Deferred[Any]:
        if self._ended is not None:
            raise self._ended

        async def carried_out() -> Any:
            _present.set(_Evaluation(evaluation_id))
            return await evaluate()

        return self._evaluations.once(evaluation_id, content, carried_out, note)

    def withdraw(self, ids: Collection[str]) -> None:
        """Begin none of these evaluations any more: calls that wait for them, and later ones, get `Withdrawn`.

        Those that the board has begun go on to their end, and keep their results.  So the answer of each evaluation's
        own call says what became of it.  Raises `Busy` for more than `MOST_WITHDRAWN` in all, and `InvalidArgument`.
        """
        for id in ids:
            check_id(id)
        if len(self._withdrawn.union(ids)) > MOST_WITHDRAWN:
            raise Busy(f"{MOST_WITHDRAWN} evaluations of a reservation can be withdrawn; end it instead")
        self._withdrawn.update(ids)
        for id in ids:
            if id in self._stalled:
                self._stalled[id].cancel()
        if self._turn is not None:
            self._turn.take_back(self._withdrawn)
        elif self._board_client is not None:
            self._board_client.pipeline.take_back(self._withdrawn)

    def _failure(self, why: str) -> DeviceFailed:
        return DeviceFailed(f"board {self.serial} failed: {why}", serial=self.serial, reason=why)

    def _refusal(self, error: Refused) -> str:
        """Return why the board refused an evaluation, and what to do where its image is older than the kind needs."""
        firmware, kind = self.firmware, self.kind
        if not isinstance(error, ParametersRefused) or not firmware.is_older_than(kind.firmware_since):
            return str(error)
        return (
            f"its firmware {firmware} is older than kind {kind.name} needs ({kind.firmware_since}); "
            "update the worker's images (icefarm firmware build, then install)"
        )

    def _heard(self, type_: int, payload: bytes) -> None:
        if self._ended is None:
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
        return self._context.board.serial

    @property
    def client(self) -> str:
        return self.assignment.client

    @property
    def clock(self) -> Clock:
        return self._context.clock

    def admit(self, bitstream: Packed | bytes) -> Circuit:
        return self._context.admission.admit(bitstream, account_of(self.client))

    def once(self, evaluation_id: str, content: Hashable, evaluate: Callable[[], Awaitable[Any]]) -> Deferred[Any]:
        async def evaluated() -> Any:
            return await evaluate()

        return self._joined(evaluation_id, content, evaluated, _noted.get())

    async def measure(self, circuit: Circuit, parameters: bytes, *, window: float, overlap: bool) -> Answer:
        why, tally, evaluation = "", self._context.board.tally, _present.get()
        for run in range(RERUNS + 1):
            if run > 0:
                tally.went_wrong(Outcome.RETRY)
            client = self._board_client if self._board_client is not None else await self._usable_for(evaluation)
            key = self._key(evaluation)
            try:
                pipeline: Pipeline | Turn = client.pipeline if self._turn is None else self._turn
                answer = await pipeline.evaluate(circuit, parameters, window, overlap, key)
            except BoardUnusable as error:
                why = str(error)
            except TakenBack:
                raise Withdrawn from None
            except Refused as error:
                raise self._failure(self._refusal(error)) from None
            else:
                tally.measured(answer)
                if evaluation is not None:
                    evaluation.begun = True
                return answer
        raise self._failure(f"the board {why}, {RERUNS + 1} times during this evaluation")

    def _key(self, evaluation: _Evaluation | None) -> str | None:
        """Return under which key a measurement can be taken back.  Raises `Withdrawn` if it is not to be begun."""
        if evaluation is None or evaluation.begun:
            return None
        if evaluation.id in self._withdrawn:
            raise Withdrawn
        return evaluation.id

    async def _usable_for(self, evaluation: _Evaluation | None) -> BoardClient:
        """Wait for the board, unless the evaluation is withdrawn meanwhile."""
        key = self._key(evaluation)
        if key is None:
            return await self.usable()
        self._stalled[key] = waiter = self.usable()
        try:
            return await waiter
        except CancelledError:
            self._key(evaluation)
            raise
        finally:
            self._stalled.pop(key, None)

    async def ask(self, type_: int, payload: bytes) -> bytes:
        client = self._board_client if self._board_client is not None else await self.usable()
        try:
            return await client.message(type_, payload)
        except BoardUnusable as error:
            raise self._failure(str(error)) from None

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
        return self._record(answer, circuit, value, evaluation_id, attempt, options)

    def _record(
        self,
        answer: Answer,
        circuit: Circuit,
        value: object,
        evaluation_id: str,
        attempt: int,
        options: Mapping[str, object],
    ) -> dict[str, Any]:
        # The fields of icefarm.contract.Measurement; a plain dict, for speed in each evaluation.
        return {
            **self._stamp,
            "value": value,
            "evaluation_id": evaluation_id,
            "options": {**self._plain_options, **options},
            "sha256": circuit.sha256,
            "window_us": answer.window_us,
            "load_us": answer.load_us,
            "usb_bytes_in_window": answer.usb_bytes_in_window,
            "temperature_c": answer.temperature_c,
            "origin": answer.origin,
            "sequence": answer.sequence,
            "attempt": attempt,
            "started_at": answer.started_at,
            "ended_at": answer.ended_at,
        }

    def emit(self, event: str, **fields: object) -> None:
        if self._ended is None:
            self._context.board.emit(self.assignment.reservation, event, fields)
