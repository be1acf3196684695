# ruff: noqa: N999
"""The client for the variation of the analog output that existing scripts import."""

from __future__ import annotations

from logging import Logger, LoggerAdapter
from typing import Any

from icefarm.client.lib.utils import LoggerEventHandler
from icefarm.client.lib.varmax import VarMaxBaseClient

__all__ = ["VarMaxClient"]


class VarMaxClient(VarMaxBaseClient):
    """Measures how much the analog output varies; ``send_waveform`` makes values (fitness, samples)."""

    def __init__(
        self,
        url: str,
        client_name: str,
        logger: Logger | LoggerAdapter[Any],
        log_events: bool = False,
        send_waveform: bool = False,
    ) -> None:
        """Sign in.  Raises `LinkLost` if no farm answers, `NotAuthorized`, `NameInUse`."""
        super().__init__(url, client_name, logger, send_waveform)
        if log_events:
            self.addEventHandler(LoggerEventHandler(self.server, logger))
