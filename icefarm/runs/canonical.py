"""Pure: no I/O, no clock.  Values as text of one form (RFC 8785, JSON Canonicalization Scheme), and its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from json.encoder import encode_basestring
from math import isfinite
from typing import Any

import rfc8785

__all__ = ["canonical", "canonical_text", "canonical_texts", "digest", "moment", "moments", "seconds_of"]

#: The largest whole number that every reader of JSON takes exactly.
_LARGEST = 2**53 - 1
#: The least number that is written with an exponent.
_WITH_EXPONENT = 1e21
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_START = _EPOCH.replace(tzinfo=None)
#: In microseconds.
_SECOND = 1_000_000
_FORM = "%Y-%m-%dT%H:%M:%S.%fZ"


def canonical(value: Any) -> bytes:
    """Return a value of JSON in its canonical form.

    A whole number beyond 2**53 - 1, which other readers would round, is text; so is a number that is not finite.  What
    is read back from it has the same form again.
    """
    # Nearly all is of the kind that the standard library writes in this form, ten times as fast.
    return _ENCODE(value).encode("ascii") if _is_plain(value) else rfc8785.dumps(_tamed(value))


def canonical_text(value: Any) -> str:
    """Return the same as text: what texts and numbers, of which nearly all fields are, need is done here at once."""
    kind = value.__class__
    if kind is str and value.isascii():
        return str(encode_basestring(value))
    if value is None:
        return "null"
    if kind is int and -_LARGEST <= value <= _LARGEST:
        return str(value)
    if kind is float and _LEAST <= value < _MOST and not value.is_integer():
        return repr(value)
    return canonical(value).decode()


def canonical_texts(values: Sequence[Any]) -> Iterable[str]:
    """Return `canonical_text` of each value; what all of them have in common is looked at once."""
    types = set(map(type, values))
    if types == {str}:
        text = "".join(values)
        # The encoder adds two quotes, and a sign to what it writes in another way.
        if text.isascii() and len(encode_basestring(text)) == len(text) + 2:
            return [f'"{value}"' for value in values]
    elif types == {int} and min(values) >= -_LARGEST and max(values) <= _LARGEST:
        return map(str, values)
    return map(canonical_text, values)


def digest(content: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def moment(seconds: float | None) -> str | None:
    """Return a time as text in UTC, to the microsecond: 2026-11-29T00:30:00.250000Z."""
    if seconds is None:
        return None
    # As `_FORM`, and faster.
    microseconds = round(seconds * 1e6)
    if microseconds < _SECOND:
        return f"{(_START + timedelta(microseconds=microseconds)).isoformat(timespec='microseconds')}Z"
    digits = str(microseconds)
    return f"{_to_the_second(digits[:-6])}.{digits[-6:]}Z"


def moments(times: Sequence[float | None]) -> list[str | None]:
    """Return `moment` of each time; neighbours mostly have their second in common."""
    texts: list[str | None] = []
    last = second = ""
    for seconds in times:
        if seconds is None or seconds < 1:
            texts.append(moment(seconds))
            continue
        digits = str(round(seconds * 1e6))
        if digits[:-6] != last:
            last = digits[:-6]
            second = _to_the_second(last)
        texts.append(f"{second}.{digits[-6:]}Z")
    return texts


@lru_cache(maxsize=1024)
def _to_the_second(seconds: str) -> str:
    """Return a time as text; many results end within a second."""
    return (_START + timedelta(seconds=int(seconds))).isoformat()


def seconds_of(text: str) -> float:
    """Return the seconds since the epoch of what `moment` returned.  Raises ValueError."""
    return (datetime.strptime(text, _FORM).replace(tzinfo=UTC) - _EPOCH) / timedelta(seconds=1)


_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode
#: Numbers between these have the same digits, and no exponent, in Python and in JavaScript.
_LEAST, _MOST = 1e-4, 1e16


def _is_plain(value: Any) -> bool:
    """Tell whether the standard library writes a value in the canonical form."""
    kind = value.__class__
    if kind is str:
        return bool(value.isascii())
    if kind is int:
        return bool(-_LARGEST <= value <= _LARGEST)
    if kind is float:
        # A whole number is written without its point there.
        return _LEAST <= abs(value) < _MOST and not value.is_integer()
    if kind is dict:
        return all(name.__class__ is str and name.isascii() for name in value) and all(map(_is_plain, value.values()))
    if kind is list:
        return all(map(_is_plain, value))
    return value is None or kind is bool


def _tamed(value: Any) -> Any:
    match value:
        case bool():
            return value
        case int():
            return value if abs(value) <= _LARGEST else str(value)
        case float():
            # Below this, a whole number is written without an exponent, and so read as one of any length.
            whole = abs(value) < _WITH_EXPONENT and value.is_integer()
            return value if isfinite(value) and not whole else _tamed(int(value)) if whole else str(value)
        case str():
            # A half of a surrogate pair has no form in UTF-8.
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case Mapping():
            return {_tamed(str(name)): _tamed(each) for name, each in value.items()}
        case list() | tuple():
            return [_tamed(each) for each in value]
    return value
