"""Everything that scripts for icefarm 0.1.x import is there, and takes the arguments that they give."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

#: Modules, and what scripts import from them.
NAMES = {
    "icefarm.client": ["lib", "drivers"],
    "icefarm.client.drivers": ["MultiPulseCountClient", "PulseCountClient", "VarMaxClient"],
    "icefarm.client.drivers.MultiPulseCountClient": ["MultiPulseCountClient"],
    "icefarm.client.drivers.PulseCountClient": ["PulseCountClient"],
    "icefarm.client.drivers.VarMaxClient": ["VarMaxClient"],
    "icefarm.client.lib": ["AbstractEventHandler", "register", "EventServer", "Event", "BaseAPI", "BaseClient"],
    "icefarm.client.lib.AbstractEventHandler": ["AbstractEventHandler", "register"],
    "icefarm.client.lib.BaseAPI": ["BaseAPI"],
    "icefarm.client.lib.BaseClient": ["BaseClient"],
    "icefarm.client.lib.BatchClient": ["BatchClient", "Evaluation", "EvaluationFailed", "Result"],
    "icefarm.client.lib.EventServer": ["EventServer", "Event"],
    "icefarm.client.lib.drivers": ["MultiPulseCountClient", "PulseCountClient", "VarMaxClient"],
    "icefarm.client.lib.multipulsecount": ["MultiPulseCountBaseClient", "PulseCountEvaluation"],
    "icefarm.client.lib.pulsecount": ["PulseCountBaseClient", "PulseCountEvaluation"],
    "icefarm.client.lib.varmax": ["VarMaxBaseClient", "VarMaxEvaluation"],
    "icefarm.client.lib.utils": [
        "AvailabilityWaiter",
        "DefaultBaseEventHandler",
        "LoggerEventHandler",
        "ReservationExtender",
    ],
    "icefarm.utils": ["batch", "generate_circuit"],
    "icefarm.utils.utils": ["batch", "generate_circuit"],
}

_FLUSH = ["flush_interval_seconds", "flush_at_bitstreams_remaining"]
_WAIT = ["wait_for_available", "available_timeout"]
#: Parameters, in the order in which scripts may give them.
PARAMETERS = {
    "icefarm.client.drivers:PulseCountClient": ["url", "client_name", "logger", "log_events"],
    "icefarm.client.drivers:PulseCountClient.reserve": ["amount", *_WAIT, "kind", *_FLUSH],
    "icefarm.client.drivers:PulseCountClient.reserveSpecific": ["serials", "kind", *_FLUSH],
    "icefarm.client.drivers:PulseCountClient.evaluateBitstreams": ["bitstreams", "serials"],
    "icefarm.client.drivers:MultiPulseCountClient": ["url", "client_name", "logger", "log_events"],
    "icefarm.client.drivers:MultiPulseCountClient.reserve": ["amount", *_WAIT, "kind", *_FLUSH],
    "icefarm.client.drivers:MultiPulseCountClient.reserveSpecific": ["serials", "kind", *_FLUSH],
    "icefarm.client.drivers:MultiPulseCountClient.evaluateBitstreams": ["bitstreams", "serials"],
    "icefarm.client.drivers:VarMaxClient": ["url", "client_name", "logger", "log_events", "send_waveform"],
    "icefarm.client.drivers:VarMaxClient.reserve": ["amount", *_WAIT, "kind", "send_waveform", *_FLUSH],
    "icefarm.client.drivers:VarMaxClient.reserveSpecific": ["serials", "kind", "send_waveform", *_FLUSH],
    "icefarm.client.drivers:VarMaxClient.evaluateBitstreams": ["bitstreams", "serials"],
    "icefarm.client.lib.BatchClient:BatchClient": ["url", "client_name", "logger"],
    "icefarm.client.lib.BatchClient:BatchClient.evaluateEvaluations": [
        "evaluations",
        "result_timeout",
        "batch_size",
        "target_batches",
    ],
    "icefarm.client.lib.BatchClient:Evaluation.toJson": ["batch_id"],
    "icefarm.client.lib.pulsecount:PulseCountEvaluation": ["serials", "filepath"],
    "icefarm.client.lib.varmax:VarMaxEvaluation": ["serials", "filepath"],
    "icefarm.client.lib:BaseAPI": ["url", "client_name", "logger"],
    "icefarm.client.lib:BaseAPI.addSerial": ["serial", "url"],
    "icefarm.client.lib:BaseAPI.removeSerial": ["serial"],
    "icefarm.client.lib:BaseAPI.getSerials": [],
    "icefarm.client.lib:BaseAPI.getConnectionInfo": ["serial"],
    "icefarm.client.lib:BaseAPI.usingConnection": ["info"],
    "icefarm.client.lib:BaseAPI.request": ["url", "endpoint", "json", "files"],
    "icefarm.client.lib:BaseAPI.requestControl": ["endpoint", "json"],
    "icefarm.client.lib:BaseAPI.reserve": ["amount", "kind", "args"],
    "icefarm.client.lib:BaseAPI.reserveSpecific": ["serials", "kind", "args"],
    "icefarm.client.lib:BaseAPI.available": [],
    "icefarm.client.lib:BaseAPI.availableDevices": [],
    "icefarm.client.lib:BaseAPI.extend": ["serials"],
    "icefarm.client.lib:BaseAPI.extendAll": [],
    "icefarm.client.lib:BaseAPI.end": ["serials"],
    "icefarm.client.lib:BaseAPI.endAll": [],
    "icefarm.client.lib:BaseAPI.reboot": ["serials", "timeout"],
    "icefarm.client.lib:BaseClient.reserve": ["amount", "kind", "args", *_WAIT],
    "icefarm.client.lib:BaseClient.addEventHandler": ["eh"],
    "icefarm.client.lib:BaseClient.requestWorker": ["serial", "event", "data"],
    "icefarm.client.lib:BaseClient.requestBatchWorker": ["serials", "event", "data"],
    "icefarm.client.lib:BaseClient.clearWorkers": [],
    "icefarm.client.lib:BaseClient.stop": [],
    "icefarm.client.lib:Event": ["serial", "event", "contents"],
    "icefarm.client.lib:EventServer": ["client_id", "eventhandlers", "logger"],
    "icefarm.client.lib:EventServer.addEventHandler": ["eh"],
    "icefarm.client.lib:EventServer.handleEvent": ["event"],
    "icefarm.client.lib:EventServer.connectControl": ["url"],
    "icefarm.client.lib:EventServer.connectWorker": ["url"],
    "icefarm.client.lib:EventServer.disconnectWorker": ["url"],
    "icefarm.client.lib:EventServer.sendWorker": ["url", "event", "data"],
    "icefarm.client.lib:EventServer.exit": [],
    "icefarm.client.lib:AbstractEventHandler": ["event_server"],
    "icefarm.client.lib:AbstractEventHandler.exit": [],
    "icefarm.client.lib:AbstractEventHandler.sendEvent": ["event"],
    "icefarm.client.lib:AbstractEventHandler.handleEvent": ["event"],
    "icefarm.client.lib.utils:LoggerEventHandler": ["event_server", "logger"],
    "icefarm.client.lib.utils:ReservationExtender": ["event_server", "client", "logger"],
    "icefarm.client.lib.utils:AvailabilityWaiter": ["event_server", "client"],
    "icefarm.client.lib.utils:AvailabilityWaiter.waitForAmountAvailable": ["amount"],
    "icefarm.client.lib:register": ["channel", "args"],
    "icefarm.utils:batch": ["l", "amount"],
    "icefarm.utils:generate_circuit": ["hz", "build_dir", "build_script", "pcf_path", "clk"],
}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in NAMES.items() for name in names])
def test_scripts_find_what_they_import(module: str, name: str) -> None:
    assert getattr(import_module(module), name) is not None


def _found(where: str) -> tuple[Any, bool]:
    module, _, path = where.partition(":")
    found = import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found, "." in path


@pytest.mark.parametrize("where", PARAMETERS)
def test_scripts_may_give_the_arguments_that_they_give(where: str) -> None:
    function, is_method = _found(where)
    names = list(inspect.signature(function).parameters)[1 if is_method else 0 :]
    assert names[: len(PARAMETERS[where])] == PARAMETERS[where]


def test_the_two_clients_are_distinct_classes() -> None:
    from icefarm.client.drivers import PulseCountClient, VarMaxClient

    either = PulseCountClient | VarMaxClient
    assert not issubclass(PulseCountClient, VarMaxClient)
    assert issubclass(VarMaxClient, either)


def test_the_packages_are_there_without_an_import_of_their_own() -> None:
    script = "import icefarm.client; icefarm.client.drivers.PulseCountClient; icefarm.client.lib.BaseClient"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


#: Names of icefarm 0.1.x that are gone or mean something else, each of which the guide names with what to do.
EXPLAINED = [
    "clearWorkers", "/clear-workers", "/log", "ConnectionInfo", "icefarm.utils.dev", "icefarm.utils.web",
    "icefarm.utils.Database", "icefarm.utils.EventSender", "icefarm.utils.RemoteLogger", "register(key=",
    "USBIPICE_SERVER_PORT", "USBIPICE_VIRTUAL_", "ICEFARM_WORKER_NAME", "ICEFARM_CONTROL_PORT", "ICEFARM_WORKER_URL",
    "AbstractState", "BrokenState", "command_generators.py", "Flyway", "uvicorn", "build.sh", "8081", "worker/test.py",
    "pytest ./tests --url", "delete from worker", "sudo", "VS Code", "MappedQueues", "typecheck", "config_else_env",
    "EvaluationBundle", "BalancedBatchFactory", "JsonMethodCall", "upload_firmware", "/heartbeat",
]  # fmt: skip


@pytest.mark.parametrize("name", EXPLAINED)
def test_the_guide_names_what_is_gone_or_different(name: str) -> None:
    assert name in (Path(__file__).parents[2] / "docs" / "migrating.md").read_text()


def test_a_keyword_that_register_does_not_take_is_a_type_error() -> None:
    from icefarm.client.lib import register

    with pytest.raises(TypeError, match="key"):
        register(key="failure")  # type: ignore[call-arg]


def test_batch_takes_its_list_by_the_old_name() -> None:
    from icefarm.utils import batch

    assert batch(l=[1, 2, 3], amount=2) == [[1, 3], [2]]
