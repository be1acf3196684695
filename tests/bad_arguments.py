"""Bad arguments for every procedure: each of these must be refused as `InvalidArgument`, wherever it is tried."""

from __future__ import annotations

from typing import Any

__all__ = ["CLIENT_CASES", "DEVICE_CASES", "WORKER_CASES"]

_NAN, _HUGE = float("nan"), 10**400
_SERIALS = [("A",), ([1],), ([["A"]],), ({"A": 1},), ([None],), (7,), (["A"] * 3, "more", 1, 2)]

CLIENT_CASES: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "available": [((7,), {}), ((["k"],), {}), ((), {"sort": "x"}), (("a", "b"), {})],
    "reserve": [
        ((), {}),
        ((), {"kind": "pulsecount"}),
        ((0,), {"kind": "pulsecount"}),
        ((-1,), {"kind": "pulsecount"}),
        ((True,), {"kind": "pulsecount"}),
        ((1.0,), {"kind": "pulsecount"}),
        (("1",), {"kind": "pulsecount"}),
        ((10**9,), {"kind": "pulsecount"}),
        ((1, ["A"]), {"kind": "pulsecount"}),
        ((), {"serials": [], "kind": "pulsecount"}),
        ((), {"serials": ["A", "A"], "kind": "pulsecount"}),
        ((), {"serials": "A", "kind": "pulsecount"}),
        ((1,), {"kind": 7}),
        ((1,), {"kind": ""}),
        ((1,), {"kind": "pulsecount", "options": [1]}),
        ((1,), {"kind": "pulsecount", "options": {1: 2}}),
        ((1,), {"kind": "pulsecount", "options": {"x": b"bytes"}}),
        ((1,), {"kind": "pulsecount", "options": {"x": _NAN}}),
        ((1,), {"kind": "pulsecount", "options": {"x": "y" * 100_000}}),
        ((1,), {"kind": "pulsecount", "wait": 1}),
        ((1,), {"kind": "pulsecount", "timeout": -1}),
        ((1,), {"kind": "pulsecount", "timeout": _NAN}),
        ((1,), {"kind": "pulsecount", "seconds": 0}),
        ((1,), {"kind": "pulsecount", "seconds": 1e12}),
        ((1,), {"kind": "pulsecount", "seconds": _HUGE}),
        ((1,), {"kind": "pulsecount", "client": "bob"}),
        ((1,), {"kind": "pulsecount", "request": ""}),
        ((1,), {"kind": "pulsecount", "request": "x" * 65}),
        ((1,), {"kind": "pulsecount", "request": "a\x00b"}),
        ((1,), {"kind": "pulsecount", "request": 7}),
        ((1,), {"kind": "pulsecount", "grace": -1}),
        ((1,), {"kind": "pulsecount", "grace": _NAN}),
        ((1,), {"kind": "pulsecount", "grace": "30"}),
    ],
    "extend": [*((args, {}) for args in _SERIALS), ((), {"seconds": 0}), ((), {"seconds": "1"}), ((), {"who": "bob"})],
    "end": [*((args, {}) for args in _SERIALS), ((), {"client": "bob"})],
    "snapshot": [((1,), {}), ((), {"x": 1})],
    "reboot": [((), {}), ((None,), {}), *((args, {}) for args in _SERIALS)],
    "renew": [((), {}), ((7,), {}), ((None,), {}), (("a", "b"), {})],
    "heartbeat": [((), {}), ((7,), {}), (("i", "j"), {})],
    "dismiss": [((), {}), ((None,), {}), *((args, {}) for args in _SERIALS[1:6])],
    "history": [((0,), {}), ((-1,), {}), ((_NAN,), {}), (("1",), {}), ((1e9,), {}), ((), {"x": 1})],
    "device_history": [((), {}), ((7,), {}), ((["A"],), {})],
    "journal": [((1,), {}), ((), {"x": 1})],
    "delete": [((), {}), ((None,), {}), *((args, {}) for args in _SERIALS)],
    "end_any": [((), {}), ((None,), {}), *((args, {}) for args in _SERIALS)],
    "audit": [
        ((0,), {}),
        ((_NAN,), {}),
        (("1",), {}),
        ((), {"account": 7}),
        ((), {"limit": 0}),
        ((), {"limit": 10**9}),
    ],
    "delete_worker": [((), {}), ((7,), {}), ((["w1"],), {}), ((), {"name": "w1"})],
    "drain": [((), {}), ((7,), {}), ((["w1"],), {})],
    "resume": [((), {}), ((7,), {}), ((["w1"],), {})],
    "retest": [((), {}), ((None,), {}), *((args, {}) for args in _SERIALS)],
}

_REPORT = {"serial": "A", "status": "available"}
_HELLO = {"name": "w1", "instance": "i", "host": "h", "version": "1", "kinds": [], "devices": []}
WORKER_CASES: dict[str, list[dict[str, Any]]] = {
    "hello": [
        {},
        {"hello": None},
        {"hello": []},
        {"hello": {}},
        {"hello": {**_HELLO, "name": "another"}},
        {"hello": {**_HELLO, "devices": [{}]}},
        {"hello": {**_HELLO, "devices": [{"serial": "A", "status": "happy"}]}},
        {"hello": {**_HELLO, "devices": [_REPORT, _REPORT]}},
        {"hello": {**_HELLO, "devices": [{**_REPORT, "serial": ""}]}},
        {"hello": {**_HELLO, "devices": [{**_REPORT, "serial": "a\nb"}]}},
        {"hello": {**_HELLO, "kinds": [{"name": "k"}]}},
    ],
    "report": [
        {},
        {"report": None},
        {"report": {}},
        {"report": {**_REPORT, "status": 7}},
        {"report": {**_REPORT, "serial": " A"}},
        {"report": {**_REPORT, "evaluations": "many"}},
    ],
    "heartbeat": [{}, {"instance": None}, {"instance": "i", "x": 1}],
    "log": [
        {},
        {"level": "loud", "message": "x"},
        {"level": "info", "message": 7},
        {"level": "info", "message": "x", "serial": "\x00"},
    ],
    "event": [
        {},
        {"serial": "A", "reservation": "r", "name": "failure", "fields": {}},
        {"serial": "A", "reservation": "r", "name": "", "fields": {}},
        {"serial": "A", "reservation": "r", "name": "x", "fields": [1]},
    ],
}

_SOUND = {"evaluation_id": "e", "bitstream": b"x"}
_ANY_EVALUATE: list[dict[str, Any]] = [
    {},
    {"evaluation_id": "e"},
    {"bitstream": b"x"},
    {**_SOUND, "evaluation_id": 7},
    {**_SOUND, "evaluation_id": None},
    {**_SOUND, "bitstream": "text"},
    {**_SOUND, "bitstream": None},
    {**_SOUND, "bitstream": [0] * 1000},
    {**_SOUND, "bitstream": {}},
    {**_SOUND, "bitstream": {"sha256": 7}},
    {**_SOUND, "bitstream": {"sha256": "0" * 64, "lz4": "text"}},
    {**_SOUND, "bitstream": {"sha256": "0" * 64, "length": _NAN}},
    {**_SOUND, "bitstream": {"sha256": "0" * 64, "more": 1}},
    {**_SOUND, "attempt": "1"},
    {**_SOUND, "attempt": 1.5},
    {**_SOUND, "options": 7},
    {**_SOUND, "options": {"repeats": 0}},
    {**_SOUND, "options": {"repeats": -1}},
    {**_SOUND, "options": {"repeats": 257}},
    {**_SOUND, "options": {"repeats": _NAN}},
    {**_SOUND, "options": {"repeats": True}},
    {**_SOUND, "options": {"no\x00'such\"": 1}},
    {**_SOUND, "more": 1},
    {**_SOUND, "'; DROP TABLE device; --": 1},
]
#: By kind and method; the reservation is given beside these.
DEVICE_CASES: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("pulsecount", "evaluate"): _ANY_EVALUATE,
    ("variance", "evaluate"): [*_ANY_EVALUATE, {**_SOUND, "options": {"waveform": 1}}],
}
