"""Which suite of the Makefile a test belongs to: by its directory, and by its mark."""

from __future__ import annotations

from collections.abc import Set

__all__ = ["MARKS", "THOROUGH", "WITH_PROCESSES", "misplaced"]

#: The mark of the tests of a directory; make runs directories (collecting all tests takes 20 s).
MARKS = {
    "acceptance": "integration",
    "attacks": "integration",
    "browser": "browser",
    "faults": "faults",
    "fuzz": None,
    "integration": "integration",
    "unit": None,
}
#: Marks of tests with real parts.
REAL_PARTS = frozenset(filter(None, MARKS.values()))
#: `make nightly` chooses its tests by this one, in all directories.
NIGHTLY = "nightly"
#: Marks of tests that start processes.
WITH_PROCESSES = REAL_PARTS | {NIGHTLY}
#: `make check` passes over these, among the tests without real parts.
THOROUGH = "thorough"


def misplaced(directory: str, marks: Set[str]) -> str | None:
    """Say what is wrong with a test of a directory that has these marks; None if a suite runs it."""
    if directory not in MARKS:
        return f"is in tests/{directory}, which no suite of the Makefile runs; enter it there, and in tests/marks.py"
    needed, found = MARKS[directory], marks & REAL_PARTS
    if NIGHTLY in marks or (needed in found if needed else not found):
        return None
    return f"is marked {', '.join(sorted(found)) or 'not at all'}; tests/{directory} has {needed or 'no mark'}"
