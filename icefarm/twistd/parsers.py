"""Parsers of settings that several services have; each raises ValueError or an `IcefarmError`."""

from __future__ import annotations

from pathlib import Path

from icefarm.wamp.tls import certificates_in
from icefarm.wamp.url import parse_url

__all__ = ["certificates", "directory", "url"]


def url(text: str) -> str:
    """Return the URL of a farm."""
    parse_url(text)
    return text


def certificates(text: str) -> str:
    """Return the path of a PEM file."""
    certificates_in(text)
    return text


def directory(text: str) -> Path:
    """Return the path of a directory that exists."""
    if not Path(text).is_dir():
        raise ValueError(f"there is no directory {text!r}")
    return Path(text)
