"""The verbs ``reserve`` and ``shell``: which boards they ask for, and what they do when some are taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from threading import Thread
from typing import Any

import click
import pytest
from attrs import Factory, define
from recording_farm import RecordingFarm, reservation, snapshot

from icefarm.cli.commands.boards import hold
from icefarm.cli.commands.boards.hold import LEASE, _Hold, in_context
from icefarm.cli.connect import SignIn
from icefarm.cli.http_way import HttpAnswer, HttpWay
from icefarm.contract import to_wire
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


@pytest.fixture
def context() -> Iterator[click.Context]:
    """That of the verb."""
    with click.Context(click.Command("reserve")) as context:
        yield context


@define
class Way:
    """Answers posts, one after the other, and ends the hold after the last."""

    answers: list[HttpAnswer]
    holds: list[_Hold] = Factory(list)
    posts: list[tuple[str, list[str]]] = Factory(list)
    #: What it knows of the reservations, once it is asked.
    known: list[Any] = Factory(list)

    def get(self, _: str, __: Mapping[str, str]) -> HttpAnswer:
        return HttpAnswer(200, {"reservations": [to_wire(each) for each in self.known]})

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


@pytest.mark.usefixtures("context")
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


@pytest.mark.usefixtures("context")
def test_when_all_are_taken_back_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"error": "not_yours", "message": "not reserved by you: A", "fields": {"serials": ["A"]}}
    way, screen = Way([HttpAnswer(403, wrong), HttpAnswer(200, [])]), Said()
    monkeypatch.setattr(HttpWay, "of", lambda _: way)
    monkeypatch.setattr(hold, "EXTENDED_EVERY", 0.001)
    _Hold(SignIn("http://farm.example", "ada"), [reservation("A")], screen).keep()  # type: ignore[arg-type]
    assert way.posts == [("/extend", ["A"])]
    assert screen.lines == ["the boards are no longer held: not reserved by you: A"]


@pytest.mark.usefixtures("context")
def test_of_a_booking_it_warns_once_and_says_in_the_end_that_it_was_that(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "2 boards are booked for class-a from 2026-12-01 09:00 UTC until 2026-12-01 11:00 UTC"
    wrong = {"error": "not_yours", "message": "not reserved by you: A, B, D", "fields": {"serials": ["A", "B", "D"]}}
    answers = [HttpAnswer(200, ["A", "B"]), HttpAnswer(200, ["A", "B"]), HttpAnswer(403, wrong), HttpAnswer(200, [])]
    known = [reservation(serial, limited_by=why, expires_at=1_796_119_200.0) for serial in ("A", "B")]
    known.append(reservation("D", limited_by=why, expires_at=1_796_119_260.0))
    way, screen = Way(answers, known=[*known, reservation("C", limited_by="another")]), Said()
    monkeypatch.setattr(HttpWay, "of", lambda _: way)
    monkeypatch.setattr(hold, "EXTENDED_EVERY", 0.001)
    _Hold(SignIn("http://farm.example", "ada"), known, screen).keep()  # type: ignore[arg-type]
    assert screen.lines == [
        f"A, B stay reserved until 2026-12-01 10:00 UTC only: {why}",
        f"D stays reserved until 2026-12-01 10:01 UTC only: {why}",
        f"the boards are no longer held: {why}",
    ]


def test_where_no_token_may_take_http_it_signs_in_and_extends_from_its_thread(
    context: click.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    class Farm:
        def extend(self, serials: list[str], seconds: float) -> None:
            calls.append((serials, seconds))
            held._over.set()

        def __enter__(self) -> Farm:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def close(self, *, end: bool) -> None:
            calls.append(end)

        def snapshot(self) -> Any:
            return snapshot()

    context.obj = lambda _: Farm()
    monkeypatch.setattr(HttpWay, "of", lambda _: None)
    monkeypatch.setattr(hold, "EXTENDED_EVERY", 0.001)
    held: Any = _Hold(SignIn("http://farm.example", "ada"), [reservation("A")], Said())  # type: ignore[arg-type]
    thread = Thread(target=in_context(held.keep), daemon=True)
    thread.start()
    thread.join(60)
    assert calls == [(["A"], LEASE), False]
