"""The verbs ``version`` and ``help``."""

from __future__ import annotations

import click

from icefarm._version import __version__

__all__ = ["help_", "version"]


@click.command()
def version() -> None:
    """Print the version of icefarm on this host; "icefarm status" shows the farm's."""
    click.echo(f"icefarm {__version__}")


@click.command("help")
@click.argument("words", nargs=-1, metavar="[VERB]...")
@click.pass_context
def help_(context: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of a verb, as in "icefarm help token add"; without one, the list of verbs."""
    at = context.find_root()
    for word in words:
        command = at.command
        if not isinstance(command, click.Group):
            raise click.UsageError(f"{at.command_path} has no verbs of its own")
        name, found, _ = command.resolve_command(at, [word])
        assert found is not None  # Else it has raised.
        at = found.context_class(found, info_name=name, parent=at)
    click.echo(at.get_help())
