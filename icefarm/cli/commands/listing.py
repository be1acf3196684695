"""The verbs ``devices``, ``workers``, ``reservations`` and ``queue``, which list what the farm has."""

from __future__ import annotations

import click

from icefarm.cli.connect import Access, with_access
from icefarm.cli.ui import columns
from icefarm.cli.ui.options import output_option
from icefarm.cli.verb import farm_of, opened_screen, show
from icefarm.contract import DeviceStatus, to_wire

__all__ = ["devices", "queue", "reservations", "workers"]


@click.command()
@click.option(
    "--status", type=click.Choice([str(status) for status in DeviceStatus]), help="Only boards in this state."
)
@output_option
@with_access()
def devices(access: Access, output: str, status: str | None) -> None:
    """List the boards, with their state and its reason."""
    with opened_screen() as screen, farm_of(access) as farm:
        found = farm.snapshot()
        records = [to_wire(each) for each in found.devices if status in (None, each.status)]
        show(screen, records, columns.devices(found.time), output)


@click.command()
@output_option
@with_access()
def workers(access: Access, output: str) -> None:
    """List the workers, which are the hosts that boards are plugged into."""
    with opened_screen() as screen, farm_of(access) as farm:
        found = farm.snapshot()
        show(screen, [to_wire(each) for each in found.workers], columns.workers(found.time), output)


@click.command()
@output_option
@with_access()
def reservations(access: Access, output: str) -> None:
    """List the active reservations of all clients."""
    with opened_screen() as screen, farm_of(access) as farm:
        found = farm.snapshot()
        records = [to_wire(each) for each in found.reservations if each.ended_at is None]
        show(screen, records, columns.reservations(found.time), output)


@click.command()
@output_option
@with_access()
def queue(access: Access, output: str) -> None:
    """List the requests that wait for boards, the next one first, and why each of them waits."""
    with opened_screen() as screen, farm_of(access) as farm:
        found = farm.snapshot()
        records = [to_wire(each) for each in sorted(found.queue, key=lambda each: each.place)]
        show(screen, records, columns.queue(found.time), output)
