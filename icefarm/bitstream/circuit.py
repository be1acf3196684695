"""A checked bitstream, read from bytes or a file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from attrs import field, frozen

from icefarm.bitstream.asc import ASC_LIMIT, looks_like_asc, normal_form_of_asc
from icefarm.bitstream.binary import normal_form, refusal
from icefarm.errors import InvalidBitstream

__all__ = ["Bitstream", "from_bytes", "from_file"]

_SUFFIXES = (".bin", ".asc")


@frozen
class Bitstream:
    """A checked bitstream for the iCE40UP5K; made by from_bytes and from_file. Equal are those with equal data."""

    #: The normal form: LENGTH (104,090) bytes, or 88,698 without block RAM content, with an empty comment.
    data: bytes = field(repr=False)
    #: Its owner's name for it, such as the file's path.
    name: str | None = field(default=None, eq=False)
    #: SHA-256 of ``data``, hexadecimal.
    sha256: str = field(init=False, eq=False)

    @sha256.default
    def _digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def from_bytes(data: bytes, name: str | None = None) -> Bitstream:
    """Return the bitstream that ``data``, the content of a .bin or an .asc, holds.

    Raises InvalidBitstream, naming ``name`` and the reason, when it holds none.
    """
    if looks_like_asc(data):
        return Bitstream(normal_form_of_asc(data, name), name)
    return Bitstream(normal_form(data, name), name)


def from_file(path: str | os.PathLike[str]) -> Bitstream:
    """Return the bitstream in the file ``path``, named .bin or .asc, under the path as its name.

    Raises InvalidBitstream, naming file and reason, if it holds none, is far too large (then it is not read) or can't
    be read.
    """
    name = os.fspath(path)
    suffix = Path(name).suffix.lower()
    if suffix not in _SUFFIXES:
        raise refusal(name, "its name ends in neither .bin nor .asc; give one of these")
    data = _content(name)
    if suffix == ".asc" and not looks_like_asc(data):
        raise refusal(name, "it has no text of Project IceStorm in it; give an .asc of nextpnr-ice40 or iceunpack")
    if suffix == ".bin" and looks_like_asc(data):
        raise refusal(name, "it has the text of an .asc in it; rename it to .asc")
    return from_bytes(data, name)


def _content(name: str) -> bytes:
    path = Path(name)
    try:
        if not path.is_file():
            raise _unreadable(name, "there is no such file" if not path.exists() else "it is not a regular file")
        size = path.stat().st_size
        if size > ASC_LIMIT:
            raise refusal(
                name, f"it is too long, {size:,} bytes where at most {ASC_LIMIT:,} make sense; is it the right file?"
            )
        with path.open("rb") as file:
            # One byte more shows that the file has grown; reading up to the limit would allocate that much each time.
            return file.read(size + 1)
    except OSError as error:
        raise _unreadable(name, error.strerror or str(error)) from None
    except ValueError as error:  # A zero byte in the name.
        raise _unreadable(repr(name), str(error)) from None


def _unreadable(name: str, reason: str) -> InvalidBitstream:
    return InvalidBitstream(f"{name} can't be read: {reason}", file=name, reason=reason)
