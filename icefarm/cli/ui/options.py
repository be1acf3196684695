"""The option of every verb that prints records: their form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["output_option"]

output_option: Callable[..., Any] = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="Form of the output.",
)
