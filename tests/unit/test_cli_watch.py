"""The verb ``watch``: what changes, in words and as a picture."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from attrs import evolve
from recording_farm import NOW, RecordingFarm, device, reservation, snapshot, worker
from rich.console import Console

from icefarm.cli.commands.show.watch import FarmPicture
from icefarm.cli.farm_state import View
from icefarm.cli.ui.terminal.keys import names_of
from icefarm.client.connection.events import Change
from icefarm.contract import QueueRecord, to_wire

FIRST = Change("snapshot", snapshot(devices=[device("A")]))


def reserved(serial: str = "A") -> Any:
    return device(serial, "reserved", client="alice", expires_at=NOW + 60)


def changed(view: View, change: Change) -> list[tuple[str, str, str]]:
    return [(line["event"], line["key"], line["change"]) for line in view.apply(change, NOW)]


# ------------------------------------------------------------------------------------------------------ lines


def test_it_begins_with_what_there_is() -> None:
    assert changed(View(), FIRST) == [("worker", "w1", "online, 2 boards"), ("device", "A", "available (default/1.0)")]


def test_a_change_says_from_what_to_what() -> None:
    view = View()
    changed(view, FIRST)
    lines = changed(view, Change("device", to_wire(reserved())))
    assert lines == [("device", "A", "available (default/1.0) -> reserved by 'alice'")]


def test_a_record_that_reads_the_same_is_no_news() -> None:
    view = View()
    changed(view, FIRST)
    assert changed(view, Change("device", to_wire(evolve(device("A"), evaluations=8)))) == []
    assert view.devices["A"]["evaluations"] == 8


def test_a_deleted_board_is_told_and_shown_no_more() -> None:
    view = View()
    changed(view, FIRST)
    assert changed(view, Change("deleted", {"serials": ["A", "unknown"]})) == [("device", "A", "deleted")]
    assert view.devices == {}


def test_after_a_lost_connection_only_what_differs_is_told() -> None:
    view = View()
    changed(view, FIRST)
    changed(view, Change("stale", "the router went away"))
    assert view.stale == "the router went away"
    lines = changed(view, Change("snapshot", snapshot(devices=[device("B")])))
    assert lines == [("device", "A", "gone"), ("device", "B", "available (default/1.0)")]
    assert view.stale is None


def test_an_ended_reservation_goes() -> None:
    view = View()
    changed(view, Change("reservation", to_wire(reservation("A"))))
    ended = evolve(reservation("A"), ended_at=NOW, end_reason="expired")
    lines = changed(view, Change("reservation", to_wire(ended)))
    assert lines == [("reservation", "r-A", "board A of 'alice': ended (expired)")]
    assert view.reservations == {}


def test_whoever_waits_no_longer_goes() -> None:
    view = View()
    waiting = QueueRecord("q", "bob", "pulsecount", 2, [], NOW, 1, "all reserved")
    assert changed(view, Change("queue", to_wire(waiting))) == [
        ("queue", "q", "'bob' waits for 2, place 1: all reserved")
    ]
    assert changed(view, Change("queue", to_wire(evolve(waiting, place=0)))) == [
        ("queue", "q", "'bob' no longer waits")
    ]
    assert view.queue == {}


@pytest.mark.parametrize(
    "change",
    [
        Change("log", {}),
        Change("available", {"amount": "?", "serials": 3}),
        Change("device", {}),
        Change("worker", {"name": None}),
        Change("reservation", {"id": "x", "ended_at": 1.0}),
        Change("queue", {"place": "first"}),
        Change("of a newer farm", {"what": "ever"}),
        Change("snapshot", "no snapshot"),
    ],
)
def test_a_record_with_gaps_does_not_break_the_view(change: Change) -> None:
    view = View()
    assert all(isinstance(line["change"], str) for line in view.apply(change, NOW))


# ---------------------------------------------------------------------------------------------------- the verb


CHANGES = [[FIRST, Change("device", to_wire(reserved()))], [Change("stale", "the router went away")], [FIRST]]


def test_each_change_is_a_line_where_nobody_looks() -> None:
    result = RecordingFarm(changes=CHANGES).run("watch")
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert lines[0] == ["TIME", "EVENT", "KEY", "CHANGE"]
    assert [line[1:3] for line in lines[1:]] == [["worker", "w1"], ["device", "A"], ["device", "A"], ["device", "A"]]


def test_it_says_when_what_is_known_is_stale_and_when_no_longer() -> None:
    assert RecordingFarm(changes=CHANGES).run("watch").stderr.splitlines() == [
        "icefarm: not connected, trying again: the router went away",
        "icefarm: connected again; what changed meanwhile is above",
    ]


def test_ctrl_c_ends_it_well() -> None:
    farm = RecordingFarm(changes=CHANGES)
    result = farm.run("watch")
    assert result.exit_code == 0
    assert farm.calls == [("watch", None), ("close",)]


def test_json_is_one_line_for_each_change_with_its_record() -> None:
    records = [
        json.loads(line) for line in RecordingFarm(changes=CHANGES).run("watch", "-o", "json").stdout.splitlines()
    ]
    assert [set(record) for record in records] == [{"time", "event", "key", "change", "record"}] * 4
    assert records[2]["record"]["client"] == "alice"


def test_csv_has_a_header_and_a_row_for_each_change() -> None:
    rows = list(csv.DictReader(io.StringIO(RecordingFarm(changes=CHANGES).run("watch", "-o", "csv").stdout)))
    assert [row["key"] for row in rows] == ["w1", "A", "A", "A"]
    assert json.loads(rows[2]["record"])["status"] == "reserved"


# -------------------------------------------------------------------------------------------------- the picture


def drawn(picture: FarmPicture, now: float = NOW, height: int = 40) -> str:
    console = Console(file=io.StringIO(), width=140, height=height)
    console.print(picture.drawn(now, 140, height))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_the_picture_shows_boards_with_their_holders() -> None:
    picture = FarmPicture(View(), "http://farm:8080")
    picture.take(Change("snapshot", snapshot(devices=[reserved("A"), device("B")])), NOW)
    text = drawn(picture, NOW + 10)
    assert "http://farm:8080: 1 worker, 2 boards (1 available, 1 reserved)" in text
    (row,) = [line for line in text.splitlines() if line.strip().startswith("A ")]
    assert "alice" in row
    assert "50s" in row


def test_the_picture_counts_down_by_the_farms_clock() -> None:
    picture = FarmPicture(View(), "")
    picture.take(Change("snapshot", snapshot(devices=[reserved()])), NOW - 500)
    assert "50s" in drawn(picture, NOW - 490)


def test_the_picture_says_for_how_long_it_has_been_stale() -> None:
    picture = FarmPicture(View(), "")
    picture.take(FIRST, NOW)
    picture.take(Change("stale", "the router went away"), NOW + 5)
    picture.take(Change("stale", "no farm answers"), NOW + 9)
    text = drawn(picture, NOW + 12)
    assert "not connected for 7s, trying again; as of then" in text
    assert "no farm answers" in text
    picture.take(FIRST, NOW + 13)
    assert "not connected" not in drawn(picture, NOW + 13)


def test_the_picture_fits_the_terminal() -> None:
    picture = FarmPicture(View(), "")
    picture.take(Change("snapshot", snapshot(devices=[device(f"S{number:03}") for number in range(100)])), NOW)
    text = drawn(picture, height=24)
    assert len(text.splitlines()) <= 24
    assert "boards 1 to 18 of 100" in text


def test_keys_scroll_the_boards_and_stop_at_their_ends() -> None:
    picture = FarmPicture(View(), "")
    picture.take(Change("snapshot", snapshot(devices=[device(f"S{number:03}") for number in range(100)])), NOW)
    firsts = []
    for key in ("down", "page down", "up", "end", "down", "home", "up", "unknown"):
        picture.scroll(key, 24)
        firsts.append(picture.first)
    assert firsts == [1, 19, 18, 82, 82, 0, 0, 0]
    picture.scroll("end", 24)
    assert "S099" in drawn(picture, height=24)


def test_the_queue_comes_before_the_boards_and_takes_a_few_lines_only() -> None:
    picture = FarmPicture(View(), "")
    waiting = [QueueRecord(f"q{n}", f"c{n}", "pulsecount", 2, [], NOW, n, "all reserved") for n in range(1, 9)]
    picture.take(Change("snapshot", snapshot(queue=waiting)), NOW)
    lines = drawn(picture, height=24).splitlines()
    assert lines[1].startswith("waiting: c1 for 2, place 1")
    assert lines[6].startswith("waiting: 3 more")
    assert lines[7].startswith("SERIAL")


@pytest.mark.parametrize(
    ("sent", "names"),
    [
        (b"\x1b[A\x1b[B", ["up", "down"]),
        (b"jjq", ["down", "down", "quit"]),
        (b"x\x1b[6~", ["page down"]),
        (b"\x1b", []),
    ],
)
def test_keys_are_known_by_what_terminals_send(sent: bytes, names: list[str]) -> None:
    assert names_of(sent) == names


def test_what_others_wrote_is_no_markup_and_no_command_to_the_terminal() -> None:
    picture = FarmPicture(View(), "")
    picture.take(FIRST, NOW)
    picture.take(Change("device", to_wire(device("A", "broken", reason="[red]\x1b[2J[/red]"))), NOW)
    text = drawn(picture)
    assert "[red]" in text
    assert "\x1b" not in text


def test_workers_that_are_away_are_not_counted() -> None:
    picture = FarmPicture(View(), "")
    picture.take(Change("snapshot", snapshot(workers=[worker("w1"), worker("w2", status="offline")])), NOW)
    assert "1 worker," in drawn(picture)
