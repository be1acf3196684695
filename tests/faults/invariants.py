"""What must hold after every run, whatever happened in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from waiting import until

from faults.clients import Client, Tally
from faults.farm import FaultyFarm

__all__ = ["check_agreement", "check_archived", "check_nothing_is_held", "check_single_holders"]

#: Seconds until what was answered is in the archive, after all parts are back.
ARCHIVE_LIMIT = 45.0
#: Seconds until all parts agree, the last flashing included.
AGREEMENT_LIMIT = 30.0


async def check_agreement(farm: FaultyFarm, clients: Iterable[Client], limit: float = AGREEMENT_LIMIT) -> None:
    """Clients, PostgreSQL, control and workers name the same reservations, soon.  Raises AssertionError."""
    expected = {reservation: serial for client in clients for serial, reservation in client.held.items()}
    seen: list[Any] = []

    async def agree() -> bool:
        stored = dict(farm.query("SELECT id, serial FROM reservation WHERE ended_at IS NULL"))
        snapshot = await farm.snapshot()
        told = {record.id: record.serial for record in snapshot.reservations if record.ended_at is None}
        # The worker's own word: what it reports of a board that is prepared for a reservation.
        workers = {serial for (serial,) in farm.query("SELECT serial FROM device WHERE reported = 'reserved'")}
        seen[:] = [stored, told, workers]
        return seen == [expected, expected, set(expected.values())]

    await until(agree, lambda: f"clients have {expected}; database, control, workers have {seen}", limit)


async def check_nothing_is_held(farm: FaultyFarm, limit: float = 60.0) -> None:
    """All boards are free, no reservation is active, nobody is in the queue.  Raises AssertionError."""
    await farm.all_available(limit)
    await check_agreement(farm, ())
    await check_nobody_waits(farm, limit)
    check_single_holders(farm)


async def check_nobody_waits(farm: FaultyFarm, limit: float) -> None:
    """Control and PostgreSQL have no request in the queue, soon.  Raises AssertionError.

    A client that was killed while it waited keeps its place for as long as it might come back.
    """
    seen: list[Any] = []

    async def is_empty() -> bool:
        seen[:] = [(await farm.snapshot()).queue, farm.query("SELECT id, client FROM request")]
        return seen == [[], []]

    await until(is_empty, lambda: f"the queues of control and the database, {seen}, are empty", limit)


def check_single_holders(farm: FaultyFarm) -> None:
    """No two reservations of a board ever overlapped.  Raises AssertionError."""
    overlapping = farm.query(
        "SELECT one.serial, one.client, other.client, one.created_at, one.ended_at, other.created_at, other.ended_at"
        " FROM reservation one JOIN reservation other ON one.serial = other.serial AND one.id < other.id"
        " AND one.created_at < coalesce(other.ended_at, 'infinity')"
        " AND other.created_at < coalesce(one.ended_at, 'infinity')"
    )
    assert overlapping == [], f"reservations of one board at the same time: {overlapping}"


async def check_archived(farm: FaultyFarm, tallies: Iterable[Tally], limit: float = ARCHIVE_LIMIT) -> None:
    """What clients were answered is in the archive once, with that value, soon.  Raises AssertionError."""
    answered = {id: value for tally in tallies for id, value in tally.by_id.items()}
    wrong: list[str] = []

    def is_archived() -> bool:
        rows = farm.query("SELECT evaluation_id, serial, number::bigint FROM measurement WHERE error IS NULL")
        mine = [(id, (serial, value)) for id, serial, value in rows if id in answered]
        kept = dict(mine)
        assert len(mine) == len(kept), "an evaluation has two values in the archive"
        # An attempt whose answer was lost is there until the one that was answered arrives.
        missing = [id for id, value in answered.items() if kept.get(id) != value]
        ((counted,),) = farm.query("SELECT coalesce(sum(done), 0)::bigint FROM experiment_board")
        wrong[:] = [
            f"{len(missing)} of {len(answered)} answers are not in the archive, such as {missing[:3]}",
            f"experiments count {counted} values and have {len(rows)}",
        ]
        return not missing and counted == len(rows)

    await until(is_archived, lambda: "; ".join(wrong), limit)
