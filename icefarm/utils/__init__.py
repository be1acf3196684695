"""Names that existing scripts import.  Look here for ``batch`` and ``generate_circuit``."""

from icefarm.utils.utils import batch, generate_circuit

__all__ = ["batch", "generate_circuit"]
