"""The verb ``evaluate``: reserve boards, evaluate files on them, return them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from icefarm.cli.choosing import where_option
from icefarm.cli.completing import complete_experiments, complete_kinds, complete_serials
from icefarm.cli.connect import SignIn, with_access
from icefarm.cli.reserving import SERIALS, Wanted, held_boards, reserved
from icefarm.cli.results.results_file import ResultsFile, open_results
from icefarm.cli.results.resume import Remaining, Request, everything, remaining, resumed
from icefarm.cli.ui.exit_codes import Exit
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.parameter_types import BOARDS, NAME, PINS, PLACEMENT, PRIORITY, REPEATS, SECONDS, WAIT
from icefarm.cli.ui.records.measurements import record_of, shape_of
from icefarm.cli.ui.records.tables import Output, Rows
from icefarm.cli.ui.terminal.console import Screen
from icefarm.cli.verb import farm_of, opened_screen, room_of
from icefarm.errors import InvalidBitstream
from icefarm.selectors.language import Selector
from icefarm.system.haste import leaving
from icefarm.text.counts import counted
from icefarm.text.outside_json import NotJson, parse_json

if TYPE_CHECKING:
    from icefarm.client import Farm, Result
    from icefarm.client.placement import Placement
    from icefarm.contract import ReservationRecord

__all__ = [
    "check_timeout",
    "check_where",
    "evaluate",
    "given",
    "kind_option",
    "option_option",
    "priority_option",
    "reserve_where_option",
    "serial_option",
    "shared_option",
    "timeout_option",
    "wait_option",
    "window_option",
]

#: Bad files that are named one by one.
MOST_NAMED = 100


def _option(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any]:
    """Read NAME=VALUE; a value is JSON, or else text."""
    options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"write it as NAME=VALUE, not {text!r}")
        try:
            options[name] = parse_json(value)
        except NotJson:
            options[name] = value
    return options


def given(**options: Any) -> dict[str, Any]:
    """Return those options that were given."""
    return {name: value for name, value in options.items() if value is not None}


serial_option = click.option(
    "--serial",
    "serials",
    multiple=True,
    metavar="SERIAL",
    shell_complete=complete_serials,
    help="Reserve this board; may be repeated.",
)
reserve_where_option = where_option("Reserve only boards that this selects.")
kind_option = click.option(
    "--kind",
    default="pulsecount",
    show_default=True,
    shell_complete=complete_kinds,
    help="The device kind to reserve the boards as.",
)
option_option = click.option(
    "--option", "options", multiple=True, callback=_option, metavar="NAME=VALUE", help="Another option of the kind."
)
window_option = click.option(
    "--window", type=SECONDS, help="Seconds to count pulses for.  [default: the kind's own, 1]"
)
wait_option = click.option("--wait", is_flag=True, help="Wait if too few boards are free.")
timeout_option = click.option("--timeout", type=WAIT, help="Wait at most this long.")
priority_option = click.option(
    "--priority", type=PRIORITY, help="Requests with a higher priority are served first.  [default: the account's]"
)

shared_option = click.option(
    "--shared", is_flag=True, help="Take turns on these boards with other clients that also use --shared."
)


def check_timeout(asked: Mapping[str, Any]) -> None:
    """Raise `click.UsageError` for a timeout without --wait."""
    if asked["timeout"] is not None and not asked["wait"]:
        raise click.UsageError("--timeout needs --wait")


def check_where(serials: Sequence[str] | None, where: Selector | None) -> None:
    """Raise `click.UsageError` if boards are both named and selected."""
    if serials and where is not None:
        raise click.UsageError("--serial names boards and --where chooses among boards: give one of them")


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILES...")
@click.option("--any/--each", "any_", default=True, help="Each file on any one of the boards (default), or on each.")
@click.option(
    "--placement",
    type=PLACEMENT,
    metavar="HOW",
    help="any, each, same (the same board again), spread (one at random), distinct:K (K at random).",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Makes random choices repeatable.")
@click.option("--devices", type=BOARDS, help="Reserve N boards.  [default: 1]")
@serial_option
@reserve_where_option
@kind_option
@window_option
@click.option("--pins", type=PINS, metavar="PIN,...", help="Pins of the FPGA to count on, for --kind multipulsecount.")
@click.option("--repeats", type=REPEATS, help="Windows for each evaluation; each gives a value.")
@option_option
@click.option(
    "--out",
    type=click.Path(),
    metavar="FILE",
    help="Also write results to FILE (.csv, .jsonl, .parquet); results in it are not measured again.",
)
@click.option(
    "--experiment",
    type=NAME,
    envvar="ICEFARM_EXPERIMENT",
    shell_complete=complete_experiments,
    show_default="the client's name and the day",
    help="Keep the measurements under this name (ICEFARM_EXPERIMENT).",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    callback=_option,
    metavar="NAME=VALUE",
    help="Label each measurement; may be repeated.",
)
@click.option("--keep-circuits", is_flag=True, help="The farm keeps the bitstreams too, for icefarm replay.")
@click.option("--total", type=click.IntRange(1), help="How many evaluations to expect of the experiment in all.")
@click.option(
    "--resume",
    is_flag=True,
    help="Take existing values of the experiment from the archive, and measure the rest.",
)
@click.option("--at-least", type=BOARDS, help="Begin with N boards, and take the others when they are free.")
@click.option(
    "--preemptible/--not-preemptible",
    default=None,
    show_default="as the farm is set",
    help="Give boards up to requests that take precedence, and get others later.",
)
@priority_option
@shared_option
@wait_option
@timeout_option
@output_option
@with_access(named=True)
def evaluate(
    access: SignIn,
    output: Output,
    any_: bool,
    placement: str | None,
    seed: int,
    devices: int | None,
    serials: tuple[str, ...],
    window: float | None,
    pins: list[int] | None,
    repeats: int | None,
    options: dict[str, Any],
    out: str | None,
    **request: Any,
) -> None:
    """Evaluate bitstreams (.bin, .asc) on boards, and print each result as it arrives.

    With "-o json" each line is one result (JSON Lines).  It checks all files before it reserves any board.  The
    exit code is 0 only if every evaluation has a result.  With --out, give the same command again to resume an
    interrupted run: it skips files whose results with the same options are in FILE.  With --resume, results of the
    experiment in the farm's archive count as well, whichever machine measured them; they are marked as archived.
    """
    if devices is not None and serials:
        raise click.UsageError("--devices and --serial are mutually exclusive")
    if request["total"] is not None and request["experiment"] is None:
        raise click.UsageError("--total needs --experiment")
    if request["resume"] and request["experiment"] is None:
        raise click.UsageError("--resume needs --experiment")
    check_timeout(request)
    check_where(serials, request["where"])
    asked_placement = _placement(placement or ("any" if any_ else "each"), seed)
    _check_sharing(request, serials, asked_placement)
    # In a shell that holds boards: all of those.
    chosen = (
        tuple(dict.fromkeys(serials))
        or (tuple(os.environ.get(SERIALS, "").split()) if devices is None and request["where"] is None else ())
        or None
    )
    asked = Request(
        placement=asked_placement,
        devices=None if chosen else devices or 1,
        serials=chosen,
        options=options | given(window=window, pins=pins),
        evaluation_options=given(repeats=repeats),
        **request,
    )
    with opened_screen() as screen:
        _check_options(asked)
        digests = _check(asked.files, screen)
        with nullcontext() if out is None else open_results(out) as saved:
            if saved is not None:
                missing = resumed(asked, digests, saved)
                if missing is None:
                    screen.say(f"{out} has all of these results already")
                    return
                asked = missing
            with farm_of(access) as farm:
                sys.exit(_carry_out(farm, asked, screen, output, digests, saved))


def _check_sharing(request: Mapping[str, Any], serials: Sequence[str], placement: Placement) -> None:
    """Raise `click.UsageError` if the number of boards may change, but evaluations need these boards."""
    from icefarm.client.placement import AnyBoard

    if request["at_least"] is None and not request["preemptible"]:
        return
    if request["shared"]:
        raise click.UsageError("--at-least and --preemptible go with boards of your own, not with --shared")
    if serials:
        raise click.UsageError("--at-least and --preemptible go with --devices, not with --serial")
    if not isinstance(placement, AnyBoard):
        raise click.UsageError("--at-least and --preemptible need --any: else a file is for one board or another")


def _placement(how: str, seed: int) -> Placement:
    from icefarm.client.placement import AnyBoard, Distinct, EachBoard, SameBoard, Spread

    name, _, count = how.partition(":")
    made: dict[str, Callable[[], Placement]] = {
        "any": AnyBoard,
        "each": EachBoard,
        "same": lambda: SameBoard(seed),
        "spread": lambda: Spread(seed),
        "distinct": lambda: Distinct(int(count), seed),
    }
    return made[name]()


def _check_options(asked: Request) -> None:
    """Refuse bad values of options before anything is reserved.  Raises `InvalidArgument`."""
    from icefarm.client.api.arguments import RULES, check_evaluation_options

    RULES["options"].apply("--option", asked.options)
    RULES["labels"].apply("--label", asked.labels)
    check_evaluation_options(asked.kind, asked.evaluation_options)


def _check(files: Sequence[str], screen: Screen) -> dict[str, str]:
    """Return the SHA-256 of each file's bitstream.

    Raises `InvalidBitstream` if some are not bitstreams, after naming all of them.
    """
    from icefarm.client.evaluation.payload import payload_of, sha256_of

    bad, digests = 0, {}
    for name in dict.fromkeys(files):
        try:
            digests[name] = sha256_of(payload_of(name))
        except InvalidBitstream as error:
            bad += 1
            if bad <= MOST_NAMED:
                screen.say(error.message)
    if bad:
        more = f" ({bad - MOST_NAMED} more than those named)" if bad > MOST_NAMED else ""
        all_files = counted(len(set(files)), "file")
        raise InvalidBitstream(f"{bad} of {all_files} can't be evaluated{more}; nothing is reserved")
    return digests


def _carry_out(
    farm: Farm, asked: Request, screen: Screen, output: Output, digests: Mapping[str, str], saved: ResultsFile | None
) -> Exit:
    sharing = given(
        at_least=asked.at_least, preemptible=asked.preemptible, priority=asked.priority, shared=asked.shared or None
    )
    wanted = Wanted(
        asked.devices, asked.serials, asked.kind, asked.options, asked.wait, asked.timeout, asked.where, sharing
    )
    if not asked.anywhere:
        # Each file is for one board or another: none may leave.
        wanted = wanted.steady
    held = held_boards(farm, wanted)
    if held is not None:
        missing = _evaluated(farm, held, asked, screen, output, digests, saved)
        # They stay reserved for the command around this one.
        farm.close(end=False)
        return Exit.INCOMPLETE if missing else Exit.OK
    with reserved(farm, wanted, screen) as boards:
        try:
            missing = _evaluated(farm, boards.reservations, asked, screen, output, digests, saved)
        except KeyboardInterrupt:
            with leaving():
                ended = boards.leave()
            screen.say(f"interrupted; {_what_ended(ended)}")
            return Exit.INTERRUPTED
    return Exit.INCOMPLETE if missing else Exit.OK


def _what_ended(serials: Sequence[str]) -> str:
    if not serials:
        return "no reservation was ended now; the farm ends them later"
    return f"ended the reservations of {', '.join(serials)}"


def _evaluated(
    farm: Farm,
    boards: Sequence[ReservationRecord],
    asked: Request,
    screen: Screen,
    output: Output,
    digests: Mapping[str, str],
    saved: ResultsFile | None,
) -> int:
    """Evaluate what is left to do, and return how many evaluations have no result."""
    if asked.total is not None:
        farm.experiment(asked.experiment).announce(total=asked.total)
    left = everything(asked, [record.serial for record in boards])
    if saved is not None:
        left = remaining(left, digests, saved, asked.wording)
    missing = _print_results(farm, boards, asked, left, screen, output, saved)
    if missing:
        have = "has" if missing == 1 else "have"
        screen.say(f"{missing} of {counted(left.evaluations, 'evaluation')} {have} no result")
    return missing


def _print_results(
    farm: Farm,
    records: Sequence[ReservationRecord],
    asked: Request,
    left: Remaining,
    screen: Screen,
    output: Output,
    saved: ResultsFile | None,
) -> int:
    """Return how many evaluations have no result."""
    workers = {record.serial: record.worker for record in records}
    repeats = asked.evaluation_options.get("repeats", 1)
    shape = shape_of(asked.files, records, repeats, archived=asked.resume).chosen(output)
    rows = Rows(shape, output.form, room_of(screen, output))
    missing = archived = 0
    screen.write(rows.head())
    with screen.progress(left.evaluations, "evaluating") as advance:
        for result in _results(farm, records, asked, left):
            missing += result.error is not None
            archived += result.archived
            record = record_of(result, workers)
            if saved is not None:
                saved.add(record, asked.wording)
            screen.write(rows.row(record))
            advance()
    if asked.resume:
        known = f"{archived} of {counted(left.evaluations, 'result')} {'is' if archived == 1 else 'are'}"
        screen.say(f"{known} from the archive, of experiment {asked.experiment}")
    return missing


def _group_of(reservations: Sequence[ReservationRecord]) -> str | None:
    """Return the id of the boards' request, if their number may change; None: it stays the same."""
    requests = {None if record.wanted is None else record.request for record in reservations}
    return requests.pop() if len(requests) == 1 else None


def _results(
    farm: Farm, reservations: Sequence[ReservationRecord], asked: Request, left: Remaining
) -> Iterator[Result]:
    """Yield the result of every evaluation, also of those that have no board left."""
    from icefarm.client.evaluation.payload import placed_item
    from icefarm.client.evaluation.plan import RunPlan
    from icefarm.client.placement import AnyBoard

    records = {record.serial: record for record in reservations}
    how = asked.placement.record()
    items: Iterable[Any] = (placed_item(name, serials, how, number) for number, name, serials in left.files)
    plan = RunPlan(
        tuple(records),
        asked.evaluation_options,
        fan_out=asked.placement.fan_out(sorted(records)),
        experiment=asked.experiment,
        labels=asked.labels,
        resume=asked.resume,
        keep_circuits=asked.keep_circuits,
        placement=how,
        group=_group_of(reservations) if isinstance(asked.placement, AnyBoard) else None,
    )
    return farm.stream(plan, records, items, deserted_raises=False)
