"""Pure: no I/O, no clock.  JSON that others wrote: files, requests, answers, lines of another program.

``json.loads`` raises ValueError for what is no JSON, and RecursionError where lists and objects are nested a thousand
deep, which callers forget.  ruff refuses it elsewhere in icefarm (``[tool.ruff.lint.flake8-tidy-imports.banned-api]``).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["NotJson", "parse_json", "parse_strict_json"]


class NotJson(ValueError):
    """A text is not JSON, or nested too deeply to be read; the message says which."""


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text, with ``NaN`` and ``Infinity`` as Python writes them.  Raises `NotJson`."""
    return _parsed(text, None)


def parse_strict_json(text: str | bytes) -> Any:
    """Return the value of a JSON text that has no ``NaN`` or ``Infinity``, as RFC 8259 wants it.  Raises `NotJson`."""
    return _parsed(text, _refuse)


def _parsed(text: str | bytes, constant: Callable[[str], Any] | None) -> Any:
    try:
        return json.loads(text, parse_constant=constant)  # noqa: TID251
    except ValueError as error:
        raise NotJson(str(error)) from None
    except RecursionError:
        raise NotJson("lists and objects are nested too deeply") from None


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number of JSON")
