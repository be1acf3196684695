"""The command line: ``icefarm VERB``, with modules that are imported when used.  Look here for the list of verbs."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from icefarm._version import __version__
from icefarm.cli.ui.exit_codes import Exit, exit_of
from icefarm.cli.ui.leading import split_leading
from icefarm.cli.ui.suggestions import did_you_mean
from icefarm.cli.ui.terminal.sigint import interrupts_kept
from icefarm.cli.ui.terminal.streams import guard_streams
from icefarm.errors import IcefarmError
from icefarm.farm.errors import CannotStart
from icefarm.system.extras import MissingPackages
from icefarm.system.haste import end_in_haste
from icefarm.system.writing import CannotWrite, NobodyReads
from icefarm.text.legacy_names import CLIENT_NAMES, translate_legacy_env
from icefarm.text.one_line import one_line

__all__ = ["main"]

#: verb: (module of icefarm.cli.commands, the click command in it, what it does in a line).  The line is here so that
#: ``icefarm --help`` need not import everything.
VERBS = {
    "status": ("show.overview", "status", "Show the farm on one screen."),
    "devices": ("show.listing", "devices", "List the boards, their state, and its reason."),
    "board": ("show.overview", "board", "Show all of one board, and its last events."),
    "boards": ("show.boards", "boards", "Compare the boards: how they deviate from what circuits are to show."),
    "workers": ("show.listing", "workers", "List the workers."),
    "reservations": ("show.listing", "reservations", "List who holds which boards, and for how long."),
    "queue": ("show.listing", "queue", "List the requests that wait for boards, in order, and why."),
    "evaluate": ("boards.evaluate", "evaluate", "Evaluate bitstreams on boards, and print the results."),
    "reserve": ("boards.hold", "reserve", "Hold boards while a command runs."),
    "shell": ("boards.hold", "shell", "Hold boards while you work in a shell."),
    "console": ("boards.console", "console", "Connect the serial port of the circuit on a board to the terminal."),
    "experiments": ("show.experiments", "experiments", "List the experiments in the farm's archive."),
    "experiment": ("show.experiments", "experiment", "Show an experiment: progress, rate, failures, boards."),
    "results": ("show.experiments", "results", "Print or save the results of an experiment."),
    "runs": ("show.runs", "runs", "List the runs of an experiment, with the ids by which they are cited."),
    "run": ("show.runs", "run", "Show a run, or save it as a file."),
    "replay": ("boards.replay", "replay", "Measure a run again, here or elsewhere, and say whether it agrees."),
    "usage": ("show.usage", "usage", "List who used which boards, for how long and for what."),
    "plot": ("show.plot", "plot", "Draw the values of an experiment over time."),
    "simulate": ("boards.simulate", "simulate", "Show what a circuit does, without a board or a farm."),
    "logs": ("show.overview", "logs", "Show lines of the workers' logs."),
    "open": ("show.overview", "open_", "Open the farm's page in a browser."),
    "watch": ("show.watch", "watch", "Show events of the farm as they happen."),
    "book": ("admin.bookings", "book", "Keep boards for an account, for a time to come."),
    "bookings": ("admin.bookings", "bookings", "List the boards that are booked."),
    "cancel": ("admin.bookings", "cancel", "Cancel bookings."),
    "end": ("admin.manage", "end", "End reservations."),
    "extend": ("admin.manage", "extend", "Extend reservations."),
    "reboot": ("admin.manage", "reboot", "Restart and reflash boards."),
    "retest": ("admin.manage", "retest", "Test broken boards again."),
    "delete": ("admin.manage", "delete", "Forget boards that are offline or broken."),
    "drain": ("admin.manage", "drain", "Stop giving out a worker's boards."),
    "resume": ("admin.manage", "resume", "Resume giving out a worker's boards."),
    "audit": ("show.listing", "audit", "List who did what (operators)."),
    "access": ("admin.access", "access", "Show and set which accounts may have which boards."),
    "label": ("admin.labels", "label", "Label boards and workers."),
    "dismiss": ("admin.manage", "dismiss", "Remove requests from the queue."),
    "login": ("login", "login", "Sign in at the lab's own issuer."),
    "logout": ("login", "logout", "Forget that sign-in."),
    "demo": ("boards.demo", "demo", "Try a farm of virtual boards: evaluate example circuits, and stop."),
    "up": ("admin.farm", "up", "Start a farm on this machine, virtual boards included."),
    "migrate": ("admin.database", "migrate", "Bring the schema of a database up to date."),
    "db": ("admin.database", "db", "Empty a farm's database: db reset."),
    "accounts": ("admin.accounts", "accounts", "Create, list and remove many accounts at once."),
    "account": ("admin.accounts", "account", "Show and set the limits of accounts, and show their use."),
    "token": ("admin.tokens", "token", "Add, list and revoke tokens of clients, workers and operators."),
    "udev": ("admin.host", "udev", "Let users without root access the boards of this host."),
    "host": ("admin.host_install", "host", "Install a worker as a service of this host, or remove it."),
    "doctor": ("admin.host", "doctor", "Check whether this host has what boards need, and what interferes."),
    "router": ("admin.farm", "router", "Install the router separately, or print the configuration for one elsewhere."),
    "firmware": ("admin.firmware", "firmware", "List, build and install the firmware of real boards."),
    "version": ("about", "version", "Print the version."),
    "help": ("about", "help_", "Show the help of a verb."),
    "completion": (
        "completion",
        "completion",
        "Print the completion script for a shell.",
    ),
}

_EXITS = (
    (Exit.OK, "done"),
    (Exit.FAILED, "failed, for any reason not listed below"),
    (Exit.USAGE, "wrong usage: an unknown option, board or worker, a bad argument, a file that is not a bitstream"),
    (Exit.UNAVAILABLE, "the boards are not available, or no worker offers the kind"),
    (Exit.UNREACHABLE, "no farm answers, or it did not answer in time"),
    (Exit.NOT_AUTHORIZED, "access denied: a token is missing or wrong, or the name is in use"),
    (Exit.INCOMPLETE, "evaluate: not every evaluation has a result"),
    (Exit.INTERRUPTED, "interrupted by Ctrl-C"),
    (Exit.NOBODY_READS, "the reader of the output, such as head, has closed it"),
)


class Verbs(click.Group):
    """Finds verbs by name, and turns our errors into one line."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module, attribute, _line = VERBS[name]
        command: click.Command = getattr(import_module(f"{__name__}.commands.{module}"), attribute)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS and not args[0].startswith("-"):
            context.fail(f"there is no verb {args[0]!r}{did_you_mean(args[0], VERBS)}")
        return super().resolve_command(context, args)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(context, self._verb_first(context, args))

    def _verb_first(self, context: click.Context, args: list[str]) -> list[str]:
        """Put options for every verb, such as ``--url``, behind the verb that they precede."""
        before, rest = split_leading(args)
        if not before or not rest:
            return args
        words = 1
        command = self.get_command(context, rest[0])
        while isinstance(command, click.Group) and len(rest) > words:
            inner = command.get_command(context, rest[words])
            if inner is None:
                break
            command, words = inner, words + 1
        return [*rest[:words], *before, *rest[words:]]

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, line) for name, (_module, _attribute, line) in VERBS.items()])

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), line) for code, line in _EXITS])

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        # As click does, but without importing every verb.
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
        except (CannotStart, MissingPackages) as error:
            click.echo(f"icefarm: {error}", err=True)
            sys.exit(Exit.FAILED)
        except IcefarmError as error:
            click.echo(f"icefarm: {one_line(str(error))}", err=True)
            sys.exit(exit_of(error))
        except KeyboardInterrupt:
            click.echo("icefarm: interrupted", err=True)
            end_in_haste(Exit.INTERRUPTED)
            sys.exit(Exit.INTERRUPTED)
        except OSError as error:
            where = "" if error.filename is None else f"{one_line(os.fsdecode(error.filename))}: "
            click.echo(f"icefarm: {where}{error.strerror or error}", err=True)
            sys.exit(Exit.FAILED)
        except (click.ClickException, click.exceptions.Exit, click.Abort, CannotWrite):
            raise
        except Exception as error:
            if context.meta.get("icefarm.debug"):
                raise
            click.echo(
                f"icefarm: internal error: {type(error).__name__}: {error}; "
                "--debug shows where, and the farm's logs are in its data directory",
                err=True,
            )
            sys.exit(Exit.FAILED)


@click.command(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error, and the full log.")
@click.version_option(__version__, prog_name="icefarm")
@click.pass_context
def main(context: click.Context, debug: bool) -> None:
    """A farm of FPGA boards: reserve boards, stream bitstreams through them, get every measurement back.

    "icefarm help VERB" says more about each verb. Options of all verbs, such as --url, may come before the verb too.
    """
    if debug:
        context.meta["icefarm.debug"] = True
    known, notes = translate_legacy_env(os.environ, CLIENT_NAMES)
    os.environ.update(known)
    for note in notes:
        click.echo(f"icefarm: {note}", err=True)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
