# ruff: noqa: N999
"""The client for pulse counting on several pins that existing scripts import."""

from __future__ import annotations

from logging import Logger, LoggerAdapter
from typing import Any

from icefarm.client.lib.multipulsecount import MultiPulseCountBaseClient
from icefarm.client.lib.utils import LoggerEventHandler

__all__ = ["MultiPulseCountClient"]


class MultiPulseCountClient(MultiPulseCountBaseClient):
    """Counts pulses on several pins at once; ``log_events`` writes each event that the farm sends to the logger."""

    def __init__(
        self, url: str, client_name: str, logger: Logger | LoggerAdapter[Any], log_events: bool = False
    ) -> None:
        """Sign in.  Raises `LinkLost` if no farm answers, `NotAuthorized`, `NameInUse`."""
        super().__init__(url, client_name, logger)
        if log_events:
            self.addEventHandler(LoggerEventHandler(self.server, logger))
