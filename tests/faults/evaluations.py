"""What tests of faults begin and end with: a client in the midst of its evaluations, and all of them answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from waiting import until

from faults.clients import Client
from faults.farm import FaultyFarm
from faults.invariants import check_agreement, check_archived

__all__ = ["ITEMS", "Start", "all_answered", "evaluating"]

#: Starts a client process: (name, options of `faults.evaluator`).
Start = Callable[..., Client]
#: Evaluations of a test, on four boards; with this window (of the boards' own, fast time) they take four seconds.
ITEMS = 80
WINDOW = 4.0
#: Seconds until a client is evaluating, and until it has all its answers, whatever happens meanwhile.
BEGIN_LIMIT = 30.0
ANSWER_LIMIT = 90.0


async def evaluating(farm: FaultyFarm, start: Start, name: str, items: int = ITEMS, **options: Any) -> Client:
    """Start a client, with all boards unless ``options`` say otherwise; wait until some evaluations are answered."""
    client = start(name, **{"boards": farm.amount, "items": items, "window": WINDOW, "hold": True, **options})
    await until(lambda: client.tally.values >= 5, "the first answers", BEGIN_LIMIT)
    return client


async def all_answered(farm: FaultyFarm, client: Client, items: int = ITEMS, *, archived: bool = True) -> None:
    """Wait for a client's answers; all of them must be values, and all parts must agree on who has what.

    All must be in the archive too, unless a worker is still away.
    """
    await until(lambda: client.holding or not client.running, f"{items} answers", ANSWER_LIMIT)
    if client.running:
        await check_agreement(farm, [client])
    tally = await client.finish()
    tally.check()
    assert (tally.values, tally.failures) == (items, {})
    if archived:
        await check_archived(farm, [tally])
