"""The verbs ``reserve`` and ``shell``: which boards they ask for, and what they do when some are taken back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import Factory, define
from recording_farm import RecordingFarm, reservation

from icefarm.cli.commands.boards import hold
from icefarm.cli.commands.boards.hold import LEASE, _Hold
from icefarm.cli.connect import SignIn
from icefarm.cli.http_way import HttpAnswer, HttpWay
from icefarm.errors import Unavailable


def reserved(farm: RecordingFarm) -> list[dict[str, Any]]:
    return [call[3] for call in farm.calls if call[0] == "reserve"]


def test_boards_that_a_command_knows_by_their_serials_are_not_given_to_others() -> None:
    farm = RecordingFarm(answers={"reserve": Unavailable("all boards are reserved")})
    assert farm.run("reserve", "--priority", "20", "2", "--", "true").exit_code == 3
    (asked,) = reserved(farm)
    assert (asked["preemptible"], asked["priority"], asked["seconds"], asked["keep"]) == (False, 20, LEASE, False)


def test_a_command_may_have_shared_boards() -> None:
    farm = RecordingFarm(answers={"reserve": Unavailable("all boards are reserved")})
    assert farm.run("reserve", "--shared", "--", "true").exit_code == 3
    assert [asked["shared"] for asked in reserved(farm)] == [True]


@define
class Way:
    """Answers posts, one after the other, and ends the hold after the last."""

    answers: list[HttpAnswer]
    holds: list[_Hold] = Factory(list)
    posts: list[tuple[str, list[str]]] = Factory(list)

    def post(self, path: str, body: Mapping[str, Any]) -> HttpAnswer:
        self.posts.append((path, list(body["serials"])))
        answer = self.answers.pop(0)
        if not self.answers:
            self.holds[0]._over.set()
        return answer


@define
class Said:
    """Quacks like a screen."""

    lines: list[str] = Factory(list)

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_the_others_stay_when_the_farm_takes_a_board_back(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"error": "not_yours", "message": "not reserved by you: A", "fields": {"serials": ["A"]}}
    way, screen = Way([HttpAnswer(403, wrong), HttpAnswer(200, ["B"])]), Said()
    monkeypatch.setattr(HttpWay, "of", lambda _: way)
    monkeypatch.setattr(hold, "EXTENDED_EVERY", 0.001)
    held: Any = _Hold(SignIn("http://farm.example", "ada"), [reservation("A"), reservation("B")], screen)  # type: ignore[arg-type]
    way.holds.append(held)
    held.keep()
    assert way.posts == [("/extend", ["A", "B"]), ("/extend", ["B"])]
    assert screen.lines == ["no longer held: A"]
    assert held.serials == ["B"]


def test_when_all_are_taken_back_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"error": "not_yours", "message": "not reserved by you: A", "fields": {"serials": ["A"]}}
    way, screen = Way([HttpAnswer(403, wrong), HttpAnswer(200, [])]), Said()
    monkeypatch.setattr(HttpWay, "of", lambda _: way)
    monkeypatch.setattr(hold, "EXTENDED_EVERY", 0.001)
    _Hold(SignIn("http://farm.example", "ada"), [reservation("A")], screen).keep()  # type: ignore[arg-type]
    assert way.posts == [("/extend", ["A"])]
    assert screen.lines == ["the boards are no longer held: not reserved by you: A"]
