"""Pure: no I/O, no clock.  How results, boards and experiments look in a notebook: short text, small tables of HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from icefarm.client.evaluation.payload import path_text

__all__ = ["circuit_name", "html_table", "short_repr", "sparkline"]

#: Characters of a name, and of a value, that are shown.
LONGEST = 80
#: Pixels of a sparkline.
WIDTH, HEIGHT = 160, 32
_CELL = "padding:2px 8px;text-align:left"


def short_repr(value: object) -> str:
    """Return the repr of a value, or its beginning; of bytes, how many they are."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value):,} bytes>"
    if isinstance(value, list | tuple) and len(value) > LONGEST:
        # The whole of it may be long to make.
        value = value[:LONGEST]
    text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def circuit_name(source: object) -> str:
    """Return what a person calls a circuit: the end of its path, or its own name; of bytes, how many they are."""
    path = source.__fspath__() if hasattr(source, "__fspath__") else source
    named = path if isinstance(path, str) else getattr(path, "name", None)
    if isinstance(named, str):
        text = path_text(named)
        return text if len(text) <= LONGEST else "…" + text[1 - LONGEST :]
    return short_repr(source) if isinstance(source, bytes | bytearray | memoryview) else f"<{type(source).__name__}>"


def html_table(heads: Sequence[str], rows: Iterable[Sequence[object]], caption: str | None = None) -> str:
    """Return a table; all text is escaped.  A cell that is a `Markup` is taken as it is."""
    head = "".join(f'<th style="{_CELL}">{escape(each)}</th>' for each in heads)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    title = "" if caption is None else f"<caption>{escape(caption)}</caption>"
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class Markup(str):
    """Text that is HTML."""


def _cell(value: object) -> str:
    text = value if isinstance(value, Markup) else escape("–" if value is None else _plain(value))
    return f'<td style="{_CELL}">{text}</td>'


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value if len(value) <= LONGEST else value[: LONGEST - 1] + "…"
    return f"{value:.6g}" if isinstance(value, float) else short_repr(value)


def sparkline(values: Sequence[float]) -> Markup:
    """Return a line of values as inline SVG; nothing of fewer than two."""
    if len(values) < 2:
        return Markup("")
    least, most = min(values), max(values)
    height = (most - least) or 1.0
    points = " ".join(
        f"{place * (WIDTH - 2) / (len(values) - 1) + 1:.1f},{HEIGHT - 2 - (value - least) / height * (HEIGHT - 4):.1f}"
        for place, value in enumerate(values)
    )
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" role="img">'
        f"<title>{least:.6g} to {most:.6g}</title>"
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.2"/></svg>'
    )
