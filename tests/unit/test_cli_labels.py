"""The verb ``label``, and ``--where`` of the verbs that choose boards."""

from __future__ import annotations

import json
from typing import Any

import pytest
from recording_farm import RecordingFarm, device, snapshot

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
