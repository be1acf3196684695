"""Build: the packages, the twistd plugin, and the virtual boards compiled from the firmware's own core.

The dashboard's page is there already: build_backend/icefarm_build.py has made it.

Metadata is in pyproject.toml. What is here is what it cannot say: where the packages are (``twisted.plugins`` is a
namespace shared with Twisted itself), and the build step that compiles the virtual boards.

``ICEFARM_BOARDS`` in the environment says for which machine, for wheels that are given to others
(build_backend/release.py): ``x86_64`` or ``aarch64``, compiled by the zig of the package ziglang for an old glibc, or
``none``.  Without it they are compiled for this machine, by its own compiler.
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
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "build_backend"))
from man_page import write_man_page  # noqa: E402

#: Portable C of the firmware, and its port to this machine; everything a virtual board is made of.
FIRMWARE_SOURCES = ("core", "apps", "ports/host", "ports/host/ice40")
BOARDS_PROGRAM = Path("icefarm", "virtual", "bin", "icefarm-boards")
#: The machine that the boards are compiled for, "none", or None: this one.
MACHINE = os.environ.get("ICEFARM_BOARDS") or None
#: The glibc that boards for other machines take: that of manylinux2014, from 2012.
GLIBC = (2, 17)
if MACHINE not in (None, "x86_64", "aarch64", "none"):
    sys.exit(f"icefarm: ICEFARM_BOARDS={MACHINE}: not x86_64, aarch64 or none")


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

    def _compiler(self) -> list[str]:
        if MACHINE is not None:
            target = f"{MACHINE}-linux-gnu.{GLIBC[0]}.{GLIBC[1]}"
            # Without symbols, which name the folder of the build; two builds have the same bytes.
            return [sys.executable, "-m", "ziglang", "cc", "-target", target, "-s"]
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
        return compiler if shutil.which(compiler[0]) else ["cc"]

    def run(self) -> None:
        if MACHINE == "none":
            return
        compiler = self._compiler()
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
        """Everything but virtual boards works without a compiler, so say so and go on; not if they were asked for."""
        if MACHINE is not None:
            sys.exit(f"icefarm: the virtual boards for {MACHINE} were not built ({why})")
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
    """A wheel with the compiled virtual boards is for one platform."""

    def has_ext_modules(self) -> bool:
        return MACHINE != "none"


class Wheel(bdist_wheel):
    """Tags a wheel for any Python 3: what is compiled is a program, not a module."""

    def get_tag(self) -> tuple[str, str, str]:
        if MACHINE == "none":
            return "py3", "none", "any"
        if MACHINE is not None:
            return "py3", "none", f"manylinux_{GLIBC[0]}_{GLIBC[1]}_{MACHINE}"
        return "py3", "none", super().get_tag()[2]


setup(
    distclass=PlatformDistribution,
    cmdclass={"build": Build, "build_boards": BuildBoards, "bdist_wheel": Wheel},
    # Without package_dir an editable install does not show the plugin to twistd.
    package_dir={"": "."},
    packages=[*find_packages(include=["icefarm", "icefarm.*"]), "twisted.plugins"],
    include_package_data=False,
    # `man icefarm`: man-db looks in share/man beside the directory of the programs.
    data_files=[("share/man/man1", [write_man_page()])],
    # icefarm/data/schema is a link to schema/, which is at the top, where users look for it.
    # icefarm/data/requirements is one to requirements/, of which `icefarm router install` takes two files;
    # icefarm/data/circuits is one to the example circuits, which `icefarm demo` evaluates.
    package_data={
        "icefarm": [
            "py.typed",
            "data/schema/V*.sql",
            "data/requirements/build.txt",
            "data/requirements/router.txt",
            "data/circuits/*.bin",
            "data/circuits/references/*.bin",
            "data/circuits/frequencies.txt",
        ],
        "icefarm.dashboard": ["static/**"],
        # A link to deploy/systemd, from where `icefarm host install` takes the worker's unit.
        "icefarm.host": ["units/*.service"],
        "icefarm.farm.router.inside": ["twisted/plugins/*.py"],
    },
)
