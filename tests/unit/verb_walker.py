"""Runs every verb with each kind of bad output, and prints what came of it as JSON: ``verb_walker.py DIRECTORY``.

A process of its own, which imports everything once and forks for each run: a verb gets the descriptors that a shell
would give it.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cattrs  # noqa: F401 - these are imported by verbs, which would do so in each fork
import click
import matplotlib.backends.backend_svg
import matplotlib.figure  # noqa: F401
import psycopg2.extensions  # noqa: F401
import tzlocal  # noqa: F401
from recorded_host import Host
from recording_farm import RecordingFarm

from icefarm.bitstream import made_up_bitstream
from icefarm.cli import VERBS as MODULES
from icefarm.cli import main
from icefarm.cli.commands.admin import accounts, database, tokens
from icefarm.control.sessions.roster import RosterEntry
from icefarm.control.storage import migrations, pool  # noqa: F401
from icefarm.doctor import checks, farm_checks  # noqa: F401
from icefarm.usb import uf2

#: Arguments with which each verb prints something.  ``up`` is walked by tests/integration/test_up.py; ``reserve``,
#: ``shell`` and ``open`` run other programs, which print.
VERBS: dict[str, list[str]] = {
    "status": [], "board": ["A"], "logs": [], "version": [], "help": [],
    "workers": [], "workers delete": ["w1"], "audit": [],
    "devices": [], "reservations": [], "queue": [], "watch": [], "migrate": [], "doctor": [],
    "evaluate": ["circuit.bin", "--out", "results.csv"], "simulate": ["circuit.bin"],
    "runs": ["ga-7"], "run": ["0123456789"],
    "experiments": [], "experiment": ["ga-7"], "results": ["ga-7"], "usage": [], "account usage": [],
    "boards compare": [],
    "plot": ["ga-7", "--out", "fitness.svg"],
    "book": ["2", "--at", "2026-12-01 10:00", "--for", "2h"], "bookings": [], "cancel": ["b1"],
    "end": ["A", "--name", "a"], "extend": ["A", "--name", "a"],
    "reboot": ["A"], "retest": ["A"], "delete": ["A"], "drain": ["w1"], "label": ["A", "lab=3", "old-"],
    "access": [], "access list": [], "access add": ["--everybody"], "access remove": ["1"], "access group": ["g"],
    "resume": ["w1"], "dismiss": ["q1"], "completion": ["bash"],
    "db reset": ["--yes"], "db size": [],
    "accounts import": ["students.csv"], "accounts export": [], "accounts remove": ["ada", "--yes"],
    "token add": ["t1", "--role", "client"], "token list": [], "token revoke": ["t1"], "token rotate": ["t1"],
    "udev print": [], "udev install": ["--directory", "."], "router config": ["--router-ticket-file", "ticket"],
    "host install": [
        *("--worker", "--root", "host", "--prefix", "/opt/icefarm", "--url", "http://farm:8080"),
        *("--token-file", "token", "--dry-run"),
    ],
    "host uninstall": ["--root", "host", "--dry-run"],
    "firmware list": [], "firmware install": ["default-1.0.0.uf2"], "firmware build": [],
}  # fmt: skip
#: Of a verb that has verbs of its own, and of none: what --help and --version print.
HELP: dict[str, list[str]] = {"--help": [], "--version": [], "evaluate --help": [], "token --help": []}


def prepare(directory: Path) -> None:
    os.chdir(directory)
    for name in MODULES:
        main.get_command(click.Context(main), name)
    Path("circuit.bin").write_bytes(made_up_bitstream(1).data)
    Path("default-1.0.0.uf2").write_bytes(uf2.build(b"\x11" * 600))
    answers: dict[str, Any] = {"migrate": [1], "reset": [1]}
    answers |= {"import_all": ["ada"], "read": [RosterEntry("ada", "class-a")], "remove_all": {"ada": 1}}

    def with_database(_: object, __: object, work: Any, **___: object) -> Any:
        return answers.get(work.__name__, [])

    database.with_database = accounts.with_database = tokens.with_database = with_database
    Path("students.csv").write_text("name,group\nada,class-a\n")
    os.environ |= {"XDG_DATA_HOME": str(directory / "share"), "XDG_STATE_HOME": str(directory / "state")}
    for name in [name for name in os.environ if name.startswith(("ICEFARM", "USBIPICE", "PICO"))]:
        del os.environ[name]
    # A fork that looks there for garbage gets a copy of all that is imported.
    gc.freeze()
    gc.disable()


def full(descriptor: int) -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), descriptor)


def closed(descriptor: int) -> None:
    os.close(descriptor)
    name = "stdout" if descriptor == 1 else "stderr"
    setattr(sys, name, None)
    setattr(sys, f"__{name}__", None)


def unread(descriptor: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, descriptor)


#: As a shell writes them.
REDIRECTIONS: dict[str, tuple[Callable[[int], None], int] | None] = {
    "": None,
    ">/dev/full": (full, 1),
    ">&-": (closed, 1),
    "|true": (unread, 1),
    "2>&-": (closed, 2),
    "2>/dev/full": (full, 2),
}


def run(words: list[str], redirection: tuple[Callable[[int], None], int] | None, host: Host) -> dict[str, Any]:
    """Return the exit code of a verb, and what it wrote."""
    pipes = {1: os.pipe(), 2: os.pipe()}
    child = os.fork()
    if child == 0:
        for descriptor, (_, writing) in pipes.items():
            os.dup2(writing, descriptor)
        if redirection is not None:
            redirection[0](redirection[1])
        try:
            obj = host.machine() if words[0] in ("udev", "doctor", "host") else RecordingFarm().sign_in
            main(words, obj=obj, prog_name="icefarm")
        except SystemExit as ended:
            code = ended.code
        # As the interpreter does it at its end.
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(int(code or 0))  # type: ignore[arg-type]
    said = {}
    for descriptor, (reading, writing) in pipes.items():
        os.close(writing)
        with open(reading, "rb") as file:
            said[descriptor] = file.read().decode()
    _, status = os.waitpid(child, 0)
    return {"code": os.waitstatus_to_exitcode(status), "out": said[1], "err": said[2]}


def walk(directory: Path) -> dict[str, dict[str, dict[str, Any]]]:
    prepare(directory)
    (directory / "host").mkdir()
    host = Host(directory / "host")
    # Services do not see every place where these tests may run.
    host.write("opt/icefarm/bin/twistd", "")
    host.write("etc/icefarm/installed.json", json.dumps({"files": {"etc/gone": ""}}))
    Path("token").write_text("secret\n")
    every = {**VERBS, **HELP}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for verb, arguments in every.items():
        found[verb] = {}
        for name, redirection in REDIRECTIONS.items():
            Path("results.csv").unlink(missing_ok=True)
            found[verb][name] = run([*verb.split(), *arguments], redirection, host)
    return found


if __name__ == "__main__":
    print(json.dumps(walk(Path(sys.argv[1]))))
