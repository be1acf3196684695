"""The farms that are attacked: they run for all tests of the matrix."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import leftovers
import pytest
from attacks.farms import EXPERIMENT, PEOPLE, RUN, SQUARE, VICTIM, WORKER, Target
from certificates import issue
from oidc_issuer import IssuerProcess
from pytest_twisted import blockon
from twisted.internet.defer import ensureDeferred
from twisted.internet.threads import deferToThread

from icefarm.client import Farm
from icefarm.contract import RunReport, to_wire
from icefarm.testing.processes.farm_process import FarmProcess


@pytest.fixture(scope="session", params=["open", "tokens", "tls", "issuer"])
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    """A farm with one board, which the victim holds."""
    path = leftovers.place() / request.param
    path.mkdir()
    arguments = ["--listen", "127.0.0.1:0", "--boards", "1", "--speed", "instant", "--name", WORKER]
    ca_file = None
    issuer = IssuerProcess(lifetime=3600) if request.param == "issuer" else None
    if issuer is not None:
        issuer.__enter__()
        arguments += ["--oidc-issuer", issuer.url, "--oidc-client", "icefarm", "--oidc-operator-group", "operators"]
        arguments += ["--oidc-accounts", ",".join(f"{person}={name}" for name, person in PEOPLE.items())]
    elif request.param != "open":
        arguments.append("--require-tokens")
    if request.param == "tls":
        made = issue(path, "localhost")
        arguments += ["--tls-certificate", str(made.certificate_file), "--tls-key", str(made.key_file)]
        ca_file = str(made.certificate_file)
    try:
        with FarmProcess(path / "farm", tuple(arguments)) as process:
            process.wait_until_ready()
            target = Target(process, request.param != "open", ca_file, issuer is not None)
            blockon(ensureDeferred(target.prepare(path / "farm")))
            _hold(target)
            blockon(ensureDeferred(target.join_as_worker("rogue")))
            yield target
            try:
                blockon(deferToThread(_still_the_victims, target))
            finally:
                assert target.victim is not None
                blockon(deferToThread(target.victim.close))
                blockon(ensureDeferred(target.close()))
    finally:
        if issuer is not None:
            issuer.stop()
        shutil.rmtree(path, ignore_errors=True)


def _hold(target: Target) -> None:
    farm = Farm(target.url, VICTIM, token=target.ticket_of(VICTIM), ca_file=target.ca_file)
    target.victim = farm
    boards = target.boards = blockon(deferToThread(farm.reserve, 1))
    (target.serial,) = boards.serials
    (record,) = boards.reservations
    target.reservation = record.id
    blockon(deferToThread(lambda: farm.experiment(EXPERIMENT).announce(shared=False)))
    report = RunReport(RUN, "pulsecount", {target.serial: record.id}, EXPERIMENT)
    blockon(deferToThread(lambda: farm._bound(farm._subject.call)("run_report", runs=[to_wire(report)])))


def _still_the_victims(target: Target) -> None:
    """After all attacks the victim has its board, and gets true values from it."""
    assert target.victim is not None
    (device,) = [each for each in target.victim.devices() if each.serial == target.serial]
    assert (device.worker, device.client, device.reservation) == (WORKER, VICTIM, target.reservation)
    results = list(target.boards.evaluate([SQUARE] * 3))
    assert [result.measurement.worker for result in results] == [WORKER] * 3
    assert [result.value for result in results] == pytest.approx([2000] * 3, rel=0.01)
