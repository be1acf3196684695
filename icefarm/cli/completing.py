"""What a shell completes: names that the farm knows, as far as it answers at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from icefarm.errors import IcefarmError

__all__ = [
    "complete_accounts",
    "complete_bookings",
    "complete_experiments",
    "complete_kinds",
    "complete_labels_of_boards",
    "complete_names",
    "complete_serials",
    "complete_where",
    "complete_workers",
]

#: A name, and its description.
Known = Iterable[tuple[str, str]]


def _serials(found: Mapping[str, Any]) -> Known:
    return [(each["serial"], each["status"]) for each in found["devices"]]


def _workers(found: Mapping[str, Any]) -> Known:
    return [(each["name"], each["status"]) for each in found["workers"]]


def _both(found: Mapping[str, Any]) -> Known:
    return [*_serials(found), *_workers(found)]


def _kinds(found: Mapping[str, Any]) -> Known:
    return [(kind, "kind") for kind in sorted({kind for each in found["workers"] for kind in each["kinds"]})]


def _accounts(found: Mapping[str, Any]) -> Known:
    from icefarm.contract import account_of

    clients = {each["client"] for name in ("reservations", "queue") for each in found[name]}
    # A farm of an earlier version has no bookings.
    booked = {each["account"] for each in found.get("bookings", ())}
    return [(account, "account") for account in sorted({account_of(client) for client in clients} | booked)]


def _bookings(found: Mapping[str, Any]) -> Known:
    return [(each["id"], f"{each['amount']} for {each['account']}") for each in found["bookings"]]


def _experiments(found: Mapping[str, Any]) -> Known:
    return dict.fromkeys((each["name"], each["account"]) for each in found["experiments"])


def _label_words(found: Mapping[str, Any]) -> Known:
    """Return the labels that there are, each with a value, as they are written."""
    from icefarm.selectors.language import quoted

    labels = {(name, value) for name in ("devices", "workers") for each in found[name] for name, value in _labels(each)}
    return [(f"{name}={quoted(value)}", "label") for name, value in sorted(labels)]


def _labels(record: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    labels: Mapping[str, str] = record.get("labels") or {}
    return labels.items()


def _boards_and_labels(found: Mapping[str, Any]) -> Known:
    return [*_serials(found), *_label_words(found)]


def _selectors(found: Mapping[str, Any]) -> Known:
    from icefarm.selectors.boards import NAMES

    return [*((name, known.what) for name, known in NAMES.items()), *_label_words(found)]


def _completing(
    names_in: Callable[[Mapping[str, Any]], Known], path: str = "/snapshot"
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            names = names_in(_asked(context, path))
        except (IcefarmError, click.UsageError, LookupError, TypeError):
            return []
        start = incomplete.lower()
        return [CompletionItem(name, help=word) for name, word in names if name.lower().startswith(start)]

    return complete


def _asked(context: click.Context, path: str) -> Mapping[str, Any]:
    """Return what the farm of the command line so far has at a path; nothing if it does not answer."""
    from icefarm.cli.connect import access_of
    from icefarm.cli.http_way import HttpWay

    options = context.params
    access = access_of(context, options["url"], options["data_dir"], options.get("ca_file"), options.get("token_file"))
    way = HttpWay.of(access)
    answer = None if way is None else way.get(path, {})
    return answer.value if answer is not None and answer.status == 200 else {}


complete_serials = _completing(_serials)
complete_workers = _completing(_workers)
complete_names = _completing(_both)
complete_kinds = _completing(_kinds)
complete_labels_of_boards = _completing(_boards_and_labels)
complete_accounts = _completing(_accounts)
complete_where = _completing(_selectors)
complete_bookings = _completing(_bookings)
complete_experiments = _completing(_experiments, "/experiments")
