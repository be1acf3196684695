"""Which farm a verb talks to, under which name and with which token; and the connection to it."""

from __future__ import annotations

import functools
import getpass
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from attrs import evolve, field, frozen
from click.core import ParameterSource

from icefarm.contract import NAME_RULE, Role, normal_name, valid_name
from icefarm.errors import LinkLost, NotAuthorized, Untrusted, WrongProtocol
from icefarm.farm.paths import DataDirectory, RunningFarm, default_data_directory
from icefarm.wamp.url import DEFAULT_URL

if TYPE_CHECKING:
    from icefarm.client import Farm
    from icefarm.wamp.url import RouterUrl

__all__ = [
    "Connect",
    "SignIn",
    "access_of",
    "ca_file_option",
    "connect",
    "has_login",
    "log_quietly",
    "own_farm",
    "token_file_option",
    "token_for",
    "token_from",
    "user_here",
    "with_access",
]

#: Seconds for the sign-in, once something listens.
SIGN_IN_LIMIT = 10.0

_FILE = click.Path(dir_okay=False, path_type=Path)


@frozen
class SignIn:
    """How to sign in.  ``named``: the user chose the name; it was not generated."""

    #: One, or several with commas between.
    url: str
    name: str
    named: bool = False
    token: str | None = field(default=None, repr=False)
    role: Role = Role.CLIENT
    data_dir: Path | None = None
    #: The data directory was named on the command line, so its token may go to any host.
    trusted: bool = False
    #: PEM file with the certificates to trust; None: those that the system trusts.
    ca_file: Path | None = None

    @property
    def where(self) -> RouterUrl:
        """Where the farm is: of several URLs, the first at which somebody listens.

        Raises `InvalidArgument` for an invalid URL.
        """
        # Imported on demand: help needs none of it.
        from icefarm.wamp.url import farm_urls, first_in_reach, parse_url

        return parse_url(first_in_reach(farm_urls(self.url)), None if self.ca_file is None else str(self.ca_file))

    @property
    def as_operator(self) -> SignIn:
        return evolve(self, role=Role.OPERATOR)


Connect = Callable[[SignIn], "Farm"]


def user_here() -> str:
    """Return USER@HOST; the user's number where it has no name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _own_name() -> str:
    """Return a name that identifies the user's shell, and that no other process has."""
    name = f"cli-{user_here()}-{os.getpid()}"
    return name if valid_name(name) else f"cli-{os.getpid()}"


def token_from(path: Path) -> str:
    try:
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise click.UsageError(f"cannot read the token in {path}: {error.strerror}") from None
    except UnicodeError:
        token = ""
    if not token or len(token.split()) != 1:
        raise click.UsageError(f"{path} holds no token; it is one line of letters and digits")
    return token


def with_access(*, named: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options that choose the farm and an argument ``access``; with ``named``, also the option for the name."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def verb(
            url: str,
            token_file: Path | None,
            data_dir: Path,
            ca_file: Path | None,
            name: str | None = None,
            **rest: Any,
        ) -> Any:
            name = None if name is None else normal_name(name)
            if name is not None and not valid_name(name):
                raise click.UsageError(f"{name!r} is not a valid name: {NAME_RULE}")
            chosen = access_of(click.get_current_context(), url, data_dir, ca_file, token_file, name)
            return function(access=chosen, **rest)

        for option in (*_ACCESS_OPTIONS, *([_NAME_OPTION] if named else [])):
            verb = option(verb)
        return verb

    return decorate


def access_of(
    context: click.Context,
    url: str,
    data_dir: Path,
    ca_file: Path | None,
    token_file: Path | None,
    name: str | None = None,
) -> SignIn:
    """Return how to sign in by these options and the environment.  Raises `click.UsageError` for a bad token file."""
    token = os.environ.get("ICEFARM_TOKEN") or None if token_file is None else token_from(token_file)
    trusted = context.get_parameter_source("data_dir") is ParameterSource.COMMANDLINE
    return SignIn(url, name or _own_name(), name is not None, token, Role.CLIENT, data_dir, trusted, ca_file)


ca_file_option = click.option(
    "--ca-file",
    type=_FILE,
    envvar="ICEFARM_CA_FILE",
    show_default="what the system trusts",
    help="Trust the certificates in this PEM file at an https:// URL (ICEFARM_CA_FILE).",
)
token_file_option = click.option(
    "--token-file", type=_FILE, help="Sign in with the token in this file, not with ICEFARM_TOKEN."
)

_ACCESS_OPTIONS = (
    click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=lambda context, _, on: context.find_root().meta.__setitem__("icefarm.debug", True) if on else None,
        help="Show the traceback of an unexpected error, and the full log.",
    ),
    click.option(
        "--insecure",
        is_flag=True,
        expose_value=False,
        callback=lambda _, __, on: os.environ.__setitem__("ICEFARM_INSECURE", "1") if on else None,
        help="Send a token without TLS to another host, where others on the network can read it.",
    ),
    click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        default=lambda: default_data_directory(os.environ),
        envvar="ICEFARM_DATA_DIR",
        show_default="$XDG_STATE_HOME/icefarm or ~/.local/state/icefarm",
        help="Data directory of a farm on this host, with the operator's token.",
    ),
    ca_file_option,
    token_file_option,
    click.option(
        "--url",
        envvar="ICEFARM_URL",
        default=DEFAULT_URL,
        show_default=True,
        help="The farm; of several URLs with commas between, the first that answers (ICEFARM_URL).",
    ),
)

_NAME_OPTION = click.option(
    "--name",
    envvar="ICEFARM_NAME",
    show_default="one of its own for each call",
    help="The client's name, to which reservations belong (ICEFARM_NAME).",
)


def connect(access: SignIn) -> Farm:
    """Sign in.  Raises `LinkLost`, with what to do, if no farm answers; `NotAuthorized`, `NameInUse`."""
    from icefarm.client import Farm
    from icefarm.wamp.url import parse_url

    where = access.where
    own = own_farm(access, where)
    signed_in = has_login(access, own)
    own = None if signed_in else own
    url = access.url if own is None else _socket_of(own, where)
    token = None if signed_in else token_for(access, own) or ""
    _reach(access.url, where if own is None else parse_url(url), access.data_dir)
    log_quietly()
    try:
        return Farm(
            url,
            access.name,
            token=token,
            role=access.role,
            connect_timeout=SIGN_IN_LIMIT,
            ca_file=where.ca_file,
        )
    except (Untrusted, WrongProtocol):
        raise
    except LinkLost as error:
        raise _nobody(access.url, error.fields.get("reason"), access.data_dir) from None


def has_login(access: SignIn, own: RunningFarm | None) -> bool:
    """Tell whether to use a sign-in by ``icefarm login``.

    An explicit token takes precedence, and for an operator's verbs the token of this host's own farm.
    """
    from icefarm.oidc.stored_login import stored_login

    if access.token is not None or access.trusted or (access.role is Role.OPERATOR and own is not None):
        return False
    return stored_login(access.url, os.environ) is not None


@functools.cache
def log_quietly() -> None:
    """Send Twisted's own log where the client's log goes; otherwise Twisted would print tracebacks."""
    from twisted.logger import ILogObserver, STDLibLogObserver, globalLogBeginner

    observer = cast(ILogObserver, STDLibLogObserver("icefarm.twisted"))
    globalLogBeginner.beginLoggingTo([observer], discardBuffer=True, redirectStandardIO=False)


def own_farm(access: SignIn, where: RouterUrl) -> RunningFarm | None:
    """Return the farm of the data directory, if it runs and is the one that the URL names, and no token was given.

    It is reached through a socket in a directory that only its owner can write to, so that nothing else on this host
    can pass for it.
    """
    from icefarm.wamp.url import parse_url

    if access.data_dir is None or access.token is not None:
        return None
    farm = DataDirectory(access.data_dir).running_farm()
    if farm is None or not _is_here(where):
        return None
    # Behind a proxy, those of other routers are the proxy's.
    routers = [parse_url(farm.url), *filter(_is_here, map(parse_url, farm.sockets))]
    return farm if where.port in [router.port for router in routers] else None


def _is_here(where: RouterUrl) -> bool:
    from icefarm.wamp.url import is_loopback

    return is_loopback(where.host) or where.host == socket.gethostname()


def _socket_of(own: RunningFarm, where: RouterUrl) -> str:
    """Return the URL of a router's socket: of the router that a URL names, or of another one while that is away."""
    from icefarm.wamp.url import parse_url

    named = [path for url, path in own.sockets.items() if parse_url(url).port == where.port]
    *earlier, last = dict.fromkeys(f"unix:{path}" for path in (*named, *own.sockets.values()))
    return next(filter(_answers, earlier), last)


def _answers(url: str) -> bool:
    from icefarm.wamp.url import parse_url

    try:
        parse_url(url).reach()
    except OSError:
        return False
    return True


def token_for(access: SignIn, own: RunningFarm | None) -> str | None:
    """Return the token to send: the one given, else the operator's if it goes to its own farm and is needed there."""
    if access.token is not None:
        return access.token
    needed = access.role is Role.OPERATOR or access.trusted or (own is not None and own.needs_tokens)
    token, why = None, "no farm of the data directory runs there, and --data-dir does not name one"
    if access.data_dir is not None and needed and (own is not None or access.trusted):
        path = DataDirectory(access.data_dir).operator_token
        try:
            token = path.read_text(encoding="ascii").strip() or None
        except (OSError, UnicodeError) as error:
            why = f"{path}: {getattr(error, 'strerror', None) or 'it holds no token'}"
    if token is None and access.role is Role.OPERATOR:
        raise NotAuthorized(f"that takes an operator's token: set ICEFARM_TOKEN or give --token-file ({why})")
    return token


def _reach(url: str, where: RouterUrl, data_dir: Path | None) -> None:
    """Check that something listens at all: this fails at once, while the client would go on trying."""
    try:
        where.reach()
    except (OSError, UnicodeError, OverflowError) as error:
        raise _nobody(url, getattr(error, "strerror", None) or str(error) or "no answer", data_dir) from None


def _nobody(url: str, reason: object, data_dir: Path | None) -> LinkLost:
    why = f" ({reason})" if reason else ""
    own = None if data_dir is None else DataDirectory(data_dir).running_farm()
    # A farm that was killed is noted at the URL at which nobody answers.
    if own is None or own.url in url.split(","):
        start = "start one with `icefarm up`"
    else:
        start = f"the farm of {data_dir} is at {own.url}"
    return LinkLost(f"no farm answers at {url}{why}; {start}, or choose another with --url or ICEFARM_URL")
