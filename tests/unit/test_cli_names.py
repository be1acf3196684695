"""Names as people type them: beginnings, mistakes, options before the verb."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from recording_farm import NOW, RecordingFarm, device, reservation, snapshot, worker

from icefarm.cli.names import board_named, worker_named
from icefarm.cli.ui.leading import split_leading
from icefarm.errors import InvalidArgument, UnknownDevice, UnknownKind, UnknownWorker

KNOWN = ["E6614103", "E6614200", "D77"]
STATE = snapshot(devices=[device(serial) for serial in KNOWN], workers=[worker("bench-1")])


@pytest.mark.parametrize(("given", "meant"), [("E6614103", "E6614103"), ("d7", "D77"), ("E66142", "E6614200")])
def test_a_board_is_known_by_the_beginning_that_only_it_has(given: str, meant: str) -> None:
    assert board_named(given, KNOWN) == meant


def test_a_beginning_of_several_boards_is_refused_with_all_of_them() -> None:
    with pytest.raises(InvalidArgument, match="may be E6614103, E6614200; write more of it"):
        board_named("E66", KNOWN)


def test_what_begins_no_name_is_refused_with_what_is_alike() -> None:
    with pytest.raises(UnknownDevice, match="no board D78; did you mean D77"):
        board_named("D78", KNOWN)
    with pytest.raises(UnknownWorker, match="no worker bensh-1; did you mean bench-1"):
        worker_named("bensh-1", ["bench-1"])


class PickyFarm(RecordingFarm):
    """Knows whole serials only, as a farm does."""

    def retest(self, serials: Any) -> list[str]:
        self.calls.append(("retest", list(serials)))
        if any(serial not in KNOWN for serial in serials):
            raise UnknownDevice("the farm knows no such board")
        return list(serials)


def test_a_verb_takes_beginnings_and_asks_again_with_whole_serials() -> None:
    farm = PickyFarm(STATE)
    done = farm.run("retest", "d7", "E6614103")
    assert done.stdout.split() == ["SERIAL", "D77", "E6614103"]
    assert [call for call in farm.calls if call[0] == "retest"] == [
        ("retest", ["d7", "E6614103"]),
        ("retest", ["D77", "E6614103"]),
    ]


def test_whole_serials_cost_no_further_question() -> None:
    farm = PickyFarm(STATE)
    done = farm.run("retest", "D77")
    assert "1 board is being tested" in done.stderr
    assert [call[0] for call in farm.calls] == ["retest", "close"]


@pytest.mark.parametrize(("error", "code"), [(UnknownDevice(), 2), (UnknownWorker(), 2), (UnknownKind(), 3)])
def test_names_that_the_farm_does_not_know_have_exit_codes_of_their_own(error: Exception, code: int) -> None:
    assert RecordingFarm(STATE, answers={"drain": error}).run("drain", "w9").exit_code == code


def test_an_unknown_verb_is_answered_with_one_that_is_alike() -> None:
    done = RecordingFarm(STATE).run("devises")
    assert done.exit_code == 2
    assert "there is no verb 'devises'; did you mean devices?" in done.stderr


@pytest.mark.parametrize(
    ("args", "before", "rest"),
    [
        (["devices"], [], ["devices"]),
        (["--url", "u", "devices", "-o", "csv"], ["--url", "u"], ["devices", "-o", "csv"]),
        (["-o=json", "--debug", "token", "list"], ["-o=json", "--debug"], ["token", "list"]),
        (["--version"], [], ["--version"]),
        (["--url"], ["--url"], []),
    ],
)
def test_options_of_all_verbs_are_found_before_the_verb(args: list[str], before: list[str], rest: list[str]) -> None:
    assert split_leading(args) == (before, rest)


def test_options_may_come_before_the_verb_or_after_it() -> None:
    outputs = {
        RecordingFarm(STATE).run(*words).stdout
        for words in (("devices", "-o", "csv", "--columns", "serial"), ("-o", "csv", "--columns", "serial", "devices"))
    }
    assert outputs == {"serial\nE6614103\nE6614200\nD77\n"}


def test_help_is_that_of_the_verb_and_of_the_verbs_in_it() -> None:
    assert RecordingFarm(STATE).run("help", "retest").stdout == RecordingFarm(STATE).run("retest", "--help").stdout
    assert "Create a token" in RecordingFarm(STATE).run("help", "token", "add").stdout
    assert RecordingFarm(STATE).run("help", "nothing").exit_code == 2


def test_the_status_counts_boards_workers_clients_and_requests() -> None:
    lines = RecordingFarm(snapshot(devices=[device("A", "broken", reason="dead"), device("B")])).run("status").stdout
    assert "boards:   2 (1 available, 1 broken)" in lines
    assert "A broken: dead" in lines
    assert "workers:  1 (1 online)" in lines


def test_the_status_says_which_boards_a_booking_ends() -> None:
    why = "2 boards are booked for class-a from 2026-12-01 09:00 UTC until 2026-12-01 11:00 UTC"
    kept, ending = reservation("A", client="ada"), reservation("B", client="eve", expires_at=NOW + 200)
    found = snapshot(reservations=[kept, reservation("C", client="eve"), evolve(ending, limited_by=why)])
    lines = RecordingFarm(found).run("status").stdout
    assert "ada: 1, for 1h unless extended\n" in lines
    assert f"eve: 2, for 3m20s more: {why}\n" in lines
