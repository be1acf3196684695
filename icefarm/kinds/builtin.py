"""The device kinds that icefarm comes with."""

from __future__ import annotations

from icefarm.kinds.multipulsecount import MultiPulseCount
from icefarm.kinds.pulsecount import PulseCount
from icefarm.kinds.variance import Variance

__all__ = ["BUILTIN"]

BUILTIN = (PulseCount, MultiPulseCount, Variance)
