"""The verbs ``status``, ``board``, ``logs`` and ``open``: the farm at a glance, and one board of it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import click

from icefarm.cli.completing import complete_names, complete_serials
from icefarm.cli.connect import SignIn, with_access
from icefarm.cli.http_way import web_address
from icefarm.cli.names import board_named
from icefarm.cli.reading import Reader
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.records.archive_columns import with_uncertainty
from icefarm.cli.ui.records.columns import health, suspect
from icefarm.cli.ui.records.formatting import duration, shown
from icefarm.cli.ui.records.tables import Column, Output, Rows, Shape
from icefarm.cli.ui.terminal.console import Screen
from icefarm.cli.verb import farm_of, opened_screen, show
from icefarm.errors import InvalidArgument, UnknownDevice
from icefarm.text.counts import counted
from icefarm.text.one_line import one_line

__all__ = ["board", "logs", "open_", "status"]

#: Boards with a fault, requests and clients that ``status`` names, and events of ``board``.
MOST_NAMED = 5
LAST_EVENTS = 10

#: A line of a worker's log.
LOG = Shape(
    ("time", "level", "worker", "serial", "message"),
    (
        Column("TIME", lambda line: _moment(line["time"]), priority=0),
        Column("LEVEL", itemgetter("level"), priority=2),
        Column("WORKER", itemgetter("worker"), priority=3),
        Column("SERIAL", itemgetter("serial"), priority=1),
        Column("MESSAGE", itemgetter("message"), priority=0, least=20),
    ),
)

_as_text_option = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Form of the output."
)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


@click.command()
@_as_text_option
@with_access()
def status(access: SignIn, output: str) -> None:
    """Show the farm on one screen: boards by state, faults, workers, clients and the queue."""
    with opened_screen() as screen:
        found = Reader(access).snapshot()
        if output == "json":
            screen.write(json.dumps(_counts(found)) + "\n")
        else:
            _write_lines(screen, _status_lines(access.url, found))


def _counts(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": found["farm"].get("version"),
        "boards": dict(Counter(each["status"] for each in found["devices"])),
        "suspects": sum(suspect(each) is not None for each in found["devices"]),
        "workers": dict(Counter(each["status"] for each in found["workers"])),
        "clients": dict(Counter(each["client"] for each in _active(found))),
        "queue": len(found["queue"]),
    }


def _active(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in found["reservations"] if each["ended_at"] is None]


def _status_lines(url: str, found: Mapping[str, Any]) -> Iterator[str]:
    boards, counts = found["devices"], _counts(found)
    yield f"farm:     {url}, icefarm {counts['version']}"
    yield f"boards:   {len(boards)}{_in_words(counts['boards'])}"
    faulty = [each for each in boards if each["status"] in ("broken", "offline")]
    for each in faulty[:MOST_NAMED]:
        yield f"          {each['serial']} {each['status']}: {shown(each['reason'])}"
    yield from _and_more(faulty, 'more; "icefarm devices --status broken" lists them')
    suspects = [each for each in boards if suspect(each)]
    for each in suspects[:MOST_NAMED]:
        yield f"          {each['serial']} is suspect: {suspect(each)}"
    yield from _and_more(suspects, 'more are suspect; "icefarm devices --where suspect" lists them')
    yield f"workers:  {len(found['workers'])}{_in_words(counts['workers'])}"
    yield f"clients:  {len(counts['clients'])}"
    for client, number in Counter(counts["clients"]).most_common(MOST_NAMED):
        yield f"          {one_line(client)}: {number}, {_until(client, found)}"
    yield from _and_more(list(counts["clients"]), 'more; "icefarm reservations" lists them')
    yield f"queue:    {len(found['queue'])}"
    waiting = sorted(found["queue"], key=itemgetter("place"))
    for each in waiting[:MOST_NAMED]:
        since = duration(found["time"] - each["since"])
        yield f"          {each['place']}. {one_line(each['client'])} for {each['amount']}, since {since}"
    yield from _and_more(waiting, 'more; "icefarm queue" lists them')


def _until(client: str, found: Mapping[str, Any]) -> str:
    """Say for how long a client has boards: until the first is to go, or could go."""
    first = min((each for each in _active(found) if each["client"] == client), key=itemgetter("expires_at"))
    left = duration(max(0.0, first["expires_at"] - found["time"]))
    why = first.get("limited_by")
    return f"for {left} unless extended" if why is None else f"for {left} more: {shown(why)}"


def _in_words(counts: Mapping[str, int]) -> str:
    words = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    return f" ({words})" if words else ""


def _and_more(every: Sequence[Any], words: str) -> Iterator[str]:
    if len(every) > MOST_NAMED:
        yield f"          {len(every) - MOST_NAMED} {words}"


def _write_lines(screen: Screen, lines: Iterator[str]) -> None:
    for line in lines:
        screen.write(one_line(line) + "\n")


@click.command()
@click.argument("serial", shell_complete=complete_serials)
@_as_text_option
@with_access()
def board(access: SignIn, serial: str, output: str) -> None:
    """Show all of one board, and its last events; you may abbreviate SERIAL."""
    with opened_screen() as screen:
        reader = Reader(access)
        found = reader.snapshot()
        name = board_named(serial, [each["serial"] for each in found["devices"]])
        record = next(each for each in found["devices"] if each["serial"] == name)
        past = reader.board_history(name)
        if output == "json":
            screen.write(json.dumps({**record, "states": past["states"], "log": past["log"]}) + "\n")
        else:
            _write_lines(screen, _board_lines(record, past))


def _board_lines(record: Mapping[str, Any], past: Mapping[str, Any]) -> Iterator[str]:
    for field, value in record.items():
        in_words = _IN_WORDS.get(field, shown)
        yield f"{field.replace('_', ' ') + ':':18}{shown(value) if value is None else in_words(value)}"
    events = [(each["time"], _state_words(each)) for each in past["states"]]
    events += [(each["time"], f"{each['level']}: {each['message']}") for each in past["log"]]
    yield "last events:" if events else "last events:      none"
    for at, words in sorted(events)[-LAST_EVENTS:]:
        yield f"  {_moment(at)}  {words}"


def _health_words(found: Mapping[str, int]) -> str:
    return health({"health": found}) or f"no faults in {counted(found['attempts'], 'attempt')}"


def _calibration_words(found: Mapping[str, Any]) -> str:
    offset = with_uncertainty(found["offset_ppm"], found["offset_uncertainty_ppm"])
    text = f"{offset} ppm, by the {found['reference']} at {_moment(found['measured_at'])}"
    return text if found["suspect"] is None else f"{text}; suspect: {shown(found['suspect'])}"


#: How fields of a board read that are more than a word.
_IN_WORDS: Mapping[str, Callable[[Any], str]] = {
    **dict.fromkeys(("expires_at", "changed_at", "reserved_at"), _moment),
    "health": _health_words,
    "calibration": _calibration_words,
}


def _state_words(state: Mapping[str, Any]) -> str:
    client = "" if state["client"] is None else f" for {state['client']}"
    return f"{state['status']}{client}" + ("" if state["reason"] is None else f": {state['reason']}")


@click.command()
@click.argument("subject", required=False, metavar="[BOARD|WORKER]", shell_complete=complete_names)
@click.option("-f", "--follow", is_flag=True, help="Print new lines as they arrive, until Ctrl-C.")
@click.option(
    "-n", "--lines", type=click.IntRange(0, 300), default=50, show_default=True, help="The number of past lines."
)
@output_option
@with_access()
def logs(access: SignIn, subject: str | None, follow: bool, lines: int, output: Output) -> None:
    """Show lines of the workers' logs: all, or those of a board or a worker, whose name you may abbreviate.

    With "-o json", or with --follow, each line is printed as it arrives (JSON Lines).
    """
    with opened_screen(without_connection=follow) as screen:
        reader = Reader(access)
        only = None if subject is None else _of_name(subject, reader.snapshot())
        found = [line for line in reader.journal()["log"] if _about(line, only)]
        last = found[-lines:] if lines else []
        if not follow and output.form != "json":
            show(screen, last, LOG, output)
            return
        rows = Rows(LOG.chosen(output), output.form)
        screen.write(rows.head() + "".join(rows.row(line) for line in last))
        if follow:
            _follow(access, only, rows, screen)


def _of_name(name: str, found: Mapping[str, Any]) -> str:
    """Return the serial or the worker that is meant."""
    workers = [each["name"] for each in found["workers"]]
    serials = [each["serial"] for each in found["devices"]]
    if name in workers:
        return name
    try:
        return board_named(name, [*serials, *workers])
    except UnknownDevice as error:
        raise UnknownDevice(error.message.replace("no board", "no board or worker", 1)) from None


def _about(line: Mapping[str, Any], only: str | None) -> bool:
    return only is None or only in (line.get("serial"), line.get("worker"))


def _follow(access: SignIn, only: str | None, rows: Rows, screen: Screen) -> None:
    fields = dict.fromkeys(LOG.fields)
    try:
        with farm_of(access) as farm:
            for changes in farm.watch():
                for change in changes:
                    if change.event == "log" and isinstance(change.of, Mapping) and _about(change.of, only):
                        screen.write(rows.row({**fields, "time": time.time(), **change.of}))
    except KeyboardInterrupt:
        return


def page_of(access: SignIn) -> str:
    """Return the address of the farm's page.  Raises `InvalidArgument` if it has none."""
    address = web_address(access.where)
    if address is None:
        raise InvalidArgument(f"a Unix socket has no page: name the farm by http:// with --url, not {access.url}")
    return f"{address}/"


@click.command("open")
@with_access()
def open_(access: SignIn) -> None:
    """Open the dashboard in a browser, and print its address."""
    page = page_of(access)
    click.echo(page)
    if click.launch(page, wait=True) != 0:
        click.echo("icefarm: there is no browser to open it with", err=True)
        click.get_current_context().exit(1)
