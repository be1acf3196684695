"""Pure: no I/O, no clock.  Checks data from outside against the types that the code declares.

One strict converter for everything: arguments of procedures, options of device kinds, records of the wire contract.
Strict means that nothing is guessed: text is not a number, 1.0 is not a whole number, True is not a number, NaN is
never accepted, unknown names are refused. Only records (`passes_over_unknown`) may have fields that this version does
not know yet.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache, partial
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs

from icefarm.errors import InvalidArgument

if TYPE_CHECKING:
    # Imported with the first value that is checked, not by every process that knows the contract.
    from cattrs import Converter

__all__ = ["CheckedFunction", "from_wire", "passes_over_unknown", "to_wire"]

T = TypeVar("T")

#: Longest excerpt of a wrong value that an error message repeats.
_EXCERPT = 80
#: Names that are listed where one is unknown.
_MOST_LISTED = 12
#: Tags with which CBOR says that bytes are an array of numbers of 8 bits (RFC 8746, "Types of Numbers"): JavaScript's
#: Uint8Array and Uint8ClampedArray.
_BYTE_ARRAYS = (64, 68)
#: All typed arrays of numbers.
_TYPED_ARRAYS = range(64, 88)


class _Wrong(ValueError):
    """A value is wrong; the text is the end of a sentence that begins with the value's name."""


def _tagged(value: object) -> tuple[int, object] | None:
    """Return tag and content of a value with a tag that CBOR's decoder left as it is; None for any other value."""
    # Imported on demand, for values that are wrong or tagged.
    from cbor2 import CBORTag

    return (value.tag, value.value) if isinstance(value, CBORTag) else None


def _excerpt(value: object) -> str:
    tagged = _tagged(value)
    if tagged is not None:
        return f"a typed array (CBOR tag {tagged[0]})" if tagged[0] in _TYPED_ARRAYS else f"CBOR tag {tagged[0]}"
    # A bitstream that is tried as one form after the other arrives here.
    return _cut(repr(value[:_EXCERPT] if isinstance(value, bytes | str) else value))


def _cut(text: str) -> str:
    return text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…"


def _strict_int(value: object, _: type) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Wrong(f"must be a whole number, not {_excerpt(value)}")
    return value


def _strict_float(value: object, _: type) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Wrong(f"must be a number, not {_excerpt(value)}")
    try:
        number = float(value)
    except OverflowError:
        raise _Wrong(f"must be a finite number, not {_excerpt(value)}") from None
    if not math.isfinite(number):
        raise _Wrong(f"must be a finite number, not {_excerpt(value)}")
    return number


def _strict_bool(value: object, _: type) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(f"must be true or false, not {_excerpt(value)}")
    return value


def _strict_str(value: object, _: type) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"must be text, not {_excerpt(value)}")
    return value


def _strict_bytes(value: object, _: type) -> bytes:
    if isinstance(value, bytes):
        return value
    tagged = _tagged(value)
    if tagged is not None and tagged[0] in _BYTE_ARRAYS:
        if isinstance(tagged[1], bytes):
            return tagged[1]
        value = tagged[1]
    raise _Wrong(f"must be bytes{_how_to_send_bytes(value)}, not {_excerpt(value)}")


def _how_to_send_bytes(value: object) -> str:
    """Say how a client sends bytes that sent something else in their place."""
    if _tagged(value) is not None:
        return " (a byte string or a Uint8Array)"
    # A Uint8Array becomes a mapping of its indices in JSON.
    return ' (in JSON: text of "\\0" and then base64)' if isinstance(value, str | list | Mapping) else ""


_PRIMITIVES: dict[type, Callable[[Any, Any], Any]] = {
    int: _strict_int,
    float: _strict_float,
    bool: _strict_bool,
    str: _strict_str,
    bytes: _strict_bytes,
}


#: Types of which every value is right.
_AS_THEY_ARE = (int, bool, str, bytes)


def _list_hook(converter: Converter, annotation: Any) -> Callable[[Any, Any], Any]:
    (element,) = get_args(annotation)

    def structure(value: object, _: object) -> list[Any]:
        # Text is a sequence too, and must not be taken apart into its characters.
        if not isinstance(value, list | tuple):
            raise _Wrong(f"must be a list, not {_excerpt(value)}")
        items = []
        for index, item in enumerate(value):
            try:
                items.append(converter.structure(item, element))
            except _Wrong as wrong:
                raise _Wrong(f"[{index}] {wrong}") from None
        return items

    return structure


def _dict_hook(converter: Converter, annotation: Any) -> Callable[[Any, Any], Any]:
    _, member = get_args(annotation)

    def structure(value: object, _: object) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _Wrong(f"must be a mapping, not {_excerpt(value)}")
        members = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise _Wrong(f"must have text for keys, not {_excerpt(key)}")
            try:
                members[key] = converter.structure(item, member)
            except _Wrong as wrong:
                raise _Wrong(f"[{_excerpt(key)}] {wrong}") from None
        return members

    return structure


def _enum_hook(value: Any, cls: type[StrEnum]) -> StrEnum:
    try:
        return cls(value)
    except ValueError:
        raise _Wrong(f"must be one of {', '.join(cls)}, not {_excerpt(value)}") from None


def _union_hook(converter: Converter, annotation: Any) -> Callable[[Any, Any], Any]:
    """Take the first member of the union that the value fits; None only where the union names it."""
    members = get_args(annotation)

    def structure(value: object, _: object) -> Any:
        if value is None and type(None) in members:
            return None
        wrongs = []
        for member in members:
            if member is type(None):
                continue
            try:
                return converter.structure(value, member)
            except (_Wrong, ExceptionGroup) as wrong:
                wrongs.append(_sentence(wrong))
        raise _Wrong(", or ".join(wrongs))

    return structure


#: Classes whose unknown fields are ignored.
_RECORDS: set[type] = set()


def passes_over_unknown(cls: type[T]) -> type[T]:
    """Ignore unknown fields of a record (class decorator): a peer of a newer version may have added them."""
    _RECORDS.add(cls)
    return cls


def _class_hook(converter: Converter, cls: Any) -> Callable[[Any, Any], Any]:
    from cattrs.gen import make_dict_structure_fn

    strict = cls not in _RECORDS
    inner = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=strict)

    def structure(value: object, annotation: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _Wrong(f"must be a mapping, not {_excerpt(value)}")
        return inner(value, annotation)

    return structure


def _has_origin(container: type) -> Callable[[Any], bool]:
    return lambda annotation: get_origin(annotation) is container


def _is_union(annotation: object) -> bool:
    return get_origin(annotation) in (Union, UnionType)


@cache
def _converter() -> Converter:
    from cattrs import Converter

    converter = Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(StrEnum, lambda member: member.value)
    for primitive, check in _PRIMITIVES.items():
        converter.register_structure_hook(primitive, check)
    converter.register_structure_hook_factory(attrs.has, lambda cls: _class_hook(converter, cls))
    converter.register_structure_hook(StrEnum, _enum_hook)
    for container, hook in ((list, _list_hook), (dict, _dict_hook)):
        converter.register_structure_hook_factory(_has_origin(container), partial(hook, converter))
    converter.register_structure_hook_factory(_is_union, lambda annotation: _union_hook(converter, annotation))
    return converter


def _sentence(error: BaseException) -> str:
    """Describe what the converter found wrong, beginning with the name of the field."""
    from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError

    if isinstance(error, ClassValidationError):
        return "; ".join(_out_of_range(error.cl, inner) or _field_sentence(inner) for inner in error.exceptions)
    if isinstance(error, ForbiddenExtraKeysError):
        return "there is no " + _cut(", ".join(sorted(map(repr, error.extra_fields)))) + _listed(error.cl)
    if isinstance(error, KeyError):
        return "is missing"
    return str(error)


def _listed(cls: Any) -> str:
    """Return the end of a sentence about an unknown name: which there are, if they are few."""
    names = [field.name for field in attrs.fields(cls)] if attrs.has(cls) else []
    return f"; there {'is' if len(names) == 1 else 'are'} {', '.join(names)}" if 0 < len(names) <= _MOST_LISTED else ""


#: What attrs says of a number that its class does not allow.
_ATTRS_RANGE = re.compile(r"'(\w+)' must be (?:<|<=|>|>=) .*?: (.+)", re.DOTALL)
_COMPARED = {">=": "at least", "<=": "at most", ">": "above", "<": "below"}


def _out_of_range(cls: type | None, error: BaseException) -> str | None:
    """Say in words which numbers a field may have; None for any other error."""
    match = _ATTRS_RANGE.fullmatch(str(error)) if type(error) is ValueError else None
    if match is None or cls is None:
        return None
    name, value = match.groups()
    return f"{name} must be {_range(attrs.fields_dict(cls)[name].validator)}, not {value}"


def _range(validator: Any) -> str:
    parts = getattr(validator, "_validators", (validator,))
    bounds = {part.compare_op: f"{part.bound:,}" for part in parts if hasattr(part, "compare_op")}
    if bounds.keys() == {">=", "<="}:
        return f"{bounds['>=']} to {bounds['<=']}"
    return " and ".join(f"{_COMPARED[how]} {bound}" for how, bound in bounds.items())


def _field_sentence(error: BaseException) -> str:
    from cattrs import AttributeValidationNote

    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return f"{note.name} {_sentence(error)}"
    return _sentence(error)


def from_wire(value: object, cls: type[T], what: str | None = None) -> T:
    """Check a value that arrived against ``cls`` (an attrs class or a type) and return it as such.

    ``what`` names the value in the message, such as "the hello of worker 'w1'".  Raises `InvalidArgument`.
    """
    try:
        return _converter().structure(value, cls)
    except (_Wrong, ExceptionGroup, ValueError, TypeError) as error:
        raise InvalidArgument(f"{what or cls.__name__}: {_sentence(error)}") from None


def to_wire(record: Any) -> dict[str, Any]:
    """Return an attrs value as a plain mapping for the wire; enumerations become their text."""
    result: dict[str, Any] = _converter().unstructure(record)
    return result


def _read(function: Callable[..., Any], skip: int) -> tuple[inspect.Signature, Mapping[str, Any], frozenset[str]]:
    """Return a function's signature, the types of its parameters, and which of these have no default.

    All are without the first ``skip`` parameters.

    Raises TypeError if one has no annotation.
    """
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[skip:]
    hints = get_type_hints(function)
    for parameter in parameters:
        if parameter.name not in hints:
            raise TypeError(f"{function.__qualname__}: parameter {parameter.name!r} has no annotation")
    signature = signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    required = frozenset(each.name for each in parameters if each.default is inspect.Parameter.empty)
    return signature, {parameter.name: hints[parameter.name] for parameter in parameters}, required


#: For methods, of which every farm in a test asks again.
_read_once = cache(_read)


@attrs.frozen
class CheckedFunction:
    """A function whose arguments are checked against its annotations when they come from outside."""

    function: Callable[..., Any]
    signature: inspect.Signature
    types: Mapping[str, Any]
    #: The parameters that have no default.
    _required: frozenset[str]

    @classmethod
    def of(cls, function: Callable[..., Any], *, skip: int = 0) -> CheckedFunction:
        """Read a function's annotations; the caller does not give its first ``skip`` parameters.

        Raises TypeError if a parameter has no annotation: that is a bug, found at import.
        """
        if inspect.ismethod(function):
            return cls(function, *_read_once(function.__func__, skip + 1))
        return cls(function, *_read(function, skip))

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Check arguments and return them by name, without those left out.  Raises `InvalidArgument`."""
        types = self.types
        # `inspect` takes a dozen times as long for what an evaluation has: all by name.
        if args or not (self._required <= kwargs.keys() <= types.keys()):
            try:
                kwargs = self.signature.bind(*args, **kwargs).arguments
            except TypeError as error:
                raise InvalidArgument(f"{error}; it takes ({', '.join(types)})") from None
        return {
            name: value if type(value) is types[name] in _AS_THEY_ARE else from_wire(value, types[name], name)
            for name, value in kwargs.items()
        }
