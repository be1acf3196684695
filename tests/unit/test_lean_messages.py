"""Messages of the usual form are made by fewer functions, and are the same as Autobahn makes them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from copy import deepcopy
from types import ModuleType
from typing import Any

import pytest

import icefarm.wamp._lean_autobahn  # noqa: F401 isort: skip
import autobahn.wamp.message

from icefarm.concurrency.prompt.icefarm_lean_messages import SLOTS, lighten

DEVICE = "icefarm.v1.device.0123.evaluate_list"
CALLER = {"caller": 7, "caller_authid": "a/b", "caller_authrole": "client"}
CALLEE = {"callee": 7, "callee_authid": "a/b", "callee_authrole": "worker"}
#: By class, as they are decoded: what comes along in an evaluation.
USUAL = {
    "Call": [48, 1, {}, DEVICE, [], {"evaluations": [1], "wait": True}],
    "Invocation": [68, 1, 2, {**CALLER, "procedure": DEVICE}, [], {"evaluations": [1]}],
    "Yield": [70, 1, {}, [{"results": []}]],
    "Result": [50, 1, CALLEE, [{"results": []}]],
}
#: Others that are valid.
OTHERS = [
    [48, 1, {}, DEVICE],
    [48, 1, {}, DEVICE, [1, "2"]],
    [48, 1, {}, DEVICE, [], {}],
    [48, 1, {}, DEVICE, None, {"a": 1}],
    [48, 1, {"timeout": 5, "receive_progress": True}, DEVICE, [], {"a": 1}],
    [48, 1, {"transaction_hash": "x"}, DEVICE, [], {"a": 1}],
    [48, 1, CALLER, DEVICE, [], {"a": 1}],
    [48, 1, {"forward_for": [{"session": 1, "authid": "a", "authrole": "b"}]}, DEVICE, [], {"a": 1}],
    [48, 1, {}, DEVICE, b"encrypted"],
    [68, 1, 2, CALLER, [], {"a": 1}],
    [68, 1, 2, {}, [3]],
    [68, 1, 2, {"caller": 7}, [], {"a": 1}],
    [68, 1, 2, {**CALLER, "timeout": 3}, [], {"a": 1}],
    [68, 1, 2, {**CALLER, "procedure": DEVICE, "receive_progress": True}, [], {"a": 1}],
    [68, 1, 2, {**CALLER, "forward_for": [{"session": 1, "authid": "a", "authrole": "b"}]}, [], {"a": 1}],
    [70, 1, {}],
    [70, 1, {}, []],
    [70, 1, {"progress": True}, [1]],
    [70, 1, {}, [1], {"a": 2}],
    [70, 1, CALLEE, [1]],
    [70, 1, {}, b"encrypted"],
    [50, 1, {}, [1]],
    [50, 1, {"callee": 7}, [1]],
    [50, 1, {"progress": False}, [1]],
    [50, 1, {**CALLEE, "progress": True}, [1]],
    [50, 1, {**CALLEE, "forward_for": [{"session": 1, "authid": "a", "authrole": "b"}]}, [1]],
    [50, 1, {}, [], {"a": 1}],
]
ODD = [
    None, True, 0, -1, 2**53, 2**53 + 1, 1.5, "", "a", "a..b", "a b", "a.b", b"a", [], {}, [1], {1: 2}, {b"a": 1},
    {"caller": "7"}, {"callee": True, "callee_authid": "a", "callee_authrole": "b"}, {**CALLEE, "callee_authid": 5},
    {**CALLER, "procedure": 5}, {**CALLER, "caller": None, "procedure": "a"}, {**CALLER, "caller_authrole": b"a"},
    {"callee": 7, "callee_authid": "a", "other": 5}, {**CALLER, "other": 5}, {"other": 5},
]  # fmt: skip


def fresh() -> Any:
    """Return a copy of Autobahn's module of messages, as it came."""
    spec = importlib.util.find_spec("autobahn.wamp.message")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PLAIN, LEAN = fresh(), fresh()
lighten(LEAN)
pytestmark = pytest.mark.skipif(
    set(PLAIN.Yield.__slots__) | set(PLAIN.Message.__slots__) != SLOTS["Yield"], reason="an Autobahn that is not known"
)


def read(module: Any, raw: list[Any]) -> tuple[Any, ...]:
    """Return all that a message has, once it has been read, and what would be sent of it; or the error."""
    kind = next(getattr(module, name) for name in USUAL if raw[0] == getattr(module, name).MESSAGE_TYPE)
    try:
        message = kind.parse(deepcopy(raw))
    except Exception as error:
        return (type(error).__name__, str(error))
    assert isinstance(message, kind)
    assert type(message).__name__ == kind.__name__
    slots = [slot for each in kind.__mro__ for slot in getattr(each, "__slots__", ())]
    # A part has its property too; the rest is Autobahn's own.
    parts = {slot: (getattr(message, slot), getattr(message, slot[1:], None)) for slot in slots}
    return (parts, message.marshal())


def damaged() -> Iterator[list[Any]]:
    """Yield messages with one odd part, and such with one that is missing or too many."""
    for raw in USUAL.values():
        for place in range(1, len(raw)):
            for odd in ODD:
                yield [*raw[:place], odd, *raw[place + 1 :]]
            yield raw[:place]
        yield [*raw, {}]
        yield [*raw, {"a": 1}, 5]


def test_messages_are_read_and_sent_as_autobahn_does_it() -> None:
    assert all(getattr(LEAN, name).parse.__module__ == lighten.__module__ for name in USUAL)
    messages = [*USUAL.values(), *OTHERS, *damaged()]
    for raw in messages:
        assert read(LEAN, raw) == read(PLAIN, raw), raw
    assert sum(isinstance(read(LEAN, raw)[0], str) for raw in messages) > 200


@pytest.mark.parametrize("name", USUAL)
def test_the_usual_form_needs_none_of_autobahns_own_functions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = fresh()
    lighten(module)
    kind = getattr(module, name)

    def fails(*_: object, **__: object) -> None:
        raise AssertionError("the way of other messages")

    for function in ("check_or_raise_id", "check_or_raise_extra", "check_or_raise_uri"):
        monkeypatch.setattr(module, function, fails)
    monkeypatch.setattr(kind, "args", property(fails))
    assert kind.parse(USUAL[name]).marshal() == USUAL[name]


def test_parts_of_what_came_can_be_set() -> None:
    # As the router notes which messages belong together.
    call = LEAN.Call.parse(deepcopy(USUAL["Call"]))
    call.correlation_id, call.args, call.kwargs = "c", [5], None
    assert (call.correlation_id, call.marshal()) == ("c", [48, 1, {}, DEVICE, [5]])


def test_messages_that_are_made_are_sent_as_autobahn_does_it() -> None:
    for module in (PLAIN, LEAN):
        module.made = [
            module.Call(1, DEVICE, args=(), kwargs={"a": 1}),
            module.Call(1, DEVICE, args=(1,), timeout=5),
            module.Call(1, DEVICE, caller=5, caller_authid="a", caller_authrole="b"),
            module.Call(1, DEVICE, caller_authid="a"),
            module.Invocation(1, 2, args=[1], **CALLER, procedure=DEVICE),
            module.Invocation(1, 2, kwargs={"a": 1}, **CALLER),
            module.Invocation(1, 2, caller_authid="a"),
            module.Invocation(1, 2, args=[1], timeout=5, **CALLER),
            module.Yield(1, args=[None]),
            module.Yield(1, args=[5], progress=True),
            module.Result(1, args=[5], **CALLEE),
            module.Result(1, args=[5], callee=7),
            module.Result(1, kwargs={"a": 1}),
            module.Result(1, payload=b"x", enc_algo="mqtt"),
        ]
    for lean, plain in zip(LEAN.made, PLAIN.made, strict=True):
        assert lean.marshal() == plain.marshal()


def test_a_client_has_them() -> None:
    import icefarm.wamp.transport  # noqa: F401

    assert autobahn.wamp.message.Call.parse.__module__ == lighten.__module__


def test_what_has_been_replaced_stays() -> None:
    module = fresh()
    lighten(module)
    replaced = [(getattr(module, name).parse, getattr(module, name).marshal) for name in USUAL]
    lighten(module)
    assert [(getattr(module, name).parse, getattr(module, name).marshal) for name in USUAL] == replaced


def test_another_autobahn_is_left_as_it_is() -> None:
    class Call:
        __slots__ = ("procedure", "request")
        parse = marshal = None

    module: Any = ModuleType("messages")
    for name in SLOTS:
        setattr(module, name, Call)
    lighten(module)
    assert Call.parse is None
