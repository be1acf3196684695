"""The verbs ``udev`` and ``doctor``: what a host with boards needs, and what is wrong with it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from shlex import quote

import click
from attrs import asdict

from icefarm.cli.commands.admin.farm import data_dir_option
from icefarm.cli.commands.admin.firmware import images_option
from icefarm.cli.connect import ca_file_option, log_quietly, token_file_option, token_from
from icefarm.cli.ui.exit_codes import Exit
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.records.columns import FINDINGS
from icefarm.cli.ui.records.tables import Output
from icefarm.cli.verb import opened_screen, show
from icefarm.doctor.machine import Machine, this_machine
from icefarm.doctor.udev_rules import DEFAULT_GROUP, RULES_FILE, commands_to_apply, udev_rules
from icefarm.farm.errors import CannotStart
from icefarm.system.files import write_whole

__all__ = ["doctor", "group_option", "hubs_option", "udev"]

group_option = click.option(
    "--group", default=DEFAULT_GROUP, show_default=True, help="The group whose members may use the boards."
)


hubs_option = click.option("--hubs", is_flag=True, help="The group may also switch the power of hub ports (uhubctl).")


def _machine() -> Machine:
    """Return this host; tests put another one into click's object."""
    machine: Machine | None = click.get_current_context().obj
    if machine is None:
        log_quietly()
        return this_machine()
    return machine


def _rules(group: str, hubs: bool) -> str:
    try:
        return udev_rules(group, hubs=hubs)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@click.group()
def udev() -> None:
    """Let users without root access the boards of this host, by udev rules."""


@udev.command("print")
@group_option
@hubs_option
def print_(group: str, hubs: bool) -> None:
    """Print the rules."""
    click.echo(_rules(group, hubs), nl=False)


@udev.command()
@group_option
@hubs_option
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/etc/udev/rules.d"),
    show_default=True,
    help="Where udevd reads rules.",
)
def install(group: str, hubs: bool, directory: Path) -> None:
    """Write the rules, tell udevd, and apply them to boards that are plugged in.  Needs root, once."""
    text, machine, path = _rules(group, hubs), _machine(), directory / RULES_FILE
    if group not in machine.groups:
        raise CannotStart(f"there is no group {group}; create it (groupadd --system {group}), or choose with --group")
    try:
        write_whole(path, text)
    except OSError as error:
        hint = "" if machine.is_root else f"; it takes root: sudo {quote(sys.executable)} -m icefarm udev install"
        raise CannotStart(f"cannot write {path}: {error.strerror}{hint}") from None
    click.echo(f"wrote {path}")
    commands = commands_to_apply(machine)
    for command in commands:
        code, said = machine.run(command)
        if code != 0:
            raise CannotStart(f"{' '.join(command)} failed: {said or code}")
    told = "told udevd" if commands else "no udevd runs here: the rules take effect when it starts"
    click.echo(f"{told}; members of {group} may use the boards (usermod -aG {group} USER, then log in again)")


@click.command()
@output_option
@group_option
@images_option
@data_dir_option
@click.option("--database", metavar="DSN", envvar="ICEFARM_DATABASE", help="The farm's PostgreSQL, if you run one.")
@token_file_option
@ca_file_option
@click.option(
    "--url",
    "--control",
    envvar=["ICEFARM_URL", "ICEFARM_CONTROL"],
    metavar="URL",
    help="The farm: check that this host can reach it (ICEFARM_URL, ICEFARM_CONTROL).",
)
def doctor(
    url: str | None,
    ca_file: Path | None,
    token_file: Path | None,
    database: str | None,
    data_dir: Path,
    images: Path,
    group: str,
    output: Output,
) -> None:
    """Check whether this host has what boards and a farm need, and what interferes, and say what to do.

    Exits with 0 if nothing is wrong, else with 1. Warnings do not count.
    """
    from icefarm.doctor.checks import examine
    from icefarm.doctor.farm_checks import FarmUnderCheck

    token = os.environ.get("ICEFARM_TOKEN") or None if token_file is None else token_from(token_file)
    farm = FarmUnderCheck(url, token, None if ca_file is None else str(ca_file), database, data_dir, images)
    with opened_screen(without_connection=True) as screen:
        found = examine(_machine(), group, farm)
        if output.is_table:
            for _, finding in found:
                screen.write(f"{finding.mark:4} {finding.text}\n")
                if finding.cure:
                    screen.write(f"     -> {finding.cure}\n")
        else:
            records = [{"check": name, **asdict(finding)} for name, finding in found]
            show(screen, records, FINDINGS, output)
    if any(finding.is_wrong for _, finding in found):
        sys.exit(Exit.FAILED)
