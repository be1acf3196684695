"""What is in deploy/ and for editors is what its readers take: checked by their tools, and by our own options."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sysconfig
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from certificates import issue
from compose_spec import ComposeSpecification
from nginx import with_stream_module

from icefarm.cli.commands.admin.farm import up
from icefarm.cli.commands.admin.tokens import add
from icefarm.control.tap import Options as ControlOptions
from icefarm.twistd.options import read_section
from icefarm.wamp.link import check_way
from icefarm.wamp.url import parse_url
from icefarm.worker.tap import Options as WorkerOptions

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE_FILES = sorted(DEPLOY.glob("compose*.yaml"))
#: Those of a whole farm.
FARMS = [path for path in COMPOSE_FILES if path.name != "compose.worker.yaml"]
#: The images that deploy/Dockerfile builds.
OURS = ("icefarm", "icefarm-client")
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
#: Seconds for a checker.
LIMIT = 30


def _services(path: Path) -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(path.read_text())["services"]
    return services


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    program = Path(sysconfig.get_path("scripts"), "hadolint")
    done = subprocess.run(
        [program, "--no-color", DEPLOY / "Dockerfile"], capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_image_has_nothing_but_what_the_lock_files_name() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert "PIP_NO_DEPS=1" in text
    installs = re.findall(r"pip(?: --python \S+)? install (.*?)(?: \\)?$", text, re.M)
    of_locks = [
        each
        for each in installs
        if re.fullmatch(r"--no-build-isolation --require-hashes -r requirements/\w+.txt", each)
    ]
    assert len(of_locks) == 5
    assert set(installs) - set(of_locks) == {"--no-index /wheels/*.whl"}
    for file in re.findall(r"requirements/(\w+.txt)", text):
        assert (ROOT / "requirements" / file).is_file()


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_compose_files_fit_the_compose_specification(path: Path) -> None:
    ComposeSpecification.model_validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_no_container_of_ours_has_privileges(path: Path) -> None:
    ours = [service for service in _services(path).values() if service["image"] in OURS]
    assert len(ours) == (3 if path in FARMS else 1)
    for service in ours:
        assert service["read_only"]
        assert "privileged" not in service
        assert "user" not in service
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_what_others_wait_for_says_whether_it_is_healthy(path: Path) -> None:
    services = _services(path)
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            if how == {"condition": "service_completed_successfully"}:
                # What ends must not be started again for ever.
                assert "restart" not in services[needed]
            else:
                assert how == {"condition": "service_healthy"}
                assert "test" in services[needed]["healthcheck"]


@pytest.mark.parametrize("path", FARMS, ids=lambda path: path.name)
def test_the_worker_has_a_token_before_the_farm_starts_and_no_other_secret_of_the_farm(path: Path) -> None:
    # A farm that others can reach refuses to start while nobody has a token.
    services = _services(path)
    assert services["farm"]["depends_on"]["token"] == {"condition": "service_completed_successfully"}
    made, directory = services["token"]["command"][-1].split()[-1], services["token"]["working_dir"]
    assert f"--token-file={directory}/{made}" in services["worker"]["command"]
    assert f"worker:{directory}" in services["token"]["volumes"]
    assert f"worker:{directory}:ro" in services["worker"]["volumes"]
    assert not [volume for volume in services["worker"]["volumes"] if volume.startswith("farm:")]


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_every_secret_and_volume_that_is_used_is_declared(path: Path) -> None:
    whole = yaml.safe_load(path.read_text())
    used = {name for service in whole["services"].values() for name in service.get("secrets", ())}
    named = {
        volume.partition(":")[0]
        for service in whole["services"].values()
        for volume in service.get("volumes", ())
        if not volume.startswith(("/", "."))
    }
    assert used == set(whole.get("secrets", {}))
    assert named == set(whole["volumes"])


@pytest.mark.parametrize("path", FARMS, ids=lambda path: path.name)
def test_the_database_stays_as_long_as_the_tokens_that_it_knows(path: Path) -> None:
    # On a volume without a name it is lost by `down`, and the farm that comes up again has no token and refuses to run.
    volumes = dict(reversed(volume.split(":", 1)) for volume in _services(path)["database"]["volumes"])
    assert volumes["/var/lib/postgresql/data"] == "database"


@pytest.mark.parametrize("path", FARMS, ids=lambda path: path.name)
def test_each_image_is_built_by_one_service(path: Path) -> None:
    # Two build it twice, at once, and leave one of them without a name.
    built = [service["image"] for service in _services(path).values() if "build" in service]
    assert sorted(built) == list(OURS)


@pytest.mark.parametrize("path", FARMS, ids=lambda path: path.name)
def test_the_commands_of_a_farm_have_options_that_exist(path: Path) -> None:
    services = _services(path)
    token = services["token"]["command"][-1].partition("icefarm token add ")[2].split()
    assert {word for word in token if word.startswith("--")} <= {name for each in add.params for name in each.opts}
    farm = {word for word in (each.partition("=")[0] for each in services["farm"]["command"]) if word.startswith("--")}
    assert farm <= {name for parameter in up.params for name in parameter.opts}


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_the_worker_has_options_that_exist(path: Path) -> None:
    command = _services(path)["worker"]["command"]
    given = [word.partition("=")[0] for word in command[command.index("icefarm-worker") + 1 :]]
    assert set(given) <= {f"--{setting.key}" for setting in WorkerOptions.settings}


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_the_worker_may_send_its_token_to_the_farm(path: Path) -> None:
    # It refuses to, and never starts, where the way has no TLS and the command does not say that this is meant.
    command = _services(path)["worker"]["command"]
    (control,) = [word.partition("=")[2] for word in command if word.startswith("--control=")]
    url = re.sub(r"\$\{.*\}", "https://farm.example:8080", control)
    check_way(parse_url(url), url, "--insecure" in command)


@pytest.mark.parametrize("options", [ControlOptions, WorkerOptions])
def test_the_examples_of_configuration_files_have_settings_that_exist(options: Any) -> None:
    path = str(DEPLOY / f"{options.section}.toml")
    found = read_section(path, options.section, options.settings, lambda name: Path(name).read_text())
    assert found


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
def test_systemd_has_nothing_to_say_about_the_units(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("crossbar", "twistd"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    for unit in UNITS:
        text = re.sub("/opt/icefarm/(?:router/)?bin", str(programs), unit.read_text())
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(tmp_path / unit.name for unit in UNITS)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        # Nothing of a manager that may run here is asked.
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "notice"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_every_unit_is_hardened(path: Path) -> None:
    lines = path.read_text().splitlines()
    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "User=icefarm"):
        assert line in lines


def test_the_router_writes_no_headers_of_requests_to_the_journal() -> None:
    # At level info, Crossbar.io's default, it does: Authorization too.
    (start,) = re.findall(r"^ExecStart=(.*)$", (DEPLOY / "systemd" / "icefarm-router.service").read_text(), re.M)
    assert start.endswith(" --loglevel warn")


@pytest.mark.parametrize("setting", ["images", "spool"])
def test_the_worker_s_example_names_directories_that_its_unit_makes(setting: str) -> None:
    unit = (DEPLOY / "systemd" / "icefarm-worker.service").read_text()
    (made,) = re.findall(r"^StateDirectory=(.*)$", unit, re.M)
    directory = tomllib.loads((DEPLOY / "worker.toml").read_text())["worker"][setting]
    assert directory.removeprefix("/var/lib/") in made.split()


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_every_service_that_goes_on_says_whether_it_is_healthy(path: Path) -> None:
    assert [name for name, each in _services(path).items() if name != "token" and "healthcheck" not in each] == []


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_what_fails_is_unhealthy_soon_and_what_starts_has_time(path: Path) -> None:
    for name in _services(path).keys() & {"farm", "worker"}:
        check = _services(path)[name]["healthcheck"]
        assert check["retries"] * int(check["interval"].removesuffix("s")) <= 30, name
        assert check["start_period"] == {"farm": "2m", "worker": "30s"}[name]


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_the_worker_s_check_looks_at_the_file_that_the_worker_touches(path: Path) -> None:
    worker = _services(path)["worker"]
    (file,) = [word.partition("=")[2] for word in worker["command"] if word.startswith("--alive-file=")]
    assert f"find {file} -newermt" in worker["healthcheck"]["test"][-1]
    assert any(Path(file).is_relative_to(directory) for directory in worker["tmpfs"])


def test_the_worker_s_check_tells_a_new_file_from_an_old_one(tmp_path: Path) -> None:
    kind, check = _services(DEPLOY / "compose.worker.yaml")["worker"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    file = tmp_path / "alive"

    def is_healthy() -> bool:
        command = ["sh", "-c", check.replace("/tmp/alive", str(file))]
        return subprocess.run(command, capture_output=True, timeout=LIMIT, check=False).returncode == 0

    assert not is_healthy()
    file.touch()
    assert is_healthy()
    os.utime(file, (time.time() - 40,) * 2)
    assert not is_healthy()


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_images_are_built_from_stages_that_there_are(path: Path) -> None:
    stages = set(re.findall(r"^FROM .* AS (\S+)$", (DEPLOY / "Dockerfile").read_text(), re.M))
    targets = {"icefarm": None, "icefarm-client": "client"}
    for service in _services(path).values():
        if service["image"] in OURS and "build" in service:
            assert service["build"].get("target") == targets[service["image"]]
            assert service["build"].get("target", "farm") in stages


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_a_worker_in_a_container_has_its_spool_on_a_volume_that_it_may_write(path: Path) -> None:
    file = yaml.safe_load(path.read_text())
    worker = file["services"]["worker"]
    (spool,) = [word.partition("=")[2] for word in worker["command"] if word.startswith("--spool=")]
    volumes = dict(reversed(volume.split(":", 1)) for volume in worker["volumes"])
    assert volumes[spool] in file["volumes"]
    assert f" {spool}\n" in (DEPLOY / "Dockerfile").read_text()


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_entries_of_vscode_start_modules_that_there_are() -> None:
    for entry in _json(ROOT / ".vscode" / "launch.json")["configurations"]:
        assert importlib.util.find_spec(entry["module"]) is not None, entry["name"]
        plugins = [word for word in entry["args"] if word.startswith("icefarm-")]
        if plugins:
            (plugin,) = plugins
            options = {"icefarm-control": ControlOptions, "icefarm-worker": WorkerOptions}[plugin]
            given = [word for word in entry["args"][entry["args"].index(plugin) :] if word.startswith("--")]
            assert {word.removeprefix("--") for word in given} <= {"config", *(each.key for each in options.settings)}


def test_tasks_of_vscode_run_what_there_is() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for task in _json(ROOT / ".vscode" / "tasks.json")["tasks"]:
        program, *words = task["command"].split()
        if program == "make":
            assert set(words) <= targets, task["label"]
        elif program == "docker":
            _check_compose(words)
        else:
            assert Path(sysconfig.get_path("scripts"), Path(program).name).exists(), task["label"]
            assert [word for word in words if word.startswith("tests/") and not (ROOT / word).exists()] == []


def _check_compose(words: list[str]) -> None:
    """Check that a task names a compose file that there is, and one of its services where it runs something in it."""
    assert words[:2] == ["compose", "-f"]
    services = _services(ROOT / words[2])
    if words[3] == "exec":
        assert words[4] in services
        assert words[5:] == ["icefarm", "devices"]
    else:
        assert words[3] in ("up", "down", "logs")


def test_the_devcontainer_sets_itself_up_by_a_target_that_there_is() -> None:
    container = _json(ROOT / ".devcontainer" / "devcontainer.json")
    program, target = container["postCreateCommand"].split()
    assert program == "make"
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)
    assert container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"].endswith(
        ".venv/bin/python"
    )


def _with_certificate(path: Path, directory: Path) -> Path:
    """Return a copy of a proxy's configuration that names files which exist, and ports that need no root."""
    made = issue(directory, "localhost")
    pem = directory / "farm.pem"
    pem.write_text(made.certificate_file.read_text() + made.key_file.read_text())
    text = path.read_text().replace("/etc/icefarm/farm.pem", str(pem))
    text = text.replace("/etc/icefarm/farm.crt", str(made.certificate_file))
    text = text.replace("/etc/icefarm/farm.key", str(made.key_file))
    copy = directory / path.name
    copy.write_text(text)
    return copy


@pytest.mark.parametrize(
    ("program", "name", "arguments"),
    [
        ("haproxy", "haproxy.cfg", ["-c", "-f"]),
        ("haproxy", "haproxy-routers.cfg", ["-c", "-f"]),
        ("nginx", "nginx.conf", ["-t", "-c"]),
    ],
)
def test_proxies_take_their_configuration(tmp_path: Path, program: str, name: str, arguments: list[str]) -> None:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed")
    command = [found, *arguments, str(_with_certificate(DEPLOY / name, tmp_path))]
    if program == "nginx":
        with_stream_module(tmp_path)
        command += ["-p", str(tmp_path), "-g", f"pid {tmp_path / 'pid'}; error_log stderr;"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_bound_memory_and_files(path: Path) -> None:
    text = path.read_text()
    assert re.search(r"^MemoryMax=[12]G$", text, re.MULTILINE)
    assert "LimitNOFILE=65536" in text
