"""icefarm: reserve FPGA boards of a shared farm, stream bitstreams through them, get every measurement back."""

from icefarm._version import __version__

__all__ = ["__version__"]
