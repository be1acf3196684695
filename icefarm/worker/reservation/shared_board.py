"""A board that several clients share: the farm's own reservation of it, and within that, one of each client.

Each client's reservation is an ordinary one (`BoardReservation`): it has its own id, which calls must name, and its own
options, evaluations, and rows for the archive.  What they share is the board, with one kind and one firmware;
`BoardTurns` lets their evaluations take turns, by account.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import Factory, define, evolve

from icefarm.contract import Assignment, account_of
from icefarm.kinds.registry import Kind
from icefarm.worker.board.states import Firmware
from icefarm.worker.protocol.board_client import BoardClient
from icefarm.worker.reservation.board_reservation import BoardReservation
from icefarm.worker.reservation.measuring import ReservationContext
from icefarm.worker.reservation.turns import BoardTurns, Turn

__all__ = ["SharedBoard"]


@define(eq=False)
class SharedBoard:
    """The farm's own reservation of a board, and those within it."""

    assignment: Assignment
    kind: Kind
    firmware: Firmware
    _context: ReservationContext
    _shares: dict[str, BoardReservation] = Factory(dict)
    _board_client: BoardClient | None = None
    _turns: BoardTurns = Factory(lambda self: BoardTurns(self._context.clock), takes_self=True)

    def __iter__(self) -> Iterator[BoardReservation]:
        return iter(list(self._shares.values()))

    def find(self, reservation: str) -> BoardReservation | None:
        """Return the reservation of that id within it."""
        return self._shares.get(reservation)

    def ids(self) -> list[str]:
        """Return the ids of the reservations within it, sorted."""
        return sorted(self._shares)

    def join(self, assignment: Assignment) -> BoardReservation:
        """Let one more client share the board; one that does already goes on unchanged.

        Raises `InvalidArgument` for options that the kind refuses, `DeviceFailed`.
        """
        before = self._shares.get(assignment.reservation)
        if before is not None:
            before.relabel(assignment.labels)
            return before
        account = account_of(assignment.client)
        turn = Turn(self._turns, account, assignment.reservation)
        share = BoardReservation.of(assignment, self.kind, self.firmware, self._context, turn)
        self._turns.admit(account, assignment.weight)
        self._shares[assignment.reservation] = share
        if self._board_client is not None:
            share.attach(self._board_client)
        return share

    def leave(self, reservation: str, reason: str) -> BoardReservation | None:
        """End the reservation of that id within it; the others go on."""
        share = self._shares.pop(reservation, None)
        if share is not None:
            share.end(reason)
            account = account_of(share.client)
            if all(account_of(each.client) != account for each in self):
                self._turns.dismiss(account)
        return share

    # ------------------------------------------------------------------------------------------- the board's side

    def relabel(self, labels: Mapping[str, str]) -> None:
        """Note other labels of the board from now on."""
        self.assignment = evolve(self.assignment, labels=dict(labels))
        for share in self:
            share.relabel(labels)

    async def start(self) -> None:
        """There is nothing to prepare: shareable kinds have no hook for it."""

    def attach(self, client: BoardClient) -> None:
        """The board is usable."""
        self._board_client = client
        self._turns.attach(client.pipeline)
        for share in self:
            share.attach(client)

    def detach(self) -> None:
        """The board is unusable for now."""
        self._board_client = None
        self._turns.detach()
        for share in self:
            share.detach()

    def fail_waiting(self, why: str) -> None:
        """The board won't be usable soon."""
        self._turns.fail(why)
        for share in self:
            share.fail_waiting(why)

    def end(self, reason: str) -> None:
        """Nobody has the board any more."""
        self.detach()
        for share in self:
            self.leave(share.assignment.reservation, reason)

    def is_held_by(self, client: str) -> bool:
        """Tell whether that client shares it."""
        return any(share.client == client for share in self)

    def held(self) -> Sequence[tuple[str, str]]:
        """Return (client, reservation) of each within it."""
        return [(share.client, share.assignment.reservation) for share in self]
