"""Install what is run here into a virtual environment, from the lock files of ``requirements/``.

``python3 build_backend/install.py .venv demo`` installs what ``make demo`` runs, ``tests`` adds what ``make test``
takes, ``oldest`` replaces what a farm runs by the oldest versions that pyproject.toml allows.  Only the standard
library is needed.  What is there already, of the same lock file, is left alone.  The router gets an environment of its
own inside the other one (icefarm/farm/router/environment.py).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from icefarm.farm.router.environment import (  # noqa: E402
    RouterNotInstalled,
    install_locked,
    install_router,
    router_directory,
)

REQUIREMENTS = ROOT / "requirements"
#: Packages are compiled when they are imported: most of their modules never are.
PIP_OPTIONS = ("--no-compile",)
#: Seconds for one of icefarm's own steps.
LIMIT = 1200.0
BAR = 20


class CannotInstall(Exception):
    """A step failed; the message says why."""


class Step:
    """Something to install, unless a note says that it is there."""

    def __init__(self, name: str, what: str, files: Sequence[Path], install: Callable[[], None]) -> None:
        self.name = name
        self.what = what
        self._files = files
        self._install = install

    def done(self, notes: Path) -> bool:
        """Tell whether it is there, from the same files."""
        note = notes / self.name
        return note.is_file() and note.read_text() == self._digest()

    def run(self, notes: Path) -> None:
        """Install it.  Raises `CannotInstall`."""
        try:
            self._install()
        except RouterNotInstalled as error:
            raise CannotInstall(str(error)) from None
        notes.mkdir(exist_ok=True)
        (notes / self.name).write_text(self._digest())

    def _digest(self) -> str:
        digest = hashlib.sha256(sys.version.encode())
        for file in self._files:
            digest.update(file.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Plan:
    """Steps of an installation."""

    #: What is installed, for the user.
    what: str
    #: What the others need.
    first: Sequence[Step]
    #: Each in its order, all at the same time.
    together: Sequence[Sequence[Step]] = ()

    def left(self, notes: Path) -> Plan:
        """Return the plan without what is done."""
        return Plan(self.what, _left(self.first, notes), [_left(steps, notes) for steps in self.together])

    def count(self) -> int:
        """Return the number of steps."""
        return len(self.first) + sum(map(len, self.together))


def _left(steps: Sequence[Step], notes: Path) -> list[Step]:
    return [step for step in steps if not step.done(notes)]


class Progress:
    """Says what is done: a line for each step that has ended, and on a terminal a bar below them."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._ended = 0
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._terminal = sys.stdout.isatty()
        self._over = threading.Event()

    def __enter__(self) -> Progress:
        if self._terminal:
            threading.Thread(target=self._tick, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with self._lock:
            self._clear()

    def ended(self, step: Step, seconds: float) -> None:
        """Say that a step has ended."""
        with self._lock:
            self._ended += 1
            self._clear()
            print(f"  [{self._ended}/{self._steps}] {step.what:<52} {seconds:5.1f} s", flush=True)

    def _tick(self) -> None:
        while not self._over.wait(0.5):
            with self._lock:
                if self._over.is_set():
                    return
                filled = BAR * self._ended // self._steps
                bar = "#" * filled + "." * (BAR - filled)
                print(f"\r  [{bar}] {time.monotonic() - self._began:3.0f} s", end="", flush=True)

    def _clear(self) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", flush=True)


def packages(name: str) -> int:
    """Return how many packages a lock file has."""
    return len(
        {line.partition("==")[0] for line in (REQUIREMENTS / f"{name}.txt").read_text().splitlines() if "==" in line}
    )


class Environment:
    """The virtual environment that is installed into."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._python = str(directory / "bin" / "python")
        self.notes = directory / ".from-locks"

    def for_demo(self) -> Plan:
        """Return how to install what the demo runs."""
        build, farm, router = (REQUIREMENTS / f"{name}.txt" for name in ("build", "farm", "router"))
        router_packages = f"{packages('router')} packages of the router, apart from the others"
        return Plan(
            f"what the demo runs into {self._directory}",
            [Step("environment", "a virtual environment", [build], self._create)],
            [
                [
                    Step("farm", f"{packages('farm')} packages of the farm", [build, farm], self._install_farm),
                    Step("icefarm", "icefarm, with its virtual boards", _own_sources(), self._install_icefarm),
                ],
                [Step("router", router_packages, [build, router], self._install_router)],
            ],
        )

    def for_tests(self) -> Plan:
        """Return how to install what the tests take beyond `for_demo`."""
        test, node = REQUIREMENTS / "test.txt", REQUIREMENTS / "node.txt"
        more = packages("test") - packages("farm")
        return Plan(
            f"what the tests take into {self._directory}",
            [
                Step("test", f"{more} packages of the tests", [test], self._install_tests),
                Step("page", "the dashboard's page", [node, *_page_sources()], self._build_page),
            ],
        )

    def for_oldest(self) -> Plan:
        """Return how to replace what is run by the oldest versions that are allowed."""
        oldest = REQUIREMENTS / "oldest.txt"
        return Plan(
            f"the oldest versions into {self._directory}",
            [Step("oldest", "packages in their oldest versions", [oldest], self._install_oldest)],
        )

    def _create(self) -> None:
        if not (self._directory / "bin" / "python").exists():
            venv.create(self._directory, with_pip=True, symlinks=True)
        self._locked("build")

    def _install_farm(self) -> None:
        self._locked("farm")

    def _install_tests(self) -> None:
        self._locked("test")

    def _install_oldest(self) -> None:
        self._locked("oldest")

    def _build_page(self) -> None:
        self._run([self._python, str(ROOT / "build_backend" / "icefarm_build.py")], dict(os.environ))

    def _locked(self, name: str) -> None:
        install_locked((self._python, "-m", "pip"), REQUIREMENTS / f"{name}.txt", PIP_OPTIONS)

    def _install_icefarm(self) -> None:
        command = [
            self._python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
            "--no-build-isolation", "--editable", str(ROOT),
        ]  # fmt: skip
        # Who looks at the page builds it: `make venv`, `make test`, `pip install .`
        self._run(command, {**os.environ, "ICEFARM_DASHBOARD": "skip"})

    def _install_router(self) -> None:
        install_router(router_directory(str(self._directory / "bin")), REQUIREMENTS, self._python, PIP_OPTIONS)

    def _run(self, command: Sequence[str], environment: dict[str, str]) -> None:
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT
            )
        except subprocess.TimeoutExpired:
            raise CannotInstall(f"no end after {LIMIT:.0f} s: {' '.join(command)}") from None
        if done.returncode != 0:
            raise CannotInstall(done.stderr.strip() or done.stdout.strip() or f"{command[0]} failed")


def _own_sources() -> list[Path]:
    """Return the files that the installed metadata and the virtual boards are made from."""
    firmware = ROOT / "firmware"
    boards = [*firmware.glob("*/*.[ch]"), *(firmware / "ports" / "host").rglob("*.[ch]")]
    return [ROOT / "pyproject.toml", ROOT / "setup.py", *sorted(boards)]


def _page_sources() -> list[Path]:
    frontend = ROOT / "frontend"
    below = [path for name in ("public", "src") for path in (frontend / name).rglob("*") if path.is_file()]
    return sorted([*(path for path in frontend.iterdir() if path.is_file()), *below])


def install(plan: Plan, notes: Path) -> None:
    """Run the steps of a plan that are not done.  Raises `CannotInstall`."""
    plan = plan.left(notes)
    if not plan.count():
        return
    print(f"installing {plan.what}: a minute or so, three where nothing is in pip's cache", flush=True)
    began = time.monotonic()
    with Progress(plan.count()) as progress, ThreadPoolExecutor() as threads:
        _run_all(plan.first, notes, progress)
        running = [threads.submit(_run_all, steps, notes, progress) for steps in plan.together]
        for each in running:
            each.result()
    print(f"installed in {time.monotonic() - began:.0f} s", flush=True)


def _run_all(steps: Sequence[Step], notes: Path, progress: Progress) -> None:
    for step in steps:
        began = time.monotonic()
        step.run(notes)
        progress.ended(step, time.monotonic() - began)


def main(arguments: Sequence[str]) -> None:
    """Install into the environment that the first argument names what the second names."""
    if len(arguments) != 2 or arguments[1] not in ("demo", "tests", "oldest"):
        sys.exit("usage: install.py DIRECTORY demo|tests|oldest")
    if sys.version_info < (3, 11):  # noqa: UP036 any Python may run this
        sys.exit("icefarm needs Python 3.11 or newer; set PYTHON=python3.x")
    environment = Environment(Path(arguments[0]))
    try:
        install(environment.for_demo(), environment.notes)
        if arguments[1] != "demo":
            install(environment.for_tests(), environment.notes)
        if arguments[1] == "oldest":
            install(environment.for_oldest(), environment.notes)
    except CannotInstall as error:
        sys.exit(f"icefarm: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
