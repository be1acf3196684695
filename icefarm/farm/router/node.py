"""The farm's own router: a Crossbar.io node in the data directory, as a program to run."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping

from icefarm.farm.paths import DataDirectory, write_private
from icefarm.farm.processes.process import Program
from icefarm.farm.router.config import RouterConfig, configuration_text

__all__ = ["router_program"]

#: Crossbar.io writes this once all of its configuration runs: every role and transport.
_READY = re.compile(r"NODE_BOOT_COMPLETE")
#: The line of a traceback in its log that says what is wrong; the other lines do not help the user.
_COMPLAINT = re.compile(
    # Its dependencies cannot import bjdata beside a newer numpy, and say so in each process; they work without it.
    r"\b(?:CannotListenError|InvalidConfigException|\w*Error\b(?<!ApplicationError)): (?P<text>(?!_ARRAY_API).+)$"
)
#: It logs each HTTP request that it passes on with all headers, including tokens.
_REQUESTS = re.compile(r"forwarding (?:incoming )?HTTP request|proxy\.ProxyClientFactory")


def router_program(
    crossbar: str, config: RouterConfig, directory: DataDirectory, environment: Mapping[str, str]
) -> Program:
    """Write the node's configuration and return how to run the node.

    ``crossbar`` is the program (`icefarm.farm.router.config.find_crossbar`).  The node keeps its key beside the
    configuration; only its user can read the files.
    """
    file = directory.router / "config.json"
    write_private(file, configuration_text(config))
    return Program(
        name="router",
        command=(
            crossbar, "start", "--cbdir", str(directory.router), "--config", str(file),
            "--color", "false", "--logformat", "syslogd", "--loglevel", "info",
        ),
        directory=directory.router,
        log=directory.log("router"),
        environment=environment,
        ready=_READY,
        complaint=_COMPLAINT,
        omit=_REQUESTS,
        stop_signal=signal.SIGTERM,
    )  # fmt: skip
