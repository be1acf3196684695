"""Names that existing scripts import."""

from icefarm.utils.utils import batch, generate_circuit

__all__ = ["batch", "generate_circuit"]
