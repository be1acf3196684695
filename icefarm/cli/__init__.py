"""The command line: ``icefarm VERB``.  Each verb is in a module of its own, imported when it is used."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from icefarm._version import __version__
from icefarm.errors import IcefarmError
from icefarm.farm.errors import CannotStart

__all__ = ["FAILED", "main"]

#: Exit code for whatever failed; wrong usage is 2, as click has it.
FAILED = 1

#: verb: (module, the click command in it, what it does in a line). The line is here so that ``icefarm --help`` need
#: not import everything.
VERBS = {
    "up": ("icefarm.cli.farm", "up", "Start a farm on this machine: one command, virtual boards included."),
    "migrate": ("icefarm.cli.database", "migrate", "Bring the schema of a database up to date."),
    "token": ("icefarm.cli.database", "token", "Add, list and revoke the tokens that let people and workers in."),
    "router": ("icefarm.cli.farm", "router", "Print the configuration for a router that runs elsewhere."),
}


class Verbs(click.Group):
    """Finds verbs by name, and turns errors of ours into one line."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module, attribute, _line = VERBS[name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, line) for name, (_module, _attribute, line) in VERBS.items()])

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except (IcefarmError, CannotStart) as error:
            click.echo(f"icefarm: {error}", err=True)
            sys.exit(FAILED)


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="icefarm")
def main() -> None:
    """A farm of FPGA boards: reserve boards, stream bitstreams through them, get every measurement back."""
