"""What each argument of the client may be, the same in all its faces.

`RULES` has a rule for each name of an argument.  A method that users call is marked with `checked`: what it gets passes
by these rules, so that every face, the original API and the command line refuse the same values in the same words.
Numbers may be those of NumPy too; they go on as Python's own.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial, wraps
from numbers import Integral, Real
from typing import Any, TypeVar

import attrs
from attrs import frozen

from icefarm.bitstream import Bitstream
from icefarm.client.api.notebook.plots import BEST
from icefarm.contract import MAX_LABELS, MAX_SECONDS, Role, from_wire, valid_name
from icefarm.errors import InvalidArgument
from icefarm.kinds.multipulsecount import MultiPulseCount
from icefarm.kinds.pulsecount import PulseCount
from icefarm.kinds.variance import Variance
from icefarm.selectors.boards import check_labels
from icefarm.selectors.language import parse
from icefarm.text.durations import in_words

__all__ = ["RULES", "Rule", "check_evaluation_options", "checked", "is_checked", "whole_number"]

F = TypeVar("F", bound=Callable[..., Any])

#: Longest wait that a timer takes, in seconds: 100 years, which means forever.
LONGEST_WAIT = 100 * 365 * 86400.0
#: The latest moment that a query may name, in seconds since the epoch: a number that was milliseconds is beyond it.
LONGEST_TIME = 1e11
#: Most evaluations on their way to one board; a worker takes far fewer at once.
DEEPEST = 1000
#: Longest excerpt of a wrong value, in characters.
_EXCERPT = 80
#: How deep lists and mappings may be nested in options.
_NESTED = 20

_MARK = "_icefarm_checked"
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class _Wrong(Exception):
    """A value is not what it should be; the text is the end of a sentence where it says more than the rule."""


@frozen
class Rule:
    """What an argument may be: in words, and what checks a value and returns it as it goes on."""

    allowed: str
    check: Callable[[Any], Any]

    def apply(self, name: str, value: Any) -> Any:
        """Raises `InvalidArgument`, with the name, the value and what is allowed."""
        try:
            return self.check(value)
        except _Wrong as wrong:
            raise InvalidArgument(f"{name}{wrong}") from None
        except (TypeError, ValueError, OverflowError):
            raise InvalidArgument(f"{name} must be {self.allowed}, not {_excerpt(value)}") from None


def checked(method: F) -> F:
    """Have the arguments of a method checked by `RULES`; None passes where the annotation has it.

    A coroutine function raises when it is awaited; a wrong call is a TypeError, as of any function.  Raises TypeError,
    at import, where an argument has no rule.
    """
    signature = inspect.signature(method)
    parameters = [each for each in signature.parameters.values() if each.name not in ("self", "cls")]
    rules = {each.name: _rule_of(method, each) for each in parameters}
    by_position = [each.name for each in signature.parameters.values() if each.kind in _BY_POSITION]
    by_name = {each.name for each in parameters if each.kind in _BY_NAME}
    # It includes ``**keywords``, which ``by_name`` does not: `inspect` sorts those out.
    required = {each.name for each in signature.parameters.values() if each.default is inspect.Parameter.empty}

    def passed(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        # `inspect` takes a dozen times as long, and a run may have one circuit.
        names = by_position[: len(args)]
        is_plain = len(args) == len(names) and kwargs.keys() <= by_name and kwargs.keys().isdisjoint(names)
        if not is_plain or not required <= kwargs.keys() | set(names):
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{method.__name__}(): {error}") from None
            for name, rule in rules.items():
                if name in bound.arguments:
                    bound.arguments[name] = rule(bound.arguments[name])
            return bound.args, bound.kwargs
        checked_args = [rules[name](value) if name in rules else value for name, value in zip(names, args, strict=True)]
        return checked_args, {name: rules[name](value) for name, value in kwargs.items()}

    if inspect.iscoroutinefunction(method):

        @wraps(method)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            positional, named = passed(args, kwargs)
            return await method(*positional, **named)

        wrapper: Any = awaited
    else:

        @wraps(method)
        def called(*args: Any, **kwargs: Any) -> Any:
            positional, named = passed(args, kwargs)
            return method(*positional, **named)

        wrapper = called
    setattr(wrapper, _MARK, True)
    marked: F = wrapper
    return marked


#: Options of evaluations of the kinds that come with this client.
_EVALUATION_OPTIONS: Mapping[str, type] = {
    "pulsecount": PulseCount.EvaluationOptions,
    "multipulsecount": MultiPulseCount.EvaluationOptions,
    "variance": Variance.EvaluationOptions,
}


def check_evaluation_options(kind: str, options: Mapping[str, Any]) -> None:
    """Check the values of options that are known here; the farm, which may know more of them, checks all."""
    cls = _EVALUATION_OPTIONS.get(kind)
    if cls is not None:
        from_wire({name: options[name] for name in options if name in attrs.fields_dict(cls)}, cls, "options")


def is_checked(method: object) -> bool:
    """Tell whether `checked` has marked a method."""
    return getattr(method, _MARK, False)


def _rule_of(method: Callable[..., Any], parameter: inspect.Parameter) -> Callable[[Any], Any]:
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return _keywords
    name = parameter.name
    rule = RULES.get(f"{method.__name__}.{name}") or RULES.get(name)
    if rule is None:
        raise TypeError(
            f"{method.__qualname__}: there is no rule for argument {name!r} in icefarm.client.api.arguments"
        )
    optional = "None" in str(parameter.annotation)
    return lambda value: None if optional and value is None else rule.apply(name, value)


def _excerpt(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…"


# ------------------------------------------------------------------------------------------------------ checks


def whole_number(value: Any) -> int:
    """Return a whole number, NumPy's too.  Raises TypeError."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(value)
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(value)
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _between(lowest: float, highest: float, value: Any, *, above: bool = False) -> float:
    number = _number(value)
    if not lowest <= number <= highest or (above and number == lowest):
        raise ValueError(value)
    return number


def _moment(value: Any) -> Any:
    if not isinstance(value, datetime):
        return _between(0, LONGEST_TIME, value)
    if value.utcoffset() is None:
        raise _Wrong(f" must have a time zone: {_excerpt(value)} is another moment in each")
    return value


def _count(highest: int | None, value: Any) -> int:
    number = whole_number(value)
    if number < 1 or (highest is not None and number > highest):
        raise ValueError(value)
    return number


def _times(value: Any) -> int:
    number = whole_number(value)
    if number < 0:
        raise ValueError(value)
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise TypeError(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(value)
    return str(value)


def _any_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return str(value)


def _name(value: Any) -> str:
    if not isinstance(value, str) or not valid_name(value):
        raise ValueError(value)
    return str(value)


def _path(value: Any) -> str:
    name = os.fspath(value)
    return os.fsdecode(name) if isinstance(name, bytes) else _any_text(name)


def _best(value: Any) -> str:
    if not isinstance(value, str) or value not in BEST:
        raise TypeError
    return value


def _role(value: Any) -> Role:
    if value not in (Role.CLIENT, Role.OPERATOR):
        raise ValueError(value)
    return Role(value)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        raise _Wrong(f" is a list: give [{_excerpt(value)}] for one")
    if isinstance(value, bytes | Mapping):
        raise TypeError(value)
    given = list(value)
    if not all(isinstance(each, str) and each for each in given):
        raise TypeError(value)
    return [str(each) for each in given]


def _ids(value: Any) -> list[int]:
    if isinstance(value, str | bytes | Mapping):
        raise TypeError(value)
    return [_times(each) for each in value]


def _function(value: Any) -> Any:
    if not callable(value):
        raise TypeError(value)
    return value


def _placement(value: Any) -> Any:
    # A class of placements has their methods as well.
    if isinstance(value, type) or not all(hasattr(value, each) for each in ("fan_out", "choose", "record")):
        raise TypeError(value)
    return value


def _bitstreams(value: Any) -> Any:
    if isinstance(value, str | os.PathLike | bytes | bytearray | memoryview | Bitstream):
        raise _Wrong(" are a list, or another iterable: give [bitstream] for one")
    if not hasattr(value, "__iter__") and not hasattr(value, "__aiter__"):
        raise TypeError(value)
    return value


def _options(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(value)
    plain: dict[str, Any] = _plain("", value, 0)
    return plain


def _labels(value: Any) -> dict[str, Any]:
    labels = _options(value)
    if len(labels) > MAX_LABELS or not all(isinstance(each, str | int | float | None) for each in labels.values()):
        raise ValueError(value)
    return labels


def _board_labels(value: Any) -> dict[str, str | None]:
    labels: dict[str, str | None] = {name: _label_text(each) for name, each in _options(value).items()}
    _said(check_labels, labels, ": ")
    return labels


def _label_text(value: Any) -> str | None:
    """Return a label's value: text; a number is written as one writes it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return str(value)


def _selector(value: Any) -> str:
    text = _text(value)
    _said(parse, text)
    return text


def _said(check: Callable[[Any], Any], value: Any, after: str = " ") -> None:
    """Check a value, and say what is wrong in the words of the check, which follows ``after``."""
    try:
        check(value)
    except InvalidArgument as error:
        raise _Wrong(after + error.message) from None


def _keywords(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: RULES_OF_KEYWORDS.apply(name, each) for name, each in value.items()}


def _plain(where: str, value: Any, depth: int) -> Any:
    """Return a value of an option as the wire takes it; ``where`` leads to it from the argument's name."""
    match value:
        case None | bool() | str() | bytes():
            return value
        case Integral():
            return int(value)
        case Real():
            if not math.isfinite(value):
                raise _Wrong(f"{where} must be a finite number, not {_excerpt(value)}")
            return float(value)
        case Mapping() if depth < _NESTED:
            for key in value:
                if not isinstance(key, str):
                    raise _Wrong(f"{where} must have text for keys, not {_excerpt(key)}")
            return {str(key): _plain(f"{where}[{key!r}]", each, depth + 1) for key, each in value.items()}
        case list() | tuple() if depth < _NESTED:
            return [_plain(f"{where}[{place}]", each, depth + 1) for place, each in enumerate(value)]
    if type(value).__module__ == "numpy" and hasattr(value, "tolist") and depth < _NESTED:
        return _plain(where, value.tolist(), depth + 1)
    raise _Wrong(f"{where} must be text, a number, true, false, a list or a mapping, not {_excerpt(value)}")


# ------------------------------------------------------------------------------------------------------- rules

_WAIT = Rule(
    f"a number of seconds above 0, at most {in_words(LONGEST_WAIT)}", partial(_between, 0, LONGEST_WAIT, above=True)
)
_WAIT_OR_NONE_AT_ALL = Rule(
    f"a number of seconds from 0 to {in_words(LONGEST_WAIT)}", partial(_between, 0, LONGEST_WAIT)
)
_LENGTH = Rule(
    f"a number of seconds above 0, at most {in_words(MAX_SECONDS)}", partial(_between, 0, MAX_SECONDS, above=True)
)
_SERIALS = Rule("a list of serials", _texts)
_BOOLEAN = Rule("True or False", _boolean)
_FUNCTION = Rule("a function", _function)
_TEXT = Rule("text", _text)
_ANYTHING = Rule("anything", lambda value: value)
_NAME = Rule("1 to 100 printable characters without blanks at the ends", _name)

#: By the name of the argument, or by method and argument where a method means something of its own.
RULES: Mapping[str, Rule] = {
    "amount": Rule("a whole number of boards, at least 1", partial(_count, None)),
    "serials": _SERIALS,
    "serial": Rule("the serial of a board", _text),
    "ids": Rule("a list of ids of requests", _texts),
    "id": Rule("the id of a run", _text),
    "path": Rule("the path of a file", _path),
    "corrected": _BOOLEAN,
    "kept_circuits": _BOOLEAN,
    "digest": Rule("a SHA-256, in hexadecimal", _text),
    "circuits": Rule("the path of a folder", _path),
    "cancel_bookings.ids": Rule("a list of ids of bookings", _texts),
    "at": Rule("a datetime with a time zone, or seconds since the epoch", _moment),
    "reference": Rule("the name of a reference circuit: oscillator, crystal or ring", _text),
    "reservation": Rule("the id of a reservation", _text),
    "worker": Rule("the name of a worker", _text),
    "accounts": Rule("a list of names of accounts or groups", _texts),
    "account": Rule("the name of an account", _text),
    "group": Rule("the name of a group of accounts", _text),
    "kinds": Rule("a list of device kinds", _texts),
    "rules": Rule("a list of the ids of rules", _ids),
    "add": Rule("a list of accounts", _texts),
    "remove": Rule("a list of accounts", _texts),
    "experiment": _NAME,
    "where": Rule("a selector of boards, such as 'lab=3 and healthy'", _selector),
    "label.labels": Rule("a dictionary of names, with text as values, or None to take a label away", _board_labels),
    "labels": Rule(f"a dictionary of at most {MAX_LABELS} names, with text or numbers as values", _labels),
    "total": Rule("a whole number of evaluations, at least 1", partial(_count, 10**12)),
    "archive": _BOOLEAN,
    "resume": _BOOLEAN,
    "keep_circuits": _BOOLEAN,
    "shared": _BOOLEAN,
    "since": Rule("a time in seconds since the epoch", partial(_between, 0, LONGEST_TIME)),
    "until": Rule("a time in seconds since the epoch", partial(_between, 0, LONGEST_TIME)),
    "failed": _BOOLEAN,
    "follow": _BOOLEAN,
    "sha256": Rule("a list of SHA-256, in hexadecimal", _texts),
    "after": Rule("the cursor of earlier results", _text),
    "figures": Rule("a finite number", _number),
    "action": Rule("the name of an action, such as reserve", _text),
    "audit.seconds": Rule("a number of seconds above 0", partial(_between, 1e-3, LONGEST_WAIT)),
    "audit.limit": Rule("a whole number of entries from 1 to 5,000", partial(_count, 5000)),
    "kind": Rule("the name of a device kind", _text),
    "method": Rule("the name of a method", _text),
    "options": Rule('a dictionary, such as {"repeats": 3}', _options),
    "placement": Rule("one of icefarm.client.placement, such as EachBoard()", _placement),
    "bitstreams": Rule("a list, or another iterable, of paths or bytes", _bitstreams),
    "bitstream": _ANYTHING,  # `payload_of` says what is wrong with it.
    "at_least": Rule("a whole number of boards, at least 1", partial(_count, None)),
    "preemptible": _BOOLEAN,
    "priority": Rule("a number from 0 to 100", partial(_between, 0, 100)),
    "on_boards_changed": _FUNCTION,
    "wait": _BOOLEAN,
    "keep": _BOOLEAN,
    "leave": _BOOLEAN,
    "end": _BOOLEAN,
    "deserted_raises": _BOOLEAN,
    "timeout": _LENGTH,
    "next_event.timeout": _WAIT_OR_NONE_AT_ALL,
    "seconds": _LENGTH,
    "grace": Rule(f"a number of seconds from 0 to {in_words(MAX_SECONDS)}", partial(_between, 0, MAX_SECONDS)),
    "limit": _WAIT,
    "interval": _WAIT,
    "connect_timeout": _WAIT_OR_NONE_AT_ALL,
    "retry_for": _WAIT_OR_NONE_AT_ALL,
    "wait_for_worker": _WAIT_OR_NONE_AT_ALL,
    "k": Rule("a whole number of boards, at least 1", partial(_count, None)),
    "repeats": Rule("a whole number of windows, at least 1", partial(_count, None)),
    "seed": Rule("a whole number", whole_number),
    "times": Rule("a whole number from 0", _times),
    "sources": Rule("a list, or another iterable, of paths or bytes", _bitstreams),
    "depth": Rule(f"a whole number from 1 to {DEEPEST:,}", partial(_count, DEEPEST)),
    "progress": _FUNCTION,
    "evaluate.progress": _BOOLEAN,
    "evaluate_each.progress": _BOOLEAN,
    "by": Rule("account, board or experiment; several with commas", _text),
    "best": Rule("max or min", _best),
    "listener": _FUNCTION,
    "on_event": _FUNCTION,
    "on_available": _FUNCTION,
    "url": Rule("the URL of a farm, such as http://HOST:8080", _any_text),
    "name": _NAME,
    "token": Rule("text", _any_text),
    "role": Rule("client or operator", _role),
    "ca_file": Rule("the path of a file", _path),
    # What one part of the client hands to another.
    "reactor": _ANYTHING,
    "farm": _ANYTHING,
    "plan": _ANYTHING,
    "reservations": _ANYTHING,
    "items": _ANYTHING,
    "placing": _ANYTHING,
}
#: Of options that are keywords: each by its own name.
RULES_OF_KEYWORDS = Rule("text, a number, true, false, a list or a mapping", lambda value: _plain("", value, 0))
