"""What a verb that only reads asks a farm: quickly over HTTP, or else as a client does.

Twisted and Autobahn take five times as long to import as the farm takes to answer, so these verbs ask the HTTP API with
the standard library.  That is only the quick way: it answers, or nothing has happened, and then the verb signs in as a
client, whose errors say what is wrong.  So every error is the same for all verbs.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click
from attrs import frozen

from icefarm.cli.connect import Access, has_login, own_farm, token_for
from icefarm.cli.verb import farm_of
from icefarm.contract import to_wire
from icefarm.errors import NotAuthorized
from icefarm.wamp.url import INSECURE, RouterUrl, parse_url

if TYPE_CHECKING:
    from icefarm.client import Farm

__all__ = ["Reader"]

#: Seconds for the connection, and for each part of the answer.
LIMIT = 10.0
#: Bytes of the longest answer: a farm of 10,000 boards.
LONGEST = 64 * 1024 * 1024
#: The path of the WebSocket, which a proxy may have put another one in front of.
_WEBSOCKET = "/ws"

Answer = dict[str, Any]


@frozen
class Reader:
    """Asks one farm.  Raises what `icefarm.cli.connect.connect` does, and what the procedures of control do."""

    access: Access

    def snapshot(self) -> Answer:
        """Return all records of the farm, as on the wire."""
        return self._read("/snapshot", {}, lambda farm: to_wire(farm.snapshot()))

    def board_history(self, serial: str) -> Answer:
        """Return a board's last day."""
        return self._read("/history", {"serial": serial}, lambda farm: farm.board_history(serial))

    def journal(self) -> Answer:
        """Return the farm's last events."""
        return self._read("/journal", {}, lambda farm: farm.journal())

    def _read(self, path: str, query: dict[str, str], ask: Callable[[Farm], Answer]) -> Answer:
        # Tests sign in by a way of their own.
        answer = _quickly(self.access, path, query) if click.get_current_context().obj is None else None
        if answer is not None:
            return answer
        with farm_of(self.access) as farm:
            return ask(farm)


def _quickly(access: Access, path: str, query: dict[str, str]) -> Answer | None:
    """Ask over HTTP; None if there is no such way, or it does not answer."""
    ca_file = None if access.ca_file is None else str(access.ca_file)
    where = parse_url(access.url, ca_file)
    own = None if access.token is not None else own_farm(access, where)
    if has_login(access, own):
        own, token = None, _fresh_token(access.url)
        if token is None:
            return None
    else:
        token = token_for(access, own)
    if not _may_go(where, token, through_socket=own is not None):
        return None
    headers = {"Accept": "application/json"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
    target = f"{_in_front(where)}/api{path}" + (f"?{urlencode(query)}" if query else "")
    connection = _connection(where)
    try:
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        content = response.read(LONGEST)
        answer = json.loads(content) if response.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else None


def _fresh_token(url: str) -> str | None:
    """Return the token of a sign-in at an issuer; None if a client has to refresh it, or say what is wrong."""
    from icefarm.oidc.stored_login import StoredLogin, login_path

    try:
        login = StoredLogin.read(login_path(url, os.environ))
    except NotAuthorized:
        return None
    return None if login.is_due(time.time()) else login.id_token


def _may_go(where: RouterUrl, token: str | None, *, through_socket: bool) -> bool:
    """Tell whether a token may go there over HTTP: nobody reads along, and nothing else can pass for the farm."""
    if not where.host:
        return False
    return token is None or (not through_socket and (where.keeps_secrets or bool(os.environ.get(INSECURE))))


def _in_front(where: RouterUrl) -> str:
    """Return the path that a proxy has put in front of the farm's own."""
    return where.path.removesuffix(_WEBSOCKET) if where.transport == "websocket" else ""


def _connection(where: RouterUrl) -> http.client.HTTPConnection:
    if not where.tls:
        return http.client.HTTPConnection(where.host, where.port, timeout=LIMIT)
    import ssl

    from icefarm.wamp.ca_file import check_certificates

    trusted = ssl.create_default_context() if where.ca_file is None else check_certificates(where.ca_file)
    return http.client.HTTPSConnection(where.host, where.port, timeout=LIMIT, context=trusted)
