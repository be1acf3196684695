"""The farm's own router: a Crossbar.io node in the data directory, as a program to run."""

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from icefarm.farm.paths import DataDirectory, write_private
from icefarm.farm.processes.process import Program
from icefarm.farm.router import turn
from icefarm.farm.router.config import INSIDE, RouterConfig, configuration_text
from icefarm.farm.router.turn import STANDS_BY

__all__ = ["STANDS_BY_OR_SERVES", "STAND_INS", "START", "router_command", "router_program"]

#: Take the place of what a router need not import: less than half of its start is left.
STAND_INS = Path(__file__).parent / "stand_ins"
#: Runs it so that its second process starts at once.
START = INSIDE / "icefarm_start.py"
#: Bytes of a line of a script that are read.
_LINE = 8192
#: Crossbar.io writes this once all of its configuration runs: every role and transport.
_READY = re.compile(r"NODE_BOOT_COMPLETE")
#: The same, or that it has started and waits for its turn to listen.
STANDS_BY_OR_SERVES = re.compile(f"{_READY.pattern}|{re.escape(STANDS_BY)}")
#: The line of a traceback in its log that says what is wrong; the other lines do not help the user.
_COMPLAINT = re.compile(
    r"\b(?:CannotListenError|InvalidConfigException|\w*Error\b(?<!ApplicationError)): (?P<text>.+)$"
)
#: It logs each HTTP request that it passes on with all headers, including tokens.
_REQUESTS = re.compile(r"forwarding (?:incoming )?HTTP request|proxy\.ProxyClientFactory")


def router_program(
    crossbar: str,
    config: RouterConfig,
    directory: DataDirectory,
    environment: Mapping[str, str],
    *,
    node: Path | None = None,
    as_json: bool = False,
    label: str = "router",
) -> Program:
    """Write the node's configuration and return how to run the node.

    ``crossbar`` is the program (`icefarm.farm.router.config.find_crossbar`).  The node keeps its key beside the
    configuration, in the directory ``node`` (the router's own by default); only its user can read the files.
    """
    home = node or directory.router
    file = home / "config.json"
    write_private(file, configuration_text(config))
    additions = _additions(home)
    return Program(
        name=label,
        command=(
            *router_command(crossbar), "start", "--cbdir", str(home), "--config", str(file),
            "--color", "false", "--logformat", "syslogd", "--loglevel", "info",
        ),
        directory=home,
        log=directory.log(home.name),
        environment={**environment, "PYTHONPATH": _path(additions, STAND_INS, environment.get("PYTHONPATH"))},
        ready=_READY,
        complaint=_COMPLAINT,
        omit=_REQUESTS,
        as_json=as_json,
        stop_signal=signal.SIGTERM,
    )  # fmt: skip


def router_command(crossbar: str) -> tuple[str, ...]:
    """Return how to run the program so that it starts in half the time, if it is a script of Python's."""
    interpreter = _interpreter(crossbar)
    if Path(interpreter).name.startswith("python"):
        return interpreter, str(START), crossbar
    return (crossbar,)


def _interpreter(script: str) -> str:
    """Return what runs a script, as its first lines say; an empty text if they don't, or give it options.

    A first line cannot name a path with a space, or a long one.  There pip writes ``#!/bin/sh`` and
    ``'''exec' "/a path/python" "$0" "$@"``, which is a text to Python.
    """
    with suppress(OSError, ValueError), open(script, "rb") as file:
        first, second = (os.fsdecode(file.readline(_LINE)).strip() for _ in range(2))
        if first == "#!/bin/sh" and second.startswith("'''exec' "):
            return shlex.split(second.removeprefix("'''exec' "))[0]
        words = first.removeprefix("#!").split()
        if first.startswith("#!") and len(words) == 1:
            return words[0]
    return ""


def _additions(home: Path) -> Path:
    """Return a directory for PYTHONPATH with the endpoint at which the node waits for its turn, a plugin of Twisted."""
    directory = home / "python"
    plugins = directory / "twisted" / "plugins"
    plugins.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(plugins / "icefarm_turn.py", Path(turn.__file__).read_text())
    return directory


def _path(*directories: str | Path | None) -> str:
    return os.pathsep.join(str(each) for each in directories if each)
