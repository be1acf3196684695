"""The server endpoint ``icefarm-turn``, by which a second router waits until the first has ended."""

from icefarm.farm.router.turn import TurnEndpointParser

turn = TurnEndpointParser()
