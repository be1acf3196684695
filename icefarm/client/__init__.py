"""The client: reserve boards of a farm, stream bitstreams through them, get every measurement back.

`Farm` is the blocking face, `icefarm.client.aio.Farm` the one for asyncio, `icefarm.client.session.ClientSession` the
one for Twisted; existing scripts find the names that they import in `icefarm.client.drivers` and `icefarm.client.lib`.
"""

from icefarm.client.blocking import Boards, Farm
from icefarm.client.holdings import ClientEvent
from icefarm.client.results import Result
from icefarm.client.session import Snapshot
from icefarm.contract import Measurement

__all__ = ["Boards", "ClientEvent", "Farm", "Measurement", "Result", "Snapshot"]
