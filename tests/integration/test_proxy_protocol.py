"""A farm behind HAProxy and nginx as deploy/ configures them: it sees whose connections they pass on.

This is the set-up of docs/operations.md.
"""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import forked
import pytest
from attrs import frozen
from certificates import issue
from nginx import with_stream_module
from waiting import wait_until

from icefarm.client import Farm
from icefarm.farm.paths import DataDirectory
from icefarm.testing.processes.farm_process import FarmProcess
from icefarm.testing.processes.router import free_port

pytestmark = pytest.mark.integration

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
LIMIT = 30.0
#: Where a client connects from, and the proxy's own address.
CLIENT, PROXY = "127.0.0.7", "127.0.0.2"


@frozen
class Proxied:
    """A farm behind a proxy."""

    farm: FarmProcess
    port: int
    inside: int
    ca_file: str
    token: str

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask through the proxy, from another address than the proxy's."""
        context = ssl.create_default_context(cafile=self.ca_file)
        connection = HTTPSConnection("localhost", self.port, timeout=LIMIT, context=context, source_address=(CLIENT, 0))
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        value = json.loads(answer.read())
        connection.close()
        assert answer.status == 200, value
        return value

    def addresses(self, action: str) -> set[str]:
        """Return where an action came from by the audit log, which is written each second."""
        with Farm(self.url, "boss", token=self.token, ca_file=self.ca_file, role="operator") as farm:
            return {str(entry["address"]) for entry in farm.audit(action=action)}


def _program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        pytest.skip(f"it takes {name}")
    return found


@contextmanager
def _running(name: str, path: Path, port: int, inside: int) -> Iterator[str]:
    """Run a proxy as deploy/ has it, at ports and with a certificate of its own; yields the certificate's file."""
    program, made = _program(name), issue(path, "localhost")
    pem = path / "farm.pem"
    pem.write_text(made.certificate_file.read_text() + made.key_file.read_text())
    files = {"farm.pem": pem, "farm.crt": made.certificate_file, "farm.key": made.key_file}
    text = (DEPLOY / {"haproxy": "haproxy.cfg", "nginx": "nginx.conf"}[name]).read_text()
    for file, here in files.items():
        text = text.replace(f"/etc/icefarm/{file}", str(here))
    text = text.replace("bind :443", f"bind 127.0.0.1:{port}").replace("listen 443", f"listen 127.0.0.1:{port}")
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{inside}")
    # A machine for tests may let a process have fewer files open.
    text = text.replace("maxconn 20000", "maxconn 500").replace("worker_connections 20000", "worker_connections 500")
    text = text.replace("worker_rlimit_nofile 65536;", "")
    config = path / "proxy.conf"
    config.write_text(text)
    command = [program, "-db", "-f", str(config)]
    if name == "nginx":
        with_stream_module(path)
        command = [program, "-p", str(path), "-c", str(config)]
        command += ["-g", f"daemon off; pid {path / 'pid'}; error_log {path / 'error.log'};"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until(partial(_listens, process, port), f"{name} listens", LIMIT)
        yield str(made.certificate_file)
    finally:
        process.terminate()
        process.wait(LIMIT)


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None, "it has ended"
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture(scope="module", params=["haproxy", "nginx"])
def proxied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    path, port, inside = tmp_path_factory.mktemp("farm"), free_port(), free_port()
    arguments = ("--boards", "1", "--speed", "instant", "--listen", f"127.0.0.1:{inside}", "--proxy", PROXY)
    # A farm that others can reach does not start while nobody has a token.
    make = forked.icefarm("token", "add", "ada", "--role", "client")
    subprocess.run([*make, "--data-dir", str(path / "data")], check=True, stdout=subprocess.DEVNULL, timeout=60)
    with (
        _running(request.param, path, port, inside) as ca_file,
        FarmProcess(path / "data", arguments) as farm,
    ):
        farm.wait_until_ready()
        yield Proxied(farm, port, inside, ca_file, DataDirectory(path / "data").operator_token.read_text().strip())


def test_a_request_over_http_is_that_of_its_sender(proxied: Proxied) -> None:
    # No other test does that.
    proxied.ask("POST", "/api/label", {"serials": [_serial(proxied)], "labels": {"lab": "3"}})
    wait_until(
        lambda: proxied.addresses("label") == {CLIENT}, lambda: f"{proxied.addresses('label')} is {{{CLIENT}}}", LIMIT
    )


def _serial(proxied: Proxied) -> str:
    serial: str = proxied.ask("GET", "/api/snapshot")["devices"][0]["serial"]
    return serial


def test_a_session_is_that_of_its_client(proxied: Proxied) -> None:
    with Farm(proxied.url, "ada", token=proxied.token, ca_file=proxied.ca_file) as farm, farm.reserve(1) as boards:
        assert len(boards) == 1
    hosts = wait_until(
        lambda: {each.split(":")[1] for each in proxied.addresses("sign_in") if each.startswith("tcp4:")},
        "a sign-in over TCP is in the audit log",
        LIMIT,
    )
    # Clients of these tests that choose no address have this one.
    assert hosts == {"127.0.0.1"}


def _sent(proxied: Proxied, source: str, data: bytes) -> bytes:
    """Send something to the router itself, from an address; returns all of the answer."""
    found = b""
    with (
        socket.create_connection(("127.0.0.1", proxied.inside), LIMIT, source_address=(source, 0)) as connection,
        suppress(ConnectionError),
    ):
        connection.sendall(data)
        while chunk := connection.recv(65536):
            found += chunk
    return found


REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def test_what_comes_from_the_proxy_s_address_without_a_header_is_closed(proxied: Proxied) -> None:
    assert _sent(proxied, PROXY, REQUEST) == b""


def test_a_header_from_elsewhere_is_not_believed_and_the_router_answers_others(proxied: Proxied) -> None:
    assert b"200 OK" not in _sent(proxied, "127.0.0.1", b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 443\r\n" + REQUEST)
    assert b"200 OK" in _sent(proxied, "127.0.0.1", REQUEST)


def test_a_farm_behind_a_proxy_takes_nobody_without_a_token(proxied: Proxied) -> None:
    answer = _sent(proxied, "127.0.0.1", REQUEST.replace(b"/health", b"/api/available"))
    assert b" 401 " in answer.split(b"\r\n")[0]
