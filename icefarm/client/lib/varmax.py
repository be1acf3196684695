"""Variation of the analog output, under the names that existing scripts use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from logging import Logger, LoggerAdapter
from typing import Any

from icefarm.client.lib.BatchClient import BatchClient, Evaluation, Result
from icefarm.client.lib.checks import given, listed

__all__ = ["VarMaxBaseClient", "VarMaxEvaluation"]


class VarMaxEvaluation(Evaluation):
    """A bitstream whose output is sampled on each of some boards: (serial or serials, path)."""


class VarMaxBaseClient(BatchClient):
    """Measures how much neighbouring samples differ: a float; with ``send_waveform``, (float, list of samples)."""

    def __init__(
        self, url: str, client_name: str, logger: Logger | LoggerAdapter[Any], send_waveform: bool = False
    ) -> None:
        self.send_waveform = send_waveform
        super().__init__(url, client_name, logger)

    def reserve(  # type: ignore[override]
        self,
        amount: Any,
        wait_for_available: bool = False,
        available_timeout: Any = 60,
        kind: str = "variance",
        send_waveform: bool | None = None,
        flush_interval_seconds: Any = None,  # noqa: ARG002
        flush_at_bitstreams_remaining: Any = None,  # noqa: ARG002
    ) -> list[str]:
        """Reserve boards and return their serials, once they are ready; otherwise like `PulseCountBaseClient`.

        ``send_waveform`` defaults to the client's.
        """
        options = self._options(send_waveform)
        return super().reserve(amount, kind, options, wait_for_available, available_timeout)

    def reserveSpecific(  # type: ignore[override]
        self,
        serials: Iterable[str],
        kind: str = "variance",
        send_waveform: bool | None = None,
        flush_interval_seconds: Any = None,  # noqa: ARG002
        flush_at_bitstreams_remaining: Any = None,  # noqa: ARG002
    ) -> list[str]:
        """Reserve the boards with these serials, all or none; False, with a line in the log, if that failed."""
        return super().reserveSpecific(serials, kind, self._options(send_waveform))

    def evaluateBitstreams(self, bitstreams: Iterable[Any], serials: Iterable[str] | None = None) -> Iterator[Result]:
        """Sample the output of each bitstream on each board (of ``serials``, if given).

        Yields (serial, path, value) as results arrive; a failure has the value `EvaluationFailed`.
        """
        chosen = listed(serials or ()) or self.getSerials()
        if not chosen:
            return iter(())
        evaluations = (VarMaxEvaluation(chosen, bitstream) for bitstream in given("bitstreams", bitstreams))
        return self._results(evaluations, None, lambda evaluation: evaluation.filepath)

    def _options(self, send_waveform: bool | None) -> dict[str, Any]:
        return {"waveform": bool(self.send_waveform if send_waveform is None else send_waveform)}

    def _value(self, value: Any) -> Any:
        return (value[0], value[1]) if isinstance(value, list) else value
