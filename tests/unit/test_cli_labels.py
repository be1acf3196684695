"""The verb ``label``, and ``--where`` of the verbs that choose boards."""

from __future__ import annotations

import json
from typing import Any

import pytest
from recording_farm import RecordingFarm, device, snapshot

from icefarm.cli import completing

BOARDS = [device("A", labels={"lab": "3"}), device("B", labels={"lab": "4"}, model="simulated"), device("C")]


def farm_of_three() -> RecordingFarm:
    return RecordingFarm(snapshot(devices=BOARDS))


@pytest.mark.parametrize(
    ("words", "labels", "of"),
    [
        (["A", "B", "lab=3", "old-"], {"lab": "3", "old": None}, {"serials": ["A", "B"]}),
        (["lab=a=b", "--worker", "w1"], {"lab": "a=b"}, {"worker": "w1"}),
        (["lab=3", "--where", "lab=4 or not lab"], {"lab": "3"}, {"serials": ["B", "C"]}),
    ],
)
def test_boards_and_workers_are_labelled(words: list[str], labels: dict[str, str | None], of: dict[str, Any]) -> None:
    farm = farm_of_three()
    done = farm.run("label", *words, "-o", "json")
    assert done.exit_code == 0, done.stderr
    assert [call for call in farm.calls if call[0] == "label"] == [("label", labels, of)]
    assert json.loads(done.stdout) == [{"serial": "A", "worker": "w1", "labels": {"lab": "3"}}]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["A"], "which labels? Write them as NAME=VALUE"),
        (["lab=3"], "label what? Name boards, or a worker with --worker"),
        (["A", "lab=3", "--worker", "w1"], "label what?"),
        (["lab=3", "--where", "lab="], "must have a value after lab="),
        (["lab=3", "--where", "lba=3"], "where names 'lba'; there are serial,"),
    ],
)
def test_a_wrong_call_of_label_says_what_to_write(words: list[str], said: str) -> None:
    done = farm_of_three().run("label", *words)
    assert done.exit_code == 2
    assert said in done.stderr


def test_devices_are_chosen_and_show_their_labels() -> None:
    done = farm_of_three().run("devices", "--where", "lab=3 or virtual", "-o", "json")
    assert [board["serial"] for board in json.loads(done.stdout)] == ["A", "B"]
    assert "lab=3" in farm_of_three().run("devices").stdout


def test_boards_are_named_or_chosen_but_not_both() -> None:
    done = farm_of_three().run("reserve", "--serial", "A", "--where", "lab=3", "--", "true")
    assert done.exit_code == 2
    assert "--serial names boards and --where chooses among boards" in done.stderr


# ------------------------------------------------------------------------------------------------------ access


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (
            ["add", "--group", "class-a", "--where", "lab=3", "--for", "2h", "--kinds", "pulsecount,variance"],
            (
                "access_add",
                {
                    "account": None,
                    "group": "class-a",
                    "where": "lab=3",
                    "seconds": 7200,
                    "kinds": ["pulsecount", "variance"],
                },
            ),
        ),
        (
            ["add", "--everybody"],
            ("access_add", {"account": None, "group": None, "where": None, "seconds": None, "kinds": None}),
        ),
        (["remove", "1"], ("access_remove", (1,))),
        (
            ["group", "class-a", "--add", "ada", "--add", "ben", "--remove", "eve"],
            ("access_group", "class-a", {"add": ("ada", "ben"), "remove": ("eve",)}),
        ),
        (["list"], ("access_list",)),
    ],
)
def test_verbs_of_access_do_what_they_say(words: list[str], call: tuple[Any, ...]) -> None:
    farm = RecordingFarm()
    done = farm.run("access", *words)
    assert done.exit_code == 0, done.stderr
    assert farm.calls[0] == call
    assert done.stdout


def test_access_shows_the_rules_of_an_account() -> None:
    done = RecordingFarm().run("access")
    assert done.stdout.splitlines()[1].split("\t") == ["1", "everybody", "lab=3", "-", "all"]
    assert "account ada is in group class-a" in done.stderr


def test_a_rule_that_is_not_there_is_named_and_the_exit_code_says_so() -> None:
    done = RecordingFarm().run("access", "remove", "1", "9")
    assert (done.exit_code, "there is no rule 9" in done.stderr) == (1, True)
    assert "a rule for whom?" in RecordingFarm().run("access", "add", "--where", "real").stderr


# -------------------------------------------------------------------------------------------------- completion


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("icefarm reserve --where la", {"landscape", "lab=3"}),
        ("icefarm devices --where room", {'room="E1 left"'}),
        ("icefarm label lab", {"lab=3"}),
        ("icefarm label A", {"A1"}),
    ],
)
def test_a_shell_completes_labels_and_names_of_selectors(
    line: str, completed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {
        "devices": [
            {"serial": "A1", "status": "available", "labels": {"lab": "3"}},
            {"serial": "B", "status": "broken"},
        ],
        "workers": [{"name": "w1", "labels": {"room": "E1 left"}}],
    }
    monkeypatch.setattr(completing, "_asked", lambda *_: known)
    environment = {"_ICEFARM_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    found = RecordingFarm().run(**environment).stdout
    assert {each.partition(",")[2] for each in found.splitlines()} == completed


def test_a_shell_completes_accounts_of_a_farm_that_knows_no_bookings(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"reservations": [{"client": "class-a/desk"}], "queue": [{"client": "ada"}]}
    monkeypatch.setattr(completing, "_asked", lambda *_: known)
    line = {"COMP_WORDS": "icefarm end --account cl", "COMP_CWORD": "3"}
    found = RecordingFarm().run(_ICEFARM_COMPLETE="bash_complete", **line).stdout
    assert [each.partition(",")[2] for each in found.splitlines()] == ["class-a"]
