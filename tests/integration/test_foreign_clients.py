"""A farm serves WAMP clients that are not icefarm's: the examples of docs/wamp.md, and messages made by hand.

What the page shows of answers is compared with the farm's.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cbor2
import forked
import msgpack
import pytest
import pytest_twisted
from attrs import define, field, frozen
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from guides import sections
from pytest_twisted import ensureDeferred
from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import HostnameEndpoint

from icefarm.contract import control_procedure, device_procedure
from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.integration

reactor: Any = the_reactor
ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "wamp"
CIRCUIT = ROOT / "examples" / "circuits" / "square_2khz.bin"
#: What the circuit counts in the window that the examples ask for, 0.1 s.
COUNT = 200
#: Seconds for an example, for npm to fetch packages, and for an answer.
EXAMPLE_LIMIT, NPM_LIMIT, LIMIT = 60.0, 600.0, 30.0


@pytest.fixture(scope="module")
def farm(short_directory: Path) -> Iterator[FarmProcess]:
    """A farm that runs for the tests of this module."""
    arguments = ("--boards", "2", "--listen", "127.0.0.1:0", "--speed", "instant")
    with FarmProcess(short_directory / "farm", arguments) as farm:
        farm.wait_until_ready()
        yield farm


# ------------------------------------------------------------------------------------------------- the examples


@frozen
class Examples:
    """The examples, where the packages are that they import."""

    directory: Path
    node: str

    def run(self, name: str, url: str, circuit: Path = CIRCUIT, token: str = "") -> subprocess.CompletedProcess[str]:
        program = sys.executable if name.endswith(".py") else self.node
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ICEFARM_")}
        environment |= {"ICEFARM_URL": url} | ({"ICEFARM_TOKEN": token} if token else {})
        return subprocess.run(
            [program, self.directory / name, circuit],
            env=environment,
            capture_output=True,
            text=True,
            timeout=EXAMPLE_LIMIT,
            check=False,
        )


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "icefarm-tests")


def with_packages() -> Examples:
    """Return the examples beside what npm installs for them, which is kept for the next time."""
    sys.path.append(str(ROOT / "build_backend"))
    try:
        tools = importlib.import_module("frontend_tools")
        node = tools.node_for_build()
    except tools.Failed as error:
        pytest.skip(f"the examples in JavaScript need Node.js: {error}")
    finally:
        sys.path.remove(str(ROOT / "build_backend"))
    lock = hashlib.sha256((EXAMPLES / "package-lock.json").read_bytes()).hexdigest()
    directory = cache() / f"wamp-{lock[:16]}"
    directory.mkdir(parents=True, exist_ok=True)
    for path in EXAMPLES.iterdir():
        if path.is_file():
            shutil.copy(path, directory)
    stamp = directory / ".installed"
    if not stamp.exists():
        # Native accelerators are optional, and not needed.
        quiet = ("--no-audit", "--no-fund", "--loglevel=error")
        command = [*node.npm, "install", "--no-save", "--omit=optional", "--ignore-scripts", *quiet]
        subprocess.run(command, cwd=directory, env=node.environment(), timeout=NPM_LIMIT, check=True)
        stamp.touch()
    return Examples(directory, node.node)


@pytest.fixture(scope="module", params=["count_autobahn.js", "count_wampy.js", "count_autobahn.py"])
def example(request: pytest.FixtureRequest) -> tuple[Examples, str]:
    """Each example, and where it can run."""
    name: str = request.param
    return (Examples(EXAMPLES, "") if name.endswith(".py") else with_packages()), name


def free(farm: FarmProcess) -> int:
    done = subprocess.run(
        forked.icefarm("devices", "-o", "json", "--url", farm.url),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    return sum(device["status"] == "available" for device in json.loads(done.stdout))


def test_an_example_counts_and_returns_its_board(example: tuple[Examples, str], farm: FarmProcess) -> None:
    examples, name = example
    done = examples.run(name, farm.url)
    assert done.returncode == 0, done.stderr
    serial, value = done.stdout.split()
    assert (len(serial), int(value)) == (16, COUNT)
    assert free(farm) == 2


def test_an_example_signs_in_with_a_token(example: tuple[Examples, str], farm: FarmProcess) -> None:
    examples, name = example
    token = subprocess.run(
        forked.icefarm("token", "add", name, "--role", "client", "--data-dir", str(farm.data_dir)),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    ).stdout.split()[-1]
    done = examples.run(name, farm.url, token=token)
    assert (done.returncode, done.stdout.split()[-1:]) == (0, [str(COUNT)]), done.stderr


def test_an_example_says_why_it_was_refused(example: tuple[Examples, str], farm: FarmProcess) -> None:
    examples, name = example
    done = examples.run(name, farm.url, token="wrong")
    assert done.returncode == 1
    assert "icefarm.v1.error.not_authorized the farm does not know that token" in done.stderr


def test_an_example_shows_the_error_of_a_call(example: tuple[Examples, str], farm: FarmProcess, tmp_path: Path) -> None:
    examples, name = example
    nothing = tmp_path / "nothing.bin"
    nothing.write_bytes(b"no bitstream")
    done = examples.run(name, farm.url, nothing)
    assert done.returncode == 1
    assert "icefarm.v1.error.invalid_bitstream" in done.stderr
    assert free(farm) == 2


def test_no_package_lock_names_where_packages_come_from() -> None:
    locked = json.loads((EXAMPLES / "package-lock.json").read_text())["packages"]
    assert all("resolved" not in package for package in locked.values())


# ---------------------------------------------------------------------------------------------- messages by hand


HELLO, WELCOME, ABORT, CHALLENGE, AUTHENTICATE, ERROR, CALL, RESULT = 1, 2, 3, 4, 5, 8, 48, 50


class Wire(WebSocketClientProtocol):
    """Sends and receives WAMP messages as lists."""

    factory: WireFactory

    def onOpen(self) -> None:
        self.factory.opened.callback(self)

    def onMessage(self, payload: bytes, _: bool) -> None:
        self.factory.arrived.put(self.factory.decode(payload))

    def say(self, *message: Any) -> None:
        encoded = self.factory.encode(list(message))
        self.sendMessage(encoded if isinstance(encoded, bytes) else encoded.encode(), isinstance(encoded, bytes))

    async def heard(self) -> list[Any]:
        message: list[Any] = await self.factory.arrived.get().addTimeout(LIMIT, reactor)
        return message


class WireFactory(WebSocketClientFactory):
    """One connection in one format."""

    protocol = Wire

    def __init__(self, url: str, name: str, encode: Callable[[Any], Any], decode: Callable[[bytes], Any]) -> None:
        super().__init__(url, protocols=[f"wamp.2.{name}"])
        self.encode, self.decode = encode, decode
        self.opened: Deferred[Wire] = Deferred()
        self.arrived: DeferredQueue[list[Any]] = DeferredQueue()


FORMATS: dict[str, tuple[Callable[[Any], Any], Callable[[bytes], Any]]] = {
    "json": (json.dumps, json.loads),
    "cbor": (cbor2.dumps, cbor2.loads),
    "msgpack": (msgpack.packb, msgpack.unpackb),
}


@define
class Client:
    """A session made by hand."""

    wire: Wire
    requests: Iterator[int] = field(factory=lambda: count(1))

    async def call(self, procedure: str, args: Sequence[Any] = ()) -> Any:
        """Return the answer; for an error its URI and message."""
        request = next(self.requests)
        self.wire.say(CALL, request, {}, procedure, list(args))
        answer = await self.wire.heard()
        if answer[0] == RESULT:
            assert answer[1] == request
            return answer[3][0]
        assert answer[:3] == [ERROR, CALL, request]
        return answer[4], answer[5][0]


async def signed_in(farm: FarmProcess, name: str) -> Client:
    where = urlsplit(farm.url)
    factory = WireFactory(f"ws://{where.netloc}/ws", name, *FORMATS[name])
    await HostnameEndpoint(reactor, where.hostname, where.port).connect(factory)
    wire = await factory.opened.addTimeout(LIMIT, reactor)
    details = {"roles": {"caller": {}}, "authmethods": ["ticket"], "authid": f"by-hand-{name}"}
    wire.say(HELLO, "icefarm", {**details, "authextra": {"role": "client", "instance": os.urandom(8).hex()}})
    challenge = await wire.heard()
    assert challenge[:2] == [CHALLENGE, "ticket"]
    wire.say(AUTHENTICATE, "", {})
    kind, _, welcome = await wire.heard()
    assert (kind, welcome["authid"], welcome["authrole"]) == (WELCOME, f"by-hand-{name}", "client")
    return Client(wire)


@pytest_twisted.async_yield_fixture
async def clients(farm: FarmProcess) -> AsyncIterator[Callable[[str], Any]]:
    """Signs clients in; returns their boards at the end of the test."""
    made: list[Client] = []

    async def sign_in(name: str) -> Client:
        made.append(await signed_in(farm, name))
        return made[-1]

    yield sign_in
    for client in made:
        await client.call(control_procedure("end"))
        client.wire.sendClose()


async def evaluated(client: Client, bitstream: Any) -> Any:
    [board] = await client.call(control_procedure("reserve"), [1, None, "pulsecount", {"window": 0.1}])
    arguments = [board["id"], os.urandom(8).hex(), bitstream]
    answer = await client.call(device_procedure(board["serial"], "evaluate"), arguments)
    await client.call(control_procedure("end"), [[board["serial"]]])
    return answer


BITS = CIRCUIT.read_bytes()


@pytest.mark.parametrize(
    ("name", "bitstream"),
    [
        ("json", "\0" + base64.b64encode(BITS).decode()),
        ("msgpack", BITS),
        ("cbor", BITS),
        ("cbor", cbor2.CBORTag(64, BITS)),
        ("cbor", cbor2.CBORTag(68, BITS)),
    ],
    ids=["json", "msgpack", "cbor", "cbor-uint8", "cbor-uint8-clamped"],
)
@ensureDeferred
async def test_bytes_arrive_in_every_format(clients: Callable[[str], Any], name: str, bitstream: Any) -> None:
    answer = await evaluated(await clients(name), bitstream)
    assert answer["value"] == COUNT


@pytest.mark.parametrize("tag", [*range(65, 68), *range(69, 88)])
@ensureDeferred
async def test_an_array_of_other_numbers_is_no_bitstream(clients: Callable[[str], Any], tag: int) -> None:
    uri, message = await evaluated(await clients("cbor"), cbor2.CBORTag(tag, BITS))
    assert uri == "icefarm.v1.error.invalid_argument"
    assert f"must be bytes (a byte string or a Uint8Array), not a typed array (CBOR tag {tag})" in message


@pytest.mark.parametrize("bitstream", [base64.b64encode(BITS).decode(), {"0": 255, "1": 0}], ids=["text", "mapping"])
@ensureDeferred
async def test_what_is_no_bytes_in_json_gets_an_error_that_says_what_is(
    clients: Callable[[str], Any], bitstream: Any
) -> None:
    uri, message = await evaluated(await clients("json"), bitstream)
    assert uri == "icefarm.v1.error.invalid_argument"
    assert 'must be bytes (in JSON: text of "\\0" and then base64)' in message


# ----------------------------------------------------------------------------------------- what the page shows


def shape(value: Any) -> Any:
    """Return a value with the names of its fields, and the types of what is in them; null fits everything."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, float | int) and not isinstance(value, bool) else type(value).__name__


def differences(shown: Any, found: Any, path: str = "") -> Iterator[str]:
    """Yield where a value has other fields or types than the page shows."""
    if isinstance(shown, dict) and isinstance(found, dict):
        for name in sorted(shown.keys() ^ found.keys()):
            yield f"{path}.{name} is {'on the page' if name in shown else 'in the answer'} alone"
        for name in sorted(shown.keys() & found.keys()):
            yield from differences(shown[name], found[name], f"{path}.{name}")
    elif isinstance(shown, list) and isinstance(found, list):
        if shown and found:
            yield from differences(shown[0], found[0], f"{path}[]")
    elif "NoneType" not in (shown, found) and shown != found:
        yield f"{path} is {shown} on the page, {found} in the answer"


def on_the_page(heading: str) -> Any:
    (block,) = (each for each in sections()["docs/wamp.md", heading] if each.language == "json")
    return json.loads(block.text)


@ensureDeferred
async def test_answers_have_the_shapes_that_the_page_shows(clients: Callable[[str], Any]) -> None:
    client, other = await clients("json"), await clients("msgpack")
    reserve = control_procedure("reserve")
    (board,) = await client.call(reserve, [1, None, "pulsecount", {"window": 0.1}])
    bits = "\0" + base64.b64encode(BITS).decode()
    measured = await client.call(device_procedure(board["serial"], "evaluate"), [board["id"], "e1", bits])
    heartbeat = await client.call(control_procedure("heartbeat"), ["an instance"])
    # Two boards can't be had: that request waits, and the snapshot shows it.
    request = next(other.requests)
    other.wire.say(CALL, request, {}, reserve, [2, None, "pulsecount", {}, True])
    snapshot = await client.call(control_procedure("snapshot"))
    # Readings come with the worker's heartbeats.
    while not snapshot["queue"] or board["serial"] not in snapshot["readings"]:
        snapshot = await client.call(control_procedure("snapshot"))
    snapshot["devices"] = [each for each in snapshot["devices"] if each["serial"] == board["serial"]]
    snapshot["readings"] = {board["serial"]: snapshot["readings"][board["serial"]]}
    shown = on_the_page("A snapshot")
    shown["readings"] = {board["serial"]: next(iter(shown["readings"].values()))}
    # The kinds of this farm are those of its worker.
    shown["workers"][0]["kind_versions"] = snapshot["workers"][0]["kind_versions"]
    pairs = [
        (on_the_page("A reservation"), board),
        (on_the_page("A measurement"), measured),
        (on_the_page("Heartbeats"), heartbeat),
        (shown, snapshot),
    ]
    await client.call(control_procedure("end"))
    answer = await other.wire.heard()
    assert answer[:2] == [RESULT, request]
    assert [each for one, two in pairs for each in differences(shape(one), shape(two))] == []
