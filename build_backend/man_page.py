"""Makes the manual page ``icefarm(1)`` from docs/cli.md, when a wheel is built.

A build has nothing but setuptools, so the page comes from the text and not from click: `icefarm help VERB` has the
options.  What docs/cli.md is written in is all that is understood here: headings, paragraphs, tables, blocks of code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["man_page", "write_man_page"]

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "docs" / "cli.md"
#: Relative to the root, as setuptools wants it.
TARGET = Path("build", "man", "icefarm.1")

_HEAD = """\
.TH ICEFARM 1 "" "icefarm" "icefarm"
.SH NAME
icefarm \\- reserve FPGA boards of a shared farm, and evaluate bitstreams on them
.SH SYNOPSIS
.B icefarm
.I VERB
[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]
.SH DESCRIPTION
"""
_TAIL = """\
.SH SEE ALSO
\\fBicefarm help\\fR \\fIVERB\\fR says more about each verb, and lists its options.
"""


def man_page(markdown: str) -> str:
    """Return the page in roff, man(7), for the text of docs/cli.md."""
    return _HEAD + "\n".join(_lines(markdown.splitlines())) + "\n" + _TAIL


def write_man_page() -> str:
    """Write the page, and return its path relative to the root."""
    target = ROOT / TARGET
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(man_page(SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
    return str(TARGET)


def _lines(source: Sequence[str]) -> Iterator[str]:
    in_code = False
    for line in source:
        if line.startswith("```"):
            in_code = not in_code
            yield ".PP\n.RS 4\n.nf" if in_code else ".fi\n.RE\n.PP"
        elif in_code:
            yield _plain(line)
        elif line.startswith("## "):
            yield f".SH {_plain(line[3:].upper())}"
        elif line.startswith("|"):
            yield from _row([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif not line.strip():
            yield ".PP"
        elif not line.startswith("# "):
            yield _marked(line)


def _row(cells: Sequence[str]) -> Iterator[str]:
    """Yield a row of a table: its first cell, and below it the others; nothing for the head and its rule."""
    if not cells[0] or set("".join(cells)) <= set("-: ") or cells[0] in ("verb", "flag", "code"):
        return
    yield ".TP"
    yield _marked(cells[0])
    yield _marked("; ".join(cell for cell in cells[1:] if cell))


def _marked(text: str) -> str:
    """Return a line of text, with code in bold, and of a link only what it says."""
    text = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text)
    parts = re.split(r"`([^`]+)`", text)
    return "".join(f"\\fB{_escaped(part)}\\fR" if at % 2 else _plain(part) for at, part in enumerate(parts))


def _plain(text: str) -> str:
    escaped = _escaped(text)
    # A line that begins with a dot or an apostrophe would be a request.
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")
