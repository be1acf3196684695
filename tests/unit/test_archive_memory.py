"""The archive in memory holds to the rules of any archive, so that tests over it say something."""

from __future__ import annotations

from functools import partial

import pytest
from archive_rules import NOW, RULES, World
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from icefarm.testing.memory.archive import MemoryArchive
from icefarm.testing.memory.store import MemoryStore


@pytest.mark.parametrize("name", RULES)
def test_the_archive_in_memory(name: str) -> None:
    clock = Clock()
    clock.advance(NOW)
    store = MemoryStore(clock)

    async def check() -> None:
        world = World(MemoryArchive(clock, store), store, partial(clock.advance, 0.1), clock.seconds)
        await RULES[name](await world.begin())

    checked: list[object] = []
    ensureDeferred(check()).addBoth(checked.append)
    if checked != [None]:
        checked[0].raiseException()  # type: ignore[attr-defined]
