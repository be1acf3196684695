"""The verbs that list and change: what is asked of the farm, what is printed, how they end."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import define
from recording_farm import NOW, RecordingFarm, device, reservation, snapshot, worker

from icefarm.contract import BoardHealth, DeviceRecord, QueueRecord, ReservationRecord, Role
from icefarm.errors import (
    Busy,
    DeviceFailed,
    IcefarmError,
    InvalidArgument,
    LinkLost,
    NameInUse,
    NotAuthorized,
    NotYours,
    TimedOut,
    Unavailable,
    UnknownDevice,
    UnknownWorker,
)

# ---------------------------------------------------------------------------------------------------- listing


def test_devices_are_listed_with_a_header_and_tabs_where_nobody_looks() -> None:
    result = RecordingFarm().run("devices")
    assert result.exit_code == 0
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert lines[0][:3] == ["SERIAL", "STATUS", "WORKER"]
    assert lines[1][:4] == ["A", "available", "w1", "-"]
    assert {len(line) for line in lines} == {12}
    assert result.stderr == ""


def test_devices_can_be_chosen_by_status() -> None:
    farm = RecordingFarm(snapshot(devices=[device("A"), device("B", "broken", reason="silent")]))
    lines = farm.run("devices", "--status", "broken").stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["SERIAL", "B"]
    assert lines[1].endswith("\tsilent")


def test_json_is_a_list_of_records_with_the_names_of_the_contract() -> None:
    records = json.loads(RecordingFarm().run("devices", "-o", "json").stdout)
    assert [set(record) for record in records] == [{each.name for each in attrs.fields(DeviceRecord)}] * 2
    assert records[0]["evaluations"] == 7


def test_json_of_nothing_is_an_empty_list() -> None:
    assert json.loads(RecordingFarm().run("reservations", "-o", "json").stdout) == []


def test_csv_has_a_header_even_where_there_is_nothing() -> None:
    rows = list(csv.reader(io.StringIO(RecordingFarm().run("reservations", "-o", "csv").stdout)))
    assert rows == [[each.name for each in attrs.fields(ReservationRecord)]]
    assert rows[0][:4] == ["id", "serial", "worker", "client"]


def test_reservations_say_who_has_a_board_and_for_how_long() -> None:
    farm = RecordingFarm(snapshot(reservations=[reservation("A", "alice", expires_at=NOW + 3550)]))
    fields = farm.run("reservations").stdout.splitlines()[1].split("\t")
    assert fields[:4] == ["A", "alice", "pulsecount", "59m10s"]


def test_reservations_that_have_ended_are_not_listed() -> None:
    farm = RecordingFarm(snapshot(reservations=[reservation("A", ended_at=NOW)]))
    assert farm.run("reservations").stdout.count("\n") == 1


def test_a_broken_board_is_shown_with_the_reason_and_its_figures() -> None:
    health = BoardHealth(attempts=60, timeouts=2, retries=40, set_aside=3)
    farm = RecordingFarm(snapshot(devices=[device("A", "broken", reason="does not answer", health=health)]))
    titles, fields = (line.split("\t") for line in farm.run("devices").stdout.splitlines())
    shown = dict(zip(titles, fields, strict=True))
    assert (shown["REASON"], shown["HEALTH"]) == ("does not answer", "2 timeouts, 40 retries in 60; set aside 3x")
    (record,) = json.loads(farm.run("devices", "-o", "json").stdout)
    assert record["health"] == {"attempts": 60, "timeouts": 2, "retries": 40, "failures": 0, "set_aside": 3}


def test_a_draining_worker_is_shown_as_such() -> None:
    fields = RecordingFarm(snapshot(workers=[worker(draining=True)])).run("workers").stdout.splitlines()[1].split("\t")
    assert fields[:2] == ["w1", "draining"]


def test_names_from_others_cannot_command_the_terminal_nor_break_the_line() -> None:
    farm = RecordingFarm(snapshot(devices=[device("A", "broken", reason="\x1b[2Jgone\nB\tx")]))
    lines = farm.run("devices").stdout.splitlines()
    assert len(lines) == 2
    assert "\x1b" not in lines[1]
    assert lines[1].count("\t") == lines[0].count("\t")


def test_workers_say_the_versions_of_their_kinds() -> None:
    one = worker(kinds=["pulsecount", "console"], kind_versions={"pulsecount": "1.1"})
    lines = RecordingFarm(snapshot(workers=[one])).run("workers").stdout.splitlines()
    assert lines[1].split("\t")[lines[0].split("\t").index("KINDS")] == "pulsecount/1.1,console"


@pytest.mark.parametrize("verb", ["devices", "workers", "reservations"])
def test_whoever_only_looks_signs_in_as_client_under_a_name_of_its_own(verb: str) -> None:
    farm = RecordingFarm()
    farm.run(verb, ICEFARM_NAME="alice")
    (access,) = farm.signed_in
    assert access.role is Role.CLIENT
    assert access.name.startswith("cli-")


# --------------------------------------------------------------------------------------------------- changing


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["end", "--name", "alice"], ("end", None)),
        (["end", "A", "B", "--name", "alice"], ("end", ("A", "B"))),
        (["extend", "--name", "alice", "A"], ("extend", ("A",), None)),
        (["extend", "--name", "alice", "--seconds", "90"], ("extend", None, 90.0)),
        (["reboot", "A", "--own", "--name", "alice"], ("reboot", ("A",))),
    ],
)
def test_a_client_changes_what_is_its_own(arguments: list[str], call: tuple[Any, ...]) -> None:
    farm = RecordingFarm()
    result = farm.run(*arguments)
    assert result.exit_code == 0, result.output
    assert farm.calls[0] == call
    assert [(access.name, access.role) for access in farm.signed_in] == [("alice", Role.CLIENT)]


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["end", "--any-client", "A"], ("end_any", ("A",))),
        (["reboot", "A", "B"], ("reboot", ("A", "B"))),
        (["delete", "A"], ("delete", ("A",))),
        (["retest", "A"], ("retest", ("A",))),
        (["drain", "w1"], ("drain", "w1", False)),
        (["drain", "w1", "--leave"], ("drain", "w1", True)),
        (["resume", "w1"], ("resume", "w1")),
        (["dismiss", "q1", "q2"], ("dismiss", ("q1", "q2"))),
    ],
)
def test_an_operator_signs_in_as_one(arguments: list[str], call: tuple[Any, ...]) -> None:
    farm = RecordingFarm()
    result = farm.run(*arguments)
    assert result.exit_code == 0, result.output
    assert farm.calls[0] == call
    assert farm.signed_in[0].role is Role.OPERATOR


def test_the_boards_that_something_was_done_to_are_listed() -> None:
    assert RecordingFarm().run("delete", "A", "B").stdout == "SERIAL\nA\nB\n"
    assert json.loads(RecordingFarm().run("reboot", "A", "-o", "json").stdout) == [{"serial": "A"}]


def test_nothing_to_end_is_said_apart_from_the_data() -> None:
    result = RecordingFarm().run("end", "--name", "alice")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "SERIAL\n", "icefarm: there was nothing to end\n")


def test_whoever_extends_for_another_is_told_of_the_grace_period() -> None:
    result = RecordingFarm().run("extend", "A", "--name", "alice")
    assert result.stderr == "icefarm: they still end unless 'alice' signs in again within 30s\n"


def test_those_who_wait_are_listed_in_their_order_with_the_reason() -> None:
    waiting = [
        QueueRecord(
            *("q2", "bob", "variance", 2, ["A", "B"], NOW - 90, 2, "board A is reserved by 'eve'"),
            *(7200.0, ["ada", "eve"], NOW + 60, NOW + 3600),
        ),
        QueueRecord("q1", "ada", "pulsecount", 3, [], NOW - 5, 1, "3 suitable boards, all reserved"),
    ]
    farm = RecordingFarm(snapshot(queue=waiting))
    titles, *lines = (line.split("\t") for line in farm.run("queue").stdout.splitlines())
    assert titles == [
        *("PLACE", "CLIENT", "KIND", "WANTS", "WAITS_FOR", "REASON", "ID", "EXPECTED", "BEHIND", "USED"),
    ]
    assert lines[0][:7] == ["1", "ada", "pulsecount", "3", "5s", "3 suitable boards, all reserved", "q1"]
    assert lines[0][7:] == ["unknown", "-", "0.0 bh"]
    assert lines[1][6:] == ["q2", "in 1m to 1h", "ada,eve", "2.0 bh"]
    assert lines[1][3] == "A,B"
    assert json.loads(farm.run("queue", "-o", "json").stdout) == [attrs.asdict(one) for one in reversed(waiting)]
    assert farm.signed_in[0].role is Role.CLIENT


def test_a_request_that_does_not_wait_any_more_is_named() -> None:
    result = RecordingFarm(answers={"dismiss": ["q1"]}).run("dismiss", "q1", "q2")
    assert (result.exit_code, result.stdout) == (1, "ID\nq1\n")
    assert result.stderr == "icefarm: no request waits under q2\n"


def test_a_drained_worker_is_shown() -> None:
    result = RecordingFarm().run("drain", "w1")
    assert result.stdout.splitlines()[1].startswith("w1\tdraining")
    assert "it can be stopped" in result.stderr


def test_workers_that_were_drained_are_shown_even_if_a_later_one_is_unknown() -> None:
    @define(eq=False)
    class Strict(RecordingFarm):
        def drain(self, worker: str, *, leave: bool) -> Any:
            if worker == "w9":
                raise UnknownWorker("the farm knows no worker 'w9'")
            return RecordingFarm.drain(self, worker, leave=leave)

    result = Strict(snapshot(workers=[worker()])).run("drain", "w1", "w9")  # type: ignore[call-arg]
    assert result.exit_code == 2
    assert result.stdout.splitlines()[1].startswith("w1\tdraining")
    assert "w9" in result.stderr


def test_a_worker_that_is_to_leave_is_shown_with_what_it_waits_for() -> None:
    result = RecordingFarm(snapshot(reservations=[reservation("A")])).run("drain", "w1", "--leave")
    assert result.stdout.splitlines()[1].startswith("w1\tleaving")
    assert "it waits for" in result.stderr
    assert "none of w1's boards is reserved: it leaves" in RecordingFarm().run("drain", "w1", "--leave").stderr


# --------------------------------------------------------------------------------------------------- signing in


def test_the_url_comes_from_the_flag_before_the_environment() -> None:
    farm = RecordingFarm()
    farm.run("devices", ICEFARM_URL="http://one:1")
    farm.run("devices", "--url", "http://two:2", ICEFARM_URL="http://one:1")
    farm.run("devices")
    assert [access.url for access in farm.signed_in] == ["http://one:1", "http://two:2", "http://127.0.0.1:8080"]


def test_the_token_comes_from_its_file_before_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("from-file\n")
    farm = RecordingFarm()
    farm.run("devices", ICEFARM_TOKEN="from-environment")
    farm.run("devices", "--token-file", str(path), ICEFARM_TOKEN="from-environment")
    assert [access.token for access in farm.signed_in] == ["from-environment", "from-file"]


def test_a_token_is_not_in_what_is_printed_about_an_access() -> None:
    farm = RecordingFarm()
    farm.run("devices", ICEFARM_TOKEN="secret-1")
    assert "secret-1" not in repr(farm.signed_in[0])


# ------------------------------------------------------------------------------------------------- how they end


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownDevice("no board A"), 2),
        (NotYours("not yours"), 1),
        (DeviceFailed("it failed"), 1),
        (InvalidArgument("too many"), 2),
        (Unavailable("all reserved"), 3),
        (Busy("shutting down"), 3),
        (LinkLost("no farm answers"), 4),
        (TimedOut("no answer"), 4),
        (NotAuthorized("no token"), 5),
        (NameInUse("in use"), 5),
    ],
)
def test_each_error_has_its_exit_code_and_one_line(error: IcefarmError, code: int) -> None:
    result = RecordingFarm(answers={"delete": error}).run("delete", "A")
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"icefarm: {error}\n")


def test_an_error_at_sign_in_is_one_line() -> None:
    result = RecordingFarm(answers={"sign_in": NameInUse("alice is in use")}).run("end", "--name", "alice")
    assert (result.exit_code, result.stderr) == (5, "icefarm: alice is in use\n")


def test_a_fault_of_our_own_is_one_line_without_debug() -> None:
    result = RecordingFarm(answers={"snapshot": KeyError("oops")}).run("devices")
    assert result.exit_code == 1
    assert result.stderr.startswith("icefarm: internal error: KeyError: 'oops'")
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--debug", "devices"], ["devices", "--debug"]])
def test_a_fault_of_our_own_is_shown_in_full_with_debug(arguments: list[str]) -> None:
    result = RecordingFarm(answers={"snapshot": KeyError("oops")}).run(*arguments)
    assert isinstance(result.exception, KeyError)


def test_ctrl_c_ends_a_verb_with_130() -> None:
    result = RecordingFarm(answers={"snapshot": KeyboardInterrupt()}).run("devices")
    assert (result.exit_code, result.stderr) == (130, "icefarm: interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "there is no verb 'nonsense'"),
        (["devices", "extra"], "unexpected extra argument"),
        (["devices", "-o", "yaml"], "'yaml' is not one of"),
        (["devices", "--status", "sleepy"], "'sleepy' is not one of"),
        (["devices", "--name", "alice"], "No such option"),
        (["devices", "--token-file", "/nowhere/token"], "cannot read the token in /nowhere/token"),
        (["workers", "--nonsense"], "No such option"),
        (["reservations", "-o"], "requires an argument"),
        (["end"], "whose reservations?"),
        (["end", "A"], "whose reservations?"),
        (["end", "--any-client"], "needs the serials"),
        (["end", "--name", " alice"], "is not a valid name"),
        (["extend"], "whose reservations?"),
        (["extend", "--name", "alice", "--seconds", "-1"], "--seconds"),
        (["extend", "--name", "alice", "--seconds", "nan"], "--seconds"),
        (["extend", "--name", "alice", "--seconds", "soon"], "--seconds"),
        (["reboot"], "Missing argument"),
        (["reboot", "--own", "A"], "whose reservations?"),
        (["delete"], "Missing argument"),
        (["retest"], "Missing argument"),
        (["drain"], "Missing argument"),
        (["dismiss"], "Missing argument"),
        (["resume"], "Missing argument"),
        (["watch", "now"], "unexpected extra argument"),
        (["watch", "-o", "xml"], "'xml' is not one of"),
        (["completion"], "Missing argument"),
        (["completion", "csh"], "'csh' is not one of"),
    ],
)
def test_bad_input_is_refused_before_anybody_signs_in(arguments: list[str], words: str) -> None:
    farm = RecordingFarm()
    result = farm.run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""
    assert farm.signed_in == []


@pytest.mark.parametrize("content", ["", "\n", "two words", "caf\u00e9"])
def test_a_file_without_a_token_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    result = RecordingFarm().run("devices", "--token-file", str(path))
    assert result.exit_code == 2
    assert "holds no token" in result.stderr


# ------------------------------------------------------------------------------------------------------- help


def test_without_a_verb_it_helps() -> None:
    result = RecordingFarm().run()
    assert result.exit_code == 0
    assert "Verbs:" in result.stdout
    assert "Exit codes:" in result.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_for_icefarm(shell: str) -> None:
    result = RecordingFarm().run("completion", shell)
    assert result.exit_code == 0
    assert f"_ICEFARM_COMPLETE={shell}_complete" in result.stdout


def test_a_shell_completes_verbs() -> None:
    environment = {"_ICEFARM_COMPLETE": "bash_complete", "COMP_WORDS": "icefarm re", "COMP_CWORD": "1"}
    found = {line.partition(",")[2] for line in RecordingFarm().run(**environment).stdout.splitlines()}
    assert found == {"reservations", "reserve", "reboot", "replay", "results", "retest", "resume"}


def test_an_option_after_the_number_of_boards_is_not_taken_for_the_command() -> None:
    result = RecordingFarm().run("reserve", "1", "--url", "http://farm.example", "--", "true")
    assert result.exit_code == 2
    assert "--url comes before the number of boards" in result.stderr
