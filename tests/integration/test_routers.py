"""A farm with two routers as real processes: its clients reach all boards, and a router that is lost takes its own.

It is started as docs/operations.md says; tests/unit/test_control_options.py reads the settings that are there.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import forked
import pytest
from waiting import wait_until

from icefarm.client import Farm
from icefarm.client.evaluation.results import Result
from icefarm.contract import Role
from icefarm.errors import NotAuthorized
from icefarm.farm.paths import DataDirectory
from icefarm.testing.processes.farm_process import FarmProcess
from icefarm.testing.processes.router import free_port

pytestmark = pytest.mark.integration

BOARDS = 4
#: Seconds until boards are free: a router is started again, or a client that is gone has had its grace period.
LIMIT = 60.0
SQUARE = Path(__file__).parents[2] / "examples" / "circuits" / "square_2khz.bin"
OPTIONS = (
    *("--listen", "127.0.0.1:0", "--routers", "2", "--boards", str(BOARDS), "--name", "w", "--speed", "instant"),
    *("--require-tokens", "--grace", "5"),
)


@pytest.fixture(scope="module")
def farm(short_directory: Path) -> Iterator[FarmProcess]:
    with FarmProcess(short_directory / "routers", OPTIONS) as farm:
        farm.wait_until_ready()
        yield farm


@pytest.fixture(scope="module")
def urls(farm: FarmProcess) -> list[str]:
    """The URLs of the routers."""
    found = [re.match(r"router(?: 2)?: Crossbar.io at (\S+) port ([0-9]+)$", line) for line in farm.lines]
    return [f"http://{match[1]}:{match[2]}" for match in found if match is not None]


def operator_token(farm: FarmProcess) -> str:
    return DataDirectory(farm.data_dir).operator_token.read_text().strip()


@pytest.fixture(autouse=True)
def all_boards_free(farm: FarmProcess) -> None:
    """Wait until what the test before held, or took from the farm, is there again."""
    with Farm(farm.url, name="waiting", token=operator_token(farm), role=Role.OPERATOR) as waiting:
        wait_until(lambda: len(waiting.available()) == BOARDS, lambda: f"all are free: {waiting.snapshot()}", LIMIT)


def token(farm: FarmProcess, name: str) -> str:
    """Make a token of a client."""
    command = forked.icefarm("token", "add", name, "--role", "client", "--data-dir", str(farm.data_dir))
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]


def revoke(farm: FarmProcess, name: str) -> None:
    command = forked.icefarm("token", "revoke", name, "--data-dir", str(farm.data_dir))
    subprocess.run(command, capture_output=True, check=True)


def workers_of(results: Iterable[Result]) -> set[str]:
    """Return the workers that measured, after all went well."""
    measured = list(results)
    assert [result.error for result in measured] == [None] * len(measured)
    return {result.measurement.worker for result in measured}


@pytest.mark.parametrize("first", [0, 1])
def test_a_client_at_either_router_evaluates_on_boards_of_both(farm: FarmProcess, urls: list[str], first: int) -> None:
    assert farm.url == urls[0]
    name = f"ada-{first}"
    with Farm(urls[first], name=name, token=token(farm, name)) as client, client.reserve(BOARDS) as boards:
        assert {record.router for record in boards.reservations} == {None, urls[1 - first]}
        assert client._subject._link.router_urls == set(urls)
        assert workers_of(boards.evaluate([SQUARE] * 16)) == {"w", "w/w-2"}


def test_a_client_starts_at_the_first_of_its_urls_at_which_a_router_answers(farm: FarmProcess, urls: list[str]) -> None:
    both, ticket = f"http://127.0.0.1:{free_port()},{urls[1]}", token(farm, "fay")
    with Farm(both, name="fay", token=ticket) as client, client.reserve(BOARDS) as boards:
        assert client.url == urls[1]
        assert workers_of(boards.evaluate([SQUARE] * 8)) == {"w", "w/w-2"}
    command = forked.icefarm("evaluate", str(SQUARE), "-o", "json")
    environment = {**os.environ, "ICEFARM_URL": both, "ICEFARM_TOKEN": ticket}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, json.loads(done.stdout)["error"]) == (0, None), done.stderr


def test_a_client_that_calls_a_board_at_the_wrong_router_is_led_to_the_right_one(
    farm: FarmProcess, urls: list[str]
) -> None:
    with Farm(farm.url, name="dan", token=token(farm, "dan")) as client, client.reserve(BOARDS) as boards:
        leases = client._subject.boards.leases
        for lease in list(leases.by_serial.values()):
            leases.moved(lease, None)
        assert workers_of(boards.evaluate_each([SQUARE])) == {"w", "w/w-2"}
        assert {lease.record.router for lease in leases.by_serial.values()} == {None, urls[1]}


def test_the_command_line_on_the_farms_host_reaches_each_router_at_its_own_socket(farm: FarmProcess) -> None:
    sockets = DataDirectory(farm.data_dir).running_farm().sockets  # type: ignore[union-attr]
    for socket in sockets.values():
        with Farm(f"unix:{socket}", name="operator", token=operator_token(farm), role=Role.OPERATOR) as client:
            with client.reserve(BOARDS) as boards:
                assert workers_of(boards.evaluate_each([SQUARE])) == {"w", "w/w-2"}
            links = [client._subject._link, *client._subject._link._others.values()]
            assert {link._link._where.path for link in links} == {str(each) for each in sockets.values()}


def test_a_router_that_is_killed_takes_its_own_boards_for_a_while_and_no_others(farm: FarmProcess) -> None:
    with Farm(farm.url, name="bob", token=token(farm, "bob")) as client, client.reserve(BOARDS) as boards:
        assert workers_of(boards.evaluate([SQUARE] * 8)) == {"w", "w/w-2"}
        held = boards.serials
        here = [record.serial for record in boards.reservations if record.router is None]
        nodes = farm.processes("crossbar-controller")
        (lost,) = [pid for pid in nodes if Path(os.readlink(f"/proc/{pid}/cwd")).name == "router-2a"]
        os.kill(lost, signal.SIGKILL)
        assert workers_of(boards.evaluate_each([SQUARE] * 8, serials=here)) == {"w"}
        # It is started again; what waits for the boards there is carried out then.
        assert workers_of(boards.evaluate_each([SQUARE] * 4)) == {"w", "w/w-2"}
        assert boards.serials == held


def test_a_revoked_token_ends_the_sessions_at_both_routers(farm: FarmProcess) -> None:
    with Farm(farm.url, name="eve", token=token(farm, "eve")) as client:
        boards = client.reserve(BOARDS)
        there = [record.serial for record in boards.reservations if record.router is not None]
        boards.evaluate_each([SQUARE] * 2)
        revoke(farm, "eve")
        # Its first session is of no use for these boards; that at their own router would go on.
        errors = (result.error for _ in count() for result in boards.evaluate_each([SQUARE], serials=there))
        assert isinstance(next(error for error in errors if error is not None), NotAuthorized)
