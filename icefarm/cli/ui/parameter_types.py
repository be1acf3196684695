"""Types of options of the command line, beyond click's own: parsers that services and the client have already."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from icefarm.cli.results.conditions import condition
from icefarm.contract import NAME_RULE, normal_name, valid_account, valid_name
from icefarm.errors import IcefarmError
from icefarm.selectors.language import parse
from icefarm.twistd.parsers import host_and_port, number, public_url, seconds, span_of_boards, url

__all__ = [
    "ACCOUNT",
    "ADDRESS",
    "BOARDS",
    "CONDITION",
    "LENGTH",
    "NAME",
    "NUMBER",
    "PINS",
    "PLACEMENT",
    "PRIORITY",
    "PUBLIC_URL",
    "REPEATS",
    "SECONDS",
    "SECONDS_OR_OFF",
    "SELECTOR",
    "SPAN",
    "SPEED",
    "URL",
    "VIRTUAL_BOARDS",
    "WAIT",
    "ParsedText",
]


class ParsedText(click.ParamType):
    """Wraps a parser that raises ValueError or `IcefarmError` with the end of a sentence."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except (ValueError, IcefarmError) as error:
            self.fail(str(error), parameter, context)


#: Seconds in each unit of a time that is written as 90d or 12h.
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def _span(text: str) -> float:
    """Read a time such as 90d, 12h or 30m.  A bare number may be meant as days or as hours: it is refused."""
    try:
        return seconds(text[:-1]) * _UNITS[text[-1:]]
    except (KeyError, ValueError):
        raise ValueError(f"must be a time above 0 such as 90d, 12h or 30m, not {text!r}") from None


def _account(text: str) -> str:
    name = normal_name(text)
    if not valid_account(name):
        raise ValueError(f"must be {NAME_RULE}, and without '/', not {text!r}")
    return name


def _by_rule(rule: str, text: str) -> Any:
    """Read a number for which the client has a rule, so that it is refused here in the client's words."""
    # Imported when it is needed: it brings all of the client along.
    from icefarm.client.api.arguments import RULES

    allowed = RULES[rule]
    for read in (int, float):
        try:
            return allowed.apply(rule, read(text))
        except (ValueError, IcefarmError):
            continue
    raise ValueError(f"must be {allowed.allowed}, not {text!r}")


def _name(text: str) -> str:
    name = normal_name(text)
    if not valid_name(name):
        raise ValueError(f"must be {NAME_RULE}, not {text!r}")
    return name


def _pins(text: str) -> list[int]:
    try:
        return [int(pin) for pin in text.split(",")]
    except ValueError:
        raise ValueError(f"must be numbers of pins, separated by commas, such as 9,27, not {text!r}") from None


def _speed(text: str) -> str:
    try:
        if text not in ("real", "instant"):
            seconds(text)
    except ValueError:
        raise ValueError(f"must be real, instant, or a factor such as 10, not {text!r}") from None
    return text


_PLACEMENT = re.compile(r"any|each|same|spread|distinct:[1-9][0-9]{0,4}")


def _placement(text: str) -> str:
    if _PLACEMENT.fullmatch(text) is None:
        raise ValueError(f"must be any, each, same, spread or distinct:K, not {text!r}")
    return text


ADDRESS = ParsedText("HOST:PORT", host_and_port)
BOARDS = ParsedText("N", partial(_by_rule, "amount"))


def _seconds_or_off(text: str) -> float | str:
    return text if text == "off" else seconds(text)


ACCOUNT = ParsedText("ACCOUNT", _account)
CONDITION = ParsedText("CONDITION", condition)
LENGTH = ParsedText("SECONDS", partial(_by_rule, "seconds"))
NAME = ParsedText("NAME", _name)
NUMBER = ParsedText("NUMBER", number)
PLACEMENT = ParsedText("any|each|same|spread|distinct:K", _placement)
PRIORITY = ParsedText("P", partial(_by_rule, "priority"))
SELECTOR = ParsedText("SELECTOR", parse)
REPEATS = ParsedText("K", partial(_by_rule, "repeats"))
SECONDS = ParsedText("SECONDS", seconds)
SECONDS_OR_OFF = ParsedText("SECONDS|off", _seconds_or_off)
PINS = ParsedText("pins", _pins)
PUBLIC_URL = ParsedText("URL", public_url)
SPAN = ParsedText("TIME", _span)
SPEED = ParsedText("real|instant|FACTOR", _speed)
URL = ParsedText("URL", url)
VIRTUAL_BOARDS = ParsedText("N|N..M", span_of_boards)
WAIT = ParsedText("SECONDS", partial(_by_rule, "timeout"))
