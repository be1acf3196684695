"""What users give to the client is checked where it comes in, alike in all faces: all methods are walked."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections.abc import Callable, Iterator
from datetime import datetime
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest
from memory_faces import Faces

from icefarm.bitstream import made_up_bitstream
from icefarm.client import Farm, aio, blocking, deferred, device, placement
from icefarm.client.api.arguments import RULES, checked, is_checked
from icefarm.client.api.experiments import BlockingExperiment
from icefarm.client.lib import BaseAPI
from icefarm.client.lib.pulsecount import PulseCountEvaluation
from icefarm.client.placement import AnyBoard, Distinct, EachBoard, Given, SameBoard, Spread, alternating
from icefarm.client.session import ClientSession
from icefarm.contract import Role
from icefarm.errors import InvalidArgument
from icefarm.text.durations import in_words
from icefarm.utils import batch, generate_circuit

nan, inf = math.nan, math.inf
CIRCUIT = made_up_bitstream(1).data

_NO_NUMBER: list[Any] = [
    "x",
    "3",
    b"3",
    None,
    True,
    np.bool_(True),
    [1],
    {},
    nan,
    -nan,
    inf,
    -inf,
    np.float64("nan"),
    1j,
]
_NO_SECONDS = [*_NO_NUMBER, -1, np.int64(-1), -0.001, 1e300, 10**400]
_NO_COUNT = [*_NO_NUMBER, 0, -1, 1.5, 2.0, np.float64(2.0), np.int32(0)]
_NO_BOOLEAN: list[Any] = [0, 1, "yes", None, 1.0, np.int64(1), []]
_NO_TEXT: list[Any] = ["", 5, b"x", None, ["x"], np.float64(1)]
_NO_TEXTS: list[Any] = ["A", b"A", 7, [1], [["A"]], {"A": 1}, [None], [""]]
_NO_FUNCTION: list[Any] = [5, "print", [print]]
_NO_ITERABLE: list[Any] = ["circuit.bin", b"\x00", 7, made_up_bitstream(1)]

#: By the name of the argument, as in `RULES`: values that must be refused, wherever they are given.
BAD: dict[str, list[Any]] = {
    "amount": [each for each in _NO_COUNT if each is not None],
    "serials": _NO_TEXTS,
    "ids": [*_NO_TEXTS, None],
    "accounts": [*_NO_TEXTS, None],
    "cancel_bookings.ids": [*_NO_TEXTS, None],
    "at": [None, "2026-12-01 10:00", datetime(2026, 12, 1, 10), -1.0, float("nan"), True],
    "serial": _NO_TEXT,
    "id": _NO_TEXT,
    "path": [5, None, [1], 1.5],
    "circuits": [5, [1], 1.5],
    "kept_circuits": _NO_BOOLEAN,
    "digest": _NO_TEXT,
    "reference": _NO_TEXT,
    "reservation": _NO_TEXT,
    "worker": _NO_TEXT,
    "account": [each for each in _NO_TEXT if each is not None],
    "action": [each for each in _NO_TEXT if each is not None],
    "audit.seconds": [0, -1, nan, "1"],
    "audit.limit": [each for each in _NO_COUNT if each is not None] + [5001],
    "kind": [each for each in _NO_TEXT if each is not None],
    "method": _NO_TEXT,
    "options": [[1], "repeats=3", 5, {1: 2}, {"x": nan}, {"x": np.float64("inf")}, {"x": [nan]}, {"x": object()}],
    "placement": ["any", EachBoard, 5],
    "bitstreams": _NO_ITERABLE,
    "sources": _NO_ITERABLE,
    "wait": _NO_BOOLEAN,
    "corrected": _NO_BOOLEAN,
    "keep": _NO_BOOLEAN,
    "leave": _NO_BOOLEAN,
    "end": _NO_BOOLEAN,
    "deserted_raises": _NO_BOOLEAN,
    "timeout": [0, *_NO_SECONDS],
    "next_event.timeout": _NO_SECONDS,
    "seconds": [0, *_NO_SECONDS],
    "grace": _NO_SECONDS,
    "limit": [0, *_NO_SECONDS],
    "interval": [0, *_NO_SECONDS],
    "connect_timeout": _NO_SECONDS,
    "retry_for": _NO_SECONDS,
    "wait_for_worker": _NO_SECONDS,
    "depth": [*_NO_COUNT, 10**6],
    "k": _NO_COUNT,
    "repeats": _NO_COUNT,
    "seed": [each for each in _NO_NUMBER if each is not None] + [1.5],
    "times": [*_NO_NUMBER, -1, 1.5],
    "at_least": [each for each in _NO_COUNT if each is not None],
    "preemptible": [each for each in _NO_BOOLEAN if each is not None],
    "priority": [-1, 101, nan, "5", [1]],
    "on_boards_changed": _NO_FUNCTION,
    "progress": _NO_FUNCTION,
    "evaluate.progress": _NO_BOOLEAN,
    "evaluate_each.progress": _NO_BOOLEAN,
    "by": _NO_TEXT,
    "best": ["most", "", 5, None],
    "listener": [*_NO_FUNCTION, None],
    "on_event": _NO_FUNCTION,
    "on_available": _NO_FUNCTION,
    "url": [5, b"http://127.0.0.1:8080"],
    "name": ["", " a", "a\nb", "a" * 101, 5, b"x"],
    "token": [5, b"t"],
    "role": ["admin", "", 5, None],
    "ca_file": [5, [1]],
    "experiment": ["", " a", "a\nb", "a" * 101, 5, b"x"],
    "labels": [[1], "a=1", {1: 2}, {"a": nan}, {"a": [1]}, {str(number): 1 for number in range(21)}],
    "group": [each for each in _NO_TEXT if each is not None],
    "kinds": _NO_TEXTS,
    "rules": ["1", [-1], ["1"], 5, None],
    "add": [*_NO_TEXTS, None],
    "remove": [*_NO_TEXTS, None],
    "label.labels": [
        [1],
        "a=1",
        {1: 2},
        {"a": nan},
        {"a": [1]},
        {"a": True},
        {},
        {"a b": "1"},
        {"a": ""},
        {"serial": "1"},
    ],
    "where": [*(each for each in _NO_TEXT if each is not None), "lab=", "(lab=3", "x" * 1001],
    "total": [each for each in _NO_COUNT if each is not None] + [10**13],
    "archive": _NO_BOOLEAN,
    "resume": _NO_BOOLEAN,
    "keep_circuits": _NO_BOOLEAN,
    "shared": [each for each in _NO_BOOLEAN if each is not None],
    "follow": _NO_BOOLEAN,
    "failed": [each for each in _NO_BOOLEAN if each is not None],
    "since": [*_NO_NUMBER, -1, 1.8e12],
    "until": [*_NO_NUMBER, -1, 1.8e12],
    "sha256": _NO_TEXTS,
    "after": [each for each in _NO_TEXT if each is not None],
    "figures": _NO_NUMBER,
}
#: Rules that refuse nothing: the argument is another part's own.
ANYTHING = {"bitstream", "reactor", "farm", "plan", "reservations", "items", "placing"}

#: Classes with methods that users call.
CLASSES: list[type] = [
    ClientSession, blocking.Farm, aio.Farm, deferred.Farm, blocking.Boards, aio.Boards, deferred.Boards,
    device.Device, aio.Device, deferred.Device, BlockingExperiment, aio.Experiment, deferred.Experiment,
    blocking.ArchivedRun, aio.ArchivedRun, deferred.ArchivedRun,
]  # fmt: skip
#: Public methods whose arguments no rule checks, and why.
UNCHECKED = {
    "reserve": "checked where it goes to: ClientSession.reserve",
    "adopt": "checked where it goes to: ClientSession.adopt",
    "log": "each figure is checked by the rule for figures",
    "packed": "payload_of says what is wrong with a bitstream",
    "stream": "of the asyncio face: between its own parts",
    "run": "between the client's own parts",
    "begin": "between the client's own parts",
    "call": "between the client's own parts",
    "group_of": "between the client's own parts",
    "announce_total": "between the client's own parts",
}


def public_methods(cls: type) -> Iterator[tuple[str, Any]]:
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        raw = getattr(member, "_method", getattr(member, "__func__", member))
        if (name[0] != "_" or name == "__init__") and inspect.isroutine(raw) and hasattr(raw, "__module__"):
            yield name, raw


def takes_arguments(method: Any) -> bool:
    return [name for name in inspect.signature(method).parameters if name not in ("self", "cls")] != []


def test_every_public_method_that_takes_an_argument_is_checked() -> None:
    unchecked = {
        f"{cls.__module__}.{cls.__name__}.{name}"
        for cls in CLASSES
        for name, method in public_methods(cls)
        if method.__module__.startswith("icefarm")
        and takes_arguments(method)
        and not is_checked(method)
        and name not in (*UNCHECKED, "__init__")
    }
    assert unchecked == set()


def test_every_rule_has_values_that_it_refuses() -> None:
    assert set(RULES) == set(BAD) | ANYTHING


def test_a_method_with_an_argument_without_a_rule_is_a_fault_of_the_code() -> None:
    with pytest.raises(TypeError, match="'colour'"):

        @checked
        def paint(self: object, colour: str) -> None:
            """Paint."""


def test_a_keyword_may_have_the_name_of_the_parameter_that_takes_all_keywords() -> None:
    class Asked:
        @checked
        def ask(self, serial: str, **arguments: Any) -> dict[str, Any]:
            return {"serial": serial, **arguments}

    assert Asked().ask("A", arguments=[1]) == {"serial": "A", "arguments": [1]}


# ------------------------------------------------------------------------------------------- walking the faces


@pytest.fixture(scope="module")
def faces() -> Faces:
    return Faces("A", "B")


def bad_values(method: str, name: str, parameter: inspect.Parameter) -> list[Any]:
    """Return what must be refused for an argument of a method."""
    values = BAD.get(f"{method}.{name}", BAD.get(name, []))
    return [each for each in values if each is not None or "None" not in str(parameter.annotation)]


#: What is given beside a bad value, where a method needs it.
NEEDED: dict[str, Any] = {
    "serials": ["A"], "serial": "A", "worker": "w", "ids": ["q"], "method": "m", "listener": print,
    "id": "0" * 8, "path": "run.zip", "rules": [1], "group": "g",
    "accounts": ["a"],
    "labels": {"lab": "3"}, "reservation": "r", "reference": "ring",
    "bitstreams": [CIRCUIT], "plan": None, "reservations": {}, "items": [],
    "at": 2e9, "seconds": 3600.0,
}  # fmt: skip


def wrong_calls(method: Any) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yield each argument of a method with each of its bad values, and what to call the method with."""
    parameters = {
        name: each
        for name, each in inspect.signature(method).parameters.items()
        if name not in ("self", "cls") and each.kind is not inspect.Parameter.VAR_KEYWORD
    }
    needed = {name: NEEDED[name] for name, each in parameters.items() if each.default is each.empty}
    for name, parameter in parameters.items():
        for value in bad_values(method.__name__, name, parameter):
            yield name, value, {**needed, name: value}


def refused(call: Callable[[], Any], method: str, name: str, value: Any) -> None:
    """Check that a call is refused, with the argument's name, its value and what is allowed."""
    with pytest.raises(InvalidArgument) as caught:
        call()
    said = str(caught.value)
    assert said.startswith(name), (method, said)
    if not isinstance(value, str | dict | list):
        assert repr(value)[:60] in said or "for one" in said, (method, said)
    rule = RULES.get(f"{method}.{name}") or RULES[name]
    assert rule.allowed in said or "must be" in said or "must have" in said or "give [" in said


def all_wrong_calls(target: Any, *left_out: str) -> Iterator[tuple[str, str, Any, dict[str, Any]]]:
    """Yield every method of an object with each bad value of each of its arguments, and what to call it with."""
    for name, method in public_methods(type(target)):
        # Making one is tried by itself; what a class method takes goes to `reserve` of the farm.
        is_class_method = isinstance(inspect.getattr_static(type(target), name), classmethod)
        if name in ("__init__", "packed", *left_out) or is_class_method:
            continue
        for argument, value, arguments in wrong_calls(inspect.unwrap(method)):
            yield name, argument, value, arguments


def test_the_blocking_face_refuses_every_bad_value(faces: Faces) -> None:
    with faces.Farm(name="exp") as farm, farm.reserve(1) as boards:
        for target in (farm, boards, device.Device(farm, boards.reservations[0])):
            for name, argument, value, arguments in all_wrong_calls(target):
                refused(partial(getattr(target, name), **arguments), name, argument, value)


def test_the_asyncio_face_refuses_every_bad_value(faces: Faces) -> None:
    async def script() -> None:
        async with faces.AsyncFarm(name="exp") as farm, await farm.reserve(1) as boards:
            for target in (farm, boards, aio.Device(farm, boards.reservations[0])):
                for name, argument, value, arguments in all_wrong_calls(target, "stream"):
                    await awaited_and_refused(partial(getattr(target, name), **arguments), name, argument, value)

    asyncio.run(script())


def test_the_deferred_face_refuses_every_bad_value_in_its_deferreds(faces: Faces) -> None:
    class InMemory(deferred.Farm):
        _connect = staticmethod(faces.process.connect)

    async def script() -> None:
        async with InMemory(faces.engine.reactor, name="exp") as farm, await farm.reserve(1) as boards:
            for target in (farm, boards, deferred.Device(farm, boards.reservations[0])):
                for name, argument, value, arguments in all_wrong_calls(target):
                    await awaited_and_refused(partial(getattr(target, name), **arguments), name, argument, value)

    faces.there(script)


async def awaited_and_refused(call: Callable[[], Any], method: str, name: str, value: Any) -> None:
    """Check that a call is refused: at once where it gives an iterator, else where its answer is awaited."""
    error: InvalidArgument | None = None
    try:
        answer = call()
        assert method not in ("evaluate", "evaluate_each"), "an evaluation is refused before it begins"
        await answer
    except InvalidArgument as caught:
        error = caught

    def again() -> None:
        if error is not None:
            raise error

    refused(again, method, name, value)


@pytest.mark.parametrize("face", ["Farm", "AsyncFarm"])
def test_every_bad_value_for_signing_in_is_refused_before_anything_is_opened(faces: Faces, face: str) -> None:
    cls = getattr(faces, face)
    for argument, value, arguments in wrong_calls(cls.__init__):
        refused(lambda arguments=arguments: cls(**arguments), "__init__", argument, value)  # type: ignore[misc]


def test_the_deferred_face_checks_how_it_signs_in(faces: Faces) -> None:
    for argument, value, arguments in wrong_calls(Farm.__init__):
        refused(
            lambda arguments=arguments: deferred.Farm(faces.engine.reactor, **arguments), "__init__", argument, value
        )  # type: ignore[misc]


# ----------------------------------------------------------------------------------------------- what is taken


def test_numbers_of_numpy_are_taken_where_numbers_are(faces: Faces) -> None:
    with faces.Farm(name="exp", connect_timeout=np.float32(5), retry_for=np.int64(120)) as farm:
        options = {"window": np.float64(0.5), "overlap": np.bool_(False)}
        with farm.reserve(np.int64(1), options=options, seconds=np.int16(600), wait=np.bool_(False)) as boards:
            (record,) = boards.reservations
            assert record.options == {"window": 0.5, "overlap": False}
            assert {type(each) for each in record.options.values()} == {float, bool}
            assert boards.extend(np.float32(700)) == boards.serials
            assert boards.extend(Fraction(1401, 2)) == boards.serials
            done = boards.evaluate([CIRCUIT], depth=np.uint8(2), limit=np.float64(60), options={"repeats": np.int64(1)})
            assert [result.ok for result in done] == [True]


def test_what_numpy_holds_in_options_goes_on_as_plain_lists(faces: Faces) -> None:
    with faces.Farm(name="exp") as farm, farm.reserve(1, options={"window": 1.0, "list": np.arange(3)}) as boards:
        assert boards.reservations[0].options["list"] == [0, 1, 2]


def test_serials_may_come_in_any_iterable_but_text(faces: Faces) -> None:
    with faces.Farm(name="exp") as farm, farm.reserve(serials=(each for each in ["A", "B"])) as boards:
        assert set(boards.serials) == {"A", "B"}
        assert farm.extend({"A"}) == ["A"]


def test_keywords_that_are_options_are_named_where_they_are_bad(faces: Faces) -> None:
    with (
        faces.Farm(name="exp") as farm,
        pytest.raises(InvalidArgument, match="window must be a finite number, not nan"),
    ):
        farm.reserve(1, window=nan)


@pytest.mark.parametrize(
    ("repeats", "words"),
    [(0, "1 to 256, not 0"), (1.5, "a whole number"), ("3", "a whole number"), (True, "a whole number")],
)
def test_an_option_that_the_client_knows_is_refused_once_and_not_for_each_bitstream(
    faces: Faces, repeats: Any, words: str
) -> None:
    with faces.Farm(name="exp") as farm, farm.reserve(1) as boards:
        with pytest.raises(InvalidArgument, match=f"options: repeats must be {words}"):
            boards.evaluate([CIRCUIT], options={"repeats": repeats})
        assert [result.ok for result in boards.evaluate([CIRCUIT], options={"of_a_newer_farm": 1})] == [True]


def test_a_wrong_call_is_a_type_error_and_does_not_hang(faces: Faces) -> None:
    calls: list[Callable[[Any], Any]] = [
        lambda farm: farm.drain(),
        lambda farm: farm.reserve(1, 2, 3),
        lambda farm: farm.end(nope=1),
        lambda farm: farm.available("k", "l"),
    ]
    with faces.Farm(name="exp") as farm:
        for call in calls:
            with pytest.raises(TypeError, match=r"^\w+\(\): "):
                call(farm)
        with farm.reserve(1) as boards, pytest.raises(TypeError, match="evaluate"):
            boards.evaluate([CIRCUIT], 3)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        *((lambda value=value: Distinct(value), "k") for value in BAD["k"]),
        *((lambda value=value: Distinct(1, value), "seed") for value in BAD["seed"]),
        *((lambda value=value: SameBoard(value), "seed") for value in BAD["seed"]),
        *((lambda value=value: Spread(value), "seed") for value in BAD["seed"]),
        *((lambda value=value: Given(value), "serials") for value in BAD["serials"]),
        *((lambda value=value: alternating(["a"], value), "times") for value in BAD["times"]),
        *((lambda value=value: alternating(value, 2), "sources") for value in BAD["sources"]),
    ],
)  # fmt: skip
def test_placements_refuse_bad_values_where_they_are_made(make: Callable[[], Any], argument: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{argument}"):
        make()


def test_a_placement_with_numbers_of_numpy_says_so_in_plain_ones() -> None:
    how = Distinct(np.int64(2), np.int64(7)).record()
    assert how == {"placement": "distinct", "k": 2, "seed": 7}
    assert {type(each) for each in how.values()} == {str, int}
    assert AnyBoard().record() == {"placement": "any"}
    assert placement.Spread(np.uint8(3)).seed == 3


def test_a_role_may_be_text_or_a_role(faces: Faces) -> None:
    for role in ("client", Role.CLIENT):
        with faces.Farm(name="exp", role=role):
            pass


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (0.5, "0.5 s"), (59, "59 s"), (60, "1 min"), (90, "1 min 30 s"), (3600, "1 h"),
        (5400, "1 h 30 min"), (86400, "1 day"), (2_592_000, "30 days"), (90_000, "1 day 1 h"),
        (100 * 365 * 86400, "100 years"), (365 * 86400, "1 year"), (366 * 86400, "1 year 1 day"),
        (5401, "1 h 30 min"), (3599.6, "1 h"), (86399, "23 h 59 min"), (400 * 86400 + 3600, "1 year 35 days"),
        (-5, "minus 5 s"),
    ],
)  # fmt: skip
def test_lengths_of_time_are_told_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


# --------------------------------------------------------------------------------------------- the original API

_BAD_NUMBER: list[Any] = ["x", "nan", nan, inf, -1, [1], b"3", True]
_NO_LIST: list[Any] = [7, b"A", {"A": 1}, [7], [None]]
#: By call: the name that the argument has there, the values that it refuses.
ORIGINAL: dict[str, tuple[Callable[[Any, Any], Any], str, list[Any]]] = {
    "reserve": (lambda old, bad: BaseAPI.reserve(old, bad, "pulsecount", {}), "amount", [*_BAD_NUMBER, 0, 1.5, None]),
    "reserve kind": (lambda old, bad: BaseAPI.reserve(old, 1, bad, {}), "kind", ["", 5, b"k"]),
    "reserve args": (lambda old, bad: BaseAPI.reserve(old, 1, "pulsecount", bad), "args", [5, [1], {1: 2}, {"x": nan}]),
    "evaluateBitstreams": (lambda old, bad: old.evaluateBitstreams(bad), "bitstreams", _NO_ITERABLE),
    "evaluateBitstreams serials": (lambda old, bad: old.evaluateBitstreams([CIRCUIT], bad), "serials", _NO_LIST),
    "evaluateEvaluations": (lambda old, bad: old.evaluateEvaluations(bad), "evaluations", [7, "a.bin"]),
    "evaluateEvaluations each": (lambda old, bad: next(old.evaluateEvaluations([bad])), "evaluations", [7, "a.bin"]),
    "result_timeout": (lambda old, bad: old.evaluateEvaluations([], bad), "result_timeout", [*_BAD_NUMBER, 0]),
    "reboot": (lambda old, bad: old.reboot(["A"], bad), "timeout", [*_BAD_NUMBER, 0]),
    "reboot serials": (lambda old, bad: old.reboot(bad), "serials", _NO_LIST),
    "waitForAmountAvailable": (lambda old, bad: old.waiter.waitForAmountAvailable(bad), "amount", _BAD_NUMBER),
    "waitForAmountAvailable timeout":
        (lambda old, bad: old.waiter.waitForAmountAvailable(1, bad), "timeout", _BAD_NUMBER),
    "requestBatchWorker": (lambda old, bad: old.requestBatchWorker(bad, "evaluate", {}), "serials", _NO_LIST),
    "Evaluation": (lambda _, bad: PulseCountEvaluation(bad, "a.bin"), "serials", _NO_LIST),
    "batch": (lambda _, bad: batch([1, 2], bad), "amount", [*_BAD_NUMBER, 0, None]),
    "generate_circuit": (lambda _, bad: generate_circuit(bad, "/nowhere"), "hz", ["x", nan, None, [1]]),
}  # fmt: skip


@pytest.mark.parametrize("call", ORIGINAL)
def test_the_original_api_refuses_the_same_values_by_its_own_names(faces: Faces, call: str) -> None:
    old = faces.OldClient("http://127.0.0.1:8080", "old", logging.getLogger("old"))
    try:
        old.reserve(1)
        function, argument, values = ORIGINAL[call]
        for value in values:
            with pytest.raises(InvalidArgument) as caught:
                function(old, value)
            assert str(caught.value).startswith(argument), (value, caught.value)
    finally:
        old.stop()


@pytest.mark.parametrize("method", ["extend", "end", "reserveSpecific"])
def test_what_says_false_in_the_original_api_says_it_for_bad_serials_too(
    faces: Faces, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    old = faces.OldClient("http://127.0.0.1:8080", "old", logging.getLogger("old"))
    try:
        for value in _NO_LIST:
            caplog.clear()
            assert getattr(old, method)(value) is False
            assert "serials must be a list of serials" in caplog.text
    finally:
        old.stop()


def test_numbers_of_the_original_api_may_be_text_or_of_numpy(faces: Faces) -> None:
    for one in ("1", 1, 1.0, np.int64(1), np.float64(1.0)):
        old = faces.OldClient("http://127.0.0.1:8080", "old", logging.getLogger("old"))
        try:
            assert len(old.reserve(one, True, "60")) == 1
            assert [result.value for result in old.evaluateBitstreams([CIRCUIT])] == [1000]
            evaluations = [PulseCountEvaluation(old.getSerials(), CIRCUIT)]
            assert len(list(old.evaluateEvaluations(evaluations, "30.5"))) == 1
        finally:
            old.stop()
