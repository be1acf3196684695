"""The plugins of twistd and twist: found after a normal and an editable install, and their help explains all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

# Wheels are built, and the firmware in them: on a busy machine that takes its time.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ("icefarm-control", "icefarm-worker")


def run(*command: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ICEFARM_", "PYTHON"))}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, env={**kept, "COLUMNS": "200", **environment}
    )


def program(name: str) -> str:
    return str(Path(sysconfig.get_path("scripts"), name))


@pytest.mark.parametrize("name", ["twistd", "twist"])
def test_the_plugins_are_found_where_icefarm_is_installed_as_it_is_here(name: str, tmp_path: Path) -> None:
    listed = run(program(name), "--help", cwd=tmp_path)
    assert all(plugin in listed.stdout for plugin in PLUGINS)


@pytest.fixture(scope="module")
def normal_install(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that icefarm is installed into from a wheel; all it depends on is that of here."""
    place = tmp_path_factory.mktemp("install")
    source = place / "source"
    skipped = shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, source, ignore=skipped)
    wheel_here = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place), ".")
    built = run(sys.executable, "-m", "pip", *wheel_here, cwd=source)
    assert built.returncode == 0, built.stderr
    venv.create(place / "venv", with_pip=False, symlinks=True)
    python = place / "venv" / "bin" / "python"
    (wheel,) = place.glob("*.whl")
    there = ("--python", str(python), "install", "--quiet", "--no-deps", str(wheel))
    installed = run(sys.executable, "-m", "pip", *there)
    assert installed.returncode == 0, installed.stderr
    (site,) = (place / "venv" / "lib").glob("python*/site-packages")
    # A path that is added so is not searched for .pth files: what is editable here stays here.
    (site / "dependencies.pth").write_text("".join(f"{path}\n" for path in sys.path if path.endswith("-packages")))
    return python


def test_the_plugins_are_found_after_a_normal_install(normal_install: Path, tmp_path: Path) -> None:
    where = run(str(normal_install), "-c", "import icefarm; print(icefarm.__file__)", cwd=tmp_path)
    assert where.stdout.startswith(str(normal_install.parents[1]))
    run_twistd = "import sys; from twisted.scripts.twistd import run; sys.argv = ['twistd', '--help']; run()"
    listed = run(str(normal_install), "-c", run_twistd, cwd=tmp_path)
    assert all(plugin in listed.stdout for plugin in PLUGINS)


def test_a_normal_install_has_schema_and_virtual_boards(normal_install: Path, tmp_path: Path) -> None:
    code = (
        "from icefarm.control.storage.migrations import steps; from icefarm.virtual.images import program; "
        "print(len(steps()), program())"
    )
    found = run(str(normal_install), "-c", code, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    number, path = found.stdout.split()
    assert int(number) >= 1
    assert Path(path).is_relative_to(normal_install.parents[1])


@pytest.mark.parametrize("plugin", PLUGINS)
def test_the_help_of_a_plugin_names_variable_and_default_of_its_options(plugin: str, tmp_path: Path) -> None:
    shown = run(program("twistd"), "-n", plugin, "--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert "[environment: ICEFARM_CONFIG]" in shown.stdout
    assert "default: " in shown.stdout
    assert "TOML" in shown.stdout


@pytest.mark.parametrize("name", ["twistd", "twist"])
def test_a_wrong_option_is_refused_in_a_line_that_names_its_source(name: str, tmp_path: Path) -> None:
    (tmp_path / "farm.toml").write_text("[worker]\nspeed = 'slow'\n")
    flags = ("--nodaemon", "--pidfile=") if name == "twistd" else ()
    refused = run(program(name), *flags, "icefarm-worker", "--config", "farm.toml", cwd=tmp_path)
    # A supervisor takes 0 for a worker that was told to leave, and does not start it again.
    assert refused.returncode != 0
    assert "farm.toml: speed: must be" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "farm.toml").write_text("[worker]\nspeed = 'real'\n")
    arguments = ("--nodaemon", "--pidfile=", "icefarm-worker", "--config", "farm.toml")
    refused = run(program("twistd"), *arguments, cwd=tmp_path, ICEFARM_SPEED="slow")
    assert "ICEFARM_SPEED: must be" in refused.stdout + refused.stderr
