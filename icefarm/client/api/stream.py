"""Results of a run as a generator, fed from the caller's own thread."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from twisted.internet.defer import TimeoutError

from icefarm.client.api.reactor_thread import Engine
from icefarm.client.evaluation.results import Result
from icefarm.client.evaluation.run import ResultBatch, Run, no_board_left
from icefarm.client.evaluation.tasks import Item
from icefarm.client.session import ClientSession, RunPlan
from icefarm.contract import ReservationRecord
from icefarm.durations import in_words
from icefarm.errors import TimedOut

__all__ = ["CHUNK", "stream"]

#: Items prepared before the boards get them: enough to save work, few enough that no board waits for long.
CHUNK = 8


class _Feeder:
    """Pulls items in the caller's thread and hands them to the run, as many as it wants."""

    def __init__(self, engine: Engine, run: Run, items: Iterable[Item]) -> None:
        self._engine = engine
        self._run = run
        self._items = iter(items)
        self._exhausted = False

    def feed(self, wanted: int) -> None:
        while wanted > 0 and not self._exhausted:
            size = min(wanted, CHUNK)
            chunk = list(islice(self._items, size))
            self._exhausted = len(chunk) < size
            self._engine.post(self._run.feed, chunk, last=self._exhausted)
            wanted -= size


def stream(
    engine: Engine,
    session: ClientSession,
    plan: RunPlan,
    reservations: Mapping[str, ReservationRecord],
    items: Iterable[Item],
    *,
    deserted_raises: bool = True,
    stall: float | None = None,
) -> Iterator[Result]:
    """Yield the results of a run.

    ``items`` are pulled, and results yielded, in the caller's thread; only whole batches cross between the threads.
    If no board is left, raises `ReservationEnded`; without ``deserted_raises``, each remaining item is a result with
    that error instead.  Raises `TimedOut` if no result arrives for ``stall`` seconds (None: no limit).
    """

    async def begin() -> Run:
        return session.run(plan, reservations)

    run = engine.run(begin)

    async def take() -> ResultBatch:
        taking = run.take()
        if stall is not None:
            taking.addTimeout(stall, session.clock)  # type: ignore[arg-type]
        try:
            return await taking
        except TimeoutError:
            raise TimedOut(f"no board gave a result for {in_words(stall or 0)}", boards=run.boards) from None

    feeder = _Feeder(engine, run, items)
    try:
        if deserted_raises and not run.boards:
            raise no_board_left()
        feeder.feed(run.wanted)
        while True:
            batch = engine.run(take)
            if batch.deserted is None or not deserted_raises:
                # Before the results: the boards continue while the caller handles them.
                feeder.feed(batch.wanted)
            yield from batch.results
            if batch.done:
                return
            if batch.deserted is not None and deserted_raises:
                raise batch.deserted
    finally:
        if engine.pid == os.getpid():
            engine.post(run.stop)
