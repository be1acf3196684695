"""Pulse counting, under the names that existing scripts use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from icefarm.client.lib.BatchClient import BatchClient, Evaluation, Result
from icefarm.client.lib.checks import given, listed

__all__ = ["PulseCountBaseClient", "PulseCountEvaluation"]


class PulseCountEvaluation(Evaluation):
    """A bitstream whose pulses are counted on each of some boards: (serial or serials, path)."""


class PulseCountBaseClient(BatchClient):
    """Counts pulses."""

    def reserve(  # type: ignore[override]
        self,
        amount: Any,
        wait_for_available: bool = False,
        available_timeout: Any = 60,
        kind: str = "pulsecount",
        flush_interval_seconds: Any = None,  # noqa: ARG002
        flush_at_bitstreams_remaining: Any = None,  # noqa: ARG002
    ) -> list[str]:
        """Reserve boards and return their serials, once they are ready.

        With ``wait_for_available`` it waits if too few are free, at most ``available_timeout`` seconds (None: as
        long as it takes).  The two ``flush_`` arguments do nothing: results come as soon as they are measured.

        Raises `Unavailable`, `TimedOut`, and `LinkLost` if control is out of reach; other failures are False, with a
        line in the log.
        """
        return super().reserve(amount, kind, {}, wait_for_available, available_timeout)

    def reserveSpecific(
        self,
        serials: Iterable[str],
        kind: str = "pulsecount",
        flush_interval_seconds: Any = None,  # noqa: ARG002
        flush_at_bitstreams_remaining: Any = None,  # noqa: ARG002
    ) -> list[str]:
        """Reserve the boards with these serials, all or none; False, with a line in the log, if that failed."""
        return super().reserveSpecific(serials, kind, {})

    def evaluateBitstreams(self, bitstreams: Iterable[Any], serials: Iterable[str] | None = None) -> Iterator[Result]:
        """Count the pulses of each bitstream on each board (of ``serials``, if given).

        Yields (serial, path, pulses) as results arrive; a failure has the value `EvaluationFailed`.
        """
        chosen = listed(serials or ()) or self.getSerials()
        if not chosen:
            return iter(())
        evaluations = (PulseCountEvaluation(chosen, bitstream) for bitstream in given("bitstreams", bitstreams))
        return self._results(evaluations, None, lambda evaluation: evaluation.filepath)
