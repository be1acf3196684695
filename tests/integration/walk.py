"""Prints the calls of icefarm's functions in each walk of docs/architecture.md, as JSON: {walk: [[file, function]...]}.

A reservation whose board has to be flashed, one evaluation, and a board that is plugged in until it is ready.

In a process of its own: the client's thread must not have been started before.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import icefarm
from icefarm.bitstream import made_up_bitstream
from icefarm.testing.in_memory import FarmInMemory

ROOT = Path(icefarm.__file__).parent
calls: list[tuple[str, str]] = []


def note(frame: Any, event: str, _: Any) -> None:
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(str(ROOT)):
        calls.append((str(Path(code.co_filename).relative_to(ROOT)), code.co_qualname))


def main() -> None:
    bitstream = made_up_bitstream(1)
    walks: dict[str, list[tuple[str, str]]] = {}
    threading.setprofile(note)
    sys.setprofile(note)
    with FarmInMemory(boards=1) as farm:
        client = farm.client()
        calls.clear()
        boards = client.reserve(1, window=0.001)
        walks["reservation"] = list(calls)
        calls.clear()
        (result,) = boards.evaluate([bitstream])
        walks["evaluation"] = list(calls)
        if not result.ok:
            raise result.error
        boards.end()
        farm.wait_until_available()
        (serial,) = farm.serials
        farm.unplug(serial)
        while client.available():
            # Each call gives the farm a turn, until it has noticed.
            pass
        calls.clear()
        farm.plug(serial)
        farm.wait_until_available()
        # What follows from it, in the farm's own thread.
        client.available()
        walks["plug-in"] = list(calls)
    sys.setprofile(None)
    print(json.dumps(walks))


if __name__ == "__main__":
    main()
