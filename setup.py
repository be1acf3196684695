"""Build: the packages, the twistd plugin, and the virtual boards compiled from the firmware's own core.

The dashboard's page is there already: build_backend/icefarm_build.py has made it.

Metadata is in pyproject.toml. What is here is what it cannot say: where the packages are (``twisted.plugins`` is a
namespace shared with Twisted itself), and the build step that compiles the virtual boards.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Command, Distribution, find_packages, setup
from setuptools.command.build import build

ROOT = Path(__file__).resolve().parent
#: Portable C of the firmware, and its port to this machine; everything a virtual board is made of.
FIRMWARE_SOURCES = ("core", "apps", "ports/host", "ports/host/ice40")
BOARDS_PROGRAM = Path("icefarm", "virtual", "bin", "icefarm-boards")


class BuildBoards(Command):
    """Compile the firmware core for this machine, as the program that runs the virtual boards."""

    description = "compile the virtual boards from the firmware core"
    user_options: list[tuple[str, str | None, str]] = []

    build_lib: str | None
    editable_mode: bool

    def initialize_options(self) -> None:
        self.build_lib = None
        self.editable_mode = False

    def finalize_options(self) -> None:
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def _target(self) -> Path:
        root = ROOT if self.editable_mode else Path(str(self.build_lib))
        return root / BOARDS_PROGRAM

    def run(self) -> None:
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
        if shutil.which(compiler[0]) is None:
            compiler = ["cc"]
        sources = sorted(str(path) for part in FIRMWARE_SOURCES for path in (ROOT / "firmware" / part).glob("*.c"))
        target = self._target()
        target.parent.mkdir(parents=True, exist_ok=True)
        # Boards that run keep the old program: it is replaced, never written over.
        built = target.with_suffix(".new")
        command = [
            *compiler, "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra",
            *(f"-I{ROOT / 'firmware' / part}" for part in FIRMWARE_SOURCES),
            "-o", str(built), *sources, "-lm", "-ldl", "-pthread",
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            self._without(f"no C compiler: {compiler[0]} is not on this machine")
            return
        if done.returncode != 0:
            built.unlink(missing_ok=True)
            self._without(done.stderr.strip() or f"{compiler[0]} ended with {done.returncode}")
            return
        built.replace(target)

    def _without(self, why: str) -> None:
        """Everything but virtual boards works without a compiler, so say so and go on."""
        print(
            f"icefarm: the virtual boards were not built ({why}).\n"
            "icefarm: all else works. For virtual boards, install a C compiler (for example: apt-get install gcc) and "
            "install icefarm again.",
            file=sys.stderr,
        )

    def get_source_files(self) -> list[str]:
        sources = [path for part in FIRMWARE_SOURCES for path in sorted((ROOT / "firmware" / part).glob("*.[ch]"))]
        return [str(path.relative_to(ROOT)) for path in sources]

    def get_outputs(self) -> list[str]:
        return [str(self._target())]

    def get_output_mapping(self) -> dict[str, str]:
        return {}


class Build(build):
    sub_commands = [*build.sub_commands, ("build_boards", None)]


class PlatformDistribution(Distribution):
    """A wheel holds a compiled program, so it is for one platform."""

    def has_ext_modules(self) -> bool:
        return True


setup(
    distclass=PlatformDistribution,
    cmdclass={"build": Build, "build_boards": BuildBoards},
    # Without package_dir an editable install does not show the plugin to twistd.
    package_dir={"": "."},
    packages=[*find_packages(include=["icefarm", "icefarm.*"]), "twisted.plugins"],
    include_package_data=False,
    # icefarm/schema is a link to schema/, which is at the top, where users look for it.
    # icefarm/requirements is one to requirements/, of which `icefarm router install` takes two files.
    package_data={
        "icefarm": ["py.typed", "schema/V*.sql", "requirements/build.txt", "requirements/router.txt"],
        "icefarm.dashboard": ["static/**"],
    },
)
