"""The configuration of the Crossbar.io node that is a farm's router, and where to find Crossbar.io.

One public port speaks RawSocket, WebSocket (at /ws) and HTTP (passed on to control); control decides who may sign in
there. Control itself signs in with a ticket at a separate endpoint, so it can be there first. Names of the
configuration's fields: Crossbar.io's documentation, "Router transports" and "Ticket authentication".
"""

from __future__ import annotations

import json
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import Factory, frozen
from twisted.internet.endpoints import quoteStringArgument

from icefarm.concurrency import prompt
from icefarm.contract import (
    AUTHORIZER,
    REALM,
    Permission,
    Role,
    control_procedure,
    forwarding_path,
    permissions,
)
from icefarm.farm.errors import CannotStart
from icefarm.farm.router.environment import router_directory, router_program_in
from icefarm.farm.router.turn import turn_description

__all__ = ["Address", "CrossbarMissing", "RouterConfig", "configuration", "configuration_text", "find_crossbar"]

Address = tuple[str, int]

#: Milliseconds between WebSocket pings, and for their answer.
PING_INTERVAL, PING_LIMIT = 10_000, 10_000
#: Bytes of the largest message at the public port: a batch for the archive has half of that, a bitstream a twentieth.
MESSAGE_LIMIT = 2 * 1024 * 1024
#: Milliseconds for the handshakes of a WebSocket.
HANDSHAKE_LIMIT = 10_000
#: Where the endpoint is that guards the public port; the router's process imports it from there.
INSIDE = Path(__file__).parent / "inside"
#: The same code as in clients and workers, to write messages.
PROMPT = Path(prompt.__file__).parent

#: Web pages that may open a WebSocket if sign-in needs no token: those of this host, also through a tunnel that ends at
#: another port. Programs send no Origin and are not affected.
_LOCAL_ORIGINS = tuple(f"{scheme}://{host}:*" for scheme in ("http", "https") for host in ("localhost", "127.0.0.1"))


class CrossbarMissing(CannotStart):
    """There is no Crossbar.io on this machine."""


@frozen
class RouterConfig:
    """What differs between farms."""

    #: Where clients, workers and browsers connect: an address of this host, and a port.
    listen: Address
    #: Where control's HTTP server is.
    http: Address
    #: Where control joins: the path of a Unix socket, or an address.
    control: str | Address
    #: The ticket with which control joins.
    ticket: str
    #: A Unix socket where this host's own worker joins as at the public port, without TLS; or None.
    local: str | None = None
    #: Files in PEM form; both or none.
    certificate: Path | None = None
    key: Path | None = None
    #: Whether pages of other hosts may connect; right if every sign-in needs a token.
    any_origin: bool = False
    #: A file whose lock a node must have before it listens anywhere, so that a second node may stand by; or None.
    #: Takes a Unix socket for control, and `icefarm.farm.router.turn` as a plugin of the node's Twisted.
    turn: str | None = None
    #: Limits of the guard at the public port, by name, that differ from its defaults.
    guard: Mapping[str, float] = Factory(dict)
    #: Addresses and networks of proxies, which say by the PROXY protocol whose connections they pass on.
    proxies: tuple[str, ...] = ()


def configuration(config: RouterConfig) -> dict[str, Any]:
    """Return the node's configuration as the JSON value of its file."""
    router = {
        "type": "router",
        "id": "icefarm_router",
        "options": {"pythonpath": [str(INSIDE), str(PROMPT)]},
        "realms": [{"name": REALM, "roles": [_role(role, grants) for role, grants in permissions().items()]}],
        # Crossbar starts them in this order: when the public port is open, the whole router is ready.
        "transports": [_control_transport(config), *_local_transport(config), _public_transport(config)],
    }
    return {"version": 2, "workers": [router]}


def configuration_text(config: RouterConfig) -> str:
    """Return the text of the node's configuration file.  It contains control's ticket: keep it secret."""
    return json.dumps(configuration(config), indent=2) + "\n"


def _role(role: Role, grants: tuple[Permission, ...]) -> dict[str, Any]:
    if role is Role.WORKER:
        # What a worker may register depends on the boards that it has, which control knows.
        return {"name": role.value, "authorizer": AUTHORIZER}
    return {"name": role.value, "permissions": [_grant(grant) for grant in grants]}


def _grant(grant: Permission) -> dict[str, Any]:
    return {
        "uri": grant.uri,
        "match": "prefix" if grant.prefix else "exact",
        "allow": {action: getattr(grant, action) for action in ("call", "register", "publish", "subscribe")},
        # Identity comes from the router: it tells every callee and subscriber who calls and publishes.
        "disclose": {"caller": True, "publisher": True},
        "cache": True,
    }


def _control_transport(config: RouterConfig) -> dict[str, Any]:
    principal = {"ticket": config.ticket, "role": Role.CONTROL.value}
    return {
        "type": "rawsocket",
        "id": "control",
        "endpoint": _control_endpoint(config),
        "serializers": ["cbor", "msgpack"],
        "auth": {"ticket": {"type": "static", "principals": {Role.CONTROL.value: principal}}},
    }


def _control_endpoint(config: RouterConfig) -> dict[str, Any]:
    if config.turn is None or not isinstance(config.control, str):
        return _endpoint(config.control)
    return {"type": "twisted", "server_string": turn_description(config.turn, config.control)}


def _local_transport(config: RouterConfig) -> list[dict[str, Any]]:
    if config.local is None:
        return []
    return [
        {
            "type": "rawsocket",
            "id": "local",
            "endpoint": _endpoint(config.local),
            "serializers": ["cbor", "msgpack"],
            "auth": _sign_in(),
        }
    ]


def _sign_in() -> dict[str, Any]:
    """Control decides who may sign in, and as what."""
    return {
        "ticket": {
            "type": "dynamic",
            "authenticator": control_procedure("authenticate"),
            "authenticator-realm": REALM,
            # The router's own session calls the authenticator; Crossbar 26.10 fails with any other role.
            "authenticator-role": "trusted",
        }
    }


def _public_transport(config: RouterConfig) -> dict[str, Any]:
    return {
        "type": "universal",
        "id": "public",
        "endpoint": {"type": "twisted", "server_string": _guarded(config)},
        "rawsocket": {
            "serializers": ["cbor", "msgpack"],
            "auth": _sign_in(),
            "options": {"max_message_size": MESSAGE_LIMIT},
        },
        "websocket": {"ws": _websocket(config)},
        "web": {"paths": {"/": _proxy(config)}},
    }


def _websocket(config: RouterConfig) -> dict[str, Any]:
    return {
        "type": "websocket",
        "serializers": ["cbor", "msgpack", "json"],
        "auth": _sign_in(),
        "options": {
            "allowed_origins": ["*"] if config.any_origin else list(_LOCAL_ORIGINS),
            "allow_null_origin": config.any_origin,
            "auto_ping_interval": PING_INTERVAL,
            "auto_ping_timeout": PING_LIMIT,
            "open_handshake_timeout": HANDSHAKE_LIMIT,
            "close_handshake_timeout": HANDSHAKE_LIMIT,
            "max_frame_size": MESSAGE_LIMIT,
            "max_message_size": MESSAGE_LIMIT,
            "enable_webstatus": False,
            "show_server_version": False,
        },
    }


def _proxy(config: RouterConfig) -> dict[str, Any]:
    host, port = config.http
    return {
        "type": "reverseproxy",
        "host": host,
        "port": port,
        # Control trusts what the router says of a caller only at this path.
        "path": forwarding_path(config.ticket),
        "forwarded_port": config.listen[1],
        "forwarded_proto": "https" if config.certificate else "http",
    }


def _guarded(config: RouterConfig) -> str:
    """Return the public endpoint in Twisted's form; `INSIDE` has the code of it."""
    host, port = config.listen
    arguments: dict[str, object] = {"interface": host}
    if config.certificate is not None and config.key is not None:
        # Crossbar reads relative names from its node directory.
        arguments |= {"certificate": config.certificate.absolute(), "key": config.key.absolute()}
    if config.proxies:
        arguments["proxies"] = ",".join(config.proxies)
    arguments |= config.guard
    quoted = (f"{name}={quoteStringArgument(str(value))}" for name, value in arguments.items())
    return ":".join(("icefarm", str(port), *quoted))


def _endpoint(where: str | Address) -> dict[str, Any]:
    if isinstance(where, str):
        return {"type": "unix", "path": where}
    host, port = where
    return {"type": "tcp", "port": port, "interface": host, "version": 6 if ":" in host else 4}


def find_crossbar(chosen: str | None, scripts: str | None = None) -> str:
    """Return the path of the Crossbar.io program: the chosen one, else that of the router's own environment, else that
    of this environment, else that on PATH.

    ``scripts`` is the directory of this environment's programs, for tests.  Raises `CrossbarMissing`.
    """
    if chosen is not None:
        path = shutil.which(chosen)
        if path is None:
            raise CrossbarMissing(f"--crossbar {chosen}: there is no such program")
        return path
    scripts = scripts or sysconfig.get_path("scripts")
    apart, beside = router_program_in(router_directory(scripts)), Path(scripts, "crossbar")
    found = shutil.which(str(apart)) or shutil.which(str(beside)) or shutil.which("crossbar")
    if found is None:
        raise CrossbarMissing(
            "Crossbar.io, the router, is not installed: run icefarm router install, or pip install 'icefarm[farm]', "
            "or name it with --crossbar PROGRAM, or use an existing router with --router URL"
        )
    return found
