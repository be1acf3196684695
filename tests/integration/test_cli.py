"""The command line against a real farm: processes, signals, pipes and a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import forked
import pytest
from attrs import frozen

from icefarm.cli.ui.records.measurements import WIDEST
from icefarm.client import Farm
from icefarm.contract import DeviceStatus
from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.integration

CIRCUITS = Path(__file__).parents[2] / "examples" / "circuits"
SQUARE = str(CIRCUITS / "square_2khz.bin")
#: Seconds in which a verb has to end; far above what any needs.
LIMIT = 60


@frozen
class Shell:
    """Runs ``icefarm`` as a person would who has ICEFARM_URL and ICEFARM_DATA_DIR set."""

    farm: FarmProcess

    @property
    def environment(self) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("ICEFARM_")}
        return {**plain, "ICEFARM_URL": self.farm.url, "ICEFARM_DATA_DIR": str(self.farm.data_dir)}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            forked.icefarm(*arguments),
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
            env={**self.environment, **environment},
        )

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start a verb that goes on for a while; it is gone at the end of the block."""
        process = subprocess.Popen(
            forked.icefarm(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def holders(self) -> set[str]:
        return {record["client"] for record in json.loads(self.run("reservations", "-o", "json").stdout)}


@pytest.fixture(scope="module")
def shell(short_directory: Path) -> Iterator[Shell]:
    arguments = ("--listen", "127.0.0.1:0", "--speed", "20", "--boards", "2", "--name", "w1")
    with FarmProcess(short_directory / "cli", arguments) as farm:
        farm.wait_until_ready()
        yield Shell(farm)


def test_devices_and_workers_are_those_of_the_farm(shell: Shell) -> None:
    devices = json.loads(shell.run("devices", "-o", "json").stdout)
    assert [device["worker"] for device in devices] == ["w1", "w1"]
    assert shell.run("workers").stdout.splitlines()[1].split("\t")[:3] == ["w1", "online", "2"]


def test_files_are_evaluated_and_the_boards_given_back(shell: Shell) -> None:
    files = sorted(str(path) for path in CIRCUITS.glob("square_*.bin"))
    result = shell.run("evaluate", *files, "--each", "--devices", "2", "--wait", "-o", "json")
    assert result.returncode == 0, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted(record["file"] for record in records) == sorted(files * 2)
    assert all(record["window_us"] > 0 and record["firmware"] == "pulse_count" for record in records)
    assert shell.holders() == set()


def test_ctrl_c_gives_the_boards_back_and_says_so(shell: Shell) -> None:
    with shell.started("evaluate", SQUARE, "--window", "60", "--repeats", "10", "--wait", "-o", "csv") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("file,serial")
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, messages
    assert "interrupted; ended the reservations of" in messages
    assert "Traceback" not in messages
    assert shell.holders() == set()


def test_a_reader_that_goes_away_ends_it_and_gives_the_boards_back(shell: Shell) -> None:
    with shell.started("evaluate", *[SQUARE] * 2000, "--window", "0.001", "--wait", "-o", "csv") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        messages = process.stderr.read()
        assert process.wait(LIMIT) == 141
    assert "Traceback" not in messages
    assert shell.holders() == set()


def test_too_many_boards_is_unavailable(shell: Shell) -> None:
    result = shell.run("evaluate", SQUARE, "--devices", "3")
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.startswith("icefarm: 3 boards of kind 'pulsecount' asked for")


def test_while_a_client_is_there_only_an_operator_ends_its_reservations(shell: Shell) -> None:
    with Farm(shell.farm.url, name="alice") as farm:
        (serial,) = farm.reserve(1, wait=True, timeout=LIMIT).serials
        refused = shell.run("end", serial, "--name", "alice")
        assert refused.returncode == 5
        assert "choose another name" in refused.stderr
        ended = shell.run("end", "--any-client", serial, "-o", "json")
        assert json.loads(ended.stdout) == [{"serial": serial}], ended.stderr
    assert shell.holders() == set()


def test_reservations_of_a_client_that_is_gone_are_ended_by_its_name(shell: Shell) -> None:
    farm = Farm(shell.farm.url, name="bob")
    (serial,) = farm.reserve(1, wait=True, timeout=LIMIT).serials
    farm.close(end=False)
    extended = shell.run("extend", "--name", "bob", "--seconds", "4000")
    assert extended.stdout == f"SERIAL\n{serial}\n", extended.stderr
    assert shell.run("end", "--name", "bob").stdout == f"SERIAL\n{serial}\n"
    assert shell.holders() == set()


def test_an_operator_drains_and_resumes_a_worker_and_deletes_nothing_that_is_well(shell: Shell) -> None:
    serial = json.loads(shell.run("devices", "-o", "json").stdout)[0]["serial"]
    assert shell.run("drain", "w1").stdout.splitlines()[1].split("\t")[1] == "draining"
    assert shell.run("evaluate", SQUARE).returncode == 3
    assert shell.run("resume", "w1").stdout.splitlines()[1].split("\t")[1] == "online"
    refused = shell.run("delete", serial)
    assert refused.returncode == 2
    assert "only boards that are offline or broken" in refused.stderr


def test_a_request_that_waits_is_listed_and_an_operator_takes_it_out(shell: Shell) -> None:
    with Farm(shell.farm.url, name="ada") as ada:
        ada.reserve(len(ada.devices()), wait=True, timeout=LIMIT)
        with shell.started("evaluate", SQUARE, "--wait", "--name", "bob") as process:
            assert process.stderr is not None
            assert "all reserved" in process.stderr.readline()
            (waiting,) = json.loads(shell.run("queue", "-o", "json").stdout)
            assert (waiting["client"], waiting["place"], waiting["amount"]) == ("bob", 1, 1)
            done = shell.run("dismiss", waiting["id"])
            assert (done.returncode, done.stdout) == (0, f"ID\n{waiting['id']}\n")
            assert process.wait(LIMIT) == 3
            assert "removed from the queue by operator" in process.stderr.read()
        assert shell.run("dismiss", waiting["id"]).returncode == 1
        assert json.loads(shell.run("queue", "-o", "json").stdout) == []


def test_a_wrong_token_is_refused(shell: Shell) -> None:
    result = shell.run("drain", "w1", ICEFARM_TOKEN="made-up")
    assert (result.returncode, result.stderr.count("\n")) == (5, 1)


def test_watch_tells_of_a_reservation_and_ends_well(shell: Shell) -> None:
    with shell.started("watch", "-o", "json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "worker"
        assert shell.run("evaluate", SQUARE, "--wait").returncode == 0
        for line in process.stdout:
            change = json.loads(line)
            if change["event"] == "device" and change["record"]["status"] == DeviceStatus.RESERVED:
                break
        assert change["record"]["client"].startswith("cli-")
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=LIMIT)
    assert (process.returncode, messages) == (0, "")


def test_a_terminal_shows_a_bar_and_aligned_rows(shell: Shell) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "icefarm", "evaluate", SQUARE, "--wait"],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**shell.environment, "COLUMNS": "200", "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    try:
        seen = b""
        while chunk := _read(ours):
            seen += chunk
        assert process.wait(LIMIT) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"evaluating" in seen
    assert b"1/1" in seen
    lines = seen.decode().split("\r\n")
    header = next(line for line in lines if line.startswith("FILE"))
    row = next(line for line in lines if "pulse_count/" in line)
    path = SQUARE if len(SQUARE) <= WIDEST else "…" + SQUARE[1 - WIDEST :]
    row = row[row.index(path) :]  # Behind what wiped the bar away.
    assert row.index(" w1 ") == header.index(" WORKER")


def test_help_needs_nothing_that_is_slow_to_import() -> None:
    program = "import sys, icefarm.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "click" in loaded
    assert not {"twisted", "autobahn", "rich", "cattrs"} & set(loaded)


def test_a_terminated_verb_gives_the_boards_back(shell: Shell) -> None:
    with shell.started("evaluate", SQUARE, "--window", "60", "--repeats", "10", "--wait") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, messages = process.communicate(timeout=LIMIT)
    assert (process.returncode, messages) == (143, "")
    assert shell.holders() == set()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # How Linux reports that the other end of a pty is closed.
        return b""
