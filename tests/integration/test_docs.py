"""The code in the documentation runs: each block of the guides is carried out as it stands, or says here why not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import psycopg2
import pytest
import yaml
from guides import PAGES, POSTGRES_PROGRAMS, ROOT, Block, Reader, blocks, sections

from icefarm.client import Farm
from icefarm.errors import ReservationEnded
from icefarm.farm.paths import DataDirectory
from icefarm.testing.in_memory import FarmInMemory
from icefarm.testing.processes.clusters import lay_cluster
from icefarm.testing.processes.farm_process import FarmProcess
from icefarm.testing.processes.router import free_port

pytestmark = pytest.mark.integration

Section = tuple[str, str]

#: Sections whose readers have a farm, with eight boards.
WITH_A_FARM: tuple[Section, ...] = (
    ("README.md", "Use it from Python"),
    ("docs/api.md", "Farm and Boards"),
    ("docs/api.md", "Placements"),
    ("docs/api.md", "Errors"),
    ("docs/api.md", "asyncio"),
    ("docs/api.md", "Twisted"),
    ("docs/api.md", "Testing"),
    ("docs/calibration.md", "How boards compare"),
    ("docs/calibration.md", "Corrected values"),
    ("docs/cli.md", "Output"),
    ("docs/client.md", "The client"),
    ("docs/client.md", "Reserving"),
    ("docs/client.md", "asyncio"),
    ("docs/client.md", "Existing scripts"),
    ("docs/database.md", "Looking at it"),
    ("docs/database.md", "What the database itself guarantees"),
    ("docs/database.md", "A PostgreSQL of your own"),
    ("docs/database.md", "Schema changes"),
    ("docs/database.md", "The private PostgreSQL"),
    ("docs/evolution.md", "Who asks for the next circuit?"),
    ("docs/http.md", "The HTTP API"),
    ("docs/metrics.md", "Metrics"),
    ("docs/index.md", "icefarm"),
    ("docs/migrating.md", "The next step"),
    ("docs/runbook.md", "Look here first"),
    ("docs/security.md", "Audit log"),
    ("docs/virtual-boards.md", "Events and commands"),
)
#: Sections, read one after the other, whose readers start all that they need.
FROM_NOTHING: tuple[tuple[Section, ...], ...] = (
    (("README.md", "Start a farm"),),
    (("docs/getting-started.md", "A farm of virtual boards"),),
    (("CONTRIBUTING.md", "Run"),),
    (("docs/security.md", "Tokens"),),
    (("docs/operations.md", "Tokens"), ("docs/operations.md", "TLS"), ("docs/operations.md", "Several hosts")),
)
#: Sections that other tests carry out, and where.
ELSEWHERE: dict[Section, str] = {
    ("docs/archive.md", "The archive"): "test_the_page_on_the_archive_is_as_it_answers",
    ("docs/archive.md", "Reading"): "test_the_page_on_the_archive_is_as_it_answers",
    ("docs/archive.md", "Resuming a run"): "test_the_page_on_the_archive_is_as_it_answers",
    ("docs/archive.md", "Usage"): "test_the_page_on_the_archive_is_as_it_answers",
    ("docs/archive.md", "Asking for it"): "test_the_page_on_the_archive_is_as_it_answers",
    ("docs/bitstreams.md", "From Verilog to a bitstream"): "test_the_tutorial_goes_from_verilog_to_plots",
    ("docs/cli.md", "Holding boards"): "test_commands_that_hold_boards_find_them",
    ("docs/choosing-boards.md", "Choosing boards"): "tests/integration/test_choosing.py",
    ("docs/choosing-boards.md", "Labels"): "tests/integration/test_choosing.py",
    ("docs/choosing-boards.md", "Which accounts may have which boards"): "tests/integration/test_choosing.py",
    ("docs/calibration.md", "Does a circuit work on all boards?"): "tests/integration/test_across_boards.py",
    ("docs/client.md", "In a notebook"): "tests/integration/test_notebook.py",
    ("docs/evolution.md", "Write your own evolution loop"): "tests/integration/test_own_loop.py",
    ("docs/architecture.md", "Adding a device kind"): "test_the_kind_in_the_page_on_architecture_is_one",
    ("docs/cli.md", "Evaluating"): "test_results_of_the_page_on_the_command_line_are_in_their_files",
    ("docs/cli.md", "Simulating"): "tests/integration/test_simulate.py",
    ("docs/notebooks.md", "One cell, one reservation"): "test_cells_of_the_page_on_notebooks_run_one_after_the_other",
    ("docs/notebooks.md", "Boards for several cells"): "test_cells_of_the_page_on_notebooks_run_one_after_the_other",
    ("docs/notebooks.md", "Interrupting a cell"): "test_cells_of_the_page_on_notebooks_run_one_after_the_other",
    ("docs/notebooks.md", "Tables and plots"): "test_cells_of_the_page_on_notebooks_run_one_after_the_other",
    ("docs/notebooks.md", "With `await`"): "test_cells_of_the_page_on_notebooks_run_one_after_the_other",
    ("docs/teaching.md", "Before the class"): "test_a_class_is_held_as_its_page_says",
    ("docs/teaching.md", "In the class"): "test_a_class_is_held_as_its_page_says",
    ("docs/teaching.md", "When one takes everything"): "test_a_class_is_held_as_its_page_says",
    ("docs/teaching.md", "At the end of a class, and of the term"): "test_a_class_is_held_as_its_page_says",
    ("docs/tutorial.md", "A circuit"): "test_the_tutorial_goes_from_verilog_to_plots",
    ("docs/tutorial.md", "Without a board"): "test_the_tutorial_goes_from_verilog_to_plots",
    ("docs/tutorial.md", "On a virtual farm"): "test_the_tutorial_goes_from_verilog_to_plots",
    ("docs/tutorial.md", "A sweep"): "test_the_tutorial_goes_from_verilog_to_plots",
    ("docs/tutorial.md", "A plot"): "test_the_tutorial_goes_from_verilog_to_plots",
    ("docs/worker.md", "Device kinds"): "test_the_kind_in_the_page_on_workers_is_one",
    ("docs/new-kind.md", "1. A package"): "tests/integration/test_console_kind.py",
    ("docs/new-kind.md", "2. The kind"): "tests/integration/test_console_kind.py",
    ("docs/new-kind.md", "3. The test"): "tests/integration/test_console_kind.py",
    ("docs/new-kind.md", "4. Run it"): "tests/integration/test_console_kind.py",
    ("docs/operations.md", "Behind a reverse proxy"): "tests/nginx.py",
    (
        "docs/operations.md",
        "Limits, and a proxy in front",
    ): "tests/integration/test_proxy_protocol.py",
    ("docs/operations.md", "More than one router"): "tests/integration/test_routers.py",
    ("docs/operations.md", "Backup"): "test_what_was_backed_up_is_there_again",
    ("docs/operations.md", "Logs as JSON"): "tests/integration/test_log_format.py",
    ("docs/runs.md", "Runs, and how to cite them"): "test_a_run_is_cited_and_checked_as_its_page_says",
    ("docs/runs.md", "Measuring a run again"): "tests/integration/test_runs.py",
    ("docs/runs.md", "The file, and its digests"): "test_a_run_is_cited_and_checked_as_its_page_says",
    ("docs/sharing.md", "Priorities, and boards that change hands"): "tests/integration/test_preemption_processes.py",
    ("docs/sharing.md", "Boards that several clients share"): "tests/integration/test_preemption_processes.py",
    ("docs/sign-in.md", "Signing in"): "tests/integration/test_oidc.py",
    ("docs/testing.md", "With pytest"): "test_the_tests_in_the_page_on_testing_pass",
    ("docs/testing.md", "Without pytest"): "test_the_tests_in_the_page_on_testing_pass",
    ("docs/wamp.md", "Signing in"): "tests/integration/test_foreign_clients.py",
    ("docs/wamp.md", "Reserving"): "tests/integration/test_foreign_clients.py",
    ("docs/wamp.md", "A reservation"): "tests/integration/test_foreign_clients.py",
    ("docs/wamp.md", "A measurement"): "tests/integration/test_foreign_clients.py",
    ("docs/wamp.md", "Heartbeats"): "tests/integration/test_foreign_clients.py",
    ("docs/wamp.md", "A snapshot"): "tests/integration/test_foreign_clients.py",
    ("docs/virtual-boards.md", "A model of your own"): "test_the_model_in_the_page_on_virtual_boards_counts",
}
#: Sections that no test carries out, and why.
NOT_RUN: dict[Section, str] = {
    ("README.md", "icefarm"): "make test is what runs this, and test_demo.py the demo",
    ("CONTRIBUTING.md", "Changes that no test notices"): "minutes, and mutmut's own packages",
    ("CONTRIBUTING.md", "Set up"): "the clone that these tests are in was set up so",
    ("docs/bookings.md", "Bookings"): "its date is past one day; tests/integration/test_bookings.py books for tomorrow",
    ("docs/bookings.md", "In Python, over HTTP and WAMP"): "the same",
    ("docs/client.md", "Twisted"): "it is part of an application with a reactor; test_client_faces.py has one",
    (
        "docs/control.md",
        "Control",
    ): "it needs a router and a PostgreSQL; tests/integration/test_plugins.py has both",
    (
        "docs/hardware.md",
        "Building and installing",
    ): "it needs the pico-sdk, as test_firmware_build.py does",
    ("docs/hardware.md", "Bringing up a first board"): "it needs a board on a desk, and somebody who looks",
    ("docs/tutorial.md", "On a real farm"): "it needs a farm of others; the commands are those of docs/operations.md",
    ("docs/http.md", "Waiting"): "the second request takes the id that the first answers; test_http_api.py polls",
    (
        "docs/sign-in.md",
        "Setting it up",
    ): "it needs an issuer and a certificate; tests/integration/test_oidc.py has an issuer",
    (
        "docs/operations.md",
        "A host with boards",
    ): "it changes the host, as root",
    ("docs/operations.md", "A script in a container"): "it needs a container engine",
    ("docs/operations.md", "Base images"): "it asks registries of images; tests/unit/test_images.py has one",
    ("docs/operations.md", "In containers"): "it needs a container engine; the page says what was run by hand",
    ("docs/operations.md", "Under systemd"): "it changes the host, as root; the page says what was run by hand",
    ("docs/operations.md", "Checking a farm"): "tests/acceptance is run by itself, as a part of all tests",
}
#: Commands within sections that are carried out.
NOT_RUN_COMMANDS = {
    'curl -H "Authorization: Bearer $TOKEN"': "it needs a token; tests/integration/test_http_api.py has one",
    "icefarm results ga-7 --board E66 --follow": "it goes on until Ctrl-C",
    "python3 -m venv": "the environment of these tests is one",
    ". venv/bin/activate": "it is active",
    "pip install": "the environment of these tests has it installed",
    ".venv/bin/twistd -n icefarm-worker": "the same as `twistd -n icefarm-worker` elsewhere",
}

#: What pages leave to their readers.
PATHS = [f"examples/circuits/square_{each}khz.bin" for each in (2, 8, 32)]
GIVEN = f"""
import logging, os
paths = {PATHS!r}
url = os.environ["ICEFARM_URL"]
logger = logging.getLogger("reader")
"""
FARM = """
from icefarm.client import Farm
farm = Farm(name="reader of runs")
"""
#: Writes the id of the last run of an experiment to a file, once it is closed.
CLOSED_RUN = (
    FARM
    + """
import time
while (run := farm.experiment("cited").runs()[0]).state != "closed":
    time.sleep(0.2)
open("run-id", "w").write(run.id)
"""
)
KIND = """
from typing import Any
from attrs import field, frozen
from icefarm.kinds import DeviceHandle, Parameters, reservable
from icefarm.testing.processes.router import free_port
"""


def test_each_block_of_each_page_is_carried_out_or_says_why_not() -> None:
    named = [*WITH_A_FARM, *(each for together in FROM_NOTHING for each in together), *ELSEWHERE, *NOT_RUN]
    assert sorted(named) == sorted(set(named))
    assert sorted(named) == sorted(sections())


def test_tests_that_carry_blocks_out_elsewhere_are_there() -> None:
    for (page, _), where in ELSEWHERE.items():
        if where.endswith(".py"):
            assert Path(page).name in (ROOT / where).read_text(encoding="utf-8")
        else:
            assert where in globals()


def test_blocks_have_a_language() -> None:
    bare = [(page, block.text) for page in PAGES for block in blocks(page) if not block.language]
    assert bare == []


def test_commands_that_are_passed_over_are_there() -> None:
    commands = [command for found in sections().values() for block in found for command in block.commands]
    for beginning in NOT_RUN_COMMANDS:
        assert [command for command in commands if command.startswith(beginning)], beginning


# ------------------------------------------------------------------------------------------------ with a farm


@pytest.fixture(scope="module")
def home(short_directory: Path) -> Path:
    return short_directory / "reader"


@pytest.fixture(scope="module")
def farm(home: Path) -> Iterator[FarmProcess]:
    """A farm of `icefarm up` where it keeps its state by default."""
    arguments = ("--listen", "127.0.0.1:0", "--boards", "8", "--speed", "instant", "--name", "guides")
    with FarmProcess(home / ".local" / "state" / "icefarm", arguments) as farm:
        farm.wait_until_ready()
        yield farm


@pytest.fixture
def reader(home: Path, farm: FarmProcess, tmp_path: Path) -> Iterator[Reader]:
    with Farm(farm.url, "looking") as client:
        serial = client.devices()[0].serial
    reader = Reader(
        tmp_path / "clone",
        home,
        int(farm.url.rpartition(":")[2]),
        {"E66": serial, "--window 10 ": "--window 0.1 ", "/tmp/boards.sock": str(home / "boards.sock")},
    )
    (reader.directory / "circuits").symlink_to(ROOT / "examples" / "circuits")
    shutil.copy(ROOT / "examples" / "circuits" / "bursts.asc", reader.directory / "best.asc")
    shutil.copy(ROOT / "examples" / "circuits" / "four_pins" / "four_pins.bin", reader.directory)
    yield reader
    reader.close()


def carry_out(block: Block, reader: Reader) -> None:
    match block.language:
        case "console" | "sh":
            for command in block.commands:
                if not command.startswith(tuple(NOT_RUN_COMMANDS)):
                    reader.run(command)
        case "python":
            reader.script(GIVEN + block.text)
        case "sql":
            carry_out_sql(block.text, reader)
        case "yaml":
            assert yaml.safe_load(block.text)
        case other:
            raise AssertionError(f"nobody knows how to carry out {other}")


def carry_out_sql(text: str, reader: Reader) -> None:
    socket = reader.home / ".local" / "state" / "icefarm" / "postgres" / "socket"
    connection = psycopg2.connect(host=str(socket), dbname="icefarm", user="icefarm")
    connection.autocommit = True
    try:
        for statement in filter(str.strip, re.sub(r"--.*", "", text).split(";")):
            # The farm's own database is called so already.
            with connection.cursor() as cursor:
                cursor.execute(re.sub(r"\b(ROLE|DATABASE|OWNER) icefarm\b", r"\1 reader", statement))
    finally:
        connection.close()


@pytest.mark.parametrize("section", WITH_A_FARM, ids=" ".join)
def test_what_the_page_shows_works_on_a_farm(section: Section, reader: Reader) -> None:
    for block in sections()[section]:
        carry_out(block, reader)


def test_results_of_the_page_on_the_command_line_are_in_their_files(reader: Reader) -> None:
    for block in sections()["docs/cli.md", "Evaluating"]:
        carry_out(block, reader)
    rows = (reader.directory / "results.csv").read_text().splitlines()
    assert len(rows) == 1 + len(list((ROOT / "examples" / "circuits").glob("*.bin")))
    assert (reader.directory / "results.parquet").stat().st_size > 0


def test_the_page_on_the_archive_is_as_it_answers(reader: Reader) -> None:
    for heading in ("The archive", "Reading", "Resuming a run", "Asking for it", "Usage"):
        for block in sections()["docs/archive.md", heading]:
            carry_out(block, reader)
    assert (reader.directory / "ga-7.csv").read_text().splitlines()
    assert (reader.directory / "ga-7.parquet").stat().st_size > 0
    assert (reader.directory / "fitness.svg").stat().st_size > 0


def test_a_run_is_cited_and_checked_as_its_page_says(reader: Reader) -> None:
    # One of its own: on this farm every reader is another account, and several have the page's.
    reader.run("icefarm evaluate " + " ".join(PATHS) + " --window 0.01 --experiment cited")
    reader.script(GIVEN + CLOSED_RUN)
    id = (reader.directory / "run-id").read_text()
    shown, file = (
        sections()["docs/runs.md", heading] for heading in ("Runs, and how to cite them", "The file, and its digests")
    )
    for block in shown:
        for command in block.commands if block.language == "sh" else ():
            reader.run(re.sub(r"[0-9a-f]{12}", id[:12], command).replace("ga-7", "cited"))
        if block.language == "python":
            reader.script(GIVEN + FARM + block.text.replace("7ab8335065cc", id[:12]).replace("ga-7", "cited"))
    (check,) = (block.text for block in file if block.language == "python")
    (reader.directory / "check.py").write_text(check)
    reader.run("python check.py run.icefarm.zip > checked")
    assert (reader.directory / "checked").read_text() == f"{id}\n"


def test_commands_that_hold_boards_find_them(reader: Reader) -> None:
    shell, python = sections()["docs/cli.md", "Holding boards"]
    shutil.copy(ROOT / PATHS[0], reader.directory / "circuit.bin")
    (reader.directory / "script.sh").write_text("#!/bin/sh\nicefarm evaluate circuit.bin --each | tail -n +2\n")
    (reader.directory / "script.sh").chmod(0o755)
    (reader.directory / "evolve.py").write_text(python.text)
    said = [reader.run(command) for command in shell.commands]
    assert [len(text.splitlines()) for text in said] == [2, 4, 0]


def test_cells_of_the_page_on_notebooks_run_one_after_the_other(reader: Reader) -> None:
    cells = [block.text for block in blocks("docs/notebooks.md") if block.language == "python"]
    said = reader.script("\n".join([GIVEN, *cells, "assert len(results) == 15 and len(counts) == 2"]))
    # As they arrive, from several boards.
    assert sorted(line.split()[1] for line in said.splitlines()) == ["200", "3200", "800"]


def test_alarms_are_about_metrics_that_are_served(farm: FarmProcess) -> None:
    scrape, alarms = (yaml.safe_load(block.text) for block in sections()["docs/metrics.md", "Metrics"])
    assert scrape["scrape_configs"][0]["job_name"] == "icefarm"
    with urlopen(f"{farm.url}/metrics", timeout=10) as answer:
        served = set(re.findall(r"^# TYPE (\S+)", answer.read().decode(), re.M))
    asked = {name for alarm in alarms for name in re.findall(r"icefarm_\w+", alarm["expr"])}
    assert asked
    assert {name.removesuffix("_total") for name in asked} <= {name.removesuffix("_total") for name in served}


# ----------------------------------------------------------------------------------------------- from nothing


def lay_database(reader: Reader) -> None:
    """Put a copy of a database there, for a farm as the pages have it; the first of those pages makes its own."""
    directory = DataDirectory(reader.home / ".local" / "state" / "icefarm")
    directory.create()
    lay_cluster(directory.postgres)


@pytest.mark.parametrize("together", FROM_NOTHING, ids=lambda together: " ".join(together[0]))
def test_what_the_page_shows_works_from_nothing(
    together: tuple[Section, ...], short_directory: Path, tmp_path: Path
) -> None:
    reader = Reader(tmp_path / "clone", short_directory / f"home-{free_port()}", free_port())
    if together is not FROM_NOTHING[0]:
        lay_database(reader)
    try:
        for section in together:
            for block in sections()[section]:
                carry_out(block, reader)
    finally:
        reader.close()


@pytest.mark.timeout(300)  # It starts a farm twice and a dozen commands: 25 s, two minutes on a machine at load 10.
def test_what_was_backed_up_is_there_again(postgres: str, short_directory: Path, tmp_path: Path) -> None:
    dump, restore, _ = sections()["docs/operations.md", "Backup"]
    reader = Reader(tmp_path / "clone", short_directory / f"home-{free_port()}", free_port())
    # The programs of PostgreSQL have to be no older than the server.
    reader.variables = {"ICEFARM_DATABASE": postgres, "PATH": f"{POSTGRES_PROGRAMS}:{reader.environment['PATH']}"}
    own = f"icefarm up --boards 1 --speed instant --listen 127.0.0.1:{reader.port}"
    try:
        reader.run("icefarm token add before --role client")
        reader.run(own)
        serials = reader.run("icefarm devices | cut -f1")
        carry_out(dump, reader)
        reader.close()
        reader.run("icefarm db reset --yes && icefarm token add after --role client")
        carry_out(restore, reader)
        tokens = json.loads(reader.run("icefarm token list -o json"))
        assert {token["name"] for token in tokens} == {"operator", "before"}
        reader.run(own)
        assert reader.run("icefarm devices | cut -f1") == serials
    finally:
        reader.close()


needs_tools = pytest.mark.skipif(
    any(shutil.which(program) is None for program in ("yosys", "nextpnr-ice40", "icepack")),
    reason="needs yosys, nextpnr-ice40 and fpga-icestorm",
)


@needs_tools
def test_the_tutorial_goes_from_verilog_to_plots(short_directory: Path, tmp_path: Path) -> None:
    reader = Reader(tmp_path / "clone", short_directory / f"home-{free_port()}", free_port())
    lay_database(reader)
    for block in blocks("docs/tutorial.md"):
        if block.file is not None:
            (reader.directory / block.file).write_text(block.text)
    try:
        for block in sections()["docs/bitstreams.md", "From Verilog to a bitstream"]:
            carry_out(block, reader)
        simulate, waveform = sections()["docs/tutorial.md", "Without a board"][0].commands
        assert "2,000 pulses in 1 s" in reader.run(simulate)
        reader.run(waveform)
        up, evaluate = sections()["docs/tutorial.md", "On a virtual farm"][0].commands
        reader.run(up)
        assert reader.run(evaluate).count("2000") == 4
        (run_sweep,) = sections()["docs/tutorial.md", "A sweep"][-1].commands
        lines = reader.run(run_sweep).splitlines()
        assert len(lines) == 6 * 4
        assert "6400, 6400, 6400] expected 6400" in next(line for line in lines if line.startswith("375 "))
        show, by_period = sections()["docs/tutorial.md", "A plot"]
        carry_out(show, reader)
        assert len((reader.directory / "sweep.csv").read_text().splitlines()) == 1 + 6 * 4
        carry_out(by_period, reader)
        assert (reader.directory / "periods.png").stat().st_size > 0
    finally:
        reader.close()


def test_a_class_is_held_as_its_page_says(short_directory: Path, tmp_path: Path) -> None:
    without_tls = {
        " --tls-certificate certificate.pem --tls-key key.pem": "",
        "--boards 60": "--boards 4 --speed instant",
    }
    reader = Reader(tmp_path / "clone", short_directory / f"home-{free_port()}", free_port(), without_tls)
    lay_database(reader)
    (roster,) = [each for each in blocks("docs/teaching.md") if each.text.startswith("name,group")]
    (reader.directory / "students.csv").write_text(roster.text)
    of_ada = "ICEFARM_TOKEN=$(grep ^ada, tokens.csv | cut -d, -f2)"
    try:
        *before, up = sections()["docs/teaching.md", "Before the class"]
        # Each command starts the farm's database where no farm runs.
        for block in (up, *before):
            carry_out(block, reader)
        (script,) = sections()["docs/teaching.md", "In the class"]
        (reader.directory / "first.py").write_text(script.text)
        assert reader.run(f"{of_ada} python first.py").count(" 800\n") == 2
        reader.run(f"! {of_ada} icefarm evaluate {PATHS[0]} --devices 3")
        tokens = reader.directory / "tokens.csv"
        assert tokens.stat().st_mode & 0o777 == 0o600
        token = dict(line.split(",") for line in tokens.read_text().splitlines())["ada"]
        with Farm(f"http://127.0.0.1:{reader.port}", token=token) as hog, hog.reserve(2, wait=True) as boards:
            for block in sections()["docs/teaching.md", "When one takes everything"]:
                carry_out(block, reader)
            with pytest.raises(ReservationEnded, match="no board is left"):
                list(boards.evaluate([ROOT / PATHS[0]]))
        for block in sections()["docs/teaching.md", "At the end of a class, and of the term"]:
            carry_out(block, reader)
    finally:
        reader.close()


def test_a_copy_of_the_data_directory_is_a_farm(short_directory: Path, tmp_path: Path) -> None:
    *_, copy = sections()["docs/operations.md", "Backup"]
    reader = Reader(tmp_path / "clone", short_directory / f"home-{free_port()}", free_port())
    try:
        reader.run("icefarm token add kept --role client")
        carry_out(copy, reader)
        assert "kept" in reader.run("icefarm token list --data-dir icefarm.backup")
    finally:
        reader.close()


# --------------------------------------------------------------------------------------------------- elsewhere


def python_of(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env={"PATH": "/usr/bin:/bin", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tests_in_the_page_on_testing_pass(tmp_path: Path) -> None:
    tests, script = (block.text for block in blocks("docs/testing.md"))
    (tmp_path / "test_page.py").write_text(tests)
    said = python_of(
        "-m", "pytest", "-q", "-p", "icefarm.testing.pytest_plugin", "-p", "no:cacheprovider",
        "--rootdir", str(tmp_path), str(tmp_path),
    )  # fmt: skip
    assert "2 passed" in said
    python_of("-c", script + "\nassert len(results) == 1\n")


def test_the_kind_in_the_page_on_architecture_is_one() -> None:
    kind, named = sections()["docs/architecture.md", "Adding a device kind"]
    (kinds,) = tomllib.loads(named.text)["project"]["entry-points"].values()
    python_of(
        "-c",
        f"{kind.text}\nfrom icefarm.testing.in_memory import FarmInMemory\n"
        "with FarmInMemory(boards=2, kinds=[Blink]) as farm:\n"
        "    with farm.client().reserve(2, kind='blink', window=0.2) as boards:\n"
        "        assert len(boards.serials) == 2\n"
        f"        (blinks,) = [result.value for result in boards.evaluate([{PATHS[0]!r}])]\n"
        "        assert 1900 < blinks < 2100, blinks\n",
    )
    assert kinds == {"blink": "my_package:Blink"}


def test_the_kind_in_the_page_on_workers_is_one() -> None:
    (block,) = sections()["docs/worker.md", "Device kinds"]
    python_of("-c", f"{KIND}{block.text}\nfrom icefarm.kinds.registry import kind_of\nassert kind_of(PulseCount)\n")


def test_the_model_in_the_page_on_virtual_boards_counts(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "virtual-boards.md").read_text(encoding="utf-8")
    (block,) = sections()["docs/virtual-boards.md", "A model of your own"]
    (command,) = re.findall(r"`(cc -shared [^`]*)`", page)
    (tmp_path / "model.c").write_text(block.text)
    (tmp_path / "firmware").symlink_to(ROOT / "firmware")
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, timeout=60)
    with FarmInMemory(boards=1, model=tmp_path / "model.so") as farm, farm.client().reserve(1, window=1.0) as boards:
        assert [result.value for result in boards.evaluate([ROOT / PATHS[1]])] == [2000]
