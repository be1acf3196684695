"""Which columns fit a terminal."""

from __future__ import annotations

import pytest
from recording_farm import NOW, device

from icefarm.cli.ui.records import columns
from icefarm.cli.ui.records.layout import Extent, fitted
from icefarm.cli.ui.records.tables import Output, table_lines
from icefarm.cli.ui.suggestions import did_you_mean
from icefarm.contract import to_wire
from icefarm.errors import InvalidArgument

SERIAL = "E6614103E7452D2F"
BOARDS = [
    device(SERIAL, "reserved", client="student-17/night-run", kind="multipulsecount", expires_at=NOW + 3000),
    device("E6614103E7452D30", "broken", reason="it does not answer after 3 attempts to flash it, and its port is off"),
]


def table(width: int) -> list[str]:
    return list(table_lines([to_wire(board) for board in BOARDS], columns.devices(NOW), width))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_serials_stay_whole_and_each_board_takes_one_line(width: int) -> None:
    lines = table(width)
    assert all(len(line) <= width for line in lines)
    assert [line.split()[0] for line in lines[1:3]] == [board.serial for board in BOARDS]
    assert len(lines) == (3 if width == 200 else 4)


def test_a_wider_terminal_shows_more_columns() -> None:
    heads = [table(width)[0].split() for width in (60, 80, 120, 200)]
    assert heads[0] == ["SERIAL", "STATUS", "CLIENT", "REASON"]
    assert heads[1] == ["SERIAL", "STATUS", "CLIENT", "KIND", "ENDS_IN", "REASON"]
    assert set(heads[0]) < set(heads[1]) < set(heads[2]) < set(heads[3])
    assert heads[3] == [column.title for column in columns.devices(NOW).columns]


def test_it_says_what_is_not_shown() -> None:
    assert table(60)[-1].startswith("not shown: WORKER, KIND")


def test_what_is_left_goes_to_cells_that_were_cut() -> None:
    extents = [Extent(10, 10, 0), Extent(50, 10, 1), Extent(8, 8, 2)]
    assert fitted(extents, 22) == {0: 10, 1: 10}
    assert fitted(extents, 40) == {0: 10, 1: 18, 2: 8}
    assert fitted(extents, 100) == {0: 10, 1: 50, 2: 8}


def test_columns_of_ones_own_choice_are_titles_or_fields() -> None:
    shape = columns.devices(NOW).chosen(Output("table", ("reason", "SERIAL", "firmware_version")))
    assert shape.titles == ["REASON", "SERIAL", "FIRMWARE_VERSION"]
    assert columns.devices(NOW).chosen(Output("csv", ("serial",))).fields == ["serial"]


def test_a_column_that_there_is_not_is_refused_with_what_was_meant() -> None:
    with pytest.raises(InvalidArgument, match="no column 'sreial'; did you mean serial"):
        columns.devices(NOW).chosen(Output("table", ("sreial",)))


@pytest.mark.parametrize(
    ("given", "known", "end"),
    [
        ("devises", ["devices", "workers"], "; did you mean devices?"),
        ("x", ["a", "b"], "; there are a, b"),
        ("x", [], ""),
        ("x", [str(n) for n in range(99)], ""),
    ],
)
def test_what_was_meant(given: str, known: list[str], end: str) -> None:
    assert did_you_mean(given, known) == end


def test_a_column_that_is_unlike_all_is_told_which_there_are() -> None:
    with pytest.raises(InvalidArgument, match=r"there is no column 'zzz'; there are .*serial"):
        columns.devices(NOW).chosen(Output("csv", ("zzz",)))
