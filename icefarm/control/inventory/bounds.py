"""Pure: no I/O, no clock.  Bounds for the records that workers send: lengths, numbers, and no control characters.

Every client gets these records with a snapshot, so a worker must not be able to make them large.  Texts for people are
cut; names that are too long are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from attrs import evolve, fields

from icefarm.contract import LONGEST_NAME, BoardReading, DeviceReport, KindRecord, PoolRecord, WorkerHello, valid_name
from icefarm.errors import InvalidArgument
from icefarm.text.one_line import one_line, one_line_or_none

__all__ = ["MOST_BOARDS", "MOST_SHARES", "bounded_hello", "bounded_report", "plausible"]

#: Boards of all workers together: as many as fit into a snapshot, which is one message.
MOST_BOARDS = 8000
#: Longest texts, in characters: for people, of places and versions, of a kind's summary.
LONGEST_REASON, LONGEST_TEXT, LONGEST_SUMMARY = 400, 200, 300
#: Kinds of a worker, and methods of a kind.
MOST_KINDS, MOST_METHODS = 64, 64
#: Clients that share a board.
MOST_SHARES = 1000
#: Largest counter, and the most that one grows between two heartbeats: evaluations take at least 0.1 ms.
LARGEST, LARGEST_STEP = 2**53, 200_000
#: Degrees Celsius that a board can have and still speak.
COLDEST, HOTTEST = -100.0, 300.0


def _name(what: str, text: str) -> str:
    if not valid_name(text):
        raise InvalidArgument(f"{what} must be 1 to {LONGEST_NAME} printable characters, not {text!a:.100}")
    return text


def bounded_report(report: DeviceReport) -> DeviceReport:
    """Return a report as the farm keeps it.  Raises `InvalidArgument`."""
    counters = (report.evaluations, report.failures, report.retries)
    if not all(0 <= counter <= LARGEST for counter in counters):
        raise InvalidArgument(f"the counters of board {_name('serial', report.serial)} are not plausible")
    if len(report.shares) > MOST_SHARES:
        raise InvalidArgument(f"at most {MOST_SHARES} clients share a board, not {len(report.shares)}")
    return evolve(
        report,
        reason=one_line_or_none(report.reason, LONGEST_REASON),
        reservation=one_line_or_none(report.reservation, LONGEST_NAME),
        kind=one_line_or_none(report.kind, LONGEST_NAME),
        firmware=one_line_or_none(report.firmware, LONGEST_NAME),
        firmware_version=one_line_or_none(report.firmware_version, LONGEST_NAME),
        usb_path=one_line_or_none(report.usb_path, LONGEST_TEXT),
        model=one_line_or_none(report.model, LONGEST_NAME),
        shares=[one_line(each, LONGEST_NAME) for each in report.shares],
        serial=_name("serial", report.serial),
    )


def bounded_hello(hello: WorkerHello) -> WorkerHello:
    """Return a hello as the farm keeps it.  Raises `InvalidArgument`."""
    if len(hello.kinds) > MOST_KINDS:
        raise InvalidArgument(f"a worker offers at most {MOST_KINDS} kinds, not {len(hello.kinds)}")
    if len(hello.instance) > LONGEST_TEXT:
        raise InvalidArgument(f"instance must have at most {LONGEST_TEXT} characters, not {len(hello.instance)}")
    return evolve(
        hello,
        host=one_line(hello.host, LONGEST_TEXT),
        version=one_line(hello.version, LONGEST_NAME),
        kinds=[_bounded_kind(kind) for kind in hello.kinds],
        pool=None if hello.pool is None else _bounded_pool(hello.pool),
        devices=[bounded_report(report) for report in hello.devices],
    )


def _bounded_pool(pool: PoolRecord) -> PoolRecord:
    if not 0 <= pool.least <= pool.most <= MOST_BOARDS:
        raise InvalidArgument(f"a pool has 0 to {MOST_BOARDS} boards, the least first, not {pool.least}..{pool.most}")
    return evolve(pool, model=one_line(pool.model, LONGEST_NAME))


def _bounded_kind(kind: KindRecord) -> KindRecord:
    if len(kind.methods) > MOST_METHODS:
        raise InvalidArgument(f"a kind has at most {MOST_METHODS} methods, not {len(kind.methods)}")
    return evolve(
        kind,
        name=_name("the name of a kind", kind.name),
        summary=one_line(kind.summary, LONGEST_SUMMARY),
        firmware=one_line(kind.firmware, LONGEST_NAME),
        firmware_version=one_line(kind.firmware_version, LONGEST_NAME),
        methods=[one_line(method, LONGEST_NAME) for method in kind.methods],
        version=one_line(kind.version, LONGEST_NAME),
    )


def plausible(readings: Sequence[BoardReading], last: dict[str, BoardReading]) -> list[BoardReading]:
    """Return those readings that a board can have: finite, not negative, and no further on than it can be."""
    return [reading for reading in readings if _is_plausible(reading, last.get(reading.serial))]


def _is_plausible(reading: BoardReading, before: BoardReading | None) -> bool:
    kind = reading.kind
    if kind is not None and not valid_name(kind):
        return False
    temperature = reading.temperature_c
    if temperature is not None and not (isfinite(temperature) and COLDEST <= temperature <= HOTTEST):
        return False
    for each in fields(BoardReading):
        if each.name in ("serial", "kind", "temperature_c"):
            continue
        value: Any = getattr(reading, each.name)
        earlier: Any = 0 if before is None else getattr(before, each.name)
        if not (isfinite(value) and 0 <= value <= LARGEST) or (before is not None and value - earlier > LARGEST_STEP):
            return False
    return True
