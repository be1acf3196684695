"""The farm's history in memory: the stand-in for `icefarm.control.storage.postgres.history` in tests."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from attrs import Factory, define

from icefarm.contract import DeviceStatus
from icefarm.control.storage.history import BoardPast, FarmSample, History, HistoryBatch, Journal

__all__ = ["MemoryHistory"]


@define(eq=False)
class MemoryHistory(History):
    """Implements `History`, without reservations."""

    kept: HistoryBatch = Factory(HistoryBatch)

    async def keep(self, batch: HistoryBatch) -> None:
        self.kept.samples += batch.samples
        self.kept.boards += batch.boards
        self.kept.states += batch.states
        self.kept.log += batch.log

    async def samples(self, since: float, step: float) -> list[FarmSample]:
        stretches: defaultdict[float, list[FarmSample]] = defaultdict(list)
        for sample in self.kept.samples:
            if sample.time >= since:
                stretches[sample.time // step * step].append(sample)
        return [_mean(time, stretches[time]) for time in sorted(stretches)]

    async def board(self, serial: str, since: float) -> BoardPast:
        states = [state for state in self.kept.states if state.serial == serial]
        earlier = [state.time for state in states if state.time <= since]
        return BoardPast(
            [state for state in states if not earlier or state.time >= max(earlier)],
            [sample for sample in self.kept.boards if sample.serial == serial and sample.time >= since],
            [line for line in self.kept.log if line.serial == serial and line.time >= since],
        )

    async def journal(self, since: float, limit: int) -> Journal:
        states = [state for state in self.kept.states if state.time >= since]
        return Journal(states[-limit:], [], [line for line in self.kept.log if line.time >= since][-limit:])

    async def forget(self, before: float) -> None:
        def recent(kept: list[Any]) -> list[Any]:
            return [each for each in kept if each.time >= before]

        kept = self.kept
        self.kept = HistoryBatch(recent(kept.samples), recent(kept.boards), recent(kept.states), recent(kept.log))


def _mean(time: float, samples: list[FarmSample]) -> FarmSample:
    count = len(samples)
    return FarmSample(
        time,
        {status: sum(sample.states.get(status, 0) for sample in samples) / count for status in DeviceStatus},
        sum(sample.rate for sample in samples) / count,
        sum(sample.failing for sample in samples) / count,
        sum(sample.waiting for sample in samples) / count,
        max(sample.longest_wait for sample in samples),
    )
