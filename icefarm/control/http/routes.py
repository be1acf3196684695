"""Pure: no I/O, no clock.  The paths of the HTTP API, and which endpoint is at each."""

from __future__ import annotations

from collections.abc import Mapping

from icefarm.control.http.endpoints import accounts, archive, boards
from icefarm.control.http.endpoints.endpoint import Endpoint

__all__ = ["BASE", "DESCRIPTION", "ENDPOINTS", "SIGN_IN", "find_endpoint"]

#: Where the API is; each endpoint but the description is at its path without this as well, as it was in icefarm 0.1.x.
BASE = "/api"
#: The path of the description, under `BASE`.
DESCRIPTION = "/openapi.json"
#: The path that says how to sign in, under `BASE`.
SIGN_IN = "/sign-in"

_ALL = (*boards.ENDPOINTS, *archive.ENDPOINTS, *accounts.ENDPOINTS)
#: By path under `BASE`.
ENDPOINTS: Mapping[str, Endpoint] = {endpoint.path: endpoint for endpoint in _ALL}
_WITH_PARTS = [endpoint for endpoint in _ALL if endpoint.parameters]


def find_endpoint(path: str) -> tuple[Endpoint, dict[str, str]] | None:
    """Return the endpoint of a path under `BASE`, and the parts of it that the caller chose."""
    fixed = ENDPOINTS.get(path)
    if fixed is not None and not fixed.parameters:
        return fixed, {}
    for endpoint in _WITH_PARTS:
        chosen = endpoint.match(path)
        if chosen is not None:
            return endpoint, chosen
    return None
