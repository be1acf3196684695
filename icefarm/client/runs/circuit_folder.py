"""Circuits in a folder, found by their digest."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import define

from icefarm.bitstream import from_file
from icefarm.errors import InvalidArgument, InvalidBitstream

__all__ = ["CircuitFolder"]

#: Files of a folder that are looked at for circuits.
MOST_FILES = 100_000


@define(eq=False)
class CircuitFolder:
    """A folder of .bin and .asc files, under whatever names."""

    path: Path
    _paths: dict[str, Path]

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> CircuitFolder:
        """Look through a folder and those in it.  Raises `InvalidArgument` if it is none, or has too many files."""
        folder, found = Path(path), {}
        if not folder.is_dir():
            raise InvalidArgument(f"{folder} is not a folder of circuits")
        for number, file in enumerate(sorted(folder.rglob("*"))):
            if number >= MOST_FILES:
                raise InvalidArgument(f"{folder} has more than {MOST_FILES:,} files; name the folder of the circuits")
            if file.suffix.lower() in (".bin", ".asc") and file.is_file():
                try:
                    found[from_file(file).sha256] = file
                except InvalidBitstream:
                    continue
        return cls(folder, found)

    def find(self, sha256: str) -> bytes | None:
        """Return a bitstream in its normal form; None if it is not there."""
        file = self._paths.get(sha256)
        return None if file is None else from_file(file).data

    def get(self, sha256: str) -> bytes:
        """Return a bitstream.  Raises `InvalidArgument` if it is not there."""
        data = self.find(sha256)
        if data is None:
            raise InvalidArgument(f"{self.path} has no circuit with the SHA-256 {sha256}")
        return data
