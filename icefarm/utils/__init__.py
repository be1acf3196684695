"""What existing scripts import from here."""

from icefarm.utils.utils import batch, generate_circuit

__all__ = ["batch", "generate_circuit"]
