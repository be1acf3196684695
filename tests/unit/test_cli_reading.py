"""Verbs that only read ask over HTTP, without Twisted; where that does not work they sign in as a client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from test_lean_imports import HEAVY

from icefarm.cli.connect import SignIn
from icefarm.cli.http_way import HttpWay, may_go, web_address
from icefarm.oidc.stored_login import login_path
from icefarm.wamp.url import INSECURE, parse_url

SNAPSHOT = {"workers": [], "devices": [], "reservations": [], "queue": [], "time": 5.0, "farm": {}}


EXPERIMENTS = {"experiments": [{"name": "ga-7", "account": "ada"}, {"name": "other", "account": "bob"}], "next": None}
ROWS = b"".join(json.dumps({"seq": number, "serial": "A"}).encode() + b"\n" for number in range(3))
ANSWERS = {
    "/api/snapshot": json.dumps(SNAPSHOT).encode(),
    "/api/experiments": json.dumps(EXPERIMENTS).encode(),
    "/api/experiments/ga-7/results": ROWS,
    "/api/experiments/cut/results": ROWS[:-2],
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        server.asked.append((self.path, self.headers.get("Authorization")))
        found = [body for path, body in ANSWERS.items() if self.path.partition("?")[0].endswith(path)]
        if found:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(found[0])
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server:
    """A farm's HTTP API on a port of this host, and what it was asked."""

    def __init__(self) -> None:
        self._http: Any = HTTPServer(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str | None]] = []
        self._http.asked = self.asked
        self.address = f"127.0.0.1:{self._http.server_port}"
        self._thread = Thread(target=self._http.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def icefarm(verb: str, url: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a verb; its last line of errors is what it has imported."""
    program = f"""
import atexit, sys
atexit.register(lambda: print("imported:", *(name for name in {HEAVY!r} if sys.modules.get(name)), file=sys.stderr))
sys.argv[:] = ["icefarm", {verb!r}, "--url", {url!r}, "-o", "json", *{arguments!r}]
from icefarm.cli import main
main()
"""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": "/nonexistent", **environment},
    )


@pytest.mark.thorough
@pytest.mark.parametrize("verb", ["devices", "workers", "reservations", "queue"])
def test_a_list_is_read_without_twisted(verb: str, server: Server) -> None:
    done = icefarm(verb, f"http://{server.address}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "imported:\n")
    assert server.asked == [("/api/snapshot", None)]


def test_the_token_goes_along(server: Server) -> None:
    icefarm("devices", f"http://{server.address}", ICEFARM_TOKEN="of-mine")
    assert server.asked == [("/api/snapshot", "Bearer of-mine")]


def test_the_path_that_a_proxy_puts_in_front_is_kept(server: Server) -> None:
    assert icefarm("devices", f"ws://{server.address}/lab/ws").returncode == 0
    assert server.asked == [("/lab/api/snapshot", None)]


@pytest.mark.thorough
def test_where_http_is_no_way_the_client_says_what_is_wrong(server: Server) -> None:
    server._http.RequestHandlerClass = BaseHTTPRequestHandler
    done = icefarm("devices", f"http://{server.address}")
    assert done.returncode == 4
    assert "no farm answers" in done.stderr


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:8080", True),
        ("https://farm.example", True),
        ("http://farm.example:8080", False),
        ("ws://farm.example/ws", False),
    ],
)
def test_a_token_goes_nowhere_where_others_read_along(url: str, allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(INSECURE, raising=False)
    assert may_go(parse_url(url), "secret", through_socket=False) == allowed
    assert may_go(parse_url(url), None, through_socket=False)


def test_the_operators_token_goes_through_the_socket_only() -> None:
    assert not may_go(parse_url("http://127.0.0.1:8080"), "secret", through_socket=True)


def test_who_has_signed_in_at_the_labs_issuer_is_asked_for_as_a_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    url = "https://farm.example"
    assert HttpWay.of(SignIn(url, "me")) is not None
    login = login_path(url, os.environ)
    login.parent.mkdir(parents=True)
    login.write_text("{}")
    assert HttpWay.of(SignIn(url, "me")) is None
    assert HttpWay.of(SignIn(url, "me", token="given")) is not None


@pytest.mark.thorough
def test_a_sign_in_asks_behind_the_path_of_a_proxy_too(server: Server) -> None:
    command = [sys.executable, "-m", "icefarm", "login", f"http://{server.address}/lab"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"HOME": "/nonexistent"})
    assert (done.returncode, server.asked) == (2, [("/lab/api/sign-in", None)])
    assert f"the farm at http://{server.address}/lab has no issuer" in done.stderr


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://farm.example/lab/", "https://farm.example:443/lab"),
        ("ws://[::1]:9/lab/ws", "http://[::1]:9/lab"),
        ("unix:/run/x", None),
    ],
)
def test_the_page_and_the_api_of_a_farm_have_one_address(url: str, address: str | None) -> None:
    assert web_address(parse_url(url)) == address


@pytest.mark.thorough
def test_results_are_streamed_without_twisted(server: Server) -> None:
    done = icefarm("results", f"http://{server.address}", "ga-7", "--board", "A", "--ok", "--columns", "seq,serial")
    assert (done.returncode, done.stderr) == (0, "imported:\n")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"seq": number, "serial": "A"} for number in range(3)
    ]
    assert server.asked == [("/api/experiments/ga-7/results?serial=A&format=jsonl&failed=false", None)]


@pytest.mark.thorough
def test_a_file_that_was_cut_off_goes_on_as_a_client(server: Server) -> None:
    done = icefarm("results", f"http://{server.address}", "cut", "--columns", "seq")
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == [0, 1]
    # Here nothing takes clients.
    assert done.returncode != 0


def test_a_shell_completes_the_names_of_experiments(server: Server) -> None:
    words = {"COMP_WORDS": f"icefarm results --url http://{server.address} ga", "COMP_CWORD": "4"}
    environment = {"HOME": "/nonexistent", "_ICEFARM_COMPLETE": "bash_complete", **words}
    program = "from icefarm.cli import main\nmain(prog_name='icefarm')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.split() == ["plain,ga-7"]


def test_a_shell_completes_nothing_where_no_farm_answers() -> None:
    environment = {"HOME": "/nonexistent", "_ICEFARM_COMPLETE": "bash_complete"}
    words = {"COMP_WORDS": "icefarm results --url http://127.0.0.1:9 ", "COMP_CWORD": "4"}
    program = "from icefarm.cli import main\nmain(prog_name='icefarm')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env={**environment, **words}
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")
