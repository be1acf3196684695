"""Logs as JSON: one flat object a line, whatever is logged, and never a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Awaitable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from issuers import CLIENT, ISSUER, MemoryIssuer
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, LogPublisher, STDLibLogObserver, globalLogPublisher
from twisted.python.failure import Failure

from icefarm.concurrency.rate_limit import RateLimit
from icefarm.contract import Role
from icefarm.control.sessions.sign_in.authenticator import SignInPolicy
from icefarm.control.sessions.sign_in.oidc_settings import OidcSettings
from icefarm.control.sessions.sign_in.tokens import new_token, token_hash
from icefarm.control.wiring.service import ControlSettings
from icefarm.errors import IcefarmError
from icefarm.log_format import JsonFormatter
from icefarm.testing.memory.control_harness import MemoryControl
from icefarm.twistd.json_log import event_line, json_observer

#: Every field that a line may have (docs/operations.md).
FIELDS = {
    *("time", "level", "logger", "message", "traceback"),
    *("account", "session", "reservation", "board", "evaluation", "worker"),
}


def logged(level: LogLevel, text: str, **fields: Any) -> dict[str, Any]:
    file = io.StringIO()
    Logger(namespace="icefarm.test", observer=json_observer(file)).emit(level, text, **fields)
    line: dict[str, Any] = json.loads(file.getvalue())
    return line


def test_a_line_says_when_how_grave_who_what_and_about_what() -> None:
    line = logged(
        LogLevel.warn, "{serial} failed: {why}", serial="A", why="dust", evaluation="e1", session=7, account="ada"
    )
    time = line.pop("time")
    assert line == {
        "level": "warn",
        "logger": "icefarm.test",
        "message": "A failed: dust",
        "account": "ada",
        "session": 7,
        "board": "A",
        "evaluation": "e1",
    }
    assert len(time) == len("2026-11-28T21:20:00.123Z")


def test_a_traceback_is_one_field_of_one_line() -> None:
    file = io.StringIO()
    log = Logger(namespace="icefarm.test", observer=json_observer(file))
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.failure("it broke")
    (text,) = file.getvalue().splitlines()
    line = json.loads(text)
    assert (line["level"], line["message"]) == ("critical", "it broke")
    assert "ValueError: two\nlines" in line["traceback"]


def test_what_an_event_holds_besides_is_not_in_the_line() -> None:
    line = logged(LogLevel.info, "{a}", a=1, ticket="secret", reservation=None, worker=object(), board={"x": 1})
    assert line.keys() == {"time", "level", "logger", "message"}


@given(st.text(), st.text(), st.one_of(st.text(), st.integers(), st.none(), st.booleans()))
def test_nothing_that_is_logged_breaks_a_line(text: str, value: str, about: Any) -> None:
    event = {"log_format": "{value}", "value": text, "log_namespace": value, "evaluation": about, "serial": value}
    line = event_line(event)
    assert line.endswith("\n")
    assert line[:-1].isascii()
    assert line[:-1].isprintable()
    assert json.loads(line).keys() <= FIELDS


def test_a_line_is_bounded() -> None:
    line = event_line({"log_format": "{x}", "x": "x" * 10**6, "evaluation": "e" * 10**6})
    assert len(line) < 10_000


def test_the_log_of_the_client_has_the_same_form() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    own = logging.getLogger("icefarm.client.test of json")
    own.addHandler(handler)
    own.setLevel(logging.DEBUG)
    own.propagate = False
    log = Logger(namespace=own.name, observer=STDLibLogObserver(own.name))
    log.debug("evaluation {evaluation} done", evaluation="e1", board="A")
    own.warning("plain %s", "words", extra={"account": "ada"})
    try:
        raise ValueError("no")
    except ValueError:
        own.exception("it broke")
    first, second, third = map(json.loads, stream.getvalue().splitlines())
    assert (first["level"], first["message"], first["evaluation"], first["board"]) == (
        *("debug", "evaluation e1 done"),
        *("e1", "A"),
    )
    assert (second["level"], second["message"], second["account"]) == ("warn", "plain words", "ada")
    assert "ValueError: no" in third["traceback"]


def test_a_flood_of_lines_is_counted_and_told_with_the_next_line() -> None:
    limit = RateLimit(2, 5.0)
    assert [limit.admit(0.0) for _ in range(5)] == [0, 0, None, None, None]
    assert limit.admit(6.0) == 3
    assert limit.admit(6.0) == 0


@ensureDeferred
async def test_control_says_how_many_lines_of_a_worker_it_left_out() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    file = io.StringIO()
    observer = json_observer(file)
    globalLogPublisher.addObserver(observer)
    try:
        for number in range(150):
            await worker.call("log", level="info", message=f"line {number}", serial="A", evaluation="e1")
        farm.pass_time(6)
        await worker.call("log", level="info", message="the last one")
    finally:
        globalLogPublisher.removeObserver(observer)
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    ours = [line["message"] for line in lines if line.get("worker") == "w1"]
    assert len(ours) == 102
    assert ours[-2:] == ["w1: 50 lines left out", "w1: the last one"]
    assert {line["evaluation"] for line in lines if line["message"].startswith("w1, board A: line")} == {"e1"}


class Everything:
    """Keeps all that is logged, in each form."""

    def __init__(self) -> None:
        self.text: list[str] = []

    def __call__(self, event: Any) -> None:
        self.text.append(event_line(event))
        self.text.append(repr(event))


async def error_of(call: Awaitable[Any]) -> IcefarmError | None:
    """Return the error of a call; None if it has an answer."""
    try:
        await call
    except IcefarmError as error:
        return error
    return None


@pytest.mark.parametrize("role", [Role.CLIENT, Role.WORKER, Role.OPERATOR])
@pytest.mark.parametrize("known", [True, False])
@ensureDeferred
async def test_no_token_is_ever_logged_whether_it_lets_in_or_not(role: Role, known: bool) -> None:
    everything = Everything()
    globalLogPublisher.addObserver(everything)
    try:
        farm = MemoryControl(ControlSettings(SignInPolicy.TOKENS), clock=Clock())
        token = new_token()
        if known:
            await farm.store.add_token("ada", Role.CLIENT, token_hash(token))
        errors = [await error_of(farm.client("ada", role, ticket=token))]
        if errors == [None]:
            client = await farm.client("ada", role, ticket=token)
            errors.append(await error_of(client.call("renew", token=token)))
            errors.append(await error_of(client.call("reserve", 1, kind="pulsecount")))
        farm.pass_time(5)
    finally:
        globalLogPublisher.removeObserver(everything)
    assert any(errors)
    assert token not in "".join([*everything.text, *map(repr, errors)])


@pytest.mark.parametrize("changed", [{}, {"aud": "mail"}, {"preferred_username": None}, {"exp": 1}])
@ensureDeferred
async def test_no_token_of_an_issuer_is_ever_logged(changed: dict[str, Any]) -> None:
    everything, issuer = Everything(), MemoryIssuer()
    globalLogPublisher.addObserver(everything)
    try:
        oidc = OidcSettings(ISSUER, CLIENT)
        farm = MemoryControl(ControlSettings(SignInPolicy.TOKENS, oidc=oidc), web=issuer)
        token = issuer.token(**changed)
        error = await error_of(farm.client("ada", ticket=token))
        farm.pass_time(5)
    finally:
        globalLogPublisher.removeObserver(everything)
    assert (error is None) is (changed == {})
    # Nor a part of it: the claims alone name a person.
    for part in token.split(".")[1:]:
        assert part not in "".join([*everything.text, repr(error)])


def test_a_failure_without_words_has_its_own() -> None:
    publisher, file = LogPublisher(), io.StringIO()
    publisher.addObserver(json_observer(file))
    publisher({"log_failure": Failure(ValueError("bare")), "log_level": LogLevel.critical, "log_format": ""})
    assert json.loads(file.getvalue())["message"] == "bare"
