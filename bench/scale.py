"""What grows with all boards of a farm: control's work on records in memory, for 1,000, 10,000 and 100,000 boards.

``python -m bench.scale`` needs no farm: it makes records up, and times the code that control runs on them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cbor2

from icefarm.contract import DeviceRecord, DeviceStatus, WorkerRecord, to_wire
from icefarm.control.scheduling.availability import free
from icefarm.control.scheduling.placement import ReservationRequest, choose
from icefarm.control.storage.mirror import Mirrored
from icefarm.control.telemetry.events import BoardsChanged

__all__ = ["main"]

AMOUNTS = (1_000, 10_000, 100_000)
#: Boards of a worker, and how often each piece of work is timed.
OF_A_WORKER, TIMES = 100, 3
KIND = "pulsecount"


def _worker(number: int) -> WorkerRecord:
    return WorkerRecord(f"w{number}", "online", False, "host", "1.0", [KIND], OF_A_WORKER, 0.0)


def _board(number: int) -> DeviceRecord:
    return DeviceRecord(
        serial=f"{number:016X}", worker=f"w{number // OF_A_WORKER}", status=DeviceStatus.AVAILABLE, reason=None,
        client=None, reservation=None, kind=None, firmware="default", firmware_version="1.0", usb_path="1-1",
        evaluations=0, failures=0, retries=0, expires_at=None, changed_at=0.0, model="simulated",
    )  # fmt: skip


def _cpu_ms(work: Callable[[], object]) -> float:
    """Return the milliseconds of CPU that some work takes, the best of a few times."""
    taken = []
    for _ in range(TIMES):
        began = time.process_time()
        work()
        taken.append((time.process_time() - began) * 1000)
    return min(taken)


def _figures(amount: int) -> str:
    """Return the figures of a farm of so many boards."""
    workers = [_worker(number) for number in range(amount // OF_A_WORKER)]
    boards = [_board(number) for number in range(amount)]
    mirrored = Mirrored.of(workers, boards, [], [])
    changed, one = BoardsChanged(boards[:OF_A_WORKER]), ReservationRequest(KIND, 1)
    work: dict[str, Callable[[], object]] = {
        "count the free boards": lambda: free(boards, workers, KIND),
        "choose one board": lambda: choose(boards, workers, one, 0.0),
        "100 reports into memory": lambda: mirrored.apply(changed),
        "records for an answer": lambda: mirrored.records(),
        "a snapshot for the wire": lambda: [to_wire(board) for board in boards],
    }
    figures = ", ".join(f"{name} {_cpu_ms(each):.2f} ms" for name, each in work.items())
    size = len(cbor2.dumps([to_wire(board) for board in boards])) / 1e6
    return f"{amount:7,} boards: {figures} ({size:.1f} MB)"


def main() -> None:
    """Print a line for each amount."""
    for amount in AMOUNTS:
        print(_figures(amount), flush=True)


if __name__ == "__main__":
    main()
