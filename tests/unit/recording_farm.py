"""A farm for tests of the command line: answers from what it is given, and records what is asked of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from attrs import Factory, define, evolve
from click.testing import CliRunner, Result

from icefarm.calibration.records import Calibration
from icefarm.cli import main
from icefarm.cli.connect import SignIn
from icefarm.client import Result as Evaluated
from icefarm.client import Snapshot
from icefarm.client.api.notebook.archived import ArchivedResult, ExperimentInfo
from icefarm.client.connection.events import Change
from icefarm.client.session import Access
from icefarm.contract import (
    AccessRule,
    BoardCalibration,
    BookingRecord,
    DeviceRecord,
    DeviceStatus,
    ExperimentBoard,
    ExperimentFigures,
    ExperimentRecord,
    Measurement,
    ReservationRecord,
    RunRecord,
    UsageRecord,
    WorkerRecord,
    to_wire,
)
from icefarm.errors import IcefarmError

NOW = 1_000_000.0


def device(serial: str, status: str = "available", **fields: Any) -> DeviceRecord:
    record = DeviceRecord(
        serial, "w1", DeviceStatus(status), None, None, None, None, "default", "1.0", None, 7, 1, 0, None, NOW
    )
    return evolve(record, **fields)


def worker(name: str = "w1", **fields: Any) -> WorkerRecord:
    return evolve(WorkerRecord(name, "online", False, "lab", "1.0", ["pulsecount"], 2, NOW - 3), **fields)


def reservation(serial: str, client: str = "alice", **fields: Any) -> ReservationRecord:
    options = {"window": 1.0}
    record = ReservationRecord(f"r-{serial}", serial, "w1", client, "pulsecount", options, NOW, NOW + 3600)
    return evolve(record, **fields)


def booking(id: str = "b1", **fields: Any) -> BookingRecord:
    record = BookingRecord(id, "class-a", 2, [], None, NOW + 3600, NOW + 7200, 2, "op", NOW)
    return evolve(record, **fields)


def snapshot(**fields: Any) -> Snapshot:
    plain = Snapshot([worker()], [device("A"), device("B")], [], [], NOW, {"grace_s": 30.0})
    return evolve(plain, **fields)


def measurement(serial: str, **fields: Any) -> Measurement:
    record = Measurement(
        1234, "e1", serial, "w1", "pulsecount", {}, "pulse_count", "1.0", "ab" * 32, 1_000_001, 34_000, 0, 25.5, 1, 1,
        NOW, NOW + 1,
    )  # fmt: skip
    return evolve(record, **fields)


def experiment(name: str = "ga-7", **fields: Any) -> ExperimentRecord:
    return evolve(ExperimentRecord("ada", name, 1, 0, 4, 1, NOW, NOW + 1, 0.5, True, NOW), **fields)


def calibration(serial: str = "A", **fields: Any) -> Calibration:
    record = Calibration(
        id="c-" + serial,
        serial=serial,
        reference="oscillator",
        offset_ppm=123.456,
        noise_ppm=2.5,
        session_noise_ppm=0.0,
        drift_ppm_per_day=0.25,
        ppm_per_kelvin=-3.0,
        reference_time=NOW,
        reference_temperature_c=25.0,
        covariance=(0.25, 0.0, 0.0, 0.01, 0.0, 0.04),
        readings=270,
        degrees_of_freedom=265.0,
        coldest_c=20.0,
        hottest_c=30.0,
        first_time=NOW - 1,
        valid_from=NOW,
    )
    return evolve(record, **fields)


def board_calibration(**fields: Any) -> BoardCalibration:
    return evolve(
        BoardCalibration("c-A", "oscillator", NOW, 25.0, 123.456, 0.5, 2.5, 0.25, 0.1, -3.0, 0.2, 270), **fields
    )


def run_record(**fields: Any) -> RunRecord:
    usual = {"id": "ab" * 32, "number": "cd" * 16, "account": "ada", "experiment": "ga-7", "client": "ada"}
    usual |= {"kind": "pulsecount", "state": "closed", "labels": {}, "begun_at": NOW, "ended_at": NOW + 1}
    return RunRecord(**{**usual, "results": 3, "failed": 0, "boards": 1, "dropped_at": None, **fields})


def archived(seq: int = 1, **fields: Any) -> ArchivedResult:
    record = ArchivedResult(
        seq, "e1", "ada/run", "r-A", "A", "w1", "pulsecount", {"window": 1.0}, 1234, 1234.0, None, None, "ab" * 32,
        "a.bin", {"generation": 3}, "pulse_count", "1.0", "measured", 1_000_001, 34_000, 25.5, 1, 1, NOW, NOW + 1,
    )  # fmt: skip
    return evolve(record, **fields)


@define(eq=False)
class RecordedExperiment:
    """Quacks like an experiment of `icefarm.client.Farm`."""

    farm: RecordingFarm
    name: str

    def info(self) -> ExperimentInfo:
        return ExperimentInfo(experiment(self.name), [ExperimentBoard("A", 1, 0, NOW, NOW + 1)], {}, NOW + 5)

    def runs(self) -> list[RunRecord]:
        return [run_record()]

    def results(self, **query: Any) -> Iterator[ArchivedResult]:
        return iter(self.farm._called("results", [archived()], self.name, query))

    def figures(self) -> list[ExperimentFigures]:
        return [ExperimentFigures(1, NOW, {"best_fitness": 0.5})]

    def announce(self, *, total: int) -> None:
        self.farm._called("announce", None, self.name, total)


@define(eq=False)
class RecordingFarm:
    """Quacks like `icefarm.client.Farm`, as far as verbs use it."""

    state: Snapshot = Factory(snapshot)
    #: What happens to the verb: by its method's name, an error to raise or an answer.
    answers: dict[str, Any] = Factory(dict)
    #: The errors of evaluations, by file.
    errors: dict[str, IcefarmError] = Factory(dict)
    #: Results after which the user presses Ctrl-C.
    interrupt_after: int | None = None
    changes: Sequence[Sequence[Change]] = ()
    calls: list[tuple[Any, ...]] = Factory(list)
    signed_in: list[SignIn] = Factory(list)
    url: str = "memory:"

    def sign_in(self, access: SignIn) -> RecordingFarm:
        self.signed_in.append(access)
        self._answer("sign_in", None)
        return self

    def run(self, *arguments: str, **environment: str) -> Result:
        """Run ``icefarm`` against this farm; the environment has nothing of the person's own."""
        mine = {"ICEFARM_URL": "", "ICEFARM_NAME": "", "ICEFARM_TOKEN": "", "ICEFARM_DATA_DIR": "", **environment}
        return CliRunner().invoke(main, list(arguments), obj=self.sign_in, env=mine, prog_name="icefarm")

    def _answer(self, name: str, otherwise: Any) -> Any:
        answer = self.answers.get(name, otherwise)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _called(self, name: str, otherwise: Any, *arguments: Any) -> Any:
        self.calls.append((name, *arguments))
        return self._answer(name, otherwise)

    def __enter__(self) -> RecordingFarm:
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append(("close",))

    def snapshot(self) -> Snapshot:
        self._answer("snapshot", None)
        return self.state

    def board_history(self, serial: str) -> dict[str, Any]:
        state = {"serial": serial, "time": NOW, "worker": "w1", "status": "available", "reason": None, "client": None}
        return {"states": [state], "log": [], "samples": {}}

    def journal(self) -> dict[str, Any]:
        line = {"time": NOW, "worker": "w1", "serial": "A", "level": "warn", "message": "the board does not answer"}
        return {"states": [], "reservations": [], "log": [line]}

    def end(self, serials: Sequence[str] | None) -> list[str]:
        return self._called("end", list(serials or ()), serials)

    def end_any(self, serials: Sequence[str]) -> list[str]:
        return self._called("end_any", list(serials), serials)

    def extend(self, serials: Sequence[str] | None, seconds: float | None) -> list[str]:
        return self._called("extend", list(serials or ()), serials, seconds)

    def reboot(self, serials: Sequence[str]) -> list[str]:
        return self._called("reboot", list(serials), serials)

    def delete(self, serials: Sequence[str]) -> list[str]:
        return self._called("delete", list(serials), serials)

    def retest(self, serials: Sequence[str]) -> list[str]:
        return self._called("retest", list(serials), serials)

    def access(self, account: str | None) -> Any:
        return self._called("access", Access(account or "ada", "class-a", [AccessRule(1, where="lab=3")]), account)

    def access_list(self) -> dict[str, Any]:
        return self._called("access_list", {"rules": [AccessRule(1)], "groups": {"class-a": ["ada"]}})

    def access_add(self, **fields: Any) -> AccessRule:
        return self._called("access_add", AccessRule(1, **fields), fields)

    def access_remove(self, ids: Sequence[int]) -> list[int]:
        return self._called("access_remove", [1], ids)

    def access_group(self, name: str, **changes: Any) -> list[str]:
        return self._called("access_group", ["ada", "bob"], name, changes)

    def label(self, labels: dict[str, str | None], **of: Any) -> list[DeviceRecord]:
        return self._called("label", [device("A", labels={"lab": "3"})], labels, of)

    def drain(self, name: str, *, leave: bool) -> dict[str, Any]:
        return self._called("drain", to_wire(worker(name, draining=True, leaving=leave)), name, leave)

    def delete_worker(self, name: str) -> list[str]:
        return self._called("delete_worker", ["A"], name)

    def audit(self, seconds: float, **asked: Any) -> list[dict[str, Any]]:
        entry = {"time": 1.7e9, "account": "ada", "name": "ada/run", "role": "client", "session": 7, "address": "unix"}
        rest = {"action": "reserve", "subject": "A", "outcome": "done", "detail": "pulsecount"}
        return self._called("audit", [{**entry, **rest}], seconds, asked)

    def experiments(self, *, account: str | None, since: float | None) -> list[ExperimentRecord]:
        return self._called("experiments", [experiment()], account, since)

    def experiment(self, name: str, _: str | None = None) -> RecordedExperiment:
        return RecordedExperiment(self, name)

    def archived_run(self, id: str) -> Any:
        return self._called("archived_run", SimpleNamespace(record=run_record(id=None), id=None, manifest={}), id)

    @property
    def boards(self) -> SimpleNamespace:
        return SimpleNamespace(calibration=self.calibration)

    def calibration(self, reference: str | None = None, *, serials: Sequence[str] | None = None) -> list[Calibration]:
        return self._called("calibration", [calibration("A"), calibration("B")], reference, serials)

    def usage(self, by: str, *, since: float, account: str | None) -> list[UsageRecord]:
        record = UsageRecord("ada", None, None, 2, 3, 7200.0, 5, 1, NOW, NOW + 1)
        return self._called("usage", [record], by, since, account)

    def book(self, amount: int | None, **asked: Any) -> BookingRecord:
        return self._called("book", booking(amount=amount or 1), amount, asked)

    def bookings(self, *, since: float | None = None) -> list[BookingRecord]:
        return self._called("bookings", [booking()], since)

    def end_accounts(self, accounts: Sequence[str]) -> list[str]:
        return self._called("end_accounts", ["A"], accounts)

    def cancel_bookings(self, ids: Sequence[str]) -> list[str]:
        return self._called("cancel_bookings", list(ids), ids)

    def dismiss(self, ids: Sequence[str]) -> list[str]:
        return self._called("dismiss", list(ids), ids)

    def resume(self, name: str) -> dict[str, Any]:
        return self._called("resume", to_wire(worker(name)), name)

    def reserve(self, amount: int | None, *, serials: Sequence[str] | None, progress: Any, **asked: Any) -> Boards:
        for word in self.answers.get("progress", ()):
            progress(word)
        self._called("reserve", None, amount, serials, asked)
        return Boards(self, [reservation(serial) for serial in serials or "ABCDEFGH"[:amount]])

    def stream(
        self, plan: Any, records: Mapping[str, ReservationRecord], items: Iterable[Any], *, deserted_raises: bool
    ) -> Iterator[Evaluated]:
        self.calls.append(("stream", list(plan.serials), dict(plan.options), deserted_raises))
        count = 0
        for item in items:
            for serial in item.serials or (next(iter(records)),):
                if self.interrupt_after == count:
                    raise KeyboardInterrupt
                count += 1
                error = self.errors.get(item.source)
                yield Evaluated(item.source, serial, None if error else measurement(serial), error)

    def watch(self, interval: float | None = None) -> Iterator[list[Change]]:
        self.calls.append(("watch", interval))
        for batch in self.changes:
            yield list(batch)
        raise KeyboardInterrupt


@define(eq=False)
class Boards:
    """Quacks like `icefarm.client.Boards`."""

    farm: RecordingFarm
    reservations: list[ReservationRecord]

    def leave(self) -> list[str]:
        return self.farm.end([record.serial for record in self.reservations])

    def __enter__(self) -> Boards:
        return self

    def __exit__(self, *_: object) -> None:
        self.farm.calls.append(("boards end",))
