"""A checked bitstream, read from bytes or a file."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import stat
from contextlib import suppress

from attrs import field, frozen

from icefarm.bitstream.asc import looks_like_asc, normal_form_of_asc
from icefarm.bitstream.binary import COMMENT_LIMIT, normal_form, refusal
from icefarm.bitstream.flash import FlashContents, contents_of
from icefarm.bitstream.up5k import EMPTY_COMMENT, PREAMBLE
from icefarm.errors import InvalidBitstream

__all__ = ["Bitstream", "from_bytes", "from_file"]

_SUFFIXES = (".bin", ".asc")
#: Longest file that is read, in bytes: a dump of the largest flash memory beside such an FPGA, 128 Mbit.
FILE_LIMIT = 16 * 1_048_576 + COMMENT_LIMIT
#: Images of one file that are offered by name.
_MOST_OFFERED = 8
_IMAGE = re.compile(r"(.+\.bin)#([0-9]{1,4})", re.IGNORECASE | re.DOTALL)
#: How text begins in other encodings than UTF-8: with a byte order mark, or with a dot of two bytes.
_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8 with a byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16 (little-endian)"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16 (big-endian)"),
    (b".\0", "utf-16-le", "UTF-16 (little-endian, without a byte order mark)"),
    (b"\0.", "utf-16-be", "UTF-16 (big-endian, without a byte order mark)"),
)
#: What Lattice's tools call themselves in the comment.
_TOOL = re.compile(rb"(iCEcube2|Radiant)[ -~]{0,40}")


@frozen
class Bitstream:
    """A checked bitstream for the iCE40UP5K; made by from_bytes and from_file. Equal are those with equal data."""

    #: The normal form: LENGTH (104,090) bytes, or 88,698 without block RAM content, with an empty comment.
    data: bytes = field(repr=False)
    #: Its owner's name for it, such as the file's path.
    name: str | None = field(default=None, eq=False)
    #: A remark about how it was read, as the end of a sentence about "it"; None if there is none.
    note: str | None = field(default=None, eq=False, repr=False)
    #: SHA-256 of ``data``, hexadecimal.
    sha256: str = field(init=False, eq=False)

    @sha256.default
    def _digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def from_bytes(data: bytes, name: str | None = None, image: int | None = None) -> Bitstream:
    """Return the bitstream that ``data``, the content of a .bin or an .asc, holds.

    ``image`` chooses one, from 0, if there are several: in an image of ``icemulti``, or in a dump of a flash memory.
    Raises InvalidBitstream, naming ``name`` and the reason, if there is none, or none was chosen.
    """
    data, encoding = _as_utf8(data)
    if looks_like_asc(data):
        note = None if encoding is None else f"it is text in {encoding}, and is read as such"
        return Bitstream(normal_form_of_asc(data, name), name, note)
    if image is not None:
        return _chosen(contents_of(data), name, image)
    try:
        checked = normal_form(data, name)
    except InvalidBitstream as error:
        return _only_one(contents_of(data), name, error)
    return Bitstream(checked, name, _rearranged(data, checked))


def from_file(path: str | os.PathLike[str]) -> Bitstream:
    """Return the bitstream in the file ``path``, named .bin or .asc, under the path as its name.

    ``FILE.bin#2`` is image 2 of a file that holds several.  Raises InvalidBitstream, naming file and reason, if it
    holds none, is far too large (then it is not read) or can't be read.
    """
    name = os.fspath(path)
    file, image = _split(name)
    suffix = os.path.splitext(file)[1].lower()
    if suffix not in _SUFFIXES:
        raise refusal(name, "its name ends in neither .bin nor .asc; give one of these")
    data = _content(file)
    is_text = looks_like_asc(_as_utf8(data)[0])
    if suffix == ".asc" and not is_text:
        raise refusal(name, "it has no text of Project IceStorm in it; give an .asc of nextpnr-ice40 or iceunpack")
    if suffix == ".bin" and is_text:
        raise refusal(name, "it has the text of an .asc in it; rename it to .asc")
    return from_bytes(data, name, image)


def _split(name: str) -> tuple[str, int | None]:
    """Return the file in ``FILE.bin#2``, and the number of the image."""
    match = _IMAGE.fullmatch(name) if "#" in name else None
    return (name, None) if match is None else (match[1], int(match[2]))


def _as_utf8(data: bytes) -> tuple[bytes, str | None]:
    """Return text of another encoding in UTF-8, without a byte order mark, and what its encoding was; else the data."""
    for mark, codec, encoding in _ENCODINGS:
        if data.startswith(mark):
            with suppress(UnicodeDecodeError):
                text = data.decode(codec).removeprefix("\ufeff").encode("utf-8", "surrogatepass")
                if looks_like_asc(text):
                    return text, encoding
    return data, None


def _rearranged(data: bytes, checked: bytes) -> str | None:
    """Say that the commands had another order, if they had; what follows the comment is compared."""
    if data is checked or data.endswith(checked[len(EMPTY_COMMENT) :]):
        return None
    tool = next((match[0].decode("latin-1") for match in [_TOOL.search(data[: data.find(PREAMBLE)])] if match), None)
    whose = "of another tool" if tool is None else f"of {tool}"
    return f"its commands have the order {whose}; they are sent in that of icepack, which configures the same circuit"


def _only_one(contents: FlashContents, name: str | None, error: InvalidBitstream) -> Bitstream:
    """Return the only bitstream there is, if nothing but padding follows it."""
    if not contents.images:
        raise error
    if len(contents.images) > 1:
        raise refusal(name, f"it holds {len(contents.images)} of them, and a board takes one: {_offer(contents, name)}")
    (image,) = contents.images
    if contents.extra:
        raise refusal(
            name,
            f"{contents.extra:,} extra bytes follow its end; remove them, build it again, or {_offer(contents, name)}",
        )
    if contents.boots:
        note = f"it is an image of icemulti with one circuit, at byte {image.start:,}; that one is taken"
    else:
        note = f"padding follows its end at byte {image.end:,}, as in a dump of a flash memory; it is left out"
    return Bitstream(image.normal_form, name, note)


def _chosen(contents: FlashContents, name: str | None, number: int) -> Bitstream:
    if not contents.images:
        raise refusal(name, "there is no complete bitstream in it; was the right file named?")
    if not 0 <= number < len(contents.images):
        raise refusal(name, f"there is no image {number} in it; {_offer(contents, name)}")
    return Bitstream(contents.images[number].normal_form, name)


def _offer(contents: FlashContents, name: str | None) -> str:
    """Say how to choose each of the bitstreams."""
    where = []
    for number, image in enumerate(contents.images[:_MOST_OFFERED]):
        start = ", which starts at power-on" if number == contents.power_on else ""
        way = f"image={number}" if name is None else f"{_split(name)[0]}#{number}"
        where.append(f"{way} (at byte {image.start:,}{start})")
    more = len(contents.images) - len(where)
    how = "take it with icefarm.bitstream.from_bytes(data, ...), " if name is None else "give "
    return how + ", ".join(where) + (f", and {more} more" if more else "")


def _content(name: str) -> bytes:
    try:
        status = os.stat(name)
        if not stat.S_ISREG(status.st_mode):
            raise _unreadable(name, "it is not a regular file")
        size = status.st_size
        if size > FILE_LIMIT:
            raise refusal(
                name, f"it is too long, {size:,} bytes where at most {FILE_LIMIT:,} make sense; is it the right file?"
            )
        with open(name, "rb", buffering=0) as file:
            # One byte more shows that the file has grown; reading up to the limit would allocate that much each time.
            return file.read(size + 1)
    except FileNotFoundError:
        raise _unreadable(name, "there is no such file") from None
    except OSError as error:
        raise _unreadable(name, error.strerror or str(error)) from None
    except ValueError as error:  # A zero byte in the name.
        raise _unreadable(repr(name), str(error)) from None


def _unreadable(name: str, reason: str) -> InvalidBitstream:
    return InvalidBitstream(f"{name} can't be read: {reason}", file=name, reason=reason)
