"""Pure: no I/O, no clock.  JSON of a mapping that comes again and again, such as the options of evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define

__all__ = ["RepeatedJson"]


@define(eq=False)
class RepeatedJson:
    """Writes mappings as JSON, and one that equals the last one not again."""

    #: Writes one.
    encode: Callable[[Any], str]
    _value: Any = None
    _types: tuple[type, ...] = ()
    _text: str = ""

    def json(self, value: Mapping[str, Any]) -> str:
        """Return a mapping as JSON.  Raises what `encode` raises."""
        # 1, 1.0 and True are equal, and written differently; what is in lists and mappings is not looked at.
        types = tuple(map(type, value.values()))
        if value != self._value or types != self._types or list in types or dict in types:
            text = self.encode(value)
            self._value, self._types, self._text = dict(value), types, text
        return self._text
