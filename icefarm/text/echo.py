"""Pure: no I/O, no clock.  Errors repeat little of what was asked: enough to find it, never a message's worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from icefarm.errors import IcefarmError

__all__ = ["MOST", "without_echo"]

#: Characters of a request that an error repeats.
MOST = 100
#: Texts of a request that are looked for in its error, and the depth to which they are.
LOOKED_AT, DEEP = 20_000, 8


def without_echo(error: IcefarmError, asked: object) -> IcefarmError:
    """Return an error that repeats at most `MOST` characters of a request, in each of its texts."""
    texts = _long_texts(asked)
    message = _cut(error.message, texts)
    fields = {name: _cut_all(value, texts) for name, value in error.fields.items()}
    if (message, fields) == (error.message, error.fields):
        return error
    return type(error)(message, **fields)


def _long_texts(asked: object) -> list[str]:
    """Return the texts of a request that are long enough to be cut."""
    texts = []
    for text in _texts(asked, DEEP):
        texts.append(text)
        if len(texts) >= LOOKED_AT:
            break
    return texts if sum(map(len, texts)) > MOST else []


def _texts(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping) and depth:
        for key, member in value.items():
            yield from _texts(key, depth - 1)
            yield from _texts(member, depth - 1)
    elif isinstance(value, list | tuple) and depth:
        for member in value:
            yield from _texts(member, depth - 1)
    elif isinstance(value, bytes | int) and not isinstance(value, bool):
        # A long whole number cannot be written out (CVE-2020-10735).
        yield repr(value) if isinstance(value, bytes) or abs(value) < 10**400 else ""


def _cut(text: str, texts: list[str]) -> str:
    """Shorten the part of a text that repeats the request, from its first word to its last."""
    if len(text) <= MOST:
        return text
    spans = [span for each in texts if each for span in _spans(text, each)]
    if not spans:
        return text
    first, last = min(begin for begin, _ in spans), max(end for _, end in spans)
    return text if last - first <= MOST else text[: first + MOST - 1] + "…" + text[last:]


def _spans(text: str, asked: str) -> Iterator[tuple[int, int]]:
    """Find a text of the request, as it is or as Python writes it."""
    # Whatever is longer than the text was shortened already, and may be there in part.
    part = asked[: len(text)]
    for form in {part, repr(part)[1:-1], ascii(part)[1:-1]}:
        begin = text.find(form[: max(MOST, 1)])
        if begin >= 0:
            yield begin, begin + _common(text, begin, form)


def _common(text: str, begin: int, form: str) -> int:
    """Return how many characters of a form a text has from a place on; at least as many as were looked for there."""
    least, most = min(MOST, len(form)), min(len(form), len(text) - begin)
    while least < most:
        middle = (least + most + 1) // 2
        if text[begin + least : begin + middle] == form[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least


def _cut_all(value: Any, texts: list[str]) -> Any:
    if isinstance(value, str):
        return _cut(value, texts)
    if isinstance(value, list | tuple):
        return [_cut_all(each, texts) for each in value]
    if isinstance(value, Mapping):
        return {name: _cut_all(each, texts) for name, each in value.items()}
    return value
