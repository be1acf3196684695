"""A worker is installed as a service on a Debian host, serves, comes back, and is removed without a trace.

The host is Debian 12 in a container of systemd-nspawn, made by debootstrap from Debian's archive (ICEFARM_DEBIAN names
a mirror); the farm runs outside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_until

from icefarm.client import Farm
from icefarm.testing.processes.farm_process import FarmProcess

PROGRAMS = ("debootstrap", "systemd-nspawn", "nsenter")
pytestmark = [
    pytest.mark.nightly,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="takes root"),
    pytest.mark.skipif(
        not all(shutil.which(program) for program in PROGRAMS), reason=f"takes {', '.join(PROGRAMS)} (Debian: "
        "debootstrap, systemd-container)",
    ),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="Debian 12 has Python 3.11, which its wheels are for"),
]  # fmt: skip

ROOT = Path(__file__).resolve().parents[2]
SUITE, MIRROR = "bookworm", os.environ.get("ICEFARM_DEBIAN", "http://deb.debian.org/debian")
PACKAGES = "systemd,systemd-sysv,dbus,udev,python3-venv"
#: Seconds for a step of the setup, for a command in the container, and until a service has done what it is waited for.
SETUP_LIMIT, COMMAND_LIMIT, WAIT_LIMIT = 900, 180, 60
UNIT = "icefarm-worker.service"
ICEFARM = "/opt/icefarm/bin/icefarm"


def _run(*command: str | Path, limit: float = SETUP_LIMIT) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a Debian host with icefarm in /opt/icefarm."""
    place = tmp_path_factory.mktemp("host")
    root, wheels = place / "root", place / "root" / "wheels"
    _run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, root, MIRROR)
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels)
    for name in ("build", "client"):
        _run(*pip, "--require-hashes", "--requirement", ROOT / "requirements" / f"{name}.txt")
    _run("env", "ICEFARM_DASHBOARD=skip", *pip, "--no-build-isolation", ROOT)
    _run("chroot", root, "python3", "-m", "venv", "/opt/icefarm")
    install = "/opt/icefarm/bin/pip install --quiet --no-index --no-deps /wheels/*.whl"
    _run("chroot", root, "sh", "-c", install)
    return root


class Container:
    """The host, running."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._nspawn = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe",
             f"--directory={root}", "--machine=icefarm-test"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._leader = 0

    def wait_until_up(self) -> None:
        wait_until(self._is_up, "systemd runs in the container", WAIT_LIMIT)

    def _is_up(self) -> bool:
        # Each time: the first child of all sets the container up, and ends.
        return self._find_leader() and self.run("systemctl", "is-system-running")[0] in ("running", "degraded")

    def _find_leader(self) -> bool:
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        self._leader = int(children[0]) if children else 0
        return bool(children)

    def run(self, *command: str) -> tuple[str, int]:
        """Run a command in the container; return what it wrote, and its exit code."""
        done = subprocess.run(
            ["nsenter", f"--target={self._leader}", "--all", "--", *command],
            capture_output=True, text=True, check=False, timeout=COMMAND_LIMIT,
        )  # fmt: skip
        return (done.stdout + done.stderr).strip(), done.returncode

    def check(self, *command: str) -> str:
        said, code = self.run(*command)
        assert code == 0, (command, said, self.run("journalctl", "--no-pager", "--lines=60", f"--unit={UNIT}")[0])
        return said

    def main_pid(self) -> int:
        return int(self.check("systemctl", "show", "--value", "--property=MainPID", UNIT))

    def stop(self) -> None:
        self._nspawn.terminate()
        try:
            self._nspawn.wait(WAIT_LIMIT)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()


@pytest.fixture
def host(tree: Path) -> Iterator[Container]:
    container = Container(tree)
    try:
        container.wait_until_up()
        yield container
    finally:
        container.stop()


def test_a_worker_is_a_service_until_it_is_removed(tree: Path, host: Container, short_directory: Path) -> None:
    data_dir, arguments = short_directory / "systemd", ("--boards", "0", "--listen", "127.0.0.1:0", "--require-tokens")
    with FarmProcess(data_dir, arguments) as farm:
        farm.wait_until_ready()
        data = ("--data-dir", data_dir)
        token = _run(sys.executable, "-m", "icefarm", "token", "add", "shelf", "--role", "worker", *data)
        (tree / "root" / "token").write_text(token)
        install = (
            ICEFARM, "host", "install", "--worker", "--url", farm.url, "--name", "shelf", "--virtual-boards", "2",
            "--token-file", "/root/token",
        )  # fmt: skip
        host.check(*install)
        client = _run(sys.executable, "-m", "icefarm", "token", "add", "ada", "--role", "client", *data).strip()
        with Farm(farm.url, name="ada", token=client) as mine:
            _serves(mine)
            first = host.main_pid()
            assert "write" not in host.check(*install)
            assert host.main_pid() == first
            host.check("systemctl", "kill", "--signal=KILL", UNIT)
            wait_until(
                lambda: host.main_pid() not in (0, first), "a worker in place of the one that was killed", WAIT_LIMIT
            )
            _serves(mine)
        host.check(ICEFARM, "host", "uninstall")
        assert host.run("systemctl", "is-active", UNIT)[0] != "active"
        assert not [path for path in (tree / "etc").rglob("*icefarm*") if "systemd" in path.parts]
        assert not (tree / "etc" / "icefarm").exists()


def _serves(farm: Farm) -> None:
    with farm.reserve(2, wait=True, timeout=WAIT_LIMIT, window=0.1) as boards:
        results = list(boards.evaluate([str(ROOT / "examples" / "circuits" / "square_2khz.bin")] * 4))
    assert [result.error for result in results] == [None] * 4
