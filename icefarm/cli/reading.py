"""What a verb that only reads asks a farm: quickly over HTTP, or else as a client does.

Twisted and Autobahn take five times as long to import as the farm takes to answer, so these verbs ask the HTTP API.
That is only the quick way: it answers, or nothing has happened, and then the verb signs in as a client, whose errors
say what is wrong.  So every error is the same for all verbs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from attrs import frozen

from icefarm.cli.connect import Access
from icefarm.cli.http_way import HttpWay
from icefarm.cli.verb import farm_of
from icefarm.contract import to_wire

if TYPE_CHECKING:
    from icefarm.client import Farm

__all__ = ["Reader"]

Answer = dict[str, Any]


@frozen
class Reader:
    """Asks one farm.  Raises what `icefarm.cli.connect.connect` does, and what the procedures of control do."""

    access: Access

    def snapshot(self) -> Answer:
        """Return all records of the farm, as on the wire."""
        return self._read("/snapshot", {}, lambda farm: to_wire(farm.snapshot()))

    def board_history(self, serial: str) -> Answer:
        """Return a board's last day."""
        return self._read("/history", {"serial": serial}, lambda farm: farm.board_history(serial))

    def journal(self) -> Answer:
        """Return the farm's last events."""
        return self._read("/journal", {}, lambda farm: farm.journal())

    def _read(self, path: str, query: dict[str, str], ask: Callable[[Farm], Answer]) -> Answer:
        # Tests sign in by a way of their own.
        way = HttpWay.of(self.access) if click.get_current_context().obj is None else None
        answer = None if way is None else way.get(path, query)
        if answer is not None and answer.status == 200 and isinstance(answer.value, dict):
            return answer.value
        with farm_of(self.access) as farm:
            return ask(farm)
