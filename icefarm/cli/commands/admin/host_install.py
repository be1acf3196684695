"""The verb ``host``: makes a worker a service of this host, and undoes it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import click
from attrs import evolve

from icefarm.cli.connect import log_quietly, token_from
from icefarm.cli.ui.parameter_types import NAME, URL, VIRTUAL_BOARDS
from icefarm.doctor.machine import Machine, this_machine
from icefarm.doctor.udev_rules import DEFAULT_GROUP
from icefarm.errors import InvalidArgument
from icefarm.farm.errors import CannotStart
from icefarm.host.changes import Action, HostFile, Write
from icefarm.host.installer import Installer
from icefarm.host.record import BoardAccess
from icefarm.host.worker_files import CA_FILE, IMAGES, SETTINGS, TOKEN, UNIT, WorkerSettings, fixed_files
from icefarm.wamp.ca_file import check_certificates

__all__ = ["host"]

#: Seconds that a program may take: systemd stops the old worker, twistd looks at every plugin.
RUN_LIMIT = 120.0
_LIVE = Path("/")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_root_option = click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    default=_LIVE,
    help="Install into the file system of another host, such as an image, instead of this host.",
)
_dry_run_option = click.option("--dry-run", is_flag=True, help="Print what would be done, and change nothing.")


@click.group()
def host() -> None:
    """Install a worker as a systemd service of this host, or remove it."""


def _installer(root: Path, prefix: PurePosixPath) -> Installer:
    """Return the installer for this host, or for a tree; tests put another host into click's object."""
    machine: Machine | None = click.get_current_context().obj
    if machine is None:
        log_quietly()
        machine = this_machine(RUN_LIMIT)
    if root == _LIVE:
        return Installer(machine, True, prefix)
    return Installer(evolve(machine, root=root), False, prefix)


@host.command()
@click.option("--worker", is_flag=True, help="Install a worker, for boards or virtual boards of this host.")
@click.option("--url", type=URL, help="The farm. Without it, existing settings stay.")
@click.option(
    "--token-file", type=_FILE, metavar="FILE", help='The worker\'s token ("icefarm token add NAME --role worker").'
)
@click.option("--ca-file", type=_FILE, metavar="FILE", help="The only certificates to trust at an https:// URL.")
@click.option("--name", type=NAME, help="The worker's name in the farm.  [default: the name of the host]")
@click.option("--virtual-boards", type=VIRTUAL_BOARDS, metavar="N|N..M", help="How many virtual boards to run.")
@click.option(
    "--group",
    show_default=f"that of the last time, or {DEFAULT_GROUP}",
    help="The group whose members may use the boards.",
)
@click.option(
    "--hubs/--no-hubs",
    default=None,
    help="The group may also switch the power of hub ports (uhubctl).  [default: as the last time, or not]",
)
@click.option(
    "--prefix",
    type=click.Path(path_type=PurePosixPath),
    default=PurePosixPath(sys.prefix),
    show_default="the one that runs",
    help="icefarm's virtual environment.",
)
@_root_option
@click.option("--force", is_flag=True, help="Replace files that you changed by hand, and keep yours as *.old.")
@click.option("--no-start", is_flag=True, help="Do not start the worker now; it starts with the host.")
@_dry_run_option
def install(
    worker: bool,
    url: str | None,
    token_file: Path | None,
    ca_file: Path | None,
    name: str | None,
    virtual_boards: tuple[int, int] | None,
    group: str | None,
    hubs: bool | None,
    prefix: PurePosixPath,
    root: Path,
    force: bool,
    no_start: bool,
    dry_run: bool,
) -> None:
    """Make this host one of a farm's workers: unit, user, group, udev rules, settings, token.

    Run it again to upgrade, or to change options: options that you omit stay as they were. It writes the files that
    differ, and then restarts the worker. Files that you changed by hand stay. It needs root and systemd.
    """
    if not worker:
        raise click.UsageError("say what this host becomes: --worker")
    installer = _installer(root, prefix)
    installer.check(PurePosixPath(sys.base_prefix) if installer.is_live else None, dry_run=dry_run)
    settings = _settings(url, name, virtual_boards, ca_file)
    access = installer.recorded().access.changed(group, hubs)
    wanted = [*_fixed(prefix, access), *settings, *_token(token_file)]
    _check_complete(installer, wanted)
    actions = installer.install(wanted, access, force=force, start=not no_start)
    _carry_out(installer, actions, dry_run)
    if not dry_run:
        click.echo(f"the worker is {UNIT} (journalctl -u {UNIT}); firmware of real boards goes into /{IMAGES}")


def _fixed(prefix: PurePosixPath, access: BoardAccess) -> Sequence[HostFile]:
    try:
        return fixed_files(prefix, access)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _settings(
    url: str | None, name: str | None, virtual_boards: tuple[int, int] | None, ca_file: Path | None
) -> list[HostFile]:
    """Return the file of settings, and the certificates that it names; nothing if they are to stay."""
    if url is None:
        if (name, virtual_boards, ca_file) != (None, None, None):
            raise click.UsageError("--name, --virtual-boards and --ca-file go with --url")
        return []
    certificates = [] if ca_file is None else [HostFile(CA_FILE, _certificates(ca_file))]
    span = None if virtual_boards is None else "..".join(map(str, dict.fromkeys(virtual_boards)))
    return [WorkerSettings(url, name, span, bool(certificates)).file(), *certificates]


def _certificates(path: Path) -> bytes:
    try:
        check_certificates(str(path))
    except InvalidArgument as error:
        raise click.UsageError(str(error)) from None
    return path.read_bytes()


def _token(path: Path | None) -> list[HostFile]:
    return [] if path is None else [HostFile(TOKEN, f"{token_from(path)}\n".encode(), 0o600, secret=True)]


def _check_complete(installer: Installer, wanted: Sequence[HostFile]) -> None:
    """Check that a worker has all that it takes to begin.  Raises `CannotStart`."""
    missing = {SETTINGS, TOKEN} - {file.path for file in wanted} - set(installer.there((SETTINGS, TOKEN)))
    if SETTINGS in missing:
        raise CannotStart(f"there is no /{SETTINGS} yet: --url says where the farm is")
    if TOKEN in missing:
        raise CannotStart(
            f"there is no /{TOKEN} yet: make a token on the farm's host (icefarm token add NAME --role worker > FILE), "
            "and name it with --token-file FILE"
        )


@host.command()
@_root_option
@_dry_run_option
def uninstall(root: Path, dry_run: bool) -> None:
    """Stop the worker and remove what was installed, except files that were changed by hand."""
    installer = _installer(root, PurePosixPath(sys.prefix))
    installer.check_systemd(dry_run=dry_run)
    _carry_out(installer, installer.uninstall(), dry_run)
    click.echo(
        "left are the user icefarm and /var/lib/icefarm-worker: firmware, and measurements that are not archived yet "
        "(to be rid of them: userdel icefarm; rm -r /var/lib/icefarm-worker)"
    )


def _carry_out(installer: Installer, actions: Sequence[Action], dry_run: bool) -> None:
    for action in actions:
        click.echo(action.line)
        if dry_run:
            _show_content(action)
        else:
            installer.carry_out(action)


def _show_content(action: Action) -> None:
    if isinstance(action, Write) and not action.file.secret:
        for line in action.file.content.decode().splitlines():
            click.echo(f"    {line}".rstrip())
