"""Every role tries every path over HTTP, on an open farm, one with tokens, and one with tokens and TLS."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from attacks.farms import ATTACKERS, EXPERIMENT, RUN, VICTIM, Target
from pytest_twisted import ensureDeferred
from twisted.internet.threads import deferToThread

from icefarm.contract import Role
from icefarm.control.http.routes import BASE, ENDPOINTS

pytestmark = [pytest.mark.integration, pytest.mark.attacks]

LIMIT = 30.0
CLIENT, OPERATOR = Role.CLIENT, Role.OPERATOR
#: What each path is asked about the victim: in the attacker's own name, which is no name of the victim's.
BODIES: Mapping[str, Mapping[str, Any]] = {
    "/available": {},
    "/devices": {},
    "/snapshot": {},
    "/history": {"serial": "SERIAL"},
    "/journal": {},
    "/reserve": {"amount": 1, "kind": "pulsecount"},
    "/reserveserials": {"serials": ["SERIAL"], "kind": "pulsecount"},
    "/requests": {"serials": ["SERIAL"], "kind": "pulsecount"},
    "/requests/poll": {"id": "none"},
    "/requests/cancel": {"id": "none"},
    "/extend": {"serials": ["SERIAL"]},
    "/extendall": {},
    "/end": {"serials": ["SERIAL"]},
    "/endall": {},
    "/reboot": {"serials": ["none"]},
    "/endany": {"serials": ["none"]},
    "/delete": {"serials": ["none"]},
    "/usage": {"account": VICTIM},
    "/bookings": {},
    "/calibrations": {},
    "/readings": {"serial": "A"},
    "/book": {"account": VICTIM, "amount": 9999, "starts_at": time.time() + 60, "seconds": 60},
    "/bookings/cancel": {"ids": ["none"]},
    "/limits": {"account": VICTIM},
    "/access": {"account": VICTIM},
    "/limits/set": {"account": VICTIM, "limits": {}},
    "/label": {"serials": ["none"], "labels": {"lab": "3"}},
    "/access/rules": {},
    "/access/add": {"account": VICTIM, "where": "nothing_such=1"},
    "/access/remove": {"ids": []},
    "/access/group": {"group": "no/group", "add": [VICTIM]},
    "/experiments": {"account": VICTIM},
    "/experiments/{experiment}": {"account": VICTIM},
    "/experiments/{experiment}/figures": {"account": VICTIM},
    "/experiments/{experiment}/results": {"account": VICTIM},
    "/experiments/{experiment}/runs": {"account": VICTIM},
    "/runs/{run}": {},
    "/runs/{run}/file": {},
}


def ask(
    target: Target, method: str, path: str, body: Any, token: str | None, **headers: str
) -> tuple[int, dict[str, str], Any]:
    """Make one request; returns status, headers and value."""
    where = urlsplit(target.url)
    connection: HTTPConnection
    if target.ca_file is None:
        connection = HTTPConnection(str(where.hostname), where.port, timeout=LIMIT)
    else:
        context = ssl.create_default_context(cafile=target.ca_file)
        connection = HTTPSConnection(str(where.hostname), where.port, timeout=LIMIT, context=context)
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        answer = connection.getresponse()
        text = answer.read().decode()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, dict(answer.headers), json.loads(text) if is_json and text else text
    finally:
        connection.close()


def _named(path: str) -> str:
    return path.replace("{experiment}", EXPERIMENT).replace("{run}", RUN)


def test_every_path_is_in_the_matrix() -> None:
    assert set(BODIES) == set(ENDPOINTS)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("attacker", ["nobody", *ATTACKERS])
@pytest.mark.parametrize("base", [BASE, ""])
@ensureDeferred
async def test_a_role_gets_what_it_may_and_nothing_else(target: Target, base: str, attacker: str, path: str) -> None:
    endpoint = ENDPOINTS[path]
    if not base and not endpoint.old:
        return
    body = json.loads(json.dumps(BODIES[path]).replace("SERIAL", target.serial))
    if not endpoint.reading and not endpoint.operating and "/requests/" not in path:
        body["name"] = f"http {attacker}"
    token = target.tokens.get(attacker)
    asked = base + _named(path)
    if endpoint.reading:
        asked, body = f"{asked}?{urlencode(body)}", None
    status, _, value = await deferToThread(ask, target, endpoint.method, asked, body, token)
    role = ATTACKERS.get(attacker)
    may_sign_in = role in (CLIENT, OPERATOR) or (role is None and not target.needs_tokens and not endpoint.operating)
    if not may_sign_in:
        assert status in (401, 403), value
    elif endpoint.operating and role is not OPERATOR:
        assert status == 403, value
    else:
        assert status not in (401, 500), value
        # Nobody but the victim has its board to extend, end, or reserve.
        assert endpoint.reading or value == [] or status == 202 or status >= 400, value
        if path.startswith("/experiments"):
            # Those that are not shared are their owner's and operators'.
            shown = status == 200 and (endpoint.parameters != [] or EXPERIMENT in str(value))
            assert shown == (role is OPERATOR), value
        if path in ("/usage", "/limits", "/access"):
            assert (status == 200) == (role is OPERATOR), value


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@ensureDeferred
async def test_no_other_method_does_anything(target: Target, path: str, method: str) -> None:
    endpoint = ENDPOINTS[path]
    if method == endpoint.method or (method == "HEAD" and endpoint.reading):
        return
    status, headers, _ = await deferToThread(ask, target, method, BASE + _named(path), None, target.tokens["boss"])
    assert status == 405
    assert endpoint.method in headers["Allow"]


@pytest.mark.parametrize("attacker", ["mallory", "boss"])
@ensureDeferred
async def test_no_name_makes_a_request_the_victims(target: Target, attacker: str) -> None:
    for name in (VICTIM, f"{VICTIM}/run", f"/{VICTIM}", "control"):
        body = {"name": name, "serials": [target.serial]}
        status, _, value = await deferToThread(ask, target, "POST", "/api/end", body, target.tokens[attacker])
        assert status >= 400, value


@ensureDeferred
async def test_a_request_cannot_say_where_it_comes_from(target: Target) -> None:
    forged = {"X_Forwarded_For": "203.0.113.9", "X_Real_IP": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
    body = {"name": "forger", "serials": [target.serial]}

    def attack() -> None:
        ask(target, "POST", "/api/end", body, target.tokens["mallory"], **forged)

    await deferToThread(attack)
    entries = await target.sessions["boss"].call(
        "icefarm.v1.control.audit", (), {"account": "mallory", "limit": 5000}, timeout=LIMIT
    )
    addresses = {entry["address"] for entry in entries if entry["action"] == "end"}
    assert addresses
    assert not any("203.0.113.9" in str(address) for address in addresses)


@ensureDeferred
async def test_control_believes_nobody_but_the_router_about_senders(target: Target) -> None:
    config = json.loads((target.process.data_dir / "router" / "config.json").read_text())
    (transport,) = [each for each in config["workers"][0]["transports"] if each["id"] == "public"]
    port = transport["web"]["paths"]["/"]["port"]

    def attack(path: str, **headers: str) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        sent = {
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        connection.request("POST", path, json.dumps({"name": "direct"}), sent)
        answer = connection.getresponse()
        found = answer.status, json.loads(answer.read())
        connection.close()
        return found

    status, value = await deferToThread(
        attack, "/api/endall", X_Forwarded_For="127.0.0.1", X_Forwarded_Host="localhost"
    )
    assert status in (401, 403), value
    guessed = "/" + "0" * 64 + "/api/endall"
    connection_answer = await deferToThread(_status_of, port, guessed)
    assert connection_answer == 404


def _status_of(port: int, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    connection.request("POST", path, "{}", {"Content-Type": "application/json"})
    status = connection.getresponse().status
    connection.close()
    return status
