"""Numbers of things, in words."""

from __future__ import annotations

import pytest

from icefarm.text.counts import counted


@pytest.mark.parametrize(
    ("amount", "thing", "words"),
    [
        (0, "board", "0 boards"),
        (1, "board", "1 board"),
        (2, "board", "2 boards"),
        (12345, "result", "12,345 results"),
        (1, "entry", "1 entry"),
        (3, "entry", "3 entries"),
        (3, "day", "3 days"),
        (2, "relay", "2 relays"),
        (2, "eddy", "2 eddies"),
        (2, "query", "2 queries"),
    ],
)
def test_one_thing_is_no_several(amount: int, thing: str, words: str) -> None:
    assert counted(amount, thing) == words
