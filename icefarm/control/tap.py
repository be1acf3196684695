"""The ``icefarm-control`` plugin of twistd and twist: options, and the service made of them."""

from __future__ import annotations

import re
import secrets
import sys
from math import inf, nan
from typing import Any
from urllib.parse import urlsplit

from twisted.python import usage

from icefarm.system.extras import MissingPackages, require_control_packages

try:
    require_control_packages("control")
except MissingPackages as error:
    raise SystemExit(f"icefarm-control: {error}") from None

from psycopg2 import ProgrammingError
from psycopg2.extensions import parse_dsn

from icefarm.concurrency.prompt.icefarm_large_pages import gather_later
from icefarm.concurrency.prompt.icefarm_prompt import poll_directly
from icefarm.contract import Role
from icefarm.control.inventory.bounds import MOST_SHARES
from icefarm.control.scheduling.availability import SuspectRule
from icefarm.control.scheduling.fair_share import HALF_LIFE
from icefarm.control.scheduling.placement import MOST_SHARERS
from icefarm.control.sessions.limits import AccountLimits, parse_limits
from icefarm.control.sessions.routers import ONLY
from icefarm.control.sessions.sign_in.authenticator import SignInPolicy
from icefarm.control.sessions.sign_in.oidc_settings import OidcSettings, account_pairs
from icefarm.control.wiring.server import ControlProcess
from icefarm.control.wiring.service import ControlSettings
from icefarm.errors import InvalidArgument
from icefarm.oidc.issuer import checked_url
from icefarm.twistd.collecting import spare_what_is_there
from icefarm.twistd.json_log import LOG_FORMAT, LOG_LEVEL, logged
from icefarm.twistd.options import LayeredOptions, Setting, choice, host_and_port, seconds
from icefarm.twistd.parsers import certificates, directory, public_url, url, whole_number
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.url import is_loopback

__all__ = ["Options", "makeService"]

#: Boards that may measure reference circuits at the same time.
MOST_AT_ONCE = 1000
#: Options that only an issuer makes sense of.
_FOR_AN_ISSUER = tuple(
    f"oidc-{name}" for name in ("client", "audience", "group", "operator-group", "accounts", "ca-file")
)


def _days(text: str) -> float:
    """Parse a number of days above 0."""
    try:
        return seconds(text)
    except ValueError:
        raise ValueError(f"must be a number of days above 0, not {text!r}") from None


def _boards(text: str) -> int:
    """Parse a number of boards above 0."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= MOST_AT_ONCE):
        raise ValueError(f"must be a whole number from 1 to {MOST_AT_ONCE}, not {text!r}")
    return int(text)


def _seconds_or_off(text: str) -> float | None:
    """Parse a number of seconds above 0, or off."""
    return None if text == "off" else seconds(text)


def _issuer(text: str) -> str:
    return checked_url(text, "the issuer")


def _size(text: str) -> float:
    """Parse a number of gigabytes above 0."""
    try:
        return seconds(text)
    except ValueError:
        raise ValueError(f"must be a number of gigabytes above 0, not {text!r}") from None


def _megabytes(text: str) -> float:
    """Parse a number of megabytes, which may be 0."""
    try:
        found = float(text)
    except ValueError:
        found = nan
    if not 0 <= found < inf:
        raise ValueError(f"must be a number of megabytes, 0 for none, not {text!r}")
    return found


#: What stands between two routers in a list: a comma before another URL; and between the two URLs of one.
_NEXT_ROUTER = re.compile(r",(?=[a-z]+:)")
_FOR_CLIENTS = re.compile(r"=(?=(?:http|ws|rs)s?s?://)")


def _routers(text: str) -> dict[str, str]:
    """Parse control's way to each router, by the URL at which clients reach it; one alone needs no such URL."""
    found: dict[str, str] = {}
    entries = _NEXT_ROUTER.split(text)
    for entry in entries:
        at, *name = _FOR_CLIENTS.split(entry)
        if len(name) > 1 or (not name and len(entries) > 1):
            raise ValueError(
                f"must say where clients reach each of several routers: URL=http://HOST:PORT,..., not {entry!r}"
            )
        known = url(name[0]) if name else ONLY
        if known in found or at in found.values():
            raise ValueError(f"must name each router once, not {at!r} twice")
        found[known] = url(at)
    return found


def _sharers(text: str) -> int:
    """Parse how many clients may share a board."""
    most = whole_number(text)
    if not 1 <= most <= MOST_SHARES:
        raise ValueError(f"must be from 1 to {MOST_SHARES}, not {text!r}")
    return most


def _dsn(text: str) -> str:
    try:
        parse_dsn(text)
    except ProgrammingError as error:
        raise ValueError(f"is no address of a database: {str(error).strip()}") from None
    return text


class Options(LayeredOptions):
    """Options of control."""

    section = "control"
    #: How people sign in at the lab's issuer, once the options are parsed; None without one.
    oidc: OidcSettings | None = None
    settings = (
        Setting(
            "router",
            "the farm's router, at its endpoint for control; several as URL=http://HOST:PORT, each with the URL at "
            "which clients reach it, and commas between",
            "URL",
            parse=_routers,
        ),
        Setting("ca-file", "trust the certificates in this PEM file at an https:// URL", "FILE", parse=certificates),
        Setting("router-ticket", "the ticket that control signs in with at the router", "FILE", secret=True),
        Setting("database", "PostgreSQL: postgresql://USER@HOST/NAME, or host=... dbname=...", "DSN", parse=_dsn),
        Setting("http", "where to serve HTTP to the router", "HOST:PORT", "127.0.0.1:8081", host_and_port),
        Setting(
            "public-url",
            "the farm's URL behind a proxy: https://HOST/PATH",
            "URL",
            parse=public_url,
        ),
        Setting("data-dir", "keep the operator's token here", "DIR", parse=directory),
        Setting(
            "sign-in", "who needs a token: open (operators) or tokens (all)", "POLICY", "open", choice(*SignInPolicy)
        ),
        Setting(
            "grace",
            "seconds that a disconnected client or an unplugged board keeps its reservation",
            "S",
            "30",
            seconds,
        ),
        Setting(
            "worker-grace",
            "seconds that connected clients keep the boards of a disconnected worker",
            "S",
            "600",
            seconds,
        ),
        Setting("audit-days", "days to keep the audit log", "DAYS", "90", _days),
        Setting("archive", "keep every measurement, with its provenance", "on|off", "on", choice("on", "off")),
        Setting("archive-days", "days to keep measurements", "DAYS", "90", _days),
        Setting(
            "archive-size", "gigabytes of measurements to keep; the oldest days are dropped first", "GB", "20", _size
        ),
        Setting("archive-export", "write each day of measurements here before it is dropped", "DIR", parse=directory),
        Setting("archive-circuits", "megabytes of circuits that are kept for each account", "MB", "200", _megabytes),
        Setting(
            "half-life",
            "seconds after which an account's use counts half for its turn",
            "S",
            f"{HALF_LIFE:.0f}",
            seconds,
        ),
        Setting("private", "let each account see only its own experiments; operators see all", flag=True),
        Setting(
            "max-hold-while-waited",
            "seconds for which a client may hold a board that others wait for; off: no limit",
            "S|off",
            "86400",
            _seconds_or_off,
        ),
        Setting(
            "preemptible",
            "make requests for a number of boards preemptible, unless their client says otherwise",
            flag=True,
        ),
        Setting("no-calibration", "do not calibrate idle boards with reference circuits", flag=True),
        Setting("calibrate-at-once", "boards that calibrate at the same time", "N", "2", _boards),
        Setting(
            "suspect-boards",
            "boards that measure unlike the others are given out last, not at all, or like the others",
            "|".join(SuspectRule),
            SuspectRule.AVOID,
            choice(*SuspectRule),
        ),
        Setting("most-sharers", "clients that may share a board", "N", str(MOST_SHARERS), _sharers),
        Setting("limit", "limits of each account", "NAME=N,...", parse=parse_limits),
        Setting(
            "insecure", "send the router's ticket without TLS to another host, where others can read it", flag=True
        ),
        Setting("oidc-issuer", "let people sign in at this OpenID Connect issuer", "URL", parse=_issuer),
        Setting("oidc-client", "the farm's id at the issuer: a public client", "ID"),
        Setting("oidc-audience", "the audience of tokens (aud); default: the client", "AUDIENCE"),
        Setting("oidc-scope", "the scopes to request from the issuer", "SCOPES", "openid profile email"),
        Setting("oidc-account-claim", "the claim that names the account", "CLAIM", "preferred_username"),
        Setting("oidc-group-claim", "the claim that lists the groups of a person", "CLAIM", "groups"),
        Setting("oidc-group", "only members of this group may sign in", "GROUP"),
        Setting("oidc-operator-group", "members of this group are operators", "GROUP"),
        Setting(
            "oidc-accounts",
            "accounts of people whose claim does not name them, or names an account that has tokens of the farm",
            "CLAIM=ACCOUNT,...",
            "",
            account_pairs,
        ),
        Setting("oidc-ca-file", "trust the certificates in this PEM file at the issuer", "FILE", parse=certificates),
        LOG_FORMAT,
        LOG_LEVEL,
        Setting("reservation", "seconds that a reservation lasts unless extended", "S", "3600", seconds),
    )

    def postOptions(self) -> None:
        super().postOptions()
        needed = {
            "router": "--router URL: where is the router?",
            "router-ticket": "--router-ticket-file FILE: the router lets control in by a ticket",
            "database": "--database DSN: where is PostgreSQL?",
        }
        missing = [text for name, text in needed.items() if self[name] is None]
        if missing:
            raise usage.UsageError(f"control needs {'; and '.join(missing)}")
        if self["private"] and self["sign-in"] == SignInPolicy.OPEN:
            raise usage.UsageError("--private needs --sign-in tokens: without, anybody may sign in under any name")
        public = self["public-url"]
        if public is not None and self["sign-in"] == SignInPolicy.OPEN and not is_loopback(urlsplit(public).hostname):
            # To control, all who come through the proxy are on the proxy's host.
            raise usage.UsageError(f"a farm that others reach at {public} needs --sign-in tokens")
        self.oidc = _oidc(self)


def _oidc(options: Options) -> OidcSettings | None:
    """Return how people sign in at the lab's issuer, if it has one.  Raises `usage.UsageError`."""
    given = {setting.name: options[setting.name] for setting in options.settings if setting.name.startswith("oidc-")}
    if given["oidc-issuer"] is None:
        useless = [name for name in _FOR_AN_ISSUER if given[name]]
        if useless:
            raise usage.UsageError(f"--{useless[0]} is of no use without --oidc-issuer URL")
        return None
    if not given["oidc-client"]:
        raise usage.UsageError("--oidc-issuer needs --oidc-client ID: the farm's id at the issuer")
    if "openid" not in given["oidc-scope"].split():
        raise usage.UsageError("--oidc-scope must have the scope openid")
    return OidcSettings(**{name.removeprefix("oidc-").replace("-", "_"): value for name, value in given.items()})


def makeService(options: Options) -> Any:
    """Return control as a service (for twistd and twist)."""
    from twisted.internet import reactor

    spare_what_is_there()
    poll_directly(reactor)
    gather_later(reactor)
    try:
        service = _service(options)
    except InvalidArgument as error:
        sys.exit(f"control cannot start: {error}")
    return logged(service, options)


def _service(options: Options) -> ControlProcess:
    from twisted.internet import reactor as the_reactor

    reactor: Any = the_reactor
    settings = ControlSettings(
        SignInPolicy(options["sign-in"]),
        options["grace"],
        options["reservation"],
        options["data-dir"],
        options["worker-grace"],
        options["audit-days"],
        options.oidc,
        options["public-url"],
        options["archive"] == "on",
        options["archive-days"],
        options["archive-size"] * 1e9,
        options["archive-export"],
        options["private"],
        half_life=options["half-life"],
        max_hold=options["max-hold-while-waited"],
        preemptible=options["preemptible"],
        calibration=not options["no-calibration"],
        calibrate_at_once=options["calibrate-at-once"],
        suspect_boards=SuspectRule(options["suspect-boards"]),
        most_sharers=options["most-sharers"],
        circuit_bytes=options["archive-circuits"] * 1e6,
        limits=AccountLimits(**(options["limit"] or {})),
    )
    credentials = Credentials("control", Role.CONTROL, secrets.token_hex(8), options["router-ticket"])
    return ControlProcess(
        reactor,
        options["router"],
        credentials,
        options["database"],
        options["http"],
        settings,
        ca_file=options["ca-file"],
        insecure=options["insecure"] or None,
    )
