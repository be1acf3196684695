"""The client on a real farm: Crossbar, PostgreSQL, control, a worker, virtual boards."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import forked
import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.protocols.portforward import ProxyFactory

from icefarm.bitstream import from_file
from icefarm.client import Farm
from icefarm.client.evaluation.payload import item_of
from icefarm.client.evaluation.plan import RunPlan
from icefarm.client.evaluation.run import results_of
from icefarm.client.session import connect
from icefarm.errors import LinkLost, NameInUse, NotAuthorized, Unavailable, UnknownKind
from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
CIRCUITS = sorted((ROOT / "examples" / "circuits").glob("*.bin"))
BOARDS = 4
#: Seconds that boards of a client that died stay its own.
GRACE = 5
#: Boards that the test before has given back are being flashed.
SOON: dict[str, Any] = {"wait": True, "timeout": 30.0}


@pytest.fixture(scope="module")
def url(short_directory: Path) -> Iterator[str]:
    """A farm that runs for the tests of this module."""
    arguments = ("--boards", str(BOARDS), "--listen", "127.0.0.1:0", "--speed", "instant", "--grace", str(GRACE))
    with FarmProcess(short_directory / "farm", arguments) as farm:
        farm.wait_until_ready()
        yield farm.url


@pytest.fixture
def watcher(url: str) -> Iterator[Farm]:
    """A client that looks on."""
    with Farm(url, name="watcher") as farm:
        yield farm


def wait_until_free(watcher: Farm, timeout: float) -> None:
    """Wait until boards could be reserved by name, all of them."""
    with watcher.reserve(BOARDS, wait=True, timeout=timeout):
        pass


def started(script: str, url: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a script that has the farm's URL as its first argument."""
    command = forked.python("-c", script, url, *arguments)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


#: Reserves all boards, says so, and evaluates without end.
ENDLESS = """
import itertools, sys
from icefarm.client import Farm
farm = Farm(sys.argv[1], name="endless")
boards = farm.reserve(4, window=0.01, wait=True, timeout=30)
results = boards.evaluate(itertools.repeat(sys.argv[2]))
next(results)
print("evaluating", flush=True)
for result in results:
    pass
"""


@pytest.fixture
def endless(url: str) -> Iterator[subprocess.Popen[str]]:
    """A script in the midst of its evaluations."""
    script = started(ENDLESS, url, str(CIRCUITS[0]))
    try:
        assert script.stdout is not None
        assert script.stdout.readline() == "evaluating\n", script.communicate(timeout=10)
        yield script
    finally:
        if script.poll() is None:
            script.kill()
        script.communicate(timeout=10)


# ------------------------------------------------------------------------------------------------ evaluating


def test_each_circuit_is_measured_on_each_board_with_its_provenance(url: str) -> None:
    with Farm(url, name="each") as farm, farm.reserve(BOARDS, window=0.5, **SOON) as boards:
        results = list(boards.evaluate_each(CIRCUITS))
        assert Counter(result.serial for result in results) == Counter(dict.fromkeys(boards.serials, len(CIRCUITS)))
    for result in results:
        measurement = result.measurement
        assert measurement.sha256 == from_file(result.source).sha256
        assert (measurement.firmware, measurement.attempt, measurement.window_us) == ("pulse_count", 1, 500_000)
        assert measurement.options["window"] == 0.5
        assert result.value >= 0


def test_any_board_takes_what_comes_and_all_take_part(url: str) -> None:
    with Farm(url, name="any") as farm, farm.reserve(BOARDS, window=0.01, **SOON) as boards:
        results = list(boards.evaluate(CIRCUITS[n % len(CIRCUITS)] for n in range(200)))
        assert {result.serial for result in results} == set(boards.serials)
    assert len(results) == 200
    assert all(result.ok for result in results)


def test_options_of_an_evaluation_reach_the_board(url: str) -> None:
    with Farm(url, name="repeats") as farm, farm.reserve(1, window=0.01, **SOON) as boards:
        (result,) = boards.evaluate(CIRCUITS[:1], options={"repeats": 3})
    assert len(result.value) == 3


def test_a_file_that_is_no_bitstream_is_a_result_and_nothing_is_sent(url: str, tmp_path: Path) -> None:
    bad = tmp_path / "cut.bin"
    bad.write_bytes(CIRCUITS[0].read_bytes()[:1000])
    with Farm(url, name="bad-file") as farm, farm.reserve(1, **SOON) as boards:
        (result,) = boards.evaluate([bad])
        (device,) = [device for device in farm.devices() if device.serial == boards.serials[0]]
    assert result.error is not None
    assert "cut.bin" in str(result.error)
    assert device.failures == 0


@ensureDeferred
async def test_a_cut_connection_loses_no_evaluation(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    relay = ProxyFactory(host, int(port))
    connections: list[Any] = []
    build = relay.buildProtocol

    def noted(address: Any) -> Any:
        connections.append(build(address))
        return connections[-1]

    relay.buildProtocol = noted  # type: ignore[method-assign]
    listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(relay)  # type: ignore[arg-type]
    session = connect(reactor, f"http://127.0.0.1:{listening.getHost().port}", "cut")  # type: ignore[attr-defined]
    try:
        await session.start()
        records = {record.serial: record for record in await session.reserve(2, options={"window": 0.01}, **SOON)}
        run = session.run(RunPlan(list(records)), records)
        results = []
        async for result in results_of(run, (item_of(CIRCUITS[0]) for _ in range(300))):
            results.append(result)
            if len(results) in (50, 150):
                connections[-1].transport.abortConnection()
        assert [result.ok for result in results] == [True] * 300
        assert len(connections) == 3
        assert session.serials == list(records)
    finally:
        await session.stop()
        await listening.stopListening()


# ----------------------------------------------------------------------------------------------- reservations


def test_too_few_boards_is_said_with_numbers(url: str) -> None:
    with Farm(url, name="many") as farm, pytest.raises(Unavailable, match=str(BOARDS)):
        farm.reserve(BOARDS + 1)


def test_an_unknown_kind_is_said_with_what_there_is(url: str) -> None:
    with Farm(url, name="kind") as farm, pytest.raises(UnknownKind, match="pulsecount"):
        farm.reserve(1, kind="perpetuum")


def test_waiting_for_boards_succeeds_when_they_are_given_back(url: str) -> None:
    with Farm(url, name="first") as first, Farm(url, name="second") as second:
        boards = first.reserve(BOARDS, **SOON)
        places: list[Any] = []

        def told(word: Any) -> None:
            if not places:
                giving_back.start()
            places.append(word)

        giving_back = Thread(target=boards.end)
        with second.reserve(BOARDS, wait=True, timeout=30, progress=told) as mine:
            assert len(mine) == BOARDS
        giving_back.join()
    assert places[0]["place"] == 1


def test_short_reservations_are_kept_as_long_as_they_are_wanted(url: str) -> None:
    with Farm(url, name="short") as farm, farm.reserve(1, window=0.01, seconds=2.0, **SOON) as boards:
        (before,) = [record.expires_at for record in farm.reservations() if record.client == "short"]
        after = before
        changes = farm.watch(interval=1.0)
        for _ in changes:
            (after,) = [record.expires_at for record in farm.reservations() if record.client == "short"]
            if after > before:
                break
        assert after > before
        assert len(boards) == 1


# ------------------------------------------------------------------------------------------------ ends, errors


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)])
def test_a_script_that_is_stopped_gives_its_boards_back_at_once(
    number: signal.Signals, code: int, endless: subprocess.Popen[str], watcher: Farm
) -> None:
    assert len(watcher.available()) == 0
    endless.send_signal(number)
    endless.wait(timeout=10)
    assert endless.returncode == code
    assert not [record for record in watcher.reservations() if record.client == "endless"]


def test_a_script_that_is_killed_loses_its_boards_after_the_grace(
    endless: subprocess.Popen[str], watcher: Farm
) -> None:
    endless.kill()
    endless.wait(timeout=10)
    wait_until_free(watcher, timeout=GRACE + 15)


def test_a_script_that_just_ends_gives_its_boards_back(url: str, watcher: Farm) -> None:
    script = """
import sys
from icefarm.client import Farm
Farm(sys.argv[1], name="ends").reserve(1, wait=True, timeout=30)
"""
    ending = started(script, url)
    _, errors = ending.communicate(timeout=30)
    assert (ending.returncode, errors) == (0, "")
    assert not [record for record in watcher.reservations() if record.client == "ends"]


def test_a_name_in_use_is_refused(url: str, watcher: Farm) -> None:
    assert watcher.name == "watcher"
    with pytest.raises(NameInUse, match="watcher"):
        Farm(url, name="watcher")


def test_an_operator_without_its_token_is_refused(url: str) -> None:
    with pytest.raises(NotAuthorized):
        Farm(url, name="boss", role="operator", token="wrong")


def test_where_nobody_listens_the_error_says_where_and_what_to_do() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        where = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(LinkLost, match=f"{where}.*refused.*icefarm up"):
            Farm(where, name="lost", connect_timeout=1)


# --------------------------------------------------------------------------------------------------- examples


@pytest.mark.parametrize(
    ("name", "arguments", "lines"),
    [
        ("count_pulses.py", [str(path) for path in CIRCUITS], 2 * len(CIRCUITS)),
        ("async_client.py", [str(path) for path in CIRCUITS], len(CIRCUITS)),
        ("any_board.py", [str(CIRCUITS[0].with_suffix(".asc")), "50000"], 2),
    ],
)
def test_the_examples_run(name: str, arguments: list[str], lines: int, url: str, watcher: Farm) -> None:
    wait_until_free(watcher, timeout=30)
    done = subprocess.run(
        forked.python(str(ROOT / "examples" / name), *arguments),
        env={"ICEFARM_URL": url},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= lines
    assert "failed" not in done.stdout
