"""The verbs ``login`` and ``logout``: a person's sign-in at the lab's own issuer."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icefarm.cli.connect import ca_file_option, log_quietly
from icefarm.errors import IcefarmError, InvalidArgument, LinkLost, NotAuthorized
from icefarm.wamp.url import DEFAULT_URL

if TYPE_CHECKING:
    from icefarm.oidc.stored_login import StoredLogin

__all__ = ["login", "logout"]

_url_argument = click.argument("url", envvar="ICEFARM_URL", default=DEFAULT_URL)


@click.command()
@_url_argument
@ca_file_option
def login(url: str, ca_file: Path | None) -> None:
    """Sign in at the lab's own issuer, for the farm at URL.

    It shows a link to open on any device. The sign-in is stored in ~/.config/icefarm, where only you can read it; from
    then on commands and scripts use it, and refresh it.
    """
    from icefarm.client.api.process_engine import engine
    from icefarm.oidc.stored_login import login_path
    from icefarm.wamp.url import farm_urls, first_in_reach

    log_quietly()
    url = first_in_reach(farm_urls(url))
    path, trusted = login_path(url, os.environ), None if ca_file is None else str(ca_file)
    _sign_in(url, trusted).write(path)
    try:
        account = engine().run(_account_at, engine().reactor, url, trusted, path)
    except IcefarmError:
        path.unlink(missing_ok=True)
        raise
    click.echo(f"signed in at {url} as {account}; kept in {path}")


@click.command()
@_url_argument
@ca_file_option
def logout(url: str, ca_file: Path | None) -> None:
    """Delete the sign-in for the farm at URL, and end it at the issuer."""
    from icefarm.oidc.stored_login import stored_logins

    log_quietly()
    paths = stored_logins(url, os.environ)
    if not paths:
        click.echo(f"you are not signed in at {url}")
        return
    known = [_sign_out(path, ca_file) for path in paths]
    click.echo(f"signed out at {url}" + ("" if all(known) else "; the issuer was not told: end the session there, too"))


def _sign_out(path: Path, ca_file: Path | None) -> bool:
    """Delete a sign-in, and tell whether the issuer has ended it, too."""
    from icefarm.client.api.process_engine import engine
    from icefarm.oidc.device_flow import revoke
    from icefarm.oidc.http import HttpClient
    from icefarm.oidc.stored_login import StoredLogin

    kept = None
    with suppress(NotAuthorized):  # A damaged file is removed all the same.
        kept = StoredLogin.read(path)
    path.unlink()
    if kept is not None:
        web = HttpClient(engine().reactor, None if ca_file is None else str(ca_file))
        with suppress(LinkLost):
            return engine().run(revoke, web, kept)
    return False


def _sign_in(url: str, ca_file: str | None) -> StoredLogin:
    from icefarm.client.api.process_engine import engine
    from icefarm.oidc.device_flow import begin_sign_in, end_sign_in, offer_of
    from icefarm.oidc.http import HttpClient
    from icefarm.wamp.link import INSECURE, check_way
    from icefarm.wamp.url import parse_url

    check_way(parse_url(url), url, os.environ.get(INSECURE))
    running = engine()
    web = HttpClient(running.reactor, ca_file)
    offer = running.run(offer_of, web, _http_address(url))
    begun = running.run(begin_sign_in, web, offer)
    click.echo(f"Open {begun.link} and confirm the code {begun.code}")
    return running.run(end_sign_in, web, running.reactor, begun, url)


def _http_address(url: str) -> str:
    """Return where a farm's HTTP is.  Raises `InvalidArgument` for a Unix socket, which has none."""
    from icefarm.cli.http_way import web_address
    from icefarm.wamp.url import parse_url

    address = web_address(parse_url(url))
    if address is None:
        raise InvalidArgument(f"{url} has no HTTP; name the farm as http://HOST:PORT or https://HOST")
    return address


async def _account_at(reactor: Any, url: str, ca_file: str | None, path: Path) -> str:
    """Sign in at the farm, and return the account there.  Raises what the farm says."""
    from icefarm.client.session import connect
    from icefarm.contract import account_of

    session = connect(reactor, url, f"login-{secrets.token_hex(6)}", ca_file=ca_file, login=path)
    await session.start()
    account = account_of(session.name)
    await session.stop()
    return account
