"""The clients that existing scripts import."""

from __future__ import annotations

from logging import Logger, LoggerAdapter
from typing import Any

from icefarm.client.holdings import ClientEvent
from icefarm.client.lib.BatchClient import EvaluationFailed
from icefarm.client.lib.pulsecount import PulseCountBaseClient, PulseCountEvaluation
from icefarm.client.lib.varmax import VarMaxBaseClient, VarMaxEvaluation

__all__ = ["EvaluationFailed", "PulseCountClient", "PulseCountEvaluation", "VarMaxClient", "VarMaxEvaluation"]


class PulseCountClient(PulseCountBaseClient):
    """Counts pulses; ``log_events`` writes each event that the farm sends to the logger."""

    def __init__(
        self, url: str, client_name: str, logger: Logger | LoggerAdapter[Any], log_events: bool = False
    ) -> None:
        """Sign in.  Raises `LinkLost` where no farm answers, `NotAuthorized`, `NameInUse`."""
        self._log_events = log_events
        super().__init__(url, client_name, logger)

    def _heard(self, event: ClientEvent) -> None:
        super()._heard(event)
        if self._log_events:
            self.logger.info("event %s of board %s: %s", event.name, event.serial, event.reason)


class VarMaxClient(VarMaxBaseClient):
    """Measures how much the analog output moves; ``send_waveform`` makes values (fitness, samples)."""

    def __init__(
        self,
        url: str,
        client_name: str,
        logger: Logger | LoggerAdapter[Any],
        log_events: bool = False,
        send_waveform: bool = False,
    ) -> None:
        """Sign in.  Raises `LinkLost` where no farm answers, `NotAuthorized`, `NameInUse`."""
        self._log_events = log_events
        super().__init__(url, client_name, logger, send_waveform)

    def _heard(self, event: ClientEvent) -> None:
        super()._heard(event)
        if self._log_events:
            self.logger.info("event %s of board %s: %s", event.name, event.serial, event.reason)
