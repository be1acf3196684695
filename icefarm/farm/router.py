"""The farm's own router: a Crossbar.io node in the data directory, as a program to run."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping

from icefarm.farm.crossbar import RouterConfig, configuration_text
from icefarm.farm.directory import DataDirectory, write_private
from icefarm.farm.process import Program

__all__ = ["router_program"]

#: Crossbar.io writes this once all of its configuration runs: every role and transport.
_READY = re.compile(r"NODE_BOOT_COMPLETE")
#: Failures in its log, for which it has no marks; most lines of a traceback say nothing to the farm's user.
_COMPLAINT = re.compile(
    r"(?:^\[\S+\s+\d+\] )?(?P<text>.*(?:InvalidConfigException|ApplicationError|CannotListenError).*)$"
)


def router_program(
    crossbar: str, config: RouterConfig, directory: DataDirectory, environment: Mapping[str, str]
) -> Program:
    """Write the node's configuration and return how to run the node.

    ``crossbar`` is the program (`icefarm.farm.crossbar.find_crossbar`).  The node keeps its key beside the
    configuration; none of the files is anybody else's to read.
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
        stop_signal=signal.SIGTERM,
    )  # fmt: skip
