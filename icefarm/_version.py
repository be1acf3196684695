"""The version of icefarm, read by the build and by everything that reports it."""

__all__ = ["__version__"]

__version__ = "1.0.0"
