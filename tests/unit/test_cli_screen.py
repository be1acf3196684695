"""What a person sees on a terminal: rows, messages and the progress bar, none in another's way."""

from __future__ import annotations

import io

import pytest
from recording_farm import measurement, reservation
from rich.console import Console

from icefarm.cli.ui.records.formatting import duration, shown
from icefarm.cli.ui.records.measurements import record_of, shape_of
from icefarm.cli.ui.records.tables import Column, Rows, Shape, table_lines
from icefarm.cli.ui.terminal.console import Screen
from icefarm.cli.ui.terminal.progress import progress_bar
from icefarm.client import Result
from icefarm.text.one_line import one_line


class Stream(io.TextIOWrapper):
    """A stream that may be a terminal."""

    def __init__(self, terminal: bool, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    @property
    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]


def test_data_and_messages_go_apart() -> None:
    screen = Screen(Stream(False), Stream(False))
    screen.write("data\n")
    screen.say("words")
    assert (screen.out.text, screen.err.text) == ("data\n", "icefarm: words\n")  # type: ignore[attr-defined]


def test_a_message_stays_one_line_and_commands_nothing() -> None:
    screen = Screen(Stream(False), Stream(False))
    screen.say("a\nb\x1b[2J")
    assert screen.err.text.count("\n") == 1  # type: ignore[attr-defined]
    assert "\x1b" not in screen.err.text  # type: ignore[attr-defined]


def test_there_is_no_progress_bar_where_nobody_looks() -> None:
    screen = Screen(Stream(False), Stream(False))
    with screen.progress(2, "evaluating") as advance:
        advance()
    assert screen.err.text == ""  # type: ignore[attr-defined]


def test_the_progress_bar_leaves_data_in_a_file_alone() -> None:
    screen = Screen(Stream(False), Stream(True))
    with screen.progress(2, "evaluating") as advance:
        screen.write("row\n")
        advance()
        advance()
    assert screen.out.text == "row\n"  # type: ignore[attr-defined]
    assert "evaluating" in screen.err.text  # type: ignore[attr-defined]
    assert "2/2" in screen.err.text  # type: ignore[attr-defined]


def test_rows_come_above_the_progress_bar_on_a_terminal() -> None:
    terminal = Stream(True)
    screen = Screen(terminal, terminal)
    with screen.progress(1, "evaluating"):
        screen.write("a row of data [bold]\n")
    assert "a row of data [bold]\n" in terminal.text


def test_letters_that_a_terminal_lacks_do_not_end_the_verb() -> None:
    screen = Screen(Stream(False, "ascii"), Stream(False, "ascii"))
    screen.write("caf\u00e9\n")
    assert screen.out.text == "caf?\n"  # type: ignore[attr-defined]


def test_the_bar_tells_rate_and_remaining_time() -> None:
    now = [100.0]
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None, get_time=lambda: now[0])
    bar = progress_bar(console)
    task = bar.add_task("evaluating", total=100)
    now[0] += 10
    bar.advance(task, 40)
    console.print(bar.get_renderable())
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert "40/100" in text
    assert "4/s" in text
    assert "15s left" in text


def test_rows_on_a_terminal_stand_under_their_titles() -> None:
    files = ["a.bin", "much/longer.bin", "far/too/long/" * 10 + "a.bin"]
    rows = Rows(shape_of(files, [reservation("SERIAL-1")]), "table", room=200)
    lines = [rows.head()] + [
        rows.row(record_of(Result(name, "SERIAL-1", measurement("SERIAL-1")), {})) for name in files
    ]
    assert len({line.index("SERIAL") for line in lines}) == 1
    assert len({line.rindex("ab" * 6) for line in lines[1:]} | {lines[0].index("SHA256")}) == 1
    assert lines[-1].startswith("…")
    assert "long/a.bin  SERIAL-1" in lines[-1]


def test_a_drawn_table_takes_nothing_for_markup() -> None:
    shape = Shape(("x",), (Column("X", lambda record: record["x"]),))
    assert list(table_lines([{"x": "[red]hot[/red]"}], shape, 80)) == ["X", "[red]hot[/red]"]


def test_states_have_colours_and_wide_letters_their_width() -> None:
    shape = Shape(("x", "y"), (Column("X", lambda record: record["x"]), Column("Y", lambda record: record["y"])))
    lines = list(table_lines([{"x": "日本", "y": "broken"}], shape, 80, styled=True))
    assert lines[1] == "日本  \x1b[31m\x1b[1mbroken\x1b[0m"
    assert lines[0].startswith("\x1b[1mX\x1b[0m     \x1b[1mY")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0s"),
        (0, "0s"),
        (59.4, "59s"),
        (60, "1m"),
        (3550, "59m10s"),
        (3600, "1h"),
        (5400, "1h30m"),
        (90000, "1d1h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "-"),
        ("", "-"),
        (0, "0"),
        (0.0, "0"),
        (True, "yes"),
        ([], "-"),
        ([3, 0], "3,0"),
        ({}, "-"),
        ({"window": 1.0, "overlap": True, "label": "x"}, "window=1.0,overlap=true,label=x"),
    ],
)
def test_every_value_has_a_cell(value: object, words: str) -> None:
    assert shown(value) == words


@pytest.mark.parametrize("text", ["\x1b[31m", "a\tb", "a\nb", "\u202egnirts", "\x9b2J", "\udcff", "\u2028"])
def test_text_from_others_is_made_safe(text: str) -> None:
    assert one_line(text).isprintable()
    assert len(one_line(text)) == len(text)
