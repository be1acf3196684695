"""Pure: no I/O, no clock.  The outcome of an evaluation, as the caller gets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from attrs import frozen

from icefarm.client.api.notebook.shown import circuit_name, html_table, short_repr
from icefarm.contract import Measurement
from icefarm.errors import IcefarmError

if TYPE_CHECKING:
    # Most results are never corrected.
    from icefarm.calibration.correcting import Correction
    from icefarm.calibration.records import Calibration, Corrected

__all__ = ["Result"]

T = TypeVar("T")


@frozen(repr=False)
class Result:
    """The outcome of one item on one board: a measurement or an error.

    Errors of single items are results, so that the rest of a run goes on; reading `value` or `measurement` of such a
    result raises its error.
    """

    #: The same object that was passed in: a path, bytes, ...
    source: Any
    #: The board; None if none was involved (a file that is not a bitstream).
    serial: str | None
    _measurement: Measurement | None = attrs.field(default=None, repr=False)
    error: IcefarmError | None = None
    #: How the board was chosen: ``placement`` by name, ``seed``, ..., and ``index``, the item's position in the run.
    placement: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    #: With ``resume``: the farm's archive had it, and no board measured it now.
    archived: bool = False
    #: The calibrations that this client knows, by their ids.
    _calibrations: Mapping[str, Calibration] = attrs.field(factory=dict, repr=False, eq=False)

    def __repr__(self) -> str:
        outcome = f"error={self.error!r:.200}" if self.error is not None else f"value={short_repr(self.value)}"
        archived = ", archived" if self.archived else ""
        return f"Result({circuit_name(self.source)}, serial={self.serial!r}, {outcome}{archived})"

    def _repr_html_(self) -> str:
        outcome = self.value if self.error is None else f"{self.error.name}: {self.error}"
        head = "value" if self.error is None else "error"
        return html_table(("circuit", "board", head), [(circuit_name(self.source), self.serial, outcome)])

    @property
    def ok(self) -> bool:
        """Whether there is a measurement."""
        return self.error is None

    @property
    def measurement(self) -> Measurement:
        """The measurement, with its provenance.  Raises `error` if there is one."""
        if self.error is not None:
            raise self.error
        assert self._measurement is not None
        return self._measurement

    @property
    def value(self) -> Any:
        """The measured value: for pulsecount the number of pulses, or a list of them with ``repeats`` above 1.

        Raises `error` if there is one.
        """
        return self.measurement.value

    @property
    def corrected(self) -> Corrected | None:
        """The value as a board without any deviation would have measured it, with its standard uncertainty.

        It is corrected by the board's calibration (docs/calibration.md), which is that of the FPGA's own oscillator;
        of several windows it is the mean.  None where that cannot be done: `why_not_corrected` says why.
        Raises `error` if there is one.
        """
        return self._correction().corrected

    @property
    def why_not_corrected(self) -> str | None:
        """Why there is no corrected value; None if there is one.  Raises `error` if there is one."""
        return self._correction().why_not

    def _correction(self) -> Correction:
        from icefarm.calibration.correcting import correction

        measured = self.measurement
        return correction(measured, self._calibrations.get(measured.calibration or ""))
