"""The command lines of the services follow from what ``icefarm up`` was asked for."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from icefarm.farm.limits import GivenLimits
from icefarm.farm.plan import FarmOptions, control_program, worker_program
from icefarm.farm.processes.process import Program

OPTIONS = FarmOptions(data_dir=Path("/data"), name="w 1", boards=3)
ENVIRONMENT = {"PATH": "/bin", "ICEFARM_GRACE": "1", "ICEFARM_CONFIG": "/etc/farm.toml", "USBIPICE_GRACE": "1"}


def control(options: FarmOptions = OPTIONS) -> Program:
    return control_program(
        options,
        twistd="/bin/twistd",
        router="unix:/run/control.sock",
        ticket_file=Path("/data/ticket"),
        database="postgresql://u:secret@host/db",
        http=("127.0.0.1", 8081),
        sign_in="open",
        environment=ENVIRONMENT,
    )


def worker(options: FarmOptions = OPTIONS, token_file: Path | None = None) -> Program:
    return worker_program(
        options, twistd="/bin/twistd", url="unix:/run/local.sock", token_file=token_file, environment=ENVIRONMENT
    )


def test_control_runs_as_in_production() -> None:
    assert control().command[:4] == ("/bin/twistd", "--nodaemon", "--pidfile=", "icefarm-control")
    assert "--router=unix:/run/control.sock" in control().command
    assert "--sign-in=open" in control().command


def test_a_relative_data_directory_is_the_same_one_for_control() -> None:
    program = control(FarmOptions(data_dir=Path("farm")))
    assert f"--data-dir={Path.cwd() / 'farm'}" in program.command
    assert program.directory == Path.cwd() / "farm"


def test_a_private_farm_is_one_for_control() -> None:
    assert "--private" in control(evolve(OPTIONS, private=True)).command
    assert "--private" not in control().command


def test_the_password_of_the_database_is_on_no_command_line() -> None:
    assert not any("secret" in word for word in control().command)
    assert control().environment["ICEFARM_DATABASE"] == "postgresql://u:secret@host/db"


def test_variables_that_are_meant_for_services_elsewhere_are_not_passed_on() -> None:
    for program in (control(), worker()):
        assert program.environment["PATH"] == "/bin"
        assert not {"ICEFARM_GRACE", "ICEFARM_CONFIG"} & set(program.environment)


def test_what_was_not_asked_for_is_left_to_the_services() -> None:
    assert not any(word.startswith(("--grace", "--noise", "--token-file")) for word in control().command)
    assert not any(word.startswith(("--grace", "--noise", "--token-file")) for word in worker().command)


def test_control_and_worker_trust_what_the_farm_was_told_to() -> None:
    options = evolve(OPTIONS, ca_file=Path("/authority.pem"))
    for program in (control(options), worker(options)):
        assert "--ca-file=/authority.pem" in program.command


def test_the_worker_gets_its_boards_and_its_name() -> None:
    assert {"--name=w 1", "--virtual-boards=3", "--speed=real", "--control=unix:/run/local.sock"} <= set(
        worker().command
    )


def test_a_value_of_zero_is_passed_on() -> None:
    options = FarmOptions(data_dir=Path("/data"), noise=0.0)
    assert "--noise=0.0" in worker(options).command


def test_limits_are_passed_on_as_they_were_given() -> None:
    options = evolve(OPTIONS, limits=GivenLimits({"seconds": 1234567.0, "rate": 0.5}))
    assert "--limit=seconds=1234567,rate=0.5" in control(options).command


def test_complaints_are_lines_of_errors() -> None:
    pattern = control().complaint
    assert pattern is not None
    line = "2026-11-22T16:13:08+0000 [icefarm.control.wiring.service.Control#error] the database is away"
    found = pattern.match(line)
    assert found is not None
    assert found["text"] == "the database is away"
    assert pattern.match(line.replace("#error", "#info")) is None


def test_boards_are_dealt_out_to_the_workers_of_the_routers() -> None:
    options = FarmOptions(data_dir=Path("/data"), name="lab", boards=8, most_boards=11, routers=3)
    dealt = [(worker.name, worker.boards, worker.most_boards) for worker in options.workers()]
    assert dealt == [("lab", 3, 4), ("lab/lab-2", 3, 4), ("lab/lab-3", 2, 3)]
    assert [worker.name for worker in evolve(options, name="lab/rack").workers()][1:] == ["lab/rack-2", "lab/rack-3"]


def test_a_router_without_boards_has_no_worker() -> None:
    options = FarmOptions(data_dir=Path("/data"), boards=1, routers=2)
    assert [worker.has_worker for worker in options.workers()] == [True, False]
