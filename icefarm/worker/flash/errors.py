"""Why an image did not get onto a board."""

from __future__ import annotations

__all__ = ["FlashFailed"]


class FlashFailed(Exception):
    """An image could not be written to a board."""
