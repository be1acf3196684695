"""Device kinds: what a board can be for its client.  Each kind is one file; see `icefarm.kinds.registry`."""

from icefarm.kinds.circuit import Circuit, Packed
from icefarm.kinds.handle import Answer, DeviceHandle, Parameters
from icefarm.kinds.registry import Kind, Kinds, register, reservable

__all__ = ["Answer", "Circuit", "DeviceHandle", "Kind", "Kinds", "Packed", "Parameters", "register", "reservable"]
