"""What a reservation measures on its board: again where the board fails, and nothing that its client takes back.

Theory of operation
===================
::

    carried_out: admit --> measure ------------------------------> decode --> record
                             |   ^
                             |   +-- the board failed, and is usable again
                             +-- waits for the board, or for its turn where others share it

What always holds:

- The board may be gone and come back during an evaluation: it is then measured again, `RERUNS` times at most.
- An evaluation that is withdrawn ends with `Withdrawn`, unless a measurement of it is done: then it goes on to its end.
- Whatever waits when the reservation ends gets `ReservationEnded`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

from attrs import Factory, define, frozen
from twisted.internet.defer import CancelledError, Deferred

from icefarm.arguments import to_wire
from icefarm.concurrency.clock import Clock
from icefarm.errors import Busy, DeviceFailed, ReservationEnded, Withdrawn
from icefarm.kinds.circuit import Admission, Circuit, Packed
from icefarm.kinds.handle import Answer, Parameters
from icefarm.kinds.registry import Kind
from icefarm.worker.archive.recorder import Recorder
from icefarm.worker.board.states import Firmware
from icefarm.worker.protocol.board_client import BoardClient
from icefarm.worker.protocol.health import Outcome, Tally
from icefarm.worker.protocol.pipeline import BoardUnusable, ParametersRefused, Pipeline, Refused, TakenBack
from icefarm.worker.reservation.idempotency import check_id
from icefarm.worker.reservation.turns import Turn

__all__ = [
    "MOST_WITHDRAWN",
    "RERUNS",
    "BoardHolder",
    "Chosen",
    "Measuring",
    "ReservationContext",
    "Underway",
    "present",
]

#: How often an evaluation that a failing board interrupted is repeated.
RERUNS = 2
#: Evaluations of a reservation that its client may withdraw; clients withdraw a handful when they give a board back.
MOST_WITHDRAWN = 512


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
class Chosen:
    """Options of one evaluation."""

    options: Any
    #: Those that the client named or the kind has a default for, as the measurement repeats them.
    recorded: Mapping[str, Any]
    #: The same as text: options with a list in them can't be hashed.
    text: str

    @classmethod
    def of(cls, options: Any) -> Chosen:
        recorded = {name: value for name, value in to_wire(options).items() if value is not None}
        return cls(options, recorded, str(recorded))


@define(eq=False)
class Underway:
    """An evaluation that is carried out."""

    id: str
    #: A measurement of it is done: it is finished here.
    begun: bool = False


#: The one that the present code belongs to: a kind that carries evaluations out itself does not name it.
present: ContextVar[Underway | None] = ContextVar("present", default=None)


@define(eq=False)
class Measuring:
    """The board, as one reservation has it."""

    kind: Kind
    firmware: Firmware
    context: ReservationContext
    #: Its client.
    account: str
    #: The kind's options and the provenance of results, which each measurement repeats.
    stamp: Mapping[str, Any]
    options: Mapping[str, Any]
    #: Its place among the clients that share the board; None: it has the board alone.
    turn: Turn | None = None
    #: While the board is usable.
    client: BoardClient | None = None
    ended: ReservationEnded | None = None
    _waiting: list[Deferred[BoardClient]] = Factory(list)
    #: The evaluations among them, by id.
    _stalled: dict[str, Deferred[BoardClient]] = Factory(dict)
    #: Evaluations that are not to be begun.
    _withdrawn: set[str] = Factory(set)

    # ------------------------------------------------------------------------------------------ an evaluation

    async def carried_out(
        self,
        instance: Any,
        evaluation_id: str,
        bitstream: Packed | bytes,
        parameters: Parameters,
        chosen: Chosen,
        attempt: int,
    ) -> dict[str, Any]:
        """Carry out an evaluation of a kind that declares what it measures; ``instance`` decodes the answer."""
        circuit = self.context.admission.admit(bitstream, self.account)
        answer = await self.measure(circuit, parameters, Underway(evaluation_id))
        measured = self.record(answer, circuit, None, evaluation_id, attempt, chosen.recorded)
        self.context.board.tally.measured(answer)
        measured["value"] = instance.decode(answer.content, chosen.options)
        return measured

    async def measure(self, circuit: Circuit, parameters: Parameters, evaluation: Underway | None) -> Answer:
        """Measure a circuit, again where the board fails; the caller counts the answer.

        Raises `DeviceFailed`, `ReservationEnded`, `Withdrawn`.
        """
        why, tally = "", self.context.board.tally
        content, window, overlap = parameters.content, parameters.window, parameters.overlap
        for run in range(RERUNS + 1):
            if run > 0:
                tally.went_wrong(Outcome.RETRY)
            client = self.client if self.client is not None else await self._usable_for(evaluation)
            key = self._key(evaluation)
            try:
                pipeline: Pipeline | Turn = client.pipeline if self.turn is None else self.turn
                answer = await pipeline.evaluate(circuit, content, window, overlap, key)
            except BoardUnusable as error:
                why = str(error)
            except TakenBack:
                raise Withdrawn from None
            except Refused as error:
                raise self.failure(self._refusal(error)) from None
            else:
                if evaluation is not None:
                    evaluation.begun = True
                return answer
        raise self.failure(f"the board {why}, {RERUNS + 1} times during this evaluation")

    def record(
        self,
        answer: Answer,
        circuit: Circuit,
        value: object,
        evaluation_id: str,
        attempt: int,
        options: Mapping[str, object],
    ) -> dict[str, Any]:
        """Return a measurement for the wire."""
        # The fields of icefarm.contract.Measurement; a plain dict, for speed in each evaluation.
        return {
            **self.stamp,
            "value": value,
            "evaluation_id": evaluation_id,
            "options": {**self.options, **options},
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

    def _key(self, evaluation: Underway | None) -> str | None:
        """Return the key under which a measurement can be taken back.  Raises `Withdrawn` if it is not to be begun."""
        if evaluation is None or evaluation.begun:
            return None
        if evaluation.id in self._withdrawn:
            raise Withdrawn
        return evaluation.id

    async def _usable_for(self, evaluation: Underway | None) -> BoardClient:
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
        if self.turn is not None:
            self.turn.take_back(self._withdrawn)
        elif self.client is not None:
            self.client.pipeline.take_back(self._withdrawn)

    # ------------------------------------------------------------------------------------------------ the board

    def attach(self, client: BoardClient) -> None:
        """The board is usable."""
        self.client = client
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(client)

    def fail_waiting(self, why: str) -> None:
        """The board won't be usable soon."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.errback(self.failure(why))

    def usable(self) -> Deferred[BoardClient]:
        """Wait for the board.  Fails with `ReservationEnded`, or with `DeviceFailed` if that won't be soon."""
        waiter: Deferred[BoardClient] = Deferred(self._waiting.remove)
        hopeless = self.context.board.hopeless()
        if self.ended is not None:
            waiter.errback(self.ended)
        elif self.client is not None:
            waiter.callback(self.client)
        elif hopeless is not None:
            waiter.errback(self.failure(hopeless))
        else:
            self._waiting.append(waiter)
        return waiter

    def end(self, reason: str) -> tuple[list[Deferred[BoardClient]], ReservationEnded]:
        """End the reservation; returns what waits for the board, and the error that it is to get."""
        self.ended = ReservationEnded(f"the reservation has ended: {reason}", serial=self.context.board.serial)
        self.client = None
        waiting, self._waiting = self._waiting, []
        return waiting, self.ended

    def failure(self, why: str) -> DeviceFailed:
        """Return the error of a board that failed."""
        serial = self.context.board.serial
        return DeviceFailed(f"board {serial} failed: {why}", serial=serial, reason=why)

    def _refusal(self, error: Refused) -> str:
        """Return why the board refused an evaluation, and what to do where its image is older than the kind needs."""
        firmware, kind = self.firmware, self.kind
        if not isinstance(error, ParametersRefused) or not firmware.is_older_than(kind.firmware_since):
            return str(error)
        return (
            f"its firmware {firmware} is older than kind {kind.name} needs ({kind.firmware_since}); "
            "update the worker's images (icefarm firmware build, then install)"
        )
