"""The client: reserve boards, stream bitstreams through them, get every measurement back.  Look here for public names.

`Farm` is the blocking API, `icefarm.client.aio.Farm` the one for asyncio, `icefarm.client.deferred.Farm` the one for
Twisted; existing scripts find the names that they import in `icefarm.client.drivers` and `icefarm.client.lib`.
"""

from importlib import import_module
from typing import Any

from icefarm.client.api.notebook.tables import results_table
from icefarm.client.blocking import Boards, Farm
from icefarm.client.connection.events import ClientEvent
from icefarm.client.evaluation.results import Result
from icefarm.client.session import Snapshot
from icefarm.contract import Measurement

__all__ = ["Boards", "ClientEvent", "Farm", "Measurement", "Result", "Snapshot", "results_table"]


def __getattr__(name: str) -> Any:
    """Import the packages that existing scripts use as attributes: `icefarm.client.drivers`, `icefarm.client.lib`."""
    if name in ("drivers", "lib"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
