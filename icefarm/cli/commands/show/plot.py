"""The verb ``plot``: the values of an experiment as a picture."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from icefarm.cli.commands.show.experiments import account_option, board_option, experiment_argument, since_option
from icefarm.cli.connect import SignIn, with_access
from icefarm.cli.reading import Reader
from icefarm.cli.verb import opened_screen
from icefarm.client.api.notebook.plots import BEST, picture_of
from icefarm.system.writing import CannotWrite
from icefarm.text.counts import counted
from icefarm.text.one_line import one_line

__all__ = ["plot"]


@click.command()
@experiment_argument
@account_option
@board_option
@since_option
@click.option(
    "--best", type=click.Choice(list(BEST)), default="max", show_default=True, help="Whether more or less is better."
)
@click.option("--out", type=click.Path(), required=True, metavar="FILE", help="The picture: .svg, .png or .pdf.")
@with_access()
def plot(
    access: SignIn,
    experiment_name: str,
    account: str | None,
    serials: tuple[str, ...],
    since: float | None,
    best: str,
    out: str,
) -> None:
    """Draw the values of an experiment over time: by board, the best so far, and the figures that its client reported.

    It needs matplotlib: pip install 'icefarm[plot]'.
    """
    from icefarm.client.api.notebook.drawing import check_plot_file, drawn_figure

    with opened_screen() as screen:
        try:
            check_plot_file(Path(out).suffix.lower().removeprefix("."))
        except ValueError as error:
            raise click.UsageError(f"--out {error}, not {one_line(out)}") from None
        begin = None if since is None else time.time() - since
        reader = Reader(access)
        results = reader.results(experiment_name, account, serials=list(serials) or None, since=begin, failed=False)
        figures = [each for each in reader.figures(experiment_name, account) if each["time"] >= (begin or 0.0)]
        picture = picture_of(experiment_name, results, figures, best)
        if not picture.points and not picture.figures:
            raise click.ClickException(f"{experiment_name} has no values to draw yet")
        _save(drawn_figure(picture), out)
        screen.say(f"drew {counted(picture.points, 'value')} of {counted(len(picture.boards), 'board')} into {out}")


def _save(figure: object, out: str) -> None:
    try:
        # Without a date, the same values give the same file.
        metadata = {"Date": None} if out.lower().endswith(".svg") else None
        figure.savefig(os.fspath(out), metadata=metadata)  # type: ignore[attr-defined]
    except OSError as error:
        raise CannotWrite(f"cannot write the picture to {one_line(out)}: {error.strerror or error}") from None
