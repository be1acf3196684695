"""A farm behind a proxy that puts a path before it: all that it prints and hands out works from outside."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import forked
import pytest
from attrs import frozen
from nginx import PREFIX, nginx

from icefarm.client import Farm
from icefarm.errors import NotAuthorized
from icefarm.testing.processes.farm_process import FarmProcess
from icefarm.testing.processes.router import free_port

pytestmark = pytest.mark.integration

CIRCUIT = Path(__file__).resolve().parents[2] / "examples" / "circuits" / "square_2khz.bin"
LIMIT = 30.0


@frozen
class Proxied:
    """A farm behind nginx, and its URL from outside."""

    farm: FarmProcess
    outside: str
    inside: str
    #: Whether the farm knows the URL.
    knows: bool


@pytest.fixture(scope="module", params=[True, False], ids=["public-url", "relative"])
def proxied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    port, inside = free_port(), f"127.0.0.1:{free_port()}"
    said = ("--public-url", f"http://127.0.0.1:{port}{PREFIX}/") if request.param else ()
    arguments = ("--boards", "2", "--listen", inside, "--speed", "instant", *said)
    with (
        nginx(port, inside) as outside,
        FarmProcess(tmp_path_factory.mktemp("farm"), arguments) as farm,
    ):
        farm.wait_until_ready()
        yield Proxied(farm, outside, f"http://{inside}", request.param)


def asked(url: str, body: Any = None) -> Any:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=LIMIT) as answer:
        return json.loads(answer.read())


def test_the_start_message_names_the_url_that_users_need(proxied: Proxied) -> None:
    assert proxied.farm.url == (proxied.outside if proxied.knows else proxied.inside)
    if proxied.knows:
        assert proxied.farm.next_line("for the proxy").split()[-1] == proxied.inside


def test_a_script_evaluates_through_the_proxy(proxied: Proxied) -> None:
    with Farm(proxied.outside, name="outside") as farm, farm.reserve(1, window=0.1) as boards:
        assert [result.value for result in boards.evaluate([CIRCUIT])] == [200]


def test_the_command_line_reaches_the_farm_through_the_proxy(proxied: Proxied) -> None:
    command = forked.icefarm("devices", "-o", "json", "--url", proxied.outside)
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 2


def test_the_servers_of_the_description_are_those_behind_the_proxy(proxied: Proxied) -> None:
    where = f"{proxied.outside}/api/openapi.json"
    servers = [urljoin(where, each["url"]) for each in asked(where)["servers"]]
    assert servers[0] == f"{proxied.outside}/api"
    for server in servers:
        assert asked(f"{server.rstrip('/')}/available")["amount"] == 2


def test_a_snapshot_names_the_websocket_that_programs_use(proxied: Proxied) -> None:
    with Farm(proxied.inside, name="inside") as farm:
        found = farm.snapshot().farm["url"]
    assert found == (f"{proxied.outside.replace('http', 'ws')}/ws" if proxied.knows else None)


def test_a_farm_that_a_proxy_makes_known_to_others_takes_tokens(tmp_path: Path) -> None:
    # To the router, all who come through the proxy are on this host.
    url = "https://lab.example/icefarm"
    inside, data = f"127.0.0.1:{free_port()}", tmp_path / "farm"
    add = forked.icefarm("token", "add", "ada", "--role", "client", "--data-dir", str(data))
    subprocess.run(add, capture_output=True, timeout=LIMIT, check=True)
    with FarmProcess(data, ("--boards", "0", "--listen", inside, "--public-url", url)) as farm:
        farm.wait_until_ready()
        assert farm.url == url
        with pytest.raises(NotAuthorized, match="takes a token"), Farm(f"http://{inside}", name="ada") as other:
            other.available()
