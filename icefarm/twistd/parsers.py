"""Parsers of settings of services and of options of the command line; each raises ValueError or an `IcefarmError`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from icefarm.text.public_url import checked_public_url
from icefarm.wamp.url import parse_url

__all__ = [
    "certificates",
    "choice",
    "directory",
    "existing_file",
    "host_and_port",
    "number",
    "public_url",
    "seconds",
    "span_of_boards",
    "url",
    "whole_number",
]


def url(text: str) -> str:
    """Return the URL of a farm."""
    parse_url(text)
    return text


def public_url(text: str) -> str:
    """Return the URL under which a farm is reached from outside."""
    return checked_public_url(text)


def certificates(text: str) -> str:
    """Return the path of a PEM file."""
    # Imported on demand: it imports OpenSSL.
    from icefarm.wamp.ca_file import check_certificates

    check_certificates(text)
    return text


def directory(text: str) -> Path:
    """Return the path of a directory that exists."""
    if not Path(text).is_dir():
        raise ValueError(f"there is no directory {text!r}")
    return Path(text)


def number(text: str) -> float:
    """Parse a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"must be a number, not {text!r}")
    return value


def seconds(text: str) -> float:
    """Parse a duration: a number of seconds above 0."""
    try:
        value = number(text)
    except ValueError:
        value = 0.0
    if value <= 0:
        raise ValueError(f"must be a number of seconds above 0, not {text!r}")
    return value


def whole_number(text: str) -> int:
    """Parse a whole number that is not negative."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"must be a whole number, 0 or more, not {text!r}")
    return int(text)


def choice(*words: str) -> Callable[[str], str]:
    """Return a parser that takes one of ``words``."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {' or '.join(words)}, not {text!r}")
        return text

    return parse


def existing_file(text: str) -> str:
    """Parse the path of an existing file."""
    if not Path(text).is_file():
        raise ValueError(f"there is no file {text!r}")
    return text


def host_and_port(text: str) -> tuple[str, int]:
    """Parse ``HOST:PORT``, an IPv6 address in brackets, into (host, port); port 0 lets the system choose one."""
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    bare = ":" in host and not text.startswith("[")
    if not colon or not host or bare or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"must be HOST:PORT, not {text!r}")
    return host, int(port)


#: Virtual boards of one process, at most.
MOST_VIRTUAL = 4000


def span_of_boards(text: str) -> tuple[int, int]:
    """Read 4, or 4..64: how many boards at least and at most."""
    least, dots, most = text.partition("..")
    found = whole_number(least), whole_number(most if dots else least)
    if found[0] > found[1] or found[1] > MOST_VIRTUAL:
        raise ValueError(f"must be a number, or two as in 4..64, at most {MOST_VIRTUAL}, not {text!r}")
    return found
