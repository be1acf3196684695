"""Pure: no I/O, no clock.  Which boards a bitstream is for, and in which order bitstreams come.

`AnyBoard` takes whichever board is free.  The other placements depend only on the boards' serials and the bitstream's
position in the run, so that a run is reproducible with the same seed on the same boards; each result says how its
board was chosen (`icefarm.client.Result.placement`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import isfinite
from random import Random
from typing import Any, Protocol, runtime_checkable

from attrs import field, frozen

from icefarm.client.api.arguments import RULES, checked
from icefarm.errors import InvalidArgument

__all__ = [
    "AnyBoard",
    "Distinct",
    "EachBoard",
    "Given",
    "Placement",
    "SameBoard",
    "SameBoardAsParent",
    "Spread",
    "alternating",
]


def _once(serials: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(RULES["serials"].apply("serials", serials)))


def _seed(seed: int) -> int:
    return int(RULES["seed"].apply("seed", seed))


def _k(k: int) -> int:
    return int(RULES["k"].apply("k", k))


def _offsets(given: Any) -> tuple[tuple[str, float], ...] | None:
    """Take a mapping of serials to ppm, or calibrations."""
    if given is None:
        return None
    try:
        pairs = [*given.items()] if isinstance(given, Mapping) else [*map(_pair, given)]
        found = {str(serial): float(ppm) for serial, ppm in pairs}
    except (AttributeError, TypeError, ValueError):
        raise InvalidArgument("offsets is a mapping of serials to ppm, or calibrations of one reference") from None
    if len(found) < len(pairs):
        raise InvalidArgument("offsets has several of one board: give calibrations of one reference")
    unusable = sorted(serial for serial, ppm in found.items() if not isfinite(ppm))
    if unusable:
        raise InvalidArgument(f"offsets must be finite numbers; those of {', '.join(unusable)} are not")
    return tuple(sorted(found.items()))


def _pair(given: Any) -> tuple[str, float]:
    return given if isinstance(given, tuple) else (given.serial, given.offset_ppm)


def _parents(given: Any) -> Mapping[Any, Any]:
    if not isinstance(given, Mapping):
        raise InvalidArgument(f"parents is a mapping of bitstreams to results or serials, not {type(given).__name__}")
    return given


@runtime_checkable
class Placement(Protocol):
    """Chooses boards.  ``boards`` are the serials of a run, sorted; ``index`` counts its bitstreams from 0."""

    def fan_out(self, boards: Sequence[str]) -> int:
        """Return how many boards each bitstream is for.  Raises `InvalidArgument` if that is impossible."""

    def choose(self, index: int, source: Any, boards: Sequence[str]) -> tuple[str, ...] | None:
        """Return the boards for a bitstream; None for any one of them."""

    def record(self) -> Mapping[str, Any]:
        """Return what results record: its name, and what makes it reproducible."""


@frozen
class AnyBoard:
    """Each bitstream once, on whichever board is free."""

    def fan_out(self, _: Sequence[str]) -> int:
        return 1

    def choose(self, _: int, __: Any, ___: Sequence[str]) -> None:
        return None

    def record(self) -> Mapping[str, Any]:
        return {"placement": "any"}


@frozen
class EachBoard:
    """Each bitstream on each board."""

    def fan_out(self, boards: Sequence[str]) -> int:
        return max(1, len(boards))

    def choose(self, _: int, __: Any, boards: Sequence[str]) -> tuple[str, ...]:
        return tuple(boards)

    def record(self) -> Mapping[str, Any]:
        return {"placement": "each"}


@frozen
class Given:
    """Each bitstream on each of these boards."""

    serials: tuple[str, ...] = field(converter=_once)

    def fan_out(self, _: Sequence[str]) -> int:
        return max(1, len(self.serials))

    def choose(self, _: int, __: Any, ___: Sequence[str]) -> tuple[str, ...]:
        return self.serials

    def record(self) -> Mapping[str, Any]:
        return {"placement": "given", "serials": list(self.serials)}


@frozen
class SameBoard:
    """Each bitstream on one board, and always on the same one, in this run and in others.

    Bytes are identified by their content, other bitstreams by their path or name.  If some of the boards are gone,
    only their bitstreams move (rendezvous hashing, Thaler and Ravishankar 1998).
    """

    seed: int = field(default=0, converter=_seed)

    def fan_out(self, _: Sequence[str]) -> int:
        return 1

    def choose(self, _: int, source: Any, boards: Sequence[str]) -> tuple[str, ...]:
        key = _key(source)
        return (max(boards, key=lambda serial: _score(self.seed, serial, key)),) if boards else ()

    def record(self) -> Mapping[str, Any]:
        return {"placement": "same", "seed": self.seed}


@frozen
class SameBoardAsParent:
    """Each bitstream on the board that measured its parent, so that differences between boards do not count as gain.

    ``parents`` maps bitstreams, as they are passed to `evaluate`, to their parent's `icefarm.client.Result` or serial.
    You may add entries during the run, before the child is yielded.  A bitstream without a parent, or whose parent's
    board has left, is placed as by `SameBoard`.
    """

    parents: Mapping[Any, Any] = field(converter=_parents)
    seed: int = field(default=0, converter=_seed)

    def fan_out(self, _: Sequence[str]) -> int:
        return 1

    def choose(self, index: int, source: Any, boards: Sequence[str]) -> tuple[str, ...]:
        try:
            parent = self.parents.get(source)
        except TypeError:
            raise InvalidArgument(
                f"a {type(source).__name__} can't be looked up among the children: pass bytes or a path"
            ) from None
        serial = parent if isinstance(parent, str) else getattr(parent, "serial", None)
        if serial is not None and serial in boards:
            return (serial,)
        return SameBoard(self.seed).choose(index, source, boards)

    def record(self) -> Mapping[str, Any]:
        return {"placement": "parent", "seed": self.seed}


@frozen
class Spread:
    """Each bitstream on one random board; in each round of as many bitstreams as boards, each board has one.

    With ``offsets``, the boards' deviations in ppm by serial, consecutive bitstreams go to boards of different
    offsets, so that a few of them already cover the whole range.
    """

    seed: int = field(default=0, converter=_seed)
    offsets: tuple[tuple[str, float], ...] | None = field(default=None, converter=_offsets)

    def fan_out(self, boards: Sequence[str]) -> int:
        _by_offset(self.offsets, boards)
        return 1

    def choose(self, index: int, _: Any, boards: Sequence[str]) -> tuple[str, ...]:
        if not boards:
            return ()
        turn, place = divmod(index, len(boards))
        if self.offsets is None:
            return (_shuffled(boards, self.seed, turn)[place],)
        first = Random(f"{self.seed} {turn}").randrange(len(boards))
        far_apart = _far_apart(_by_offset(self.offsets, boards))
        return (far_apart[(place + first) % len(boards)],)

    def record(self) -> Mapping[str, Any]:
        return {"placement": "spread", "seed": self.seed, **_recorded(self.offsets)}


@frozen
class Distinct:
    """Each bitstream on ``k`` different random boards.

    With ``offsets``, the boards' deviations in ppm by serial, the boards span the range: one of the slowest ``k``-th
    of the boards, one of the next, up to one of the fastest.
    """

    k: int = field(converter=_k)
    seed: int = field(default=0, converter=_seed)
    offsets: tuple[tuple[str, float], ...] | None = field(default=None, converter=_offsets)

    def fan_out(self, boards: Sequence[str]) -> int:
        if self.k > len(boards):
            raise InvalidArgument(f"{self.k} distinct boards were requested, and there are {len(boards)}")
        _by_offset(self.offsets, boards)
        return self.k

    def choose(self, index: int, _: Any, boards: Sequence[str]) -> tuple[str, ...]:
        if self.offsets is None:
            return tuple(_shuffled(boards, self.seed, index)[: self.k])
        order, pick = _by_offset(self.offsets, boards), Random(f"{self.seed} {index}")
        edges = [n * len(order) // self.k for n in range(self.k + 1)]
        return tuple(pick.choice(order[low:high]) for low, high in pairwise(edges))

    def record(self) -> Mapping[str, Any]:
        return {"placement": "distinct", "k": self.k, "seed": self.seed, **_recorded(self.offsets)}


@checked
def alternating(sources: Iterable[Any], times: int, *, seed: int | None = None) -> Iterator[Any]:
    """Yield the bitstreams ``times`` times, to compare them with each other on a board that drifts.

    Every second round is in reverse, A B B A A B ..., so that a steady drift affects each alike; with a seed, each
    round is in random order instead.  A board carries out its bitstreams in the order in which they arrive.
    """
    given = list(sources)
    for turn in range(times):
        if seed is not None:
            yield from _shuffled(given, seed, turn)
        else:
            yield from reversed(given) if turn % 2 else given


def _by_offset(offsets: tuple[tuple[str, float], ...] | None, boards: Sequence[str]) -> list[str]:
    """Return the boards from the slowest to the fastest.  Raises `InvalidArgument` for boards without an offset."""
    if offsets is None:
        return list(boards)
    known = dict(offsets)
    missing = sorted(serial for serial in boards if serial not in known)
    if missing:
        raise InvalidArgument(
            f"boards have no offset: {', '.join(missing)}; they have one when they have measured a reference circuit, "
            "so give them time, or evaluate on other boards"
        )
    return sorted(boards, key=lambda serial: (known[serial], serial))


def _far_apart(order: Sequence[str]) -> list[str]:
    """Return items so that any few in a row are from all over their order (van der Corput's sequence)."""
    bits = max(1, (len(order) - 1).bit_length())
    mirrored = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(2**bits))
    return [order[place] for place in mirrored if place < len(order)]


def _recorded(offsets: tuple[tuple[str, float], ...] | None) -> Mapping[str, Any]:
    return {} if offsets is None else {"offsets": dict(offsets)}


def _shuffled(items: Sequence[Any], seed: int, turn: int) -> list[Any]:
    # A text seed gives the same order in every process and on every machine.
    return Random(f"{seed} {turn}").sample(items, len(items))


def _key(source: Any) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    name = source.__fspath__() if hasattr(source, "__fspath__") else getattr(source, "sha256", source)
    return name if isinstance(name, bytes) else str(name).encode("utf-8", "surrogateescape")


def _score(seed: int, serial: str, key: bytes) -> bytes:
    return hashlib.sha256(b"%d %s " % (seed, serial.encode()) + key).digest()
