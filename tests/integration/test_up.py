"""``icefarm up`` as its user sees it: it starts, works, stops, and says in a line why it does not."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import forked
import pytest

from icefarm.client import Farm
from icefarm.errors import NotAuthorized, Unavailable
from icefarm.farm.paths import DataDirectory
from icefarm.testing.processes.clusters import lay_cluster
from icefarm.testing.processes.farm_process import FarmProcess, Witness

pytestmark = pytest.mark.integration

SQUARE = Path(__file__).parents[2] / "examples" / "circuits" / "square_2khz.bin"
#: Seconds in which a refusal has to be told; PostgreSQL is made first.
REFUSAL_LIMIT = 30.0
QUICK = ("--listen", "127.0.0.1:0", "--speed", "instant", "--boards", "2", "--name", "w1")


def icefarm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(forked.icefarm(*arguments), capture_output=True, text=True, check=False)


@pytest.fixture
def data_dir(short_directory: Path, request: pytest.FixtureRequest) -> Path:
    return short_directory / f"up-{abs(hash(request.node.name)) % 10**8}"


@pytest.fixture
def begun(data_dir: Path) -> Path:
    """The same, of a farm that has a database, for tests that are not about how it comes to be."""
    directory = DataDirectory(data_dir)
    directory.create()
    lay_cluster(directory.postgres)
    return data_dir


@pytest.fixture(scope="module")
def lasting_farm(short_directory: Path) -> Iterator[FarmProcess]:
    """A farm for the tests that leave it as it is, or whole again."""
    with FarmProcess(short_directory / "lasting", QUICK, own_database=True) as farm:
        farm.wait_until_ready()
        yield farm


@pytest.fixture
def farm(data_dir: Path) -> Iterator[FarmProcess]:
    with FarmProcess(data_dir, QUICK) as farm:
        farm.wait_until_ready()
        yield farm


def test_a_farm_says_what_it_does_and_can_be_used(lasting_farm: FarmProcess) -> None:
    words = ("router:", "database:", "control:", "worker: 'w1' with 2 virtual boards", "ready in")
    assert all(any(line.startswith(word) for line in lasting_farm.lines) for word in words)
    with Farm(lasting_farm.url, name="alice") as client, client.reserve(2) as boards:
        assert len(boards.serials) == 2
    with urlopen(f"{lasting_farm.url}/health", timeout=20) as answer:
        assert answer.status == 200
        assert json.load(answer)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_farm_stops_cleanly_when_asked(farm: FarmProcess, number: signal.Signals) -> None:
    witness = Witness(farm.processes())
    farm.signal(number)
    code, lines = farm.wait()
    assert (code, lines[-1]) == (0, "stopping")
    assert witness.left(0) == []


def test_a_killed_farm_leaves_no_process_behind(farm: FarmProcess) -> None:
    processes = farm.processes()
    assert len(processes) >= 6
    witness = Witness(processes)
    farm.signal(signal.SIGKILL)
    farm.wait()
    assert witness.left() == []


def test_a_farm_that_is_stopped_while_it_starts_leaves_no_process_behind(data_dir: Path) -> None:
    with FarmProcess(data_dir, QUICK) as farm:
        farm.next_line("^control:")
        witness = Witness(farm.processes())
        farm.signal(signal.SIGHUP)
        code, lines = farm.wait()
        assert (code, lines[-1]) == (0, "stopping")
        assert witness.left() == []


def test_a_farm_goes_on_from_its_state(data_dir: Path) -> None:
    with FarmProcess(data_dir, QUICK) as farm:
        farm.wait_until_ready()
        token = (data_dir / "operator.token").read_text()
        client = Farm(farm.url, name="alice")
        serials = set(client.reserve(1).serials)
        client.close(end=False)
        farm.signal(signal.SIGKILL)
        farm.wait()
    with FarmProcess(data_dir, QUICK) as farm:
        farm.wait_until_ready()
        assert (data_dir / "operator.token").read_text() == token
        with Farm(farm.url, name="alice") as client:
            assert set(client.adopt().serials) == serials


@pytest.mark.parametrize("part", ["crossbar-controller", "icefarm-control", "icefarm-worker", "postgres"])
def test_a_part_that_is_killed_is_started_again(lasting_farm: FarmProcess, part: str) -> None:
    os.kill(lasting_farm.processes(part)[0], signal.SIGKILL)
    lasting_farm.next_line("runs again")
    with (
        Farm(lasting_farm.url, name="alice", connect_timeout=60) as client,
        client.reserve(2, wait=True, timeout=60) as boards,
    ):
        assert len(boards.serials) == 2


def test_a_worker_that_was_drained_for_good_leaves_by_itself_and_is_not_started_again(farm: FarmProcess) -> None:
    (worker,) = farm.processes("icefarm-worker")
    witness = Witness([worker])
    drain = ("drain", "w1", "--leave", "--url", farm.url, "--data-dir", str(farm.data_dir))
    with Farm(farm.url, name="alice") as client:
        with client.reserve(1) as boards:
            done = icefarm(*drain)
            assert (done.returncode, done.stdout.splitlines()[1].split("\t")[:2]) == (0, ["w1", "leaving"])
            assert "it waits for alice (1)" in done.stderr
            (result,) = boards.evaluate([SQUARE])
            assert result.ok
            assert farm.processes("icefarm-worker") == [worker]
        assert "worker has left" in farm.next_line("worker")
        assert witness.left() == []
        with pytest.raises(Unavailable):
            client.reserve(1)
    assert farm.processes("icefarm-worker") == []


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = icefarm("up", "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert done.stderr == (
        f"icefarm: port {port} is in use; stop what listens there, or choose another one: --listen 127.0.0.1:PORT\n"
    )


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = icefarm("up", "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "file" / "farm"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"icefarm: cannot make the directory {tmp_path}/file/farm: ")
    assert done.stderr.count("\n") == 1


def test_a_missing_router_is_named(data_dir: Path) -> None:
    done = icefarm("up", "--listen", "127.0.0.1:0", "--data-dir", str(data_dir), "--crossbar", "/missing/crossbar")
    assert (done.returncode, done.stderr) == (1, "icefarm: --crossbar /missing/crossbar: there is no such program\n")


@pytest.mark.parametrize("dsn", ["host=/missing dbname=farm", "postgresql://127.0.0.1:1/farm", "no such thing"])
def test_a_database_that_does_not_answer_is_named(data_dir: Path, dsn: str) -> None:
    done = icefarm("up", "--listen", "127.0.0.1:0", "--data-dir", str(data_dir), "--database", dsn)
    assert done.returncode == 1
    assert "--database" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_router_that_does_not_answer_is_named(begun: Path, tmp_path: Path) -> None:
    ticket = tmp_path / "ticket"
    ticket.write_text("ticket\n")
    url = "http://127.0.0.1:1"
    arguments = ("--data-dir", str(begun), "--router", url, "--router-ticket-file", str(ticket))
    done = icefarm("up", *arguments)
    assert done.returncode == 1
    assert "http://127.0.0.1:1" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_ticket_for_the_router_is_refused_at_once_with_what_to_do(
    lasting_farm: FarmProcess, begun: Path, tmp_path: Path
) -> None:
    ticket = tmp_path / "ticket"
    ticket.write_text("made up\n")
    for url in (f"unix:{lasting_farm.data_dir / 'run' / 'control.sock'}", lasting_farm.url):
        began = time.monotonic()
        done = icefarm("up", "--router", url, "--router-ticket-file", str(ticket), "--data-dir", str(begun))
        assert time.monotonic() - began < REFUSAL_LIMIT
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert f"the router at {url} refuses 'control': " in done.stderr
        assert "--router-ticket-file" in done.stderr


def test_a_worker_that_the_farm_refuses_ends_at_once_with_what_to_do(lasting_farm: FarmProcess) -> None:
    twistd = [str(Path(sys.executable).with_name("twistd")), "--nodaemon", "--pidfile=", "icefarm-worker"]
    started = subprocess.run(
        [*twistd, "--control", lasting_farm.url, "--name", "control", "--no-usb"],
        capture_output=True, text=True, check=False, timeout=REFUSAL_LIMIT,
    )  # fmt: skip
    assert started.returncode == 1
    (line,) = [line for line in (started.stdout + started.stderr).splitlines() if "#critical" in line]
    assert f"the farm at {lasting_farm.url} refuses worker 'control': " in line
    assert "choose another one" in line


def test_wrong_usage_has_an_exit_code_of_its_own() -> None:
    done = icefarm("up", "--boards", "many")
    assert done.returncode == 2
    assert "--boards" in done.stderr


def test_two_farms_do_not_share_a_data_directory(lasting_farm: FarmProcess) -> None:
    # Also at the farm's own address, which is in use.
    for listen in ("127.0.0.1:0", lasting_farm.url.removeprefix("http://")):
        done = icefarm("up", "--listen", listen, "--data-dir", str(lasting_farm.data_dir))
        assert done.returncode == 1
        assert done.stderr.startswith(
            f"icefarm: a farm runs on {lasting_farm.data_dir} already (process {lasting_farm.pid})"
        )


def test_beyond_this_host_a_farm_takes_tokens(begun: Path) -> None:
    beyond = (*QUICK, "--listen", "0.0.0.0:0")
    refused = icefarm("up", *beyond, "--data-dir", str(begun))
    assert refused.returncode == 1
    assert "icefarm token add NAME --role client|worker|operator" in refused.stderr
    token = icefarm("token", "add", "alice", "--role", "client", "--data-dir", str(begun)).stdout.strip()
    with FarmProcess(begun, beyond) as farm:
        farm.wait_until_ready()
        url = f"http://127.0.0.1:{farm.url.rpartition(':')[2]}"
        with pytest.raises(NotAuthorized):
            Farm(url, name="mallory")
        with Farm(url, name="alice", token=token) as client:
            assert len(client.available()) == 2


def test_tokens_are_added_listed_and_revoked_while_the_farm_runs(lasting_farm: FarmProcess) -> None:
    where = ("--data-dir", str(lasting_farm.data_dir))
    token = icefarm("token", "add", "bob", "--role", "operator", *where).stdout.strip()
    listed = json.loads(icefarm("token", "list", "-o", "json", *where).stdout)
    assert {(one["name"], one["role"]) for one in listed} == {("operator", "operator"), ("bob", "operator")}
    with Farm(lasting_farm.url, name="bob", token=token, role="operator") as client:
        assert client.workers()
    assert icefarm("token", "revoke", "bob", *where).stdout == "revoked bob\n"
    with pytest.raises(NotAuthorized):
        Farm(lasting_farm.url, name="bob", token=token, role="operator")


def test_revoking_a_token_that_is_not_there_fails(data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    for _ in range(2):
        done = icefarm("token", "revoke", "nobody", *where)
        assert done.returncode == 1
        assert done.stderr.startswith(
            f"icefarm: there is no farm's database in {data_dir}; do this where the farm runs"
        )
    begun = icefarm("token", "add", "ada", "--role", "client", *where)
    assert begun.stderr == f"icefarm: there is no farm in {data_dir} yet: this begins a new one\n"
    assert icefarm("token", "add", "ben", "--role", "client", *where).stderr == ""
    done = icefarm("token", "revoke", "nobody", *where)
    assert (done.returncode, done.stderr) == (2, "icefarm: there is no token named 'nobody'\n")


def test_of_a_farm_with_a_database_elsewhere_that_is_to_be_named(tmp_path: Path) -> None:
    (tmp_path / "operator.token").write_text("secret")
    done = icefarm("token", "add", "ada", "--role", "client", "--data-dir", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "that with --database" in done.stderr


def test_migrating_twice_does_nothing_the_second_time(data_dir: Path) -> None:
    first, second = (icefarm("migrate", "--data-dir", str(data_dir)) for _ in range(2))
    assert first.stdout.startswith("applied version 1\n")
    assert second.stdout == "nothing to do\n"


def test_the_operators_token_is_for_its_owner_alone(lasting_farm: FarmProcess) -> None:
    assert (lasting_farm.data_dir / "operator.token").stat().st_mode & 0o777 == 0o600
    token = (lasting_farm.data_dir / "operator.token").read_text().strip()
    with Farm(lasting_farm.url, name="root", token=token, role="operator") as client:
        assert client.workers()


def test_a_farm_whose_directory_has_a_long_path_starts(data_dir: Path) -> None:
    with FarmProcess(data_dir / ("long" * 30), QUICK) as farm:
        farm.wait_until_ready()
        assert farm.url


def test_a_farm_without_boards_is_ready_too(data_dir: Path) -> None:
    with FarmProcess(data_dir, ("--listen", "127.0.0.1:0", "--boards", "0")) as farm:
        farm.wait_until_ready()
        with Farm(farm.url, name="alice") as client:
            assert client.workers() == []


def test_a_farm_whose_operators_token_was_revoked_starts_without_one(begun: Path) -> None:
    assert icefarm("token", "add", "alice", "--role", "client", "--data-dir", str(begun)).returncode == 0
    for _ in range(2):
        with FarmProcess(begun, ("--listen", "127.0.0.1:0", "--boards", "0")) as farm:
            farm.wait_until_ready()
            icefarm("token", "revoke", "operator", "--data-dir", str(begun))
            token = (begun / "operator.token").read_text().strip()
            with pytest.raises(NotAuthorized):
                Farm(farm.url, name="root", token=token, role="operator")


def test_a_farm_that_can_say_nothing_while_it_starts_does_not_start(data_dir: Path) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "icefarm", "up", "--data-dir", str(data_dir), *QUICK],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=REFUSAL_LIMIT,
        )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr == "icefarm: cannot write to the standard output: No space left on device\n"


def test_a_farm_that_runs_goes_on_where_nobody_reads_what_it_says(begun: Path) -> None:
    command = [sys.executable, "-P", "-m", "icefarm", "up", "--data-dir", str(begun), *QUICK]
    farm = forked.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert farm.stdout is not None
    assert farm.stderr is not None
    try:
        url = next(line.split()[-1] for line in farm.stdout if line.startswith("ready in"))
        farm.stdout.readline()
        farm.stdout.close()
        with Farm(url, name="alice") as client, client.reserve(1) as boards:
            assert len(boards.serials) == 1
        farm.terminate()
        assert farm.wait(REFUSAL_LIMIT) == 0
        assert farm.stderr.read() == ""
    finally:
        farm.kill()
        farm.wait()
        farm.stderr.close()
