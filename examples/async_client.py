"""Evaluate bitstreams from an asyncio program, while it does something else.

icefarm up &
python examples/async_client.py examples/circuits/*.bin
"""

from __future__ import annotations

import asyncio
import sys

from icefarm.client.aio import Farm


async def tick() -> None:
    """Stand for whatever else the program does."""
    while True:
        await asyncio.sleep(1.0)
        print("the event loop is free")


async def main(paths: list[str]) -> None:
    ticking = asyncio.create_task(tick())
    async with Farm(name="async-client") as farm, await farm.reserve(2, window=1.0, wait=True) as boards:
        async for result in boards.evaluate(paths):
            print(result.serial, result.source, result.value if result.ok else result.error)
    ticking.cancel()


asyncio.run(main(sys.argv[1:]))
