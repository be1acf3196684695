"""Prints what each walk of docs/architecture.md calls: a reservation, an evaluation, a board that is plugged in.

The reservation has a board flashed; the evaluation is one of a client that has evaluated before, as most are; the board
is plugged in until it is available.  The farm is in memory (`icefarm.testing`), so its stand-ins are not counted, and
neither are heartbeats, and what is done again and again, which come when they are due::

    .venv/bin/python tests/integration/walk.py                          each walk's calls, as JSON
    .venv/bin/python tests/integration/walk.py figures                  how many files each passes through
    .venv/bin/python tests/integration/walk.py moves evaluation         its way from file to file

In a process of its own: the client's thread must not have been started before.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred

import icefarm
from icefarm.bitstream import Bitstream, made_up_bitstream
from icefarm.client import Boards, Farm
from icefarm.testing.in_memory import FarmInMemory

ROOT = Path(icefarm.__file__).parent
#: Seconds after which a client, a worker and control have done what they do in the background after a walk.
SETTLED = 0.6
#: Seconds within which a board that is plugged in is available, and what is called last then.
PATIENCE = 30.0
LAST = ("control/reservations/queue.py", "WaitingQueue.heard")
#: It takes the place of a loop of Twisted's, which is not counted either.
LOOP = ("concurrency/prompt/icefarm_prompt.py", "poll")
#: How often each walk is taken; on a busy machine its threads take turns more often.
TRIES = 6

#: File and function.
Call = tuple[str, str]
calls: list[Call] = []


@frozen
class Figures:
    """What a newcomer has to follow in a walk."""

    files: int
    functions: int
    #: From one file to another, and how many of them go back to a file that was left before.
    moves: int
    returns: int

    @classmethod
    def of(cls, walk: list[Call]) -> Figures:
        left = [path for path, _ in groupby(path for path, _ in walk)]
        files = set(left)
        return cls(len(files), len(set(walk)), len(left), len(left) - len(files))


def moves(walk: list[Call]) -> Iterator[str]:
    """Yield a line for each move to a file: whether it was left before, and what is called there."""
    seen: set[str] = set()
    for path, there in groupby(walk, key=itemgetter(0)):
        functions = list(dict.fromkeys(function for _, function in there))
        yield f"{'back' if path in seen else '':5}{path:44}{', '.join(functions)}"
        seen.add(path)


#: What is done again and again; and what carries calls out, where it is that for a heartbeat.
BEATS = ("FarmLink._start_beat", "FarmLink._beat_once", "ControlLink._start_beat", "ControlLink._beat")
#: The run of an earlier evaluation is reported and closed some time after it, and sessions are looked at, whatever goes
#: on then.
AGAIN = ("Repeated._tick", "RunCloser._pass_or_again", "RunReporter._begin", "RevocationWatch._look", *BEATS)
CALLED = tuple(f"RpcDispatcher.handler.<locals>.from_{caller}" for caller in ("client", "worker"))


class Aside(threading.local):
    """How many calls of what is done again and again a thread is in."""

    depth = 0


aside = Aside()


def note(frame: Any, event: str, _: Any) -> None:
    code = frame.f_code
    name = code.co_qualname
    if name in AGAIN or (name in CALLED and frame.f_locals["procedure"].endswith("heartbeat")):
        aside.depth += {"call": 1, "return": -1}.get(event, 0)
    if aside.depth == 0 and event == "call" and code.co_filename.startswith(str(ROOT)):
        calls.append((str(Path(code.co_filename).relative_to(ROOT)), name))


def taken() -> list[Call]:
    """Return what was called since the last walk."""
    walk = [call for call in calls if not call[0].startswith("testing/") and call != LOOP]
    calls.clear()
    return walk


def evaluation(boards: Boards, circuit: Bitstream) -> list[Call]:
    """Take the walk of an evaluation."""
    time.sleep(SETTLED)
    calls.clear()
    (result,) = boards.evaluate([circuit])
    walk = taken()
    if result.error is not None:
        raise result.error
    return walk


def reservation(farm: FarmInMemory, client: Farm) -> tuple[Boards, list[Call]]:
    """Take the walk of a reservation; returns the boards too."""
    farm.wait_until_available()
    time.sleep(SETTLED)
    calls.clear()
    boards = client.reserve(1, window=0.001)
    return boards, taken()


def plug_in(farm: FarmInMemory, client: Farm) -> list[Call]:
    """Take the walk of a board that is plugged in."""
    farm.wait_until_available()
    (serial,) = farm.serials
    farm.unplug(serial)
    while client.available():
        # Each call gives the farm a turn, until it has noticed.
        pass
    time.sleep(SETTLED)
    calls.clear()
    # As `farm.plug` does, and without its wait and a client's questions, which are no part of the walk.
    farm._engine.reactor.callFromThread(Deferred.fromCoroutine, farm._bus.plug(serial))
    deadline = time.monotonic() + PATIENCE
    while LAST not in calls:
        assert time.monotonic() < deadline, "the board did not become available"
        time.sleep(SETTLED / 10)
    return taken()


def shortest(tries: Iterable[list[Call]]) -> list[Call]:
    """Return the walk with the least beside it."""
    return min(tries, key=lambda walk: Figures.of(walk).moves)


def walks() -> dict[str, list[Call]]:
    """Take each walk, in a farm where all was done before.

    Each is walked several times: the farm may do something else in between, such as closing the run of a client.
    """
    found: dict[str, list[Call]] = {}
    circuits = [made_up_bitstream(seed) for seed in range(2 + TRIES)]
    for circuit in circuits:
        # It is made when it is first asked for, outside a walk.
        assert circuit.sha256
    threading.setprofile(note)
    sys.setprofile(note)
    with FarmInMemory(boards=1) as farm:
        client = farm.client()
        with client.reserve(1, window=0.001) as boards:
            list(boards.evaluate(circuits[:1]))
        tries = []
        for _ in range(TRIES):
            boards.end()
            boards, walk = reservation(farm, client)
            tries.append(walk)
        found["reservation"] = shortest(tries)
        list(boards.evaluate(circuits[1:2]))
        found["evaluation"] = shortest(evaluation(boards, circuit) for circuit in circuits[2:])
        boards.end()
        found["plug-in"] = shortest(plug_in(farm, client) for _ in range(TRIES))
    sys.setprofile(None)
    threading.setprofile(None)  # type: ignore[arg-type]
    return found


def main(arguments: list[str]) -> None:
    found = walks()
    match arguments:
        case ["figures"]:
            for name, walk in found.items():
                print(f"{name:12}{Figures.of(walk)}")
        case ["moves", name]:
            print(*moves(found[name]), sep="\n")
        case _:
            print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
