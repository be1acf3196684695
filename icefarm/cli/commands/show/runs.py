"""The verbs ``runs`` and ``run``: what an experiment is made of, and how it is cited and saved."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import click

from icefarm.cli.commands.show.experiments import account_option, experiment_argument
from icefarm.cli.connect import SignIn, with_access
from icefarm.cli.reading import Answer, Reader
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.records import archive_columns
from icefarm.cli.ui.records.formatting import moment, shown
from icefarm.cli.ui.records.tables import Output
from icefarm.cli.verb import farm_of, opened_screen, show
from icefarm.text.one_line import one_line

__all__ = ["run", "runs"]


@click.command()
@experiment_argument
@account_option
@output_option
@with_access()
def runs(access: SignIn, output: Output, experiment_name: str, account: str | None) -> None:
    """List the runs of an experiment, the newest first; each is one stream of evaluations."""
    with opened_screen() as screen:
        show(screen, Reader(access).runs(experiment_name, account), archive_columns.runs(time.time()), output)


@click.command()
@click.argument("id", metavar="ID")
@click.option("--out", type=click.Path(dir_okay=False), metavar="FILE", help="Save it: a zip of manifest and results.")
@click.option(
    "--circuits",
    type=click.Path(),
    metavar="DIR",
    help="Put the circuits of this folder into FILE; their names do not matter.",
)
@click.option("--with-bitstreams", is_flag=True, help="Put the circuits that the farm keeps into FILE.")
@output_option
@with_access()
def run(access: SignIn, output: Output, id: str, out: str | None, circuits: str | None, with_bitstreams: bool) -> None:
    """Show a run: what it measured, the id to cite, what each board did.

    ID is the run's id or number, or the first 8 or more digits of one.  With "-o json" it is one object with the whole
    manifest; with "-o csv" the boards.
    """
    if (circuits is not None or with_bitstreams) and out is None:
        raise click.UsageError("--circuits and --with-bitstreams need --out")
    with opened_screen() as screen:
        if out is not None:
            with farm_of(access) as farm:
                saved = farm.archived_run(id)
                saved.export(out, circuits=circuits, kept_circuits=with_bitstreams)
            screen.say(f"wrote run {saved.id} to {one_line(out)}")
            return
        found = Reader(access).run(id)
        if output.form == "json":
            screen.write(json.dumps(found, indent=2) + "\n")
            return
        manifest = found["manifest"]
        if output.is_table:
            screen.write("".join(_summary(found)) + ("" if manifest is None else "\n"))
        if manifest is not None or not output.is_table:
            show(screen, [] if manifest is None else manifest["boards"], archive_columns.RUN_BOARDS, output)


def _summary(found: Answer) -> Iterator[str]:
    record, manifest = found["run"], found["manifest"]
    lines: dict[str, Any] = {
        "run": record["id"],
        "number": record["number"],
        "experiment": record["experiment"],
        "account": record["account"],
        "client": record["client"],
        "state": record["state"],
        "kind": record["kind"],
        "labels": _pairs(record["labels"]),
        **({} if manifest is None else _told(manifest)),
        "dropped": None if record["dropped_at"] is None else moment(record["dropped_at"]),
    }
    for name, value in lines.items():
        yield f"{name + ':':<12}{shown(value)}\n"


def _told(manifest: Mapping[str, Any]) -> dict[str, Any]:
    versions = manifest["versions"]
    return {
        "options": _pairs({**manifest["options"], **manifest["evaluation_options"]}),
        "placement": _pairs(manifest["placement"]),
        "circuits": manifest["circuits"]["count"],
        "results": manifest["results"]["count"],
        "failed": manifest["results"]["failed"],
        "begin": manifest["begin"],
        "end": manifest["end"],
        "versions": f"client {versions['client']}, control {versions['control']}",
    }


def _pairs(values: Mapping[str, Any]) -> str | None:
    return ", ".join(f"{name}={value}" for name, value in values.items()) or None
