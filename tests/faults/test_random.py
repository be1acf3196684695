"""A short soak: random faults at random moments, while clients evaluate and others race to reserve."""

from __future__ import annotations

import os

import pytest
from pytest_twisted import ensureDeferred

from faults.farm import FaultyFarm
from faults.soak import Soak, report

pytestmark = pytest.mark.faults

SECONDS = 20.0


@ensureDeferred
async def test_random_faults_lose_nothing_and_leave_nothing_behind(farm: FaultyFarm) -> None:
    seed = int(os.environ.get("ICEFARM_FAULTS_SEED", "0")) or int.from_bytes(os.urandom(4))
    print(f"ICEFARM_FAULTS_SEED={seed} strikes with the same faults again")
    await farm.set_grace(10.0)
    soak = Soak(farm, seed, SECONDS, contended=1, window=0.2)
    try:
        await soak.run()
    finally:
        for client in [*soak.evaluators, *soak.contenders]:
            await client.kill()
        print("\n".join(report(soak, SECONDS)))
