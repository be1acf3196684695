"""The command line: ``icefarm VERB``.  Each verb is in a module of its own, imported when it is used."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from icefarm._version import __version__
from icefarm.cli.ui.exit_codes import Exit, exit_of
from icefarm.cli.ui.formatting import clean
from icefarm.cli.ui.sigint import interrupts_kept
from icefarm.cli.ui.streams import guard_streams
from icefarm.errors import IcefarmError
from icefarm.farm.errors import CannotStart
from icefarm.files import CannotWrite, NobodyReads
from icefarm.legacy_names import CLIENT_NAMES, translate_legacy_env

__all__ = ["main"]

#: verb: (module of icefarm.cli.commands, the click command in it, what it does in a line).  The line is here so that
#: ``icefarm --help`` need not import everything.
VERBS = {
    "devices": ("listing", "devices", "List the boards, their state, and why they are in it."),
    "workers": ("listing", "workers", "List the workers."),
    "reservations": ("listing", "reservations", "List who has which boards, and for how long."),
    "queue": ("listing", "queue", "List who waits for boards, in their order, and why."),
    "evaluate": ("evaluate", "evaluate", "Evaluate bitstreams on boards, and print the results."),
    "watch": ("watch", "watch", "Show what happens in the farm, as it happens."),
    "end": ("manage", "end", "End reservations."),
    "extend": ("manage", "extend", "Extend reservations."),
    "reboot": ("manage", "reboot", "Restart boards and flash them anew."),
    "retest": ("manage", "retest", "Test broken boards again."),
    "delete": ("manage", "delete", "Forget boards that are offline or broken."),
    "drain": ("manage", "drain", "Give out no more boards of a worker."),
    "resume": ("manage", "resume", "Give out a worker's boards again."),
    "dismiss": ("manage", "dismiss", "Take requests out of the queue."),
    "up": ("farm", "up", "Start a farm on this machine: one command, virtual boards included."),
    "migrate": ("database", "migrate", "Bring the schema of a database up to date."),
    "db": ("database", "db", "Make a farm's database as good as new: db reset."),
    "token": (
        "database",
        "token",
        "Add, list and revoke the tokens that let people and workers in.",
    ),
    "udev": ("host", "udev", "Let people without root use the boards of this host."),
    "doctor": ("host", "doctor", "Check this host: what boards need, and what gets in their way."),
    "router": ("farm", "router", "Print the configuration for a router that runs elsewhere."),
    "firmware": ("firmware", "firmware", "List, build and install the firmware of real boards."),
    "completion": (
        "completion",
        "completion",
        "Print the script that completes words in a shell.",
    ),
}

_EXITS = (
    (Exit.OK, "done"),
    (Exit.FAILED, "failed, for any reason that is not below"),
    (Exit.USAGE, "wrong usage: an unknown option, a bad argument, a file that is no bitstream"),
    (Exit.UNAVAILABLE, "the boards cannot be had now"),
    (Exit.UNREACHABLE, "no farm answers, or it did not answer in time"),
    (Exit.NOT_AUTHORIZED, "not let in: a token is missing or wrong, or the name is in use"),
    (Exit.INCOMPLETE, "evaluate: not every evaluation has a result"),
    (Exit.INTERRUPTED, "interrupted by Ctrl-C"),
    (Exit.NOBODY_READS, "nobody reads the output any more, as where it goes to head"),
)


class Verbs(click.Group):
    """Finds verbs by name, and turns errors of ours into one line."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module, attribute, _line = VERBS[name]
        command: click.Command = getattr(import_module(f"{__name__}.commands.{module}"), attribute)
        return command

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, line) for name, (_module, _attribute, line) in VERBS.items()])

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), line) for code, line in _EXITS])

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        # As click does it, but without importing every verb.
        verbs = [CompletionItem(name, help=line) for name, (_, _, line) in VERBS.items() if name.startswith(incomplete)]
        return [*verbs, *click.Command.shell_complete(self, context, incomplete)]

    def main(self, *args: Any, **kwargs: Any) -> Any:
        guard_streams()
        try:
            try:
                return super().main(*args, **kwargs)
            finally:
                # What is left in the stream would fail later, where nobody could say so.
                sys.stdout.flush()
        except NobodyReads:
            sys.exit(Exit.NOBODY_READS)
        except CannotWrite as error:
            click.echo(f"icefarm: {error}", err=True)
            sys.exit(Exit.FAILED)

    def invoke(self, context: click.Context) -> object:
        try:
            with interrupts_kept():
                return super().invoke(context)
        except CannotStart as error:
            click.echo(f"icefarm: {error}", err=True)
            sys.exit(Exit.FAILED)
        except IcefarmError as error:
            click.echo(f"icefarm: {clean(str(error))}", err=True)
            sys.exit(exit_of(error))
        except KeyboardInterrupt:
            click.echo("icefarm: interrupted", err=True)
            sys.exit(Exit.INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort, CannotWrite):
            raise
        except Exception as error:
            if context.meta.get("icefarm.debug"):
                raise
            click.echo(
                f"icefarm: a fault of its own: {type(error).__name__}: {error}; "
                "--debug shows where, and the farm's logs are in its data directory",
                err=True,
            )
            sys.exit(Exit.FAILED)


@click.command(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error, and all that is logged.")
@click.version_option(__version__, prog_name="icefarm")
@click.pass_context
def main(context: click.Context, debug: bool) -> None:
    """A farm of FPGA boards: reserve boards, stream bitstreams through them, get every measurement back.

    "icefarm VERB --help" says more about each verb.
    """
    if debug:
        context.meta["icefarm.debug"] = True
    known, notes = translate_legacy_env(os.environ, CLIENT_NAMES)
    os.environ.update(known)
    for note in notes:
        click.echo(f"icefarm: {note}", err=True)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
