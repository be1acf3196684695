"""The verbs ``udev`` and ``doctor``: what a host with boards needs, and what is wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from icefarm.cli.exits import Exit
from icefarm.farm.errors import CannotStart
from icefarm.host.machine import Machine, this_machine
from icefarm.host.rules import DEFAULT_GROUP, RULES_FILE, udev_rules

__all__ = ["doctor", "udev"]

#: How udevd is told of new rules, and made to apply them to what is plugged in already (udevadm(8)).
_APPLY = (
    ("udevadm", "control", "--reload"),
    ("udevadm", "trigger", "--subsystem-match=usb", "--subsystem-match=tty", "--subsystem-match=block"),
)

_group_option = click.option(
    "--group", default=DEFAULT_GROUP, show_default=True, help="Whose members may use the boards."
)


_hubs_option = click.option("--hubs", is_flag=True, help="They may switch the power of hub ports, too (uhubctl).")


def _machine() -> Machine:
    """Return this host; tests put another one into click's object."""
    machine: Machine | None = click.get_current_context().obj
    return machine or this_machine()


def _rules(group: str, hubs: bool) -> str:
    try:
        return udev_rules(group, hubs=hubs)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@click.group()
def udev() -> None:
    """Let people without root use the boards of this host, by udev rules."""


@udev.command("print")
@_group_option
@_hubs_option
def print_(group: str, hubs: bool) -> None:
    """Print the rules."""
    click.echo(_rules(group, hubs), nl=False)


@udev.command()
@_group_option
@_hubs_option
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/etc/udev/rules.d"),
    show_default=True,
    help="Where udevd reads rules.",
)
def install(group: str, hubs: bool, directory: Path) -> None:
    """Write the rules, tell udevd, and apply them to boards that are plugged in.  Takes root, once."""
    text, machine, path = _rules(group, hubs), _machine(), directory / RULES_FILE
    if group not in machine.groups:
        raise CannotStart(f"there is no group {group}; make it (groupadd --system {group}), or choose with --group")
    try:
        path.write_text(text, encoding="ascii")
    except OSError as error:
        hint = "" if machine.is_root else f"; it takes root: sudo {sys.executable} -m icefarm udev install"
        raise CannotStart(f"cannot write {path}: {error.strerror}{hint}") from None
    click.echo(f"wrote {path}")
    if machine.which("udevadm") is None:
        click.echo("there is no udevadm here: the rules take effect when udevd starts", err=True)
        return
    for command in _APPLY:
        code, said = machine.run(command)
        if code != 0:
            raise CannotStart(f"{' '.join(command)} failed: {said or code}")
    click.echo(f"told udevd; members of {group} may use the boards (usermod -aG {group} USER, then log in again)")


@click.command()
@click.option("--url", envvar="ICEFARM_URL", help="See whether this farm can be reached, too (ICEFARM_URL).")
@_group_option
def doctor(url: str | None, group: str) -> None:
    """Check this host: what boards need, what gets in their way, and what to do about it.

    Ends with 0 where nothing is wrong, else with 1.
    """
    from icefarm.host.checks import examine

    findings = examine(_machine(), group, url)
    for finding in findings:
        click.echo(f"{finding.mark:4} {finding.text}")
        if finding.cure:
            click.echo(f"     -> {finding.cure}")
    if any(finding.wrong for finding in findings):
        sys.exit(Exit.FAILED)
