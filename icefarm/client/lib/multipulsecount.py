"""Pulse counting on several pins, under the names that existing scripts use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from icefarm.client.lib.pulsecount import PulseCountBaseClient, PulseCountEvaluation

__all__ = ["MultiPulseCountBaseClient", "PulseCountEvaluation"]


class MultiPulseCountBaseClient(PulseCountBaseClient):
    """Counts pulses on the FPGA's pins 9, 11, 25 and 27 at once; a value is a tuple of four numbers, in this order."""

    def reserve(  # type: ignore[override]
        self,
        amount: Any,
        wait_for_available: bool = False,
        available_timeout: Any = 60,
        kind: str = "multipulsecount",
        flush_interval_seconds: Any = None,
        flush_at_bitstreams_remaining: Any = None,
    ) -> list[str]:
        """Reserve boards and return their serials, once they are ready; otherwise as `PulseCountBaseClient`."""
        return super().reserve(
            amount, wait_for_available, available_timeout, kind, flush_interval_seconds, flush_at_bitstreams_remaining
        )

    def reserveSpecific(
        self,
        serials: Iterable[str],
        kind: str = "multipulsecount",
        flush_interval_seconds: Any = None,
        flush_at_bitstreams_remaining: Any = None,
    ) -> list[str]:
        """Reserve the boards with these serials, all or none; False, with a line in the log, if that failed."""
        return super().reserveSpecific(serials, kind, flush_interval_seconds, flush_at_bitstreams_remaining)

    def _value(self, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value
