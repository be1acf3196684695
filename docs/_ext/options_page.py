"""Writes the page of all options from what ``--help`` says: those of ``icefarm VERB`` and of the twistd plugins."""

from __future__ import annotations

from collections.abc import Iterator

import click

from icefarm.cli import VERBS, main
from icefarm.control.tap import Options as ControlOptions
from icefarm.worker.tap import Options as WorkerOptions

__all__ = ["page"]

_WIDTH = 110
_HEAD = """\
# All options

Generated from the code: the output of `--help`. [The command line](cli.md) explains it.
"""


def page() -> str:
    """Return the text of the page."""
    context = click.Context(main, info_name="icefarm", terminal_width=_WIDTH)
    parts = [_HEAD]
    for verb in VERBS:
        command = main.get_command(context, verb)
        assert command is not None
        parts.extend(_command(command, context, verb))
    for name, options in (("icefarm-control", ControlOptions()), ("icefarm-worker", WorkerOptions())):
        parts.append(_section(f"twistd {name}", options.getUsage(_WIDTH)))
    return "\n".join(parts)


def _command(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    context = click.Context(command, parent=parent, info_name=name, terminal_width=_WIDTH)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            yield from _command(found, context, each)
    else:
        yield _section(context.command_path, context.get_help())


def _section(title: str, text: str) -> str:
    return f"## `{title}`\n\n```text\n{text.strip()}\n```\n"
