"""Which farm, under which name, with which token: arguments first, then the environment."""

from __future__ import annotations

import getpass
import logging
import os
import socket
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from uuid import uuid4

from attrs import field, frozen

from icefarm.contract import NAME_RULE, Role, normal_name, valid_name
from icefarm.errors import InvalidArgument
from icefarm.oidc.stored_login import stored_login
from icefarm.text.legacy_names import CLIENT_NAMES, translate_legacy_env
from icefarm.wamp.url import DEFAULT_URL, farm_urls, parse_url

__all__ = ["ClientSettings"]


@cache
def _say_once(note: str) -> None:
    logging.getLogger("icefarm.client.connection.settings").warning("%s", note)


def _own_name() -> str:
    """Return a unique name that shows whose script it is."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    name = f"{user}@{socket.gethostname()}-{uuid4().hex[:6]}"
    return name if valid_name(name) else f"client-{uuid4().hex[:12]}"


@frozen
class ClientSettings:
    """How to sign in."""

    #: One, or several with commas between.
    url: str
    name: str
    role: Role
    token: str = field(repr=False)
    #: PEM file with the certificates to trust; None: those that the system trusts.
    ca_file: str | None = None
    #: The file of a sign-in at the lab's issuer (``icefarm login``), if there is no other token.
    login: Path | None = None
    #: Under which the farm keeps the measurements; None: it makes a name.
    experiment: str | None = None

    @classmethod
    def of(
        cls,
        url: str | None = None,
        name: str | None = None,
        token: str | None = None,
        role: str = Role.CLIENT,
        ca_file: str | None = None,
        environment: Mapping[str, str] | None = None,
        experiment: str | None = None,
    ) -> ClientSettings:
        """Fill in what is None from the environment, and check it all.

        The variables are ICEFARM_URL, ICEFARM_NAME, ICEFARM_TOKEN, ICEFARM_CA_FILE and ICEFARM_EXPERIMENT.  Without a
        token, a sign-in at that farm by ``icefarm login`` is used.

        Raises `InvalidArgument`.
        """
        there, notes = translate_legacy_env(os.environ if environment is None else environment, CLIENT_NAMES)
        for note in notes:
            _say_once(note)
        url = url or there.get("ICEFARM_URL") or DEFAULT_URL
        ca_file = ca_file or there.get("ICEFARM_CA_FILE") or None
        for each in farm_urls(url):
            parse_url(each, ca_file)
        name = (there.get("ICEFARM_NAME") or _own_name()) if name is None else name
        name = normal_name(name)
        if not valid_name(name):
            raise InvalidArgument(f"{name!r} is not a valid name: {NAME_RULE}")
        if role not in (Role.CLIENT, Role.OPERATOR):
            raise InvalidArgument(f"role must be client or operator, not {role!r}")
        token = there.get("ICEFARM_TOKEN") or None if token is None else token
        login = None if token is not None else stored_login(url, os.environ if environment is None else environment)
        experiment = experiment or there.get("ICEFARM_EXPERIMENT") or None
        if experiment is not None and not valid_name(experiment := normal_name(experiment)):
            raise InvalidArgument(f"experiment {experiment!r} is not a valid name: {NAME_RULE}")
        return cls(url, name, Role(role), token or "", ca_file, login, experiment)
