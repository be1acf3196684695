"""What a virtual FPGA can do with a bitstream."""

from __future__ import annotations

__all__ = ["MODELS"]

#: Run it, invent a frequency for it, or invent one where it can't be run. The first is the default.
MODELS = ("simulated", "landscape", "simulated,landscape")
