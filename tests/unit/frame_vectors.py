"""The examples of the board protocol that the C core's tests read as well."""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["unhex", "vector", "vectors"]

VECTORS = Path(__file__).parents[2] / "firmware" / "tests" / "vectors" / "frames.txt"


def unhex(text: str) -> bytes:
    """Return the bytes of a field."""
    return b"" if text == "-" else bytes.fromhex(text)


def vectors(kind: str) -> list[object]:
    """Return the fields after the name of each line of a kind, with the name as the test's id."""
    lines = [line.split() for line in VECTORS.read_text().splitlines()]
    return [pytest.param(*fields[2:], id=fields[1]) for fields in lines if fields and fields[0] == kind]


def vector(name: str) -> bytes:
    """Return the frame with that name."""
    for line in VECTORS.read_text().splitlines():
        if line.startswith(f"frame {name} "):
            return unhex(line.split()[-1])
    raise AssertionError(f"no vector {name}")
