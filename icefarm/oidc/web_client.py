"""Pure: no I/O, no clock.  What is needed of a web client; `icefarm.oidc.http.HttpClient` is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from attrs import frozen

__all__ = ["JsonAnswer", "WebClient"]


@frozen
class JsonAnswer:
    """An answer: its code, and the JSON object in it (empty if there is none)."""

    code: int
    value: Mapping[str, Any]


class WebClient(Protocol):
    """Makes requests; each raises `LinkLost` if there is no answer."""

    async def get(self, url: str) -> JsonAnswer:
        """Get a page."""

    async def post(self, url: str, fields: Mapping[str, str]) -> JsonAnswer:
        """Send a form."""
