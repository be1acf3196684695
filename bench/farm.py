"""The farm that is measured: ``icefarm up`` as a user starts it, in a temporary directory, on a free port."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from icefarm.testing.processes.farm_process import FarmProcess

__all__ = ["router_urls", "running_farm"]


@contextmanager
def running_farm(
    boards: int, speed: str, say: Callable[[str], None], model: str = "landscape", routers: int = 1
) -> Iterator[FarmProcess]:
    """Run a farm for the duration of a ``with`` block; it stops at the block's end, however that comes.

    ``say`` gets a line once it is ready. Most benchmarks make circuits up, and what they measure is the farm, so their
    boards invent what they count.
    """
    with tempfile.TemporaryDirectory(prefix="icefarm-bench-") as directory:
        arguments = (
            "--boards",
            str(boards),
            "--speed",
            speed,
            "--listen",
            "127.0.0.1:0",
            "--name",
            "bench",
            "--model",
            model,
            "--routers",
            str(routers),
        )
        with FarmProcess(Path(directory, "farm"), arguments) as farm:
            farm.wait_until_ready()
            say(f"\na farm of {boards} boards, speed {speed}, at {farm.url}")
            yield farm


def router_urls(farm: FarmProcess) -> list[str]:
    """Return the URLs of a farm's routers."""
    found = [re.match(r"router(?: \d+)?: Crossbar.io at (\S+) port (\d+)$", line) for line in farm.lines]
    return [f"http://{match[1]}:{match[2]}" for match in found if match is not None]
