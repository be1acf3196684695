"""Bitstreams on their way to a board: read, checked and compressed before anything is sent."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from icefarm.bitstream import Bitstream, compress, from_bytes, from_file
from icefarm.client.evaluation.tasks import Item
from icefarm.client.placement import Placement
from icefarm.contract import MAX_CIRCUIT_NAME
from icefarm.errors import IcefarmError, InvalidArgument

__all__ = ["Placing", "item_of", "path_text", "payload_of", "placed_item", "sha256_of"]

_log = logging.getLogger(__name__)

#: Files kept in memory in the form they are sent in (2 to 100 kB each), for callers that evaluate a file repeatedly.
CACHED_FILES = 256
#: Seconds. A file's times advance in steps; a file changed so recently may change again without a trace.
SETTLED_AFTER = 2.0

#: What distinguishes one content of a file from another: device, inode, size, times of change.
_Stamp = tuple[int, int, int, int, int]


def payload_of(source: Any) -> dict[str, Any]:
    """Return what is sent for a path (.bin or .asc), `bytes` or a `Bitstream`.

    Raises `InvalidBitstream`, naming file and reason, and `InvalidArgument` if ``source`` is none of these.
    """
    match source:
        case bytes() | bytearray() | memoryview():
            return _packed(from_bytes(bytes(source)))
        case Bitstream():
            return _packed(source)
        case str() | os.PathLike():
            return _of_file(os.fspath(source))
    raise InvalidArgument(f"a bitstream is a path or bytes, not {type(source).__name__}")


def item_of(
    source: Any,
    serials: tuple[str, ...] | None = None,
    bitstream: Any = None,
    placement: Mapping[str, Any] | None = None,
) -> Item:
    """Make an item of ``source``; if it can't be sent, an item with its error.

    ``bitstream`` is what to send if ``source`` is something else that the caller wants back; ``placement`` says how its
    boards were chosen.
    """
    payload, error, name = _prepared(source if bitstream is None else bitstream)
    return Item(source, payload, serials, error, placement, name)


def _prepared(source: Any) -> tuple[dict[str, Any] | None, IcefarmError | None, str | None]:
    """Return what is sent for a bitstream, and what the caller calls it; or why it can't be sent."""
    try:
        return payload_of(source), None, _name_of(source)
    except IcefarmError as error:
        return None, error, None


def _name_of(source: Any) -> str | None:
    """Return what the caller calls a circuit: its path, as it was given."""
    match source:
        case Bitstream():
            name = source.name
        case str() | os.PathLike():
            name = os.fsdecode(source)
        case _:
            name = None
    return None if name is None else path_text(name)[-MAX_CIRCUIT_NAME:]


def path_text(path: str) -> str:
    """Return a path that a message can hold: bytes in it that are no UTF-8 become the replacement character."""
    return path if path.isascii() else path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def placed_item(source: Any, serials: tuple[str, ...] | None, how: Mapping[str, Any], index: int) -> Item:
    """Make an item of ``source`` for the boards chosen for it; the item says how they were chosen."""
    return item_of(source, serials, placement={**how, "index": index})


class Placing:
    """Makes the items of one run, each for the boards that a placement chooses from ``serials``."""

    def __init__(self, placement: Placement, serials: Iterable[str]) -> None:
        """Raises `InvalidArgument` if there are too few boards."""
        self._placement = placement
        self._boards = sorted(serials)
        #: What results and the run record of it.
        self.record = placement.record()
        self._made = 0
        #: How many boards each item is for.
        self.fan_out = placement.fan_out(self._boards)

    def item(self, source: Any) -> Item:
        """Make the next item."""
        index, self._made = self._made, self._made + 1
        payload, error, name = _prepared(source)
        serials = self._placement.choose(index, source, self._boards)
        return Item(source, payload, serials, error, {**self.record, "index": index}, name)


def sha256_of(payload: dict[str, Any]) -> str:
    """Return the SHA-256 of the bitstream in what `payload_of` returned, in hexadecimal."""
    return str(payload["sha256"])


#: What was said of how files were read.
_said: set[str] = set()


def _say_once(note: str, name: str | None) -> None:
    """Say how a file was read; of many files that are read in the same way, only the first one is named."""
    if note not in _said:
        _said.add(note)
        _log.warning("%s: %s (said once, for the first such file)", name or "a bitstream", note)


def _packed(bitstream: Bitstream) -> dict[str, Any]:
    if bitstream.note is not None:
        _say_once(bitstream.note, bitstream.name)
    data = bitstream.data
    block = compress(data)
    if len(block) >= len(data):
        return {"plain": data, "sha256": bitstream.sha256}
    return {"lz4": block, "length": len(data), "sha256": bitstream.sha256}


def _of_file(path: str | bytes) -> dict[str, Any]:
    name = os.fsdecode(path)
    try:
        status = os.stat(name)
    except (OSError, ValueError):
        return _packed(from_file(name))  # The error says what is wrong with the file.
    if time.time() - max(status.st_mtime, status.st_ctime) < SETTLED_AFTER:
        return _packed(from_file(name))
    return _cached(name, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


@lru_cache(maxsize=CACHED_FILES)
def _cached(name: str, _: _Stamp) -> dict[str, Any]:
    return _packed(from_file(name))
