"""Device kinds of other packages: docs/new-kind.md written out and tested; the console installed, found and tested."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "frequency_kind"
CONSOLE = ROOT / "examples" / "console_kind"


def blocks() -> dict[str, str]:
    """Return the files that the page shows."""
    page = (ROOT / "docs" / "new-kind.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^<!-- (\S+) -->\n```\w+\n(.*?)^```", page, re.M | re.S))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as the page has it, written from nothing but the page."""
    directory = tmp_path_factory.mktemp("frequency_kind")
    for name, content in blocks().items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (directory / "icefarm_frequency" / "__init__.py").touch()
    return directory


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that the console's package is installed into."""
    package = tmp_path_factory.mktemp("console_kind") / "package"
    shutil.copytree(CONSOLE, package)
    target = package / "installed"
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(target)]
    run(sys.executable, "-m", "pip", *install, str(package))
    return target


def run(*command: str, cwd: Path = ROOT, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_tests(package: Path) -> str:
    """Run the tests of a package, and return what pytest said."""
    return run(
        sys.executable, "-m", "pytest", "-q", "-p", "icefarm.testing.pytest_plugin", "-p", "no:cacheprovider", "tests",
        cwd=package,
        PYTHONPATH=f"{package}:{ROOT}",
        PYTHONDONTWRITEBYTECODE="1",
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
        CIRCUIT=str(ROOT / "examples" / "circuits" / "square_2khz.bin"),
    )  # fmt: skip


def test_the_page_shows_the_example_as_it_is() -> None:
    assert set(blocks()) == {"pyproject.toml", "icefarm_frequency/kind.py", "tests/test_frequency.py"}
    for name, content in blocks().items():
        assert content == (EXAMPLE / name).read_text(encoding="utf-8"), name


def test_the_tests_of_the_page_pass(package: Path) -> None:
    said = run_tests(package)
    assert re.search(r"\b4 passed\b", said), said


def test_the_tests_of_the_console_pass() -> None:
    said = run_tests(CONSOLE)
    assert re.search(r"\b8 passed\b", said), said


FOUND = """
from icefarm.testing.in_memory import FarmInMemory
from icefarm_console.client import Console

with FarmInMemory(boards=1) as farm, Console.reserve(farm.client(), 1) as (console,):
    console.open("examples/circuits/square_8khz.bin")
    print(console.read_until(b"> "))
"""


def test_a_worker_finds_the_kind_of_an_installed_package(installed: Path) -> None:
    said = run(sys.executable, "-c", FOUND, PYTHONPATH=f"{installed}:{ROOT}")
    assert "circuit " in said
