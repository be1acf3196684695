"""The boards of a farm as such, reserved or not: how they deviate.  What the client's three APIs have in common."""

from __future__ import annotations

from typing import Any

from icefarm.client.api.adapters import Asyncio, Blocking, OnReactor, Verb, VerbAdapter
from icefarm.client.session import ClientSession

__all__ = ["AsyncioFarmBoards", "BlockingFarmBoards", "FarmBoards", "OnReactorFarmBoards"]


class FarmBoards(VerbAdapter):
    """All boards of a farm; `farm.boards` is one."""

    _subject: ClientSession

    calibration = Verb(ClientSession.calibration)
    readings = Verb(ClientSession.readings)

    def __init__(self, farm: Any) -> None:
        self._call_as(farm)
        self._subject = farm._subject

    def __repr__(self) -> str:
        return f"<boards of {self._subject.url}>"


class BlockingFarmBoards(FarmBoards, Blocking):
    __doc__ = FarmBoards.__doc__


class AsyncioFarmBoards(FarmBoards, Asyncio):
    __doc__ = FarmBoards.__doc__


class OnReactorFarmBoards(FarmBoards, OnReactor):
    __doc__ = FarmBoards.__doc__
