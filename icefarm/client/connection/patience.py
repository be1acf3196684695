"""How long a client keeps trying."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Patience"]


@frozen
class Patience:
    """How long to keep trying when the farm is out of reach, in seconds."""

    #: For the first sign-in.
    connect: float = 5.0
    #: For a call whose link, worker or control is away; the running time of the call does not count.
    retry: float = 120.0
    #: For an evaluation on a board whose worker is away; None: as long as the board is reserved.
    board: float | None = None
