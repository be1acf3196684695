"""What a verb that only reads asks a farm: quickly over HTTP, or else as a client does.

Twisted and Autobahn take five times as long to import as the farm takes to answer, so these verbs ask the HTTP API.
That is only the quick way: it answers, or nothing has happened, and then the verb signs in as a client, whose errors
say what is wrong.  So every error is the same for all verbs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click
from attrs import asdict, frozen

from icefarm.cli.connect import SignIn
from icefarm.cli.http_way import HttpWay, NotWhole
from icefarm.cli.verb import farm_of
from icefarm.contract import to_wire
from icefarm.text.outside_json import parse_json

if TYPE_CHECKING:
    from icefarm.client import Farm

__all__ = ["Reader"]

#: Experiments, and figures and runs of one, in one answer: as many as the farm gives at once.
MOST_EXPERIMENTS, MOST_FIGURES, MOST_RUNS = 1000, 5000, 1000

Answer = dict[str, Any]


@frozen
class Reader:
    """Asks one farm.  Raises what `icefarm.cli.connect.connect` does, and what the procedures of control do."""

    access: SignIn

    def snapshot(self) -> Answer:
        """Return all records of the farm, as on the wire."""
        return self._read("/snapshot", {}, lambda farm: to_wire(farm.snapshot()))

    def board_history(self, serial: str) -> Answer:
        """Return a board's last day."""
        return self._read("/history", {"serial": serial}, lambda farm: farm.board_history(serial))

    def journal(self) -> Answer:
        """Return the farm's last events."""
        return self._read("/journal", {}, lambda farm: farm.journal())

    def experiments(self, account: str | None, since: float | None) -> list[Answer]:
        """Return the experiments that may be read, the last active one first."""
        answer = self._quickly("/experiments", _given(account=account, since=since, limit=MOST_EXPERIMENTS))
        if answer is None or answer["next"] is not None:
            with farm_of(self.access) as farm:
                return [to_wire(each) for each in farm.experiments(account=account, since=since)]
        return list(answer["experiments"])

    def experiment(self, name: str, account: str | None) -> Answer:
        """Return an experiment: counts, rate, boards, failures."""
        return self._read(
            f"/experiments/{_part(name)}",
            _given(account=account),
            lambda farm: to_wire(farm.experiment(name, account).info()),
        )

    def runs(self, name: str, account: str | None) -> list[Answer]:
        """Return the runs of an experiment, the newest first."""
        answer = self._quickly(f"/experiments/{_part(name)}/runs", _given(account=account, limit=MOST_RUNS))
        if answer is None or answer["next"] is not None:
            with farm_of(self.access) as farm:
                return [to_wire(each) for each in farm.experiment(name, account).runs()]
        return list(answer["runs"])

    def run(self, id: str) -> Answer:
        """Return a run, and its manifest, which is None until it is closed."""
        answer = self._quickly(f"/runs/{_part(id)}", {})
        if answer is not None:
            manifest = None if answer["manifest"] is None else parse_json(answer["manifest"])
            return {"run": answer["run"], "manifest": manifest}
        with farm_of(self.access) as farm:
            run = farm.archived_run(id)
            return {"run": to_wire(run.record), "manifest": None if run.id is None else run.manifest}

    def bookings(self, since: float | None) -> list[Answer]:
        """Return the bookings that have not ended, and with ``since`` those whose period ends after it."""
        found = self._value("/bookings", _given(since=since))
        if isinstance(found, list):
            return found
        with farm_of(self.access) as farm:
            return [to_wire(each) for each in farm.bookings(since=since)]

    def usage(self, by: str, since: float, account: str | None) -> list[Answer]:
        """Return how much was used, the longest time first."""
        answer = self._read(
            "/usage",
            _given(by=by, since=since, account=account),
            lambda farm: {"usage": [to_wire(each) for each in farm.usage(by, since=since, account=account)]},
        )
        return list(answer["usage"])

    def calibrations(self, reference: str, serials: tuple[str, ...]) -> Answer:
        """Return the present calibrations of a reference, and why boards are suspect."""

        def ask(farm: Farm) -> Answer:
            found = farm.boards.calibration(reference, serials=list(serials) or None)
            now = farm.snapshot()
            figures = {each.serial: each.calibration for each in now.devices}
            why = {serial: each.suspect for serial, each in figures.items() if each is not None and each.suspect}
            return {"calibrations": [asdict(each) for each in found], "suspects": why, "time": now.time}

        return self._read("/calibrations", _given(reference=reference, serials=",".join(serials) or None), ask)

    def figures(self, name: str, account: str | None) -> list[Answer]:
        """Return the figures that the owner of an experiment reported."""
        answer = self._quickly(f"/experiments/{_part(name)}/figures", _given(account=account, limit=MOST_FIGURES))
        if answer is None or answer["more"]:
            with farm_of(self.access) as farm:
                return [to_wire(each) for each in farm.experiment(name, account).figures()]
        return list(answer["figures"])

    def results(
        self,
        name: str,
        account: str | None,
        *,
        serials: list[str] | None = None,
        follow: bool = False,
        corrected: bool = False,
        **query: Any,
    ) -> Iterator[Answer]:
        """Yield an experiment's results in the order of their arrival, in constant memory; with ``follow`` for ever."""
        last: int | None = None
        # HTTP takes one board at most.
        way = None if follow or (serials is not None and len(serials) > 1) else self._way
        if way is not None:
            # A farm of an earlier version corrects nothing: it is not asked to where nobody wants it.
            query_of_way = {**query, "corrected": corrected or None}
            serial = None if serials is None else serials[0]
            asked = _given(account=account, serial=serial, format="jsonl", **query_of_way)
            try:
                for row in way.lines(f"/experiments/{_part(name)}/results", asked):
                    last = row["seq"]
                    yield row
                return
            except NotWhole:
                # The rest comes over WAMP, or its error.
                pass
        from icefarm.client.api.notebook.archived import record_of

        with farm_of(self.access) as farm:
            after = None if last is None else str(last)
            for result in farm.experiment(name, account).results(serials=serials, follow=follow, after=after, **query):
                yield record_of(result, corrected=corrected)

    @property
    def _way(self) -> HttpWay | None:
        # Tests sign in by a way of their own.
        return HttpWay.of(self.access) if click.get_current_context().obj is None else None

    def _quickly(self, path: str, query: Mapping[str, str]) -> Answer | None:
        value = self._value(path, query)
        return value if isinstance(value, dict) else None

    def _value(self, path: str, query: Mapping[str, str]) -> Any:
        """Return what the HTTP API answers; None if that is no success."""
        way = self._way
        answer = None if way is None else way.get(path, query)
        return answer.value if answer is not None and answer.status == 200 else None

    def _read(self, path: str, query: Mapping[str, str], ask: Callable[[Farm], Answer]) -> Answer:
        answer = self._quickly(path, query)
        if answer is not None:
            return answer
        with farm_of(self.access) as farm:
            return ask(farm)


def _given(**query: Any) -> dict[str, str]:
    """Return a query of what is not None."""
    texts = {True: "true", False: "false"}
    return {
        name: texts[value] if isinstance(value, bool) else str(value)
        for name, value in query.items()
        if value is not None
    }


def _part(name: str) -> str:
    """Return a name as a part of a path."""
    return quote(name, safe="")
