"""Pure: no I/O, no clock.  The language of ``where``: reads a selector, prints it, and tells what it selects.

Grammar
-------
::

    selector   = all ("or" all)*
    all        = one ("and" one)*
    one        = "not" one | "(" selector ")" | condition
    condition  = NAME                                    it is true, or it is there
               | NAME ("=" | "!=" | "<" | "<=" | ">" | ">=") VALUE
               | NAME "in" VALUE ".." VALUE              both ends belong to it
               | NAME "in" "(" VALUE ("," VALUE)* ")"
    NAME       = a letter, digit or "_", then more of these, "-", "." and ":"
    VALUE      = a word, or text in double quotes, in which \\" and \\\\ stand for " and \\

A word has no blanks and none of ``( ) , " = < > !`` and ``..``.  ``and``, ``or``, ``not`` and ``in`` are no names.

What a name stands for is the business of the one who asks: `Selector.holds` takes a function that returns its value.

Values are equal if they are the same text, the same number, or the same JSON.  They are compared by size as numbers if
both are numbers, as text if neither is, and otherwise not at all: the condition does not hold.  ``!=`` is the opposite
of ``=``, so it holds as well for what has no value.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from attrs import define, frozen

from icefarm.errors import InvalidArgument
from icefarm.text.outside_json import NotJson, parse_json

__all__ = ["DEEPEST", "LONGEST", "Selector", "is_selector_name", "parse", "quoted"]

#: The longest selector, in characters, and how deep parentheses and ``not`` may be nested.
LONGEST, DEEPEST = 1000, 20

#: Returns the value of a name: text, a number, a truth value, something of JSON, or None.
Values = Callable[[str], Any]

_RESERVED = frozenset(("and", "or", "not", "in"))
#: Two dots stand between the ends of a range.
_NAME = re.compile(r"\w(?:(?!\.\.)[\w.:-])*")
_WORD = r"(?:(?!\.\.)[^\s(),\"=<>!])+"
_TOKEN = re.compile(rf'\s*(?:(?P<sign>\.\.|!=|<=|>=|[=<>(),])|"(?P<text>(?:[^"\\]|\\["\\])*)"|(?P<word>{_WORD}))')
#: Text that is also a number.  Other forms, such as 007 and 1e3, are more likely parts of a serial.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def is_selector_name(text: str) -> bool:
    """Tell whether a label may be called so."""
    return _NAME.fullmatch(text) is not None and text.lower() not in _RESERVED


def quoted(value: str) -> str:
    """Return a value as it is written in a selector."""
    # Beside the two dots of a range, whose dot is whose?
    ends = value.startswith(".") or value.endswith(".")
    if re.fullmatch(_WORD, value) and value.lower() not in _RESERVED and not ends:
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


# ------------------------------------------------------------------------------------------------------- values


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _json(text: str) -> Any:
    try:
        return parse_json(text)
    except NotJson:
        return text


def _number(value: Any) -> Any:
    """Return a value as a number where it is one, also as text; else None."""
    if _is_number(value):
        return value
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return None
    # Serials of sixteen digits that differ in the last one can be the same float; the value may be too long for int.
    return float(value) if "." in value or len(value) > LONGEST else int(value)


def _equal(value: Any, wanted: str) -> bool:
    if value == wanted:
        return True
    as_json = _json(wanted)
    if isinstance(value, str):
        # A label's value is text, also where it is a number.
        number = _number(value)
        return number is not None and number == _number(wanted)
    return value == as_json and isinstance(value, bool) == isinstance(as_json, bool)


def _in_order(order: Callable[[Any, Any], bool], value: Any, wanted: str) -> bool:
    if _is_number(value):
        as_json = _json(wanted)
        return _is_number(as_json) and order(value, as_json)
    if not isinstance(value, str):
        return False
    numbers = _number(value), _number(wanted)
    if None in numbers:
        return numbers == (None, None) and order(value, wanted)
    return order(*numbers)


# -------------------------------------------------------------------------------------------------------- nodes


@frozen
class _Flag:
    """A name alone."""

    name: str

    def holds(self, values: Values) -> bool:
        return values(self.name) not in (None, False)

    def __str__(self) -> str:
        return self.name


@frozen
class _Comparison:
    name: str
    sign: str
    wanted: str

    def holds(self, values: Values) -> bool:
        value = values(self.name)
        if self.sign in ("=", "!="):
            return _equal(value, self.wanted) == (self.sign == "=")
        return _in_order(_ORDERS[self.sign], value, self.wanted)

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{quoted(self.wanted)}"


@frozen
class _Between:
    name: str
    low: str
    high: str

    def holds(self, values: Values) -> bool:
        value = values(self.name)
        return _in_order(operator.ge, value, self.low) and _in_order(operator.le, value, self.high)

    def __str__(self) -> str:
        return f"{self.name} in {quoted(self.low)}..{quoted(self.high)}"


@frozen
class _Among:
    name: str
    wanted: tuple[str, ...]

    def holds(self, values: Values) -> bool:
        value = values(self.name)
        return any(_equal(value, each) for each in self.wanted)

    def __str__(self) -> str:
        return f"{self.name} in ({', '.join(map(quoted, self.wanted))})"


@frozen
class _Not:
    inner: _Node

    def holds(self, values: Values) -> bool:
        return not self.inner.holds(values)

    def __str__(self) -> str:
        return f"not {_inside(self.inner, _All, _Either)}"


@frozen
class _All:
    parts: tuple[_Node, ...]

    def holds(self, values: Values) -> bool:
        return all(part.holds(values) for part in self.parts)

    def __str__(self) -> str:
        return " and ".join(_inside(part, _All, _Either) for part in self.parts)


@frozen
class _Either:
    parts: tuple[_Node, ...]

    def holds(self, values: Values) -> bool:
        return any(part.holds(values) for part in self.parts)

    def __str__(self) -> str:
        return " or ".join(_inside(part, _Either) for part in self.parts)


_Condition = _Flag | _Comparison | _Between | _Among
_Node = _Condition | _Not | _All | _Either


def _inside(part: _Node, *loose: type) -> str:
    """Return a part as it is written inside another, in parentheses where it would come apart."""
    return f"({part})" if isinstance(part, loose) else str(part)


def _names(node: _Node) -> Iterator[str]:
    if isinstance(node, _Not):
        yield from _names(node.inner)
    elif isinstance(node, _All | _Either):
        for part in node.parts:
            yield from _names(part)
    else:
        yield node.name


def _wants(node: _Node, names: Collection[str], truth: bool) -> bool:
    """Tell whether a part holds because one of these names is true; ``truth`` is False inside ``not``."""
    if isinstance(node, _Not):
        return _wants(node.inner, names, not truth)
    if isinstance(node, _All | _Either):
        return any(_wants(part, names, truth) for part in node.parts)
    return node.name in names and node.holds(lambda _: truth) and not node.holds(lambda _: not truth)


@frozen
class Selector:
    """What was read; ``str`` prints it.  Two are equal if they say the same in the same order."""

    _root: _Node

    def holds(self, values: Values) -> bool:
        """Tell whether it selects something whose names have these values."""
        return self._root.holds(values)

    @property
    def names(self) -> list[str]:
        """The names in it, each once, in their order."""
        return list(dict.fromkeys(_names(self._root)))

    def wants(self, names: Collection[str]) -> bool:
        """Tell whether it says of one of these names that it may be true: ``not virtual`` does not want ``virtual``."""
        return _wants(self._root, names, truth=True)

    @property
    def parts(self) -> list[Selector]:
        """The parts that must all hold, in their order; itself if it has no such parts."""
        return [Selector(part) for part in self._root.parts] if isinstance(self._root, _All) else [self]

    def __str__(self) -> str:
        return str(self._root)


# ------------------------------------------------------------------------------------------------------- reading


def parse(text: str) -> Selector:
    """Read a selector.  Raises `InvalidArgument`, with the end of a sentence that says what it must be."""
    if len(text) > LONGEST:
        raise InvalidArgument(f"must have at most {LONGEST} characters, not {len(text)}")
    return Selector(_Reader(list(_tokens(text))).all_of_it())


@frozen
class _Token:
    """A sign, a word, or text in quotes."""

    kind: str
    text: str

    def __str__(self) -> str:
        return repr(self.text)[:80] if self.kind else "the end"


_END = _Token("", "")


def _tokens(text: str) -> Iterator[_Token]:
    text, place = text.rstrip(), 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            rest = text[place:].lstrip()
            if rest.startswith('"'):
                raise InvalidArgument('must close each quote; inside quotes, \\" and \\\\ stand for " and \\')
            raise InvalidArgument(f"cannot be read from {rest[:20]!r} on; other text than words is written in quotes")
        place = found.end()
        kind = str(found.lastgroup)
        yield _Token(kind, re.sub(r"\\(.)", r"\1", found[kind]) if kind == "text" else found[kind])


@define
class _Reader:
    """Reads tokens from the left, one function for each rule of the grammar."""

    _left: list[_Token]
    _depth: int = 0

    def __attrs_post_init__(self) -> None:
        self._left.reverse()

    def all_of_it(self) -> _Node:
        if not self._left:
            raise InvalidArgument('must say something, such as lab=3 or "lab=3 and healthy"')
        node = self._selector()
        if self._left:
            raise InvalidArgument(
                f'must go on with "and" or "or" after {node}, not with {self._next()}; text with blanks is in quotes'
            )
        return node

    def _next(self) -> _Token:
        return self._left[-1] if self._left else _END

    def _took(self, kind: str, text: str) -> bool:
        found = self._next()
        if (found.kind, found.text.lower()) != (kind, text):
            return False
        self._left.pop()
        return True

    def _need(self, sign: str, where: str) -> None:
        if not self._took("sign", sign):
            raise InvalidArgument(f"must have {sign!r} {where}, not {self._next()}")

    def _selector(self) -> _Node:
        parts = [self._all()]
        while self._took("word", "or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else _Either(tuple(parts))

    def _all(self) -> _Node:
        parts = [self._one()]
        while self._took("word", "and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else _All(tuple(parts))

    def _one(self) -> _Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise InvalidArgument(f'must not nest parentheses and "not" more than {DEEPEST} deep')
        try:
            if self._took("word", "not"):
                return _Not(self._one())
            if self._took("sign", "("):
                inner = self._selector()
                self._need(")", f"after {inner}")
                return inner
            return self._condition()
        finally:
            self._depth -= 1

    def _condition(self) -> _Node:
        found = self._next()
        if found.kind != "word" or not is_selector_name(found.text):
            raise InvalidArgument(f"must have a name, such as lab or healthy, in place of {found}")
        name = self._left.pop().text
        if self._took("word", "in"):
            return self._inclusion(name)
        sign = self._next()
        if sign.kind == "sign" and sign.text in ("=", "!=", *_ORDERS):
            self._left.pop()
            return _Comparison(name, sign.text, self._value(f"after {name}{sign.text}"))
        return _Flag(name)

    def _inclusion(self, name: str) -> _Node:
        if not self._took("sign", "("):
            low = self._value(f"after {name} in")
            self._need("..", f'after {name} in {quoted(low)}, as in "{name} in 1..5"')
            return _Between(name, low, self._value(f"after {name} in {quoted(low)}.."))
        wanted = [self._value(f"after {name} in (")]
        while self._took("sign", ","):
            wanted.append(self._value("after a comma"))
        self._need(")", f"after the values that {name} is in")
        return _Among(name, tuple(wanted))

    def _value(self, where: str) -> str:
        found = self._next()
        if found.kind not in ("word", "text") or (found.kind == "word" and found.text.lower() in _RESERVED):
            raise InvalidArgument(f"must have a value {where}, not {found}")
        return self._left.pop().text
