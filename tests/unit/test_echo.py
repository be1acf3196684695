"""No error repeats more than a hundred characters of what was asked, whatever the procedure and the argument."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred

from icefarm.bus import Caller
from icefarm.contract import Role
from icefarm.control.http.api import ApiRequest
from icefarm.control.http.auth import Asker
from icefarm.control.http.routes import BASE, ENDPOINTS
from icefarm.control.wiring.server import http_api
from icefarm.errors import IcefarmError, InvalidArgument
from icefarm.testing.memory.control_harness import MemoryControl
from icefarm.text.echo import MOST, without_echo

HUGE = "".join(chr(ord("a") + number % 26) for number in range(20_000))
VALUES: list[Any] = [HUGE, [HUGE] * 3, [f"board{number}" for number in range(500)], {HUGE: HUGE}, 10**300]


def pieces(text: str) -> set[str]:
    """Return all pieces of a text that are one character longer than what an error may repeat."""
    return {text[begin : begin + MOST + 1] for begin in range(len(text) - MOST)}


#: Those of what is asked.
TOO_LONG = pieces(HUGE) | pieces(", ".join(VALUES[2])) | pieces(str(VALUES[4]))


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for each in pair for text in texts(each)]
    return [text for each in value for text in texts(each)] if isinstance(value, list | tuple) else []


#: What an error says by itself, which no request here has in it.
OWN = "()!?"


@given(
    before=st.text(OWN, max_size=50),
    asked=st.text(st.characters(exclude_characters=OWN, exclude_categories=["Cs"]), min_size=1, max_size=400),
    after=st.text(OWN, max_size=50),
)
def test_a_long_text_is_cut_and_what_is_said_of_it_stays(before: str, asked: str, after: str) -> None:
    for form in (asked, repr(asked), ascii(asked)):
        cut = without_echo(InvalidArgument(before + form + after), [asked, "x" * 200]).message
        assert len(cut) <= len(before) + len(after) + max(MOST, 2 + MOST)
        assert cut.endswith(after)


SAID = f"{HUGE[:99]}…"


@pytest.mark.parametrize(
    ("asked", "form", "said"),
    [
        (HUGE, HUGE, SAID),
        (HUGE, HUGE[:150], SAID),
        ([[[[[[[[HUGE]]]]]]]], HUGE, SAID),
        ({"a": {"b": {HUGE: 1}}}, HUGE, SAID),
        (("x", True, None, HUGE), HUGE, SAID),
        (10**300, str(10**300), "1" + 98 * "0" + "…"),
        (b"\x00" * 99, repr(b"\x00" * 99), "b'" + r"\x00" * 24 + r"\…"),
        ("a\n" * 200, repr("a\n" * 200)[1:-1], r"a\n" * 33 + "…"),
        ("é" * 200, ascii("é" * 200)[1:-1], (r"\xe9" * 25)[:99] + "…"),
        # Not looked for: beyond the depth, or too long to be written out.
        ([[[[[[[[[HUGE]]]]]]]]], HUGE, HUGE),
        ([10**4_000, HUGE], HUGE, SAID),
        # Nothing of it is long.
        ("x" * 100, "x" * 100, "x" * 100),
        (["abc", "x" * 200], "abc" + 100 * "!", "abc" + 100 * "!"),
        (["x"] * 30_000 + [HUGE], HUGE[:200], HUGE[:200]),
    ],
    ids=count(),
)
def test_what_is_cut_ends_after_a_hundred_characters(asked: Any, form: str, said: str) -> None:
    error = without_echo(InvalidArgument(f"(no {form})", told=[{"name": form}, 5]), asked)
    assert error.message == f"(no {said})"
    assert error.fields == {"told": [{"name": said}, 5]}
    assert type(error) is InvalidArgument


def test_many_short_names_are_cut_as_one_long_text_is() -> None:
    serials = [f"board{number}" for number in range(500)]
    error = without_echo(InvalidArgument(f"not reserved by you: {', '.join(serials)}", serials=serials), {"s": serials})
    assert error.message.startswith("not reserved by you: board0, board1")
    assert len(error.message) <= len("not reserved by you: ") + MOST
    assert error.fields["serials"] == serials


def test_a_short_request_is_repeated_in_full() -> None:
    error = InvalidArgument("a name has 1 to 100 characters, not 'x y'", name="x y")
    assert without_echo(error, ["x y"]) is error


def _procedures() -> list[tuple[str, str]]:
    farm = MemoryControl()
    return [(uri, name) for uri, handler in farm.control._procedures.items() for name in _names(handler)]


def _names(handler: Any) -> list[str]:
    (checked,) = (cell.cell_contents for cell in handler.__closure__ if hasattr(cell.cell_contents, "signature"))
    return [*checked.types, "unknown"]


@pytest.mark.parametrize(("procedure", "argument"), _procedures())
@ensureDeferred
async def test_no_procedure_of_control_repeats_a_huge_argument(procedure: str, argument: str) -> None:
    farm = MemoryControl()
    for role in (Role.CLIENT, Role.OPERATOR, Role.WORKER):
        for value in VALUES:
            fields = {"amount": 1, "kind": "pulsecount"} if procedure.endswith(".reserve") else {}
            fields |= {argument: value}
            try:
                await farm.control._procedures[procedure](Caller("ada", 0, role), procedure, (), fields)
            except IcefarmError as error:
                told = without_echo(error, (procedure, (), fields))
                for text in (told.message, *texts(told.fields)):
                    assert pieces(text) & TOO_LONG == set()


@pytest.mark.parametrize("path", sorted(ENDPOINTS))
@ensureDeferred
async def test_no_endpoint_repeats_a_huge_field(path: str) -> None:
    api = http_api(MemoryControl().control)
    endpoint = ENDPOINTS[path]
    asker = Asker("127.0.0.1", "localhost")
    for field in ("name", "kind", "serials", "id", "unknown"):
        body = json.dumps({field: HUGE}).encode()
        query = {field: HUGE} if endpoint.reading else {}
        answer = await api.answer(ApiRequest(endpoint.method, BASE + path, asker, query, "application/json", body))
        assert answer.code >= 400 or answer.value in ([], {"amount": 0, "serials": []}), field
        assert pieces(json.dumps(answer.value)) & TOO_LONG == set(), field
