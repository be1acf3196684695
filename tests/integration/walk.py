"""Prints the calls of icefarm's functions during one evaluation in memory, as JSON: [[file, function], ...].

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
    threading.setprofile(note)
    sys.setprofile(note)
    with FarmInMemory(boards=1) as farm, farm.client().reserve(1, window=0.001) as boards:
        calls.clear()
        (result,) = boards.evaluate([bitstream])
        seen = list(calls)
        if not result.ok:
            raise result.error
    sys.setprofile(None)
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
