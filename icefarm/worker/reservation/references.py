"""Measures reference circuits on a board that nobody uses.

The board is borrowed: to control and to everybody else it is available, and a reservation takes it at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from icefarm.contract import FARM_ACCOUNT, Assignment, ReferenceCircuit
from icefarm.errors import DeviceFailed, InvalidBitstream, ReservationEnded
from icefarm.kinds.registry import EVALUATE
from icefarm.worker.board.managed_board import ManagedBoard
from icefarm.worker.reservation.board_reservation import BoardReservation

__all__ = ["measure_references"]

#: The kind that measures.
KIND = "pulsecount"
#: Not archived: control stores these measurements itself.
_NOT_ARCHIVED = {"note": {"archive": False}}


async def measure_references(
    board: ManagedBoard, reservation: str, window: float, circuits: Sequence[ReferenceCircuit]
) -> list[dict[str, Any]]:
    """Measure each circuit as often as it says; returns the measurements, each with the name of its ``reference``.

    A circuit that the board refuses is left out, and so is what is missing when the board is taken for a reservation.
    Raises `Unavailable` where it is not free, `DeviceFailed`, `UnknownKind`.
    """
    borrowed = board.borrow(Assignment(reservation, FARM_ACCOUNT, KIND, {"window": window}))
    found: list[dict[str, Any]] = []
    try:
        await borrowed.usable()
        for circuit in circuits:
            found += await _measured(borrowed, circuit)
    except ReservationEnded:
        # Keep the measurements made so far.
        pass
    finally:
        board.release(reservation, "its references are measured")
    return found


async def _measured(borrowed: BoardReservation, circuit: ReferenceCircuit) -> list[dict[str, Any]]:
    """Return what the board measured of a circuit; nothing where it refuses it, as virtual boards do with loops."""
    found: list[dict[str, Any]] = []
    for number in range(circuit.times):
        id = f"{borrowed.assignment.reservation} {circuit.name} {number}"
        try:
            measured = await borrowed.call(
                EVALUATE, (), {**_NOT_ARCHIVED, "evaluation_id": id, "bitstream": circuit.bitstream}
            )
        except (DeviceFailed, InvalidBitstream):
            return found
        found.append({**measured, "reference": circuit.name})
    return found
