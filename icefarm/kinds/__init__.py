"""Device kinds: what a board can do for its client, one file each.  Look here to add or change a kind."""

from icefarm.kinds.circuit import Circuit, Packed
from icefarm.kinds.handle import Answer, DeviceHandle, Parameters
from icefarm.kinds.registry import Kind, Kinds, register, reservable

__all__ = ["Answer", "Circuit", "DeviceHandle", "Kind", "Kinds", "Packed", "Parameters", "register", "reservable"]
