"""Names of boards and workers as people type them: whole, or the beginning that only one has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from icefarm.cli.ui.suggestions import did_you_mean
from icefarm.errors import IcefarmError, InvalidArgument, NotYours, UnknownDevice, UnknownWorker

if TYPE_CHECKING:
    from icefarm.client import Farm

__all__ = ["board_named", "for_boards", "for_worker", "worker_named"]

T = TypeVar("T")


def board_named(given: str, serials: Iterable[str]) -> str:
    """Return the serial that is meant.  Raises `UnknownDevice`, `InvalidArgument` if it may be several."""
    return _named(given, list(serials), "board", UnknownDevice)


def worker_named(given: str, workers: Iterable[str]) -> str:
    """Return the worker that is meant.  Raises `UnknownWorker`, `InvalidArgument` if it may be several."""
    return _named(given, list(workers), "worker", UnknownWorker)


def _named(given: str, known: Sequence[str], what: str, unknown: type[IcefarmError]) -> str:
    if given in known:
        return given
    found = [name for name in known if name.lower().startswith(given.lower())]
    if not found:
        raise unknown(f"the farm knows no {what} {given}{did_you_mean(given, known)}")
    if len(found) > 1:
        raise InvalidArgument(f"{what} {given!r} may be {', '.join(found)}; write more of it")
    return found[0]


def for_boards(farm: Farm, given: Sequence[str], do: Callable[[Sequence[str]], T]) -> T:
    """Do something for boards; the farm is asked for its serials only if it does not know one of these."""
    try:
        return do(given)
    except (UnknownDevice, NotYours):
        known = [record.serial for record in farm.snapshot().devices]
        serials = list(dict.fromkeys(board_named(each, known) for each in given))
        if serials == list(given):
            raise
        return do(serials)


def for_worker(farm: Farm, given: str, do: Callable[[str], T]) -> T:
    """Do something for a worker; the farm is asked for its workers only if it does not know this one."""
    try:
        return do(given)
    except UnknownWorker:
        worker = worker_named(given, [record.name for record in farm.snapshot().workers])
        if worker == given:
            raise
        return do(worker)
