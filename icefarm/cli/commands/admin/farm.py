"""The verbs ``up`` and ``router``: a farm on this machine, and the router of a farm on several machines."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import sysconfig
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import click

from icefarm.cli.ui.parameter_types import (
    ADDRESS,
    NAME,
    NUMBER,
    PUBLIC_URL,
    SECONDS,
    SECONDS_OR_OFF,
    SPEED,
    URL,
    VIRTUAL_BOARDS,
)
from icefarm.contract import valid_name
from icefarm.errors import InvalidArgument
from icefarm.farm.limits import GivenLimits, farm_limits
from icefarm.farm.paths import default_data_directory, write_private
from icefarm.farm.plan import MOST_ROUTERS, FarmOptions
from icefarm.farm.router.config import Address, RouterConfig, configuration_text
from icefarm.system.extras import require_control_packages
from icefarm.virtual.models import MODELS

__all__ = ["data_dir_option", "router", "up"]

# The farm's processes run in directories of their own, where a relative path would name something else.
_FILE = click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path)

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: default_data_directory(os.environ),
    envvar="ICEFARM_DATA_DIR",
    show_default="$XDG_STATE_HOME/icefarm or ~/.local/state/icefarm",
    help="Where the farm keeps its state.",
)


def _read_limits(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> GivenLimits:
    parsed = []
    for text in given:
        name, _equals, value = text.partition("=")
        try:
            parsed.append((name, float(value)))
        except ValueError:
            raise click.BadParameter(f"must be NAME=NUMBER, not {text!a:.100}") from None
    try:
        return farm_limits(parsed)
    except InvalidArgument as error:
        raise click.BadParameter(str(error)) from None


_limit_option = click.option(
    "--limit",
    "limits",
    metavar="NAME=N",
    multiple=True,
    callback=_read_limits,
    help="A limit of accounts or connections, such as boards=8; repeatable.",
)


def _read_proxies(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(text.strip())) for text in given)
    except ValueError as error:
        raise click.BadParameter(f"must be an address or a network, such as 10.0.0.2 or fd00::/8: {error}") from None


_proxy_option = click.option(
    "--proxy",
    "proxies",
    metavar="ADDRESS",
    multiple=True,
    callback=_read_proxies,
    help="A proxy that names its clients by the PROXY protocol; repeatable. Other connections from its address are "
    "closed.",
)


def _host_name() -> str:
    name = socket.gethostname()
    return name if valid_name(name) else "worker"


@click.command()
@click.option(
    "--boards",
    "--virtual-boards",
    "boards",
    type=VIRTUAL_BOARDS,
    default="4",
    show_default=True,
    help="Number of virtual boards; 4..64: as many as are needed, within these bounds.",
)
@data_dir_option
@click.option(
    "--listen",
    type=ADDRESS,
    default="127.0.0.1:8080",
    show_default=True,
    help="Where the farm listens; port 0: any free one. If other hosts can reach it, it needs tokens.",
)
@click.option("--database", metavar="DSN", envvar="ICEFARM_DATABASE", help="Use this PostgreSQL; start none.")
@click.option("--http", type=ADDRESS, help="Where control serves HTTP to an existing router.")
@click.option(
    "--routers",
    type=click.IntRange(1, MOST_ROUTERS),
    default=1,
    show_default=True,
    help="Routers, each with a worker and its part of the boards; the others listen at the next free ports.",
)
@click.option(
    "--router-url",
    "router_urls",
    type=PUBLIC_URL,
    multiple=True,
    help="The URL of each router after the first from outside, if a proxy is in front.",
)
@click.option("--router", type=URL, help="Use the router that control joins at this URL; start none.")
@click.option("--router-ticket-file", type=_FILE, help="The ticket that control joins that router with.")
@click.option("--url", type=URL, help="Where others reach that router, if not at the same URL.")
@click.option(
    "--ca-file",
    type=_FILE,
    envvar="ICEFARM_CA_FILE",
    help="Trust the certificates in this PEM file at that router's https:// URL (ICEFARM_CA_FILE).",
)
@click.option(
    "--public-url",
    type=PUBLIC_URL,
    help="The farm's URL behind a proxy: https://HOST/PATH. The farm then needs tokens.",
)
@_proxy_option
@click.option("--crossbar", metavar="PROGRAM", help="The Crossbar.io to run, instead of that of this environment.")
@click.option(
    "--standby/--no-standby",
    default=True,
    show_default=True,
    help="Keep a second router ready that takes over when the first ends.",
)
@click.option("--name", type=NAME, default=_host_name, show_default="this host's", help="The worker's name.")
@click.option("--speed", type=SPEED, default="real", show_default=True, help="How fast virtual boards are.")
@click.option(
    "--model",
    type=click.Choice(MODELS),
    default=MODELS[0],
    show_default=True,
    help="Virtual boards simulate the bitstream, invent a frequency, or invent one if they can't simulate it.",
)
@click.option("--offset-ppm", type=NUMBER, help="The largest offset of a virtual board.")
@click.option("--noise", type=NUMBER, help="The standard deviation of virtual boards' measurements, in ppm.")
@click.option("--drift-ppm-per-day", type=NUMBER, help="The largest drift of a virtual board.")
@click.option("--ppm-per-kelvin", type=NUMBER, help="The largest temperature coefficient of a virtual board.")
@click.option("--grace", type=SECONDS, help="How long a disconnected client keeps its boards.")
@click.option(
    "--worker-grace",
    type=SECONDS,
    help="How long connected clients keep boards of a disconnected worker.",
)
@click.option("--require-tokens", is_flag=True, help="Require tokens, on this host too.")
@click.option("--reservation", type=SECONDS, help="How long a reservation lasts unless it is extended.")
@click.option(
    "--half-life", type=SECONDS, help="Time after which an account's use counts half for its turn; 4 hours by default."
)
@click.option(
    "--max-hold-while-waited",
    type=SECONDS_OR_OFF,
    help="How long a client may hold a board that others wait for; a day by default.",
)
@click.option(
    "--preemptible",
    is_flag=True,
    help="Make requests for a number of boards preemptible, unless their client says otherwise.",
)
@click.option("--most-sharers", type=click.IntRange(1, 1000), help="How many clients may share a board; 16 by default.")
@click.option(
    "--calibration/--no-calibration",
    default=True,
    show_default=True,
    help="Have idle boards measure reference circuits every 19 hours.",
)
@click.option(
    "--suspect-boards",
    type=click.Choice(("avoid", "set-aside", "ignore")),
    help="Boards that measure unlike the others are given out last (default), not at all, or like the others.",
)
@click.option("--archive", type=click.Choice(("on", "off")), help="Keep every measurement; on by default.")
@click.option(
    "--archive-days", type=click.FloatRange(0, min_open=True), help="Days to keep measurements; 90 by default."
)
@click.option(
    "--archive-size", type=click.FloatRange(0, min_open=True), help="Gigabytes of measurements to keep; 20 by default."
)
@click.option(
    "--archive-export",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="Write each day of measurements here before it is dropped.",
)
@click.option(
    "--archive-circuits", type=click.FloatRange(0), help="Megabytes of circuits kept for each account; 200 by default."
)
@click.option(
    "--private",
    is_flag=True,
    envvar="ICEFARM_PRIVATE",
    help="Let each account see only its own experiments; operators see all. The farm then needs tokens.",
)
@click.option("--tls-certificate", "certificate", type=_FILE, help="Certificate of the public port, in PEM form.")
@click.option("--tls-key", "key", type=_FILE, help="Its key.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="Format of the logs; json: one object a line.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info"]),
    help="Least level of logs in JSON; debug includes each evaluation.",
)
@click.option("--oidc-issuer", metavar="URL", help="Let people sign in at this OpenID Connect issuer.")
@click.option("--oidc-client", metavar="ID", help="The farm's id there: a public client.")
@click.option("--oidc-audience", metavar="AUDIENCE", help="The audience of tokens, if not the client.")
@click.option("--oidc-scope", metavar="SCOPES", help="The scopes to request at sign-in.")
@click.option("--oidc-account-claim", metavar="CLAIM", help="The claim that names the account.")
@click.option("--oidc-group-claim", metavar="CLAIM", help="The claim that lists groups.")
@click.option("--oidc-group", metavar="GROUP", help="Only members of this group may sign in.")
@click.option("--oidc-operator-group", metavar="GROUP", help="Members of this group are operators.")
@click.option("--oidc-accounts", metavar="CLAIM=ACCOUNT,...", help="Accounts of people whose claims do not name them.")
@click.option("--oidc-ca-file", type=_FILE, help="Trust the certificates in this PEM file at the issuer.")
@_limit_option
def up(**options: Any) -> None:
    """Start a farm on this machine and keep it running until Ctrl-C or SIGTERM.

    It is a real farm: PostgreSQL, a router, control, and a worker with virtual boards. It keeps its state in the data
    directory; the next start continues from there.
    """
    oidc = {name: options.pop(name) for name in [*options] if name.startswith("oidc_")}
    given = {name.replace("_", "-"): value for name, value in oidc.items() if value is not None}
    if given and not {"oidc-issuer", "oidc-client"} <= given.keys():
        raise click.UsageError("the lab's own sign-in takes both --oidc-issuer URL and --oidc-client ID")
    require_control_packages("a farm on this machine")
    from icefarm.farm.run import run

    least, most = options.pop("boards")
    boards = {"boards": least, "most_boards": None if least == most else most}
    sys.exit(run(FarmOptions(**options, **boards, oidc=given), click.echo))


@click.group()
def router() -> None:
    """Work with a router that runs separately."""


@router.command()
def install() -> None:
    """Install Crossbar.io in an environment of its own, inside this one.

    It pins old versions of packages (idna, h2) that others need newer, so keep it separate. The installed versions are
    tested with this version of icefarm, and checked by hashes. "icefarm up" prefers this router to any other.
    """
    from icefarm.farm.router.environment import LOCKED, install_router, router_directory, router_program_in

    directory = router_directory(sysconfig.get_path("scripts"))
    click.echo(f"installing the router into {directory}; this takes a minute or two")
    install_router(directory, LOCKED)
    click.echo(f"installed: {router_program_in(directory)}")


@router.command()
@click.option("--listen", type=ADDRESS, default="0.0.0.0:8080", show_default=True, help="The public port.")
@click.option(
    "--control-listen",
    default="control.sock",
    show_default=True,
    metavar="PATH|HOST:PORT",
    help="Where control joins: a Unix socket, or a port that nobody else can reach.",
)
@click.option("--http", type=ADDRESS, default="127.0.0.1:8081", show_default=True, help="Where control serves HTTP.")
@click.option(
    "--router-ticket-file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The ticket that control joins with; created there unless the file exists.",
)
@click.option("--tls-certificate", "certificate", type=_FILE, help="Certificate of the public port, in PEM form.")
@click.option("--tls-key", "key", type=_FILE, help="Its key.")
@_proxy_option
@_limit_option
def config(
    listen: Address,
    control_listen: str,
    http: Address,
    router_ticket_file: Path,
    certificate: Path | None,
    key: Path | None,
    proxies: tuple[str, ...],
    limits: GivenLimits,
) -> None:
    """Print the configuration of a Crossbar.io node that is the farm's router.

    Save it as config.json in the node's directory, readable only by the node: it holds control's ticket. Start the
    node with "crossbar start --cbdir DIRECTORY", and control with "--router URL --router-ticket-file FILE".
    """
    from icefarm.farm.listen import check_certificate

    check_certificate(certificate, key)
    if not router_ticket_file.exists():
        write_private(router_ticket_file, secrets.token_urlsafe(32) + "\n")
    control = control_listen if ":" not in control_listen else ADDRESS.convert(control_listen, None, None)
    ticket = router_ticket_file.read_text().strip()
    made = RouterConfig(
        listen, http, control, ticket, None, certificate, key, any_origin=True, guard=limits.guard, proxies=proxies
    )
    click.echo(configuration_text(made), nl=False)
