"""The HTTP API of a farm, asked with the standard library, where no error needs explaining; and its address.

It answers, or None: then a verb signs in as a client, whose errors say what is wrong.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from attrs import frozen

from icefarm.cli.connect import SignIn, has_login, own_farm, token_for
from icefarm.text.outside_json import parse_json
from icefarm.text.public_url import SOCKET_PATH
from icefarm.wamp.url import INSECURE, RouterUrl

__all__ = ["HttpAnswer", "HttpWay", "NotWhole", "web_address"]

#: Seconds for the connection, and for each part of the answer.
LIMIT = 10.0
#: Bytes of the longest answer: a farm of 10,000 boards.
LONGEST = 64 * 1024 * 1024
#: Bytes of a file that are read at once.
BLOCK = 256 * 1024


class NotWhole(Exception):
    """A file ended before its end, or could not be had at all."""


@frozen
class HttpAnswer:
    """A status, and the value that came as JSON."""

    status: int
    value: Any


@frozen
class HttpWay:
    """Where a farm's HTTP API is, and what is shown there."""

    where: RouterUrl
    token: str | None

    @classmethod
    def of(cls, access: SignIn) -> HttpWay | None:
        """Return the way to a farm; None if no token may take it, or a kept sign-in is to be used."""
        where = access.where
        own = own_farm(access, where)
        if has_login(access, own):
            return None
        token = token_for(access, own)
        return cls(where, token) if may_go(where, token, through_socket=own is not None) else None

    def get(self, path: str, query: Mapping[str, str]) -> HttpAnswer | None:
        """Read something.  None: there was no answer, or not of a farm."""
        return self._ask("GET", path + (f"?{urlencode(query)}" if query else ""), None)

    def post(self, path: str, body: Mapping[str, Any]) -> HttpAnswer | None:
        """Change something.  None: there was no answer, or not of a farm."""
        return self._ask("POST", path, json.dumps(body))

    def lines(self, path: str, query: Mapping[str, str]) -> Iterator[Any]:
        """Yield the values of a file of JSON lines, in constant memory.  Raises `NotWhole`."""
        connection, rest = self._connection(), b""
        try:
            connection.request("GET", self._path(f"{path}?{urlencode(query)}"), headers=self._headers)
            response = connection.getresponse()
            if response.status != 200:
                raise NotWhole
            while block := response.read(BLOCK):
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    yield parse_json(line)
        except (OSError, http.client.HTTPException, ValueError):
            raise NotWhole from None
        finally:
            connection.close()
        if rest:
            raise NotWhole

    def _path(self, path: str) -> str:
        return f"{_path_in_front(self.where)}/api{path}"

    @property
    def _headers(self) -> dict[str, str]:
        authorized = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return {"Accept": "application/json", **authorized}

    def _ask(self, method: str, path: str, body: str | None) -> HttpAnswer | None:
        headers = self._headers
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = self._connection()
        try:
            connection.request(method, self._path(path), body, headers)
            response = connection.getresponse()
            return HttpAnswer(response.status, parse_json(response.read(LONGEST)))
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        where = self.where
        if not where.tls:
            return http.client.HTTPConnection(where.host, where.port, timeout=LIMIT)
        import ssl

        from icefarm.wamp.ca_file import check_certificates

        trusted = ssl.create_default_context() if where.ca_file is None else check_certificates(where.ca_file)
        return http.client.HTTPSConnection(where.host, where.port, timeout=LIMIT, context=trusted)


def _path_in_front(where: RouterUrl) -> str:
    """Return the path that a proxy has put in front of the farm's own."""
    return where.path.removesuffix(SOCKET_PATH) if where.transport == "websocket" else ""


def web_address(where: RouterUrl) -> str | None:
    """Return where a farm's page and HTTP API are, without a slash at the end; None for a Unix socket."""
    if not where.host:
        return None
    host = f"[{where.host}]" if ":" in where.host else where.host
    return f"{'https' if where.tls else 'http'}://{host}:{where.port}{_path_in_front(where)}"


def may_go(where: RouterUrl, token: str | None, *, through_socket: bool) -> bool:
    """Tell whether a token may go there over HTTP: nobody reads along, and nothing else can pass for the farm."""
    if not where.host:
        return False
    return token is None or (not through_socket and (where.keeps_secrets or bool(os.environ.get(INSECURE))))
