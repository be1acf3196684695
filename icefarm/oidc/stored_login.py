"""A person's sign-in at a lab's issuer, as kept by ``icefarm login``: one file a farm, readable by its owner only."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from attrs import asdict, field, frozen

from icefarm.errors import NotAuthorized
from icefarm.oidc.jwt_text import lifetime_of
from icefarm.system.files import write_whole
from icefarm.text.outside_json import parse_json
from icefarm.wamp.url import farm_urls, parse_url

__all__ = ["StoredLogin", "login_path", "stored_login", "stored_logins"]

#: Seconds before its end at which a token is refreshed, and the part of its life that this is at most.
MARGIN, PART = 120.0, 0.4


@frozen
class StoredLogin:
    """What was issued at a sign-in."""

    #: The farm.
    url: str
    issuer: str
    client: str
    token_endpoint: str
    id_token: str = field(repr=False)
    #: When it was issued, by this host's clock, in seconds since the epoch.
    issued_at: float
    refresh_token: str | None = field(default=None, repr=False)
    revocation_endpoint: str | None = None

    def is_due(self, now: float) -> bool:
        """Tell whether the token is near its end."""
        lifetime = lifetime_of(self.id_token)
        return now >= self.issued_at + lifetime - min(MARGIN, PART * lifetime)

    def write(self, path: Path) -> None:
        """Keep it for its owner's eyes only.  Raises OSError."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(self), indent=2) + "\n", mode=0o600)

    @classmethod
    def read(cls, path: Path) -> StoredLogin:
        """Read it.  Raises `NotAuthorized` if there is none."""
        try:
            return cls(**parse_json(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise NotAuthorized("you have signed out; sign in with: icefarm login") from None
        except (OSError, ValueError, TypeError) as error:
            why = getattr(error, "strerror", None) or "it is damaged"
            raise NotAuthorized(f"{path} cannot be read: {why}; sign in with: icefarm login") from None


def login_path(url: str, environment: Mapping[str, str]) -> Path:
    """Return where the sign-in at a farm is kept.  Raises `InvalidArgument` for a URL that is none."""
    base = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME") or "~").expanduser() / ".config")
    where = parse_url(url)
    name = f"{where.host}-{where.port}" if where.host else where.path
    return Path(base, "icefarm", "logins", re.sub(r"[^A-Za-z0-9.-]", "_", name) + ".json")


def stored_logins(url: str, environment: Mapping[str, str]) -> list[Path]:
    """Return the files of the sign-ins at a farm: of several URLs, of each that has one."""
    paths = dict.fromkeys(login_path(each, environment) for each in farm_urls(url))
    return [path for path in paths if path.is_file()]


def stored_login(url: str, environment: Mapping[str, str]) -> Path | None:
    """Return the file of the sign-in at a farm, if there is one; of several URLs, of the latest sign-in or refresh."""
    return max(stored_logins(url, environment), key=lambda path: path.stat().st_mtime_ns, default=None)
