"""Bad input to a whole farm: each gets a clear error, no service ends, and another client's evaluations go on."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_twisted
from attrs import Factory, define
from bad_arguments import CLIENT_CASES, DEVICE_CASES, LIST_CASES, WORKER_CASES
from pytest_twisted import ensureDeferred
from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from waiting import until

from icefarm.bitstream import Bitstream, from_file, made_up_bitstream
from icefarm.bus import Bus
from icefarm.client.evaluation.payload import item_of
from icefarm.client.evaluation.plan import RunPlan
from icefarm.client.evaluation.run import results_of
from icefarm.client.session import ClientSession, connect
from icefarm.contract import (
    CONTROL_PROCEDURES,
    EVALUATE_LIST,
    OPERATOR_PROCEDURES,
    WORKER_PROCEDURES,
    ReservationRecord,
    Role,
    control_procedure,
    control_worker_procedure,
    device_procedure,
    valid_name,
    worker_procedure,
)
from icefarm.errors import (
    DeviceFailed,
    IcefarmError,
    InvalidArgument,
    InvalidBitstream,
    LimitReached,
    LinkLost,
    NotAuthorized,
    ReservationEnded,
    TimedOut,
    UnknownBitstream,
)
from icefarm.kinds.pulsecount import PulseCount
from icefarm.kinds.registry import load_kinds
from icefarm.kinds.variance import Variance
from icefarm.testing.processes.farm_process import FarmProcess, command_of
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link

pytestmark = pytest.mark.integration

reactor: Any = the_reactor
CIRCUIT = Path(__file__).parents[2] / "examples" / "circuits" / "square_8khz.bin"
#: Connections that say nothing.
IDLE = 2500
#: Seconds for one thing that somebody does here, and between looks at a condition.
LIMIT = 30.0
#: What one message may be long, in bytes (docs/security.md).
MESSAGE = 2 << 20
NAMES = ("", " ", "a\nb", "\x00", "'; DROP TABLE device; --", '"', "\u2028", "x" * 10_000, "../../etc", "ä" * 200)


def kinds() -> Mapping[str, Any]:
    return load_kinds([PulseCount, Variance], Logger(namespace="tests"), []).by_name


def workers_procedures() -> set[str]:
    return {"prepare", "prepare_all", "release", "release_all", "reboot", "delete", "retest", "drain", "resume"}


@define(eq=False)
class Steady:
    """A client that evaluates all the time, on a board of its own, and must notice nothing."""

    session: ClientSession
    answers: int = 0
    faults: list[Any] = Factory(list)
    over: bool = False

    async def run(self) -> None:
        await self.session.start()
        records = {record.serial: record for record in await self.session.reserve(1, options={"window": 0.05})}
        circuit = from_file(str(CIRCUIT))

        def items() -> Iterator[Any]:
            while not self.over:
                yield item_of(circuit)

        async for result in results_of(self.session.run(RunPlan(list(records)), records), items()):
            self.answers += 1
            if result.error is not None or result.measurement.attempt != 1 or result.value != 400:
                self.faults.append(result)
        await self.session.stop()


@define(eq=False)
class Scene:
    """A farm as its user starts it, a steady client, and whoever else comes."""

    farm: FarmProcess
    steady: Steady
    links: list[Link] = Factory(list)

    async def sign_in(self, role: Role, name: str, ticket: str = "") -> Bus:
        """Sign in; raises what the sign-in is refused with."""
        session: Deferred[Bus] = Deferred()

        async def have(bus: Bus) -> None:
            if not session.called:
                session.callback(bus)

        def refused(error: IcefarmError) -> bool:
            if not session.called:
                session.errback(error)
            return False

        link = Link(reactor, self.farm.url, Credentials(name, role, os.urandom(8).hex(), ticket), have, refused)
        self.links.append(link)
        link.startService()
        return await session.addTimeout(LIMIT, reactor)

    async def operator(self) -> Bus:
        token = (self.farm.data_dir / "operator.token").read_text().strip()
        return await self.sign_in(Role.OPERATOR, "operator", token)

    async def leave(self) -> None:
        links, self.links = self.links, []
        for link in links:
            await link.stopService()

    def services(self) -> dict[int, str]:
        """Return the processes of the farm, apart from PostgreSQL's, which has one for each connection.

        One of those that has ended a moment ago has no command any more.
        """
        found = {pid: command_of(pid) for pid in self.farm.processes()}
        return {pid: command for pid, command in found.items() if command and "postgres:" not in command}


@pytest.fixture(scope="module")
def started(short_directory: Path) -> Iterator[Scene]:
    directory = short_directory / "bad-input" / "farm"
    with FarmProcess(directory, ("--boards", "3", "--speed", "20", "--listen", "127.0.0.1:0")) as farm:
        farm.wait_until_ready()
        steady = Steady(connect(reactor, farm.url, "steady"))
        running = Deferred.fromCoroutine(steady.run())
        yield Scene(farm, steady)
        steady.over = True
        pytest_twisted.blockon(running.addTimeout(LIMIT, reactor))


@pytest_twisted.async_yield_fixture
async def scene(started: Scene) -> AsyncIterator[Scene]:
    """The farm; after the test all of it must be as before, and the steady client has had more answers meanwhile."""
    await until(lambda: started.steady.answers > 0, "the steady client's first answer")
    services, answers = started.services(), started.steady.answers
    yield started
    await started.leave()
    await until(lambda: started.steady.answers > answers + 2, "answers for the steady client")
    assert started.steady.faults == []
    assert started.services() == services


async def refusal(bus: Bus, procedure: str, args: Any = (), kwargs: Any = None) -> IcefarmError:
    """Call a procedure, which must refuse it; return with what."""
    with pytest.raises(IcefarmError) as caught:
        await bus.call(procedure, args, kwargs or {}, timeout=LIMIT)
    assert caught.value.message, f"{procedure}{str((args, kwargs))[:200]} is refused without a word"
    return caught.value


def test_every_procedure_has_its_bad_arguments() -> None:
    assert set(CLIENT_CASES) == {*CONTROL_PROCEDURES, *OPERATOR_PROCEDURES}
    assert set(WORKER_CASES) == set(WORKER_PROCEDURES)
    assert set(DEVICE_CASES) == {(kind.name, method) for kind in kinds().values() for method in kind.methods}


# ------------------------------------------------------------------------------------------------- procedures


@ensureDeferred
async def test_bad_arguments_of_clients_and_operators_are_refused_by_name(scene: Scene) -> None:
    operator = await scene.operator()
    for name, cases in CLIENT_CASES.items():
        for args, kwargs in cases:
            error = await refusal(operator, control_procedure(name), args, kwargs)
            assert isinstance(error, InvalidArgument), (name, args, kwargs, error)


@ensureDeferred
async def test_bad_arguments_of_workers_are_refused_by_name(scene: Scene) -> None:
    worker = await scene.sign_in(Role.WORKER, "w1")
    for name, cases in WORKER_CASES.items():
        for kwargs in cases:
            error = await refusal(worker, control_worker_procedure(name), (), kwargs)
            assert isinstance(error, InvalidArgument), (name, kwargs, error)


@ensureDeferred
async def test_procedures_of_others_are_closed(scene: Scene) -> None:
    (local,) = {device.worker for device in (await scene.steady.session.snapshot()).devices}
    client, worker = await scene.sign_in(Role.CLIENT, "mallory"), await scene.sign_in(Role.WORKER, "intruder")
    closed = [
        *((client, control_procedure(name)) for name in (*OPERATOR_PROCEDURES, "authenticate")),
        *((client, control_worker_procedure(name)) for name in WORKER_PROCEDURES),
        *((who, worker_procedure(local, name)) for name in workers_procedures() for who in (client, worker)),
        *((worker, control_procedure(name)) for name in (*CONTROL_PROCEDURES, *OPERATOR_PROCEDURES)),
        *((client, f"wamp.session.{name}") for name in ("list", "kill", "get")),
    ]
    for who, procedure in closed:
        assert isinstance(await refusal(who, procedure, (["A"],)), NotAuthorized), procedure


async def reserved(bus: Bus, kind: str) -> ReservationRecord:
    (record,) = await bus.call(control_procedure("reserve"), (1,), {"kind": kind}, timeout=LIMIT)
    known = {each: record.get(each) for each in ReservationRecord.__annotations__ if each in record}
    return ReservationRecord(**known)


@pytest.mark.parametrize(("kind", "method"), DEVICE_CASES)
@ensureDeferred
async def test_bad_arguments_to_boards_are_refused_by_name(scene: Scene, kind: str, method: str) -> None:
    bus = await scene.sign_in(Role.CLIENT, f"mallory-{kind}")
    record = await reserved(bus, kind)
    procedure = device_procedure(record.serial, method)
    for kwargs in DEVICE_CASES[kind, method]:
        error = await refusal(bus, procedure, (), {"reservation": record.id, **kwargs})
        assert isinstance(error, InvalidArgument), (kwargs, error)
    for evaluations in (None, 7, "e1", [7], [None], {"e1": 1}):
        withdrawn = await refusal(
            bus,
            device_procedure(record.serial, "withdraw"),
            (),
            {"reservation": record.id, "evaluations": evaluations},
        )
        assert isinstance(withdrawn, InvalidArgument), (evaluations, withdrawn)
    sound = DEVICE_CASES[kind, method][-1]
    for reservation in (None, 7, [], {}, b"r", float("nan")):
        assert isinstance(await refusal(bus, procedure, (), {**sound, "reservation": reservation}), InvalidArgument)
    assert isinstance(await refusal(bus, procedure), InvalidArgument)
    for reservation in ("", "x", "'; DROP TABLE device; --", "y" * 100_000):
        assert isinstance(await refusal(bus, procedure, (), {**sound, "reservation": reservation}), ReservationEnded)
    for other in ("", "started", "_options", "no\x00such", "x" * 1000):
        error = await refusal(bus, device_procedure(record.serial, other), (), {"reservation": record.id})
        assert isinstance(error, InvalidArgument | LinkLost) or error.name == "no_such_procedure", (other, error)
    assert await bus.call(control_procedure("end"), timeout=LIMIT) == [record.serial]


@ensureDeferred
async def test_what_is_no_list_of_evaluations_is_refused_and_bad_ones_in_a_list_answer_by_themselves(
    scene: Scene,
) -> None:
    bus = await scene.sign_in(Role.CLIENT, "mallory-lists")
    record = await reserved(bus, "pulsecount")
    procedure = device_procedure(record.serial, EVALUATE_LIST)
    for kwargs in LIST_CASES:
        assert isinstance(await refusal(bus, procedure, (), kwargs), InvalidArgument), kwargs
    named = {"serial": record.serial, "reservation": record.id}
    bad = [{**named, **each} for each in DEVICE_CASES["pulsecount", "evaluate"]]
    sound = {**named, "evaluation_id": "sound", "bitstream": CIRCUIT.read_bytes()}
    waiting = dict(enumerate([*bad, sound]))
    evaluations = [{**each, "call": number} for number, each in waiting.items()]
    while waiting:
        answer = await bus.call(procedure, (), {"evaluations": evaluations}, timeout=LIMIT)
        evaluations = []
        for each in answer["results"]:
            asked = waiting.pop(each["call"])
            if asked is sound:
                assert each["measurement"]["evaluation_id"] == "sound"
            else:
                assert each["error"] == "icefarm.v1.error.invalid_argument", (asked, each)
    assert await bus.call(control_procedure("end"), timeout=LIMIT) == [record.serial]


def bad_bitstreams(sound: Bitstream) -> list[Any]:
    data = sound.data
    packed = item_of(sound).payload
    return [
        *(
            b"",
            b"x",
            b"\xff" * len(data),
            data[:-1],
            data[: len(data) // 2],
            data[:100],
            data + data,
            b"\0" * (1 << 20),
        ),
        data[:5000] + bytes([data[5000] ^ 1]) + data[5001:],
        {**packed, "sha256": "0" * 64},
        {**packed, "sha256": "not hexadecimal"},
        {**packed, "length": 1},
        {**packed, "length": 2**62},
        {**packed, "length": -1},
        {**packed, "lz4": b""},
        {**packed, "lz4": packed["lz4"][:-7]},
        {**packed, "lz4": b"\xff" * 1000},
        # A bomb: a block that says to be 255 times as long as it is.
        {**packed, "lz4": b"\x1f\x00\x01\x00" + b"\xff" * (1 << 20)},
        {"sha256": "1" * 64, "plain": data[:-3]},
        {"sha256": "2" * 64},
    ]


@ensureDeferred
async def test_truncated_damaged_and_oversized_bitstreams_reach_no_board(scene: Scene) -> None:
    bus = await scene.sign_in(Role.CLIENT, "mallory")
    record = await reserved(bus, "pulsecount")
    sound = made_up_bitstream(1, sparseness=20)
    for number, bitstream in enumerate(bad_bitstreams(sound)):
        arguments = {"reservation": record.id, "evaluation_id": str(number), "bitstream": bitstream}
        error = await refusal(bus, device_procedure(record.serial, "evaluate"), (), arguments)
        assert isinstance(error, InvalidBitstream | UnknownBitstream), (number, error)
    arguments = {"reservation": record.id, "evaluation_id": "good", "bitstream": sound.data}
    measured = await bus.call(device_procedure(record.serial, "evaluate"), (), arguments, timeout=LIMIT)
    assert measured["sequence"] == 1
    await bus.call(control_procedure("end"), timeout=LIMIT)


@ensureDeferred
async def test_names_of_all_sorts_are_refused_or_used_as_they_are(scene: Scene) -> None:
    bus = await scene.sign_in(Role.CLIENT, "mallory")
    for name in NAMES:
        for args, kwargs in (((), {"serials": [name], "kind": "pulsecount"}), ((1,), {"kind": name})):
            error = await refusal(bus, control_procedure("reserve"), args, kwargs)
            assert error.name in ("invalid_argument", "unknown_device", "unknown_kind"), (name, error)
        # Quotes and slashes may be in a name; what is in control of a terminal may not.
        signing_in = scene.sign_in(Role.CLIENT, name)
        if valid_name(name):
            assert (await signing_in).authid == name
        else:
            with pytest.raises((InvalidArgument, NotAuthorized)):
                await signing_in
    assert (await scene.steady.session.snapshot()).queue == []


# --------------------------------------------------------------------------------------------------- messages


@ensureDeferred
async def test_messages_of_up_to_the_routers_limit_are_refused_by_name(scene: Scene) -> None:
    bus = await scene.sign_in(Role.CLIENT, "mallory")
    record = await reserved(bus, "pulsecount")
    almost = MESSAGE - 10_000
    huge: list[tuple[str, Any, dict[str, Any]]] = [
        (control_procedure("reserve"), (1,), {"kind": "x" * almost}),
        (control_procedure("reserve"), (1,), {"kind": "pulsecount", "options": {"window": "y" * almost}}),
        (control_procedure("end"), (["s" * 100] * (almost // 110),), {}),
        (
            device_procedure(record.serial, "evaluate"),
            (),
            {"reservation": record.id, "evaluation_id": "1", "bitstream": b"\0" * almost},
        ),
        (
            device_procedure(record.serial, "evaluate"),
            (),
            {"reservation": record.id, "evaluation_id": "z" * almost, "bitstream": b""},
        ),
    ]
    for procedure, args, kwargs in huge:
        error = await refusal(bus, procedure, args, kwargs)
        assert error.name in ("invalid_argument", "invalid_bitstream", "unknown_device", "unknown_kind"), error
    too_large = await refusal(bus, control_procedure("available"), ("x" * (MESSAGE + 1),))
    assert isinstance(too_large, InvalidArgument)
    assert f"{MESSAGE:,} bytes" in too_large.message
    assert await bus.call(control_procedure("end"), timeout=LIMIT) == [record.serial]


#: RawSocket's greeting: CBOR, messages of up to 16 MiB ("WAMP RawSocket transport", handshake).
HELLO = b"\x7f\xf3\x00\x00"
#: HTTP's way to a WebSocket (RFC 6455).
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: wamp.2.cbor\r\n\r\n"
)
GARBAGE = {
    "no protocol at all": b"\x00" * 64,
    "a greeting with an unknown serializer": b"\x7f\xff\x00\x00",
    "half of a greeting": b"\x7f",
    "CBOR that is none": HELLO + b"\x00\x00\x00\x05\xff\xff\xff\xff\xff",
    "CBOR that ends too early": HELLO + b"\x00\x00\x00\x02\x9b\xff",
    "CBOR as deep as it is long": HELLO + b"\x00\x01\x00\x00" + b"\x81" * 0x10000,
    "CBOR that promises 2^60 bytes": HELLO + b"\x00\x00\x00\x09\x5b\x10" + b"\x00" * 7,
    "a message that is no list": HELLO + b"\x00\x00\x00\x01\x07",
    "a message of an unknown type": HELLO + b"\x00\x00\x00\x04\x81\x19\x03\xe7",
    "a call before the session": HELLO + b"\x00\x00\x00\x06\x84\x18\x30\x01\xa0\x60",
    "a message longer than it may be": HELLO + b"\x00\xff\xff\xff" + b"\x00" * 1000,
    "a ping of RawSocket without end": HELLO + b"\x01\xff\xff\xff" + b"\x00" * 1000,
    "HTTP that is none": b"BREW /pot HTTP/9.9\r\n\r\n",
    "a header without end": b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000,
    "a body that never comes": b"POST /api/reserve HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{",
    "a WebSocket with garbage": UPGRADE + b"\xff" * 1000,
    "a WebSocket frame of 2^63 bytes": UPGRADE + b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" + b"\x00" * 100,
    "a WebSocket message without a mask": UPGRADE + b"\x82\x05hello",
    "a WebSocket message that is no WAMP": UPGRADE + b"\x82\x85\x00\x00\x00\x00hello",
}


class Stranger(Protocol):
    """Says nothing but what it is told to."""

    def __init__(self) -> None:
        self.closed: Deferred[None] = Deferred()

    def connectionLost(self, _: object = None) -> None:
        self.closed.callback(None)


async def strangers(scene: Scene, amount: int) -> list[Stranger]:
    """Connect so many times."""
    endpoint = HostnameEndpoint(reactor, "127.0.0.1", urlsplit(scene.farm.url).port)
    made: list[Stranger] = []
    while len(made) < amount:
        batch = range(min(100, amount - len(made)))
        connecting = [connectProtocol(endpoint, Stranger()).addTimeout(LIMIT, reactor) for _ in batch]
        made += await gatherResults(connecting)
    return made


async def go(*gone: Stranger) -> None:
    for stranger in gone:
        stranger.transport.abortConnection()  # type: ignore[union-attr]
    await gatherResults([stranger.closed for stranger in gone]).addTimeout(LIMIT, reactor)


@ensureDeferred
async def test_garbage_at_the_port_harms_nobody(scene: Scene) -> None:
    came = await strangers(scene, len(GARBAGE))
    for stranger, data in zip(came, GARBAGE.values(), strict=True):
        stranger.transport.write(data)  # type: ignore[call-arg, union-attr]
        assert (await scene.steady.session.snapshot()).queue == []
    await go(*came)


@ensureDeferred
async def test_those_who_send_a_byte_at_a_time_keep_nobody_waiting(scene: Scene) -> None:
    came = await strangers(scene, 200)
    position = 0

    def drip() -> None:
        nonlocal position
        for number, stranger in enumerate(came):
            text = (HELLO, UPGRADE, b"GET / HTTP/1.1\r\nX: " + b"y" * 10_000)[number % 3]
            if not stranger.closed.called:
                stranger.transport.write(text[position : position + 1])  # type: ignore[call-arg, union-attr]
        position += 1

    dripping = LoopingCall(drip)
    ended = dripping.start(0.05)
    answers = scene.steady.answers
    client = await scene.sign_in(Role.CLIENT, "patient")
    assert await client.call(control_procedure("end"), timeout=LIMIT) == []
    await until(lambda: position > 40 and scene.steady.answers > answers + 20, "bytes, and answers for others")
    dripping.stop()
    await ended
    await go(*came)


@ensureDeferred
async def test_thousands_of_silent_connections_keep_nobody_out(scene: Scene) -> None:
    came = await strangers(scene, IDLE)
    answers = scene.steady.answers
    client = await scene.sign_in(Role.CLIENT, "late")
    record = await reserved(client, "pulsecount")
    assert await client.call(control_procedure("end"), timeout=LIMIT) == [record.serial]
    await until(lambda: scene.steady.answers > answers + 20, "answers for others")
    await go(*came)


@ensureDeferred
async def test_a_session_that_floods_control_holds_nobody_up(scene: Scene) -> None:
    bus = await scene.sign_in(Role.CLIENT, "flood")
    calls = [
        Deferred.fromCoroutine(bus.call(control_procedure("available"), (["x"],), timeout=LIMIT)) for _ in range(2000)
    ]
    for call in calls:
        call.addErrback(lambda failure: failure.trap(InvalidArgument, TimedOut, DeviceFailed, LimitReached, LinkLost))
    answers = scene.steady.answers
    assert (await scene.steady.session.snapshot()).queue == []
    await until(lambda: scene.steady.answers > answers + 5, "answers for others")
    # One that goes on and on is refused, and then its session is ended.
    await gatherResults(calls)
