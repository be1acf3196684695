"""Pure: no I/O, no clock.  Numbers of runs, and ids of evaluations that say where in a run they stand."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import frozen

__all__ = ["Position", "evaluation_id", "index_of", "indices_of", "is_number", "last_id", "position_of"]

#: Hexadecimal digits of a bitstream's place in its run, and of the board's; the number before them has 32.  All ids of
#: a run have the same length, so that their order as text, in any language's, is that of the run.
_NUMBER, _INDEX, _BOARD = 32, 8, 4
#: Deletes these digits.
_HEXADECIMAL = str.maketrans("", "", "0123456789abcdef")
_ID = re.compile(r"([0-9a-f]{32})([0-9a-f]{8})([0-9a-f]{4})", re.ASCII)
_RUN = re.compile(r"[0-9a-f]{32}", re.ASCII)


@frozen
class Position:
    """Where an evaluation stands."""

    #: The number of its run.
    run: str
    #: Which bitstream of the run it is, from 0.
    index: int
    #: 0 for any board; else the board that it is for, counted from 1 in the order in which the run used them.
    board: int


def is_number(text: str) -> bool:
    """Tell whether a text is the number of a run."""
    return _RUN.fullmatch(text) is not None


def evaluation_id(run: str, index: int, board: int) -> str:
    """Return the id of an evaluation."""
    return f"{run}{index:08x}{board:04x}"


def last_id(run: str) -> str:
    """Return the highest id that an evaluation of a run can have."""
    return run + "f" * (_INDEX + _BOARD)


def index_of(id: str) -> int | None:
    """Return which bitstream of its run an evaluation is of; None for an id that was chosen in another way."""
    return int(id[32:40], 16) if _ID.fullmatch(id) is not None else None


def indices_of(ids: Sequence[str]) -> list[int | None]:
    """Return `index_of` each id; what all of them have in common is looked at once."""
    if set(map(len, ids)) == {_NUMBER + _INDEX + _BOARD} and not "".join(ids).translate(_HEXADECIMAL):
        return [int(id[_NUMBER : _NUMBER + _INDEX], 16) for id in ids]
    return list(map(index_of, ids))


def position_of(id: str) -> Position | None:
    """Return where an evaluation stands; None for an id that was chosen in another way."""
    found = _ID.fullmatch(id)
    return None if found is None else Position(found[1], int(found[2], 16), int(found[3], 16))
