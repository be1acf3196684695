"""Pure: no I/O, no clock.  Which boards a selector selects, and in words why so few.

`NAMES` is the table of what a selector can ask of a board besides its labels: a new name is a new line of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from icefarm.contract import MAX_BOARD_LABELS, DeviceRecord, DeviceStatus, WorkerRecord, account_of
from icefarm.errors import InvalidArgument
from icefarm.selectors.language import Selector, is_selector_name, parse

__all__ = [
    "LABEL",
    "LONGEST_VALUE",
    "NAMES",
    "BoardName",
    "check_known",
    "check_labels",
    "is_virtual",
    "label_names",
    "names_virtual",
    "narrowed",
    "parse_boards",
    "selects",
]

#: What stands before a label's name where that is also one of `NAMES`.
LABEL = "label."
#: The longest name and value of a label, in characters.
LONGEST_LABEL, LONGEST_VALUE = 50, 100
#: The share of a healthy board's last attempts that did not go well, at the most.
UNWELL = 0.1
#: Labels that an error names.
_NAMED = 40


@frozen
class BoardName:
    """Something that a selector can ask of every board."""

    #: For people, in the documentation.
    what: str
    of: Callable[[DeviceRecord], Any]


def is_virtual(board: DeviceRecord) -> bool:
    """Tell whether it is a virtual board."""
    return board.model is not None


def _is_simulated(board: DeviceRecord) -> bool:
    return board.model == "simulated"


def _is_landscape(board: DeviceRecord) -> bool:
    return is_virtual(board) and "landscape" in str(board.model).split(",")


def _is_real(board: DeviceRecord) -> bool:
    return not is_virtual(board)


def _is_healthy(board: DeviceRecord) -> bool:
    health = board.health
    return (
        board.status not in (DeviceStatus.BROKEN, DeviceStatus.OFFLINE)
        and not health.set_aside
        and health.timeouts + health.retries <= UNWELL * health.attempts
    )


def _account(board: DeviceRecord) -> str | None:
    return None if board.client is None else account_of(board.client)


def _figure(name: str) -> Callable[[DeviceRecord], Any]:
    def read(board: DeviceRecord) -> Any:
        return None if board.calibration is None else getattr(board.calibration, name)

    return read


def _field(name: str) -> Callable[[DeviceRecord], Any]:
    def read(board: DeviceRecord) -> Any:
        return getattr(board, name)

    return read


NAMES: Mapping[str, BoardName] = {
    "serial": BoardName("its serial", _field("serial")),
    "worker": BoardName("the worker that it is plugged into", _field("worker")),
    "status": BoardName("available, reserved, flashing, testing, broken or offline", _field("status")),
    "healthy": BoardName(
        "neither broken nor offline, not set aside lately, at most 10 % of its last attempts went wrong", _is_healthy
    ),
    "kind": BoardName("the kind that it is reserved as; nothing while it is not", _field("kind")),
    "client": BoardName("the client that has it", _field("client")),
    "account": BoardName("that client's account", _account),
    "firmware": BoardName("the firmware that it runs", _field("firmware")),
    "firmware_version": BoardName("that firmware's version", _field("firmware_version")),
    "usb_path": BoardName("where it is plugged in", _field("usb_path")),
    "evaluations": BoardName("evaluations with a result since its worker started", _field("evaluations")),
    "failures": BoardName("evaluations that failed since then", _field("failures")),
    "retries": BoardName("its own retries since then", _field("retries")),
    "real": BoardName("a board that can be touched", _is_real),
    "virtual": BoardName("a program that behaves as a board", is_virtual),
    "simulated": BoardName("a virtual board that runs the circuit", _is_simulated),
    "landscape": BoardName("a virtual board that may invent a frequency for the circuit", _is_landscape),
    "offset_ppm": BoardName("how far it is off, by its last calibration; nothing without one", _figure("offset_ppm")),
    "noise_ppm": BoardName("the standard deviation of its windows", _figure("noise_ppm")),
    "drift_ppm_per_day": BoardName("how fast its offset changes", _figure("drift_ppm_per_day")),
    "temperature": BoardName("its temperature when it was last calibrated, degrees Celsius", _figure("temperature_c")),
    "suspect": BoardName("it measures unlike the others, or unlike what it was", _figure("suspect")),
}

#: Who wants one of these allows virtual boards.
_ALLOW_VIRTUAL = frozenset(("virtual", "simulated", "landscape"))


def parse_boards(text: str) -> Selector:
    """Read a selector of boards.  Raises `InvalidArgument`."""
    try:
        return parse(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"where {error.message}") from None


def check_known(selector: Selector, labels: Iterable[str]) -> None:
    """Raise `InvalidArgument`, with the names that there are, for a name that is neither in `NAMES` nor a label."""
    known = set(labels)
    for name in selector.names:
        if name.removeprefix(LABEL) in known or name in NAMES:
            continue
        own = sorted(known)
        more = f" and {len(own) - _NAMED} more" if len(own) > _NAMED else ""
        there = f"labels {', '.join(own[:_NAMED])}{more}" if own else "no labels yet"
        raise InvalidArgument(f"where names {name!a:.60}; there are {', '.join(NAMES)}; and {there}", name=name)


def label_names(records: Iterable[DeviceRecord | WorkerRecord]) -> set[str]:
    """Return the names of all labels of boards and workers."""
    return {name for record in records for name in record.labels}


@frozen
class _Board:
    """The values of a board's names."""

    board: DeviceRecord

    def value(self, name: str) -> Any:
        known = NAMES.get(name)
        return known.of(self.board) if known is not None else self.board.labels.get(name.removeprefix(LABEL))


def selects(selector: Selector, board: DeviceRecord) -> bool:
    """Tell whether a board is selected."""
    return selector.holds(_Board(board).value)


def names_virtual(selector: Selector | None) -> bool:
    """Tell whether a selector allows virtual boards where there are real ones, because it wants them.

    To name them in order to exclude some, as in ``not landscape``, allows none.
    """
    return selector is not None and selector.wants(_ALLOW_VIRTUAL)


def narrowed(selector: Selector, boards: Sequence[DeviceRecord]) -> tuple[list[DeviceRecord], list[str]]:
    """Return the boards that are selected, and how many each part of the selector leaves, in words."""
    left, words = list(boards), []
    for part in selector.parts:
        left = [board for board in left if selects(part, board)]
        words.append(f"{part} leaves {len(left)}")
    return left, words


def check_labels(labels: Mapping[str, str | None]) -> None:
    """Raise `InvalidArgument` for labels that no board can have; a value None takes a label away."""
    if not labels or len(labels) > MAX_BOARD_LABELS:
        raise InvalidArgument(f"there must be 1 to {MAX_BOARD_LABELS} labels, not {len(labels)}")
    for name, value in labels.items():
        if name in NAMES or name.startswith(LABEL):
            raise InvalidArgument(f"the name of a label must be another than {name!a}: every board has that")
        if len(name) > LONGEST_LABEL or not is_selector_name(name):
            raise InvalidArgument(
                f"the name of a label must be 1 to {LONGEST_LABEL} letters, digits, '_', '-', '.' or ':', and none of "
                f"and, or, not, in; not {name!a:.80}"
            )
        if value is not None and not (
            0 < len(value) <= LONGEST_VALUE and value.isprintable() and value == value.strip()
        ):
            raise InvalidArgument(
                f"the value of label {name} must be 1 to {LONGEST_VALUE} printable characters without blanks at the "
                f"ends, not {value!a:.80}"
            )
