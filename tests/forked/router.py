"""A router of tests: Crossbar.io, with a nursery that forks its second process, which imports the same again.

It runs in the environment of the router, without icefarm.
"""

from __future__ import annotations

import binascii
import gc
import importlib
import os
import sys

from attrs import evolve

from forked.nursery import Request, fork_by_twisted, nursery_of_this

__all__ = ["run"]

#: How Crossbar.io's controller starts it.
_WORKER = [sys.executable, "-u", "-m", "crossbar.worker.main"]
_REACTOR = "twisted.internet.reactor"


def _can_fork(words: list[str]) -> bool:
    return words[: len(_WORKER)] == _WORKER


def _be_worker(request: Request) -> None:
    """Be the second process, to the end."""
    environment = {**request.identity.environment, "PYTHONUNBUFFERED": "1"}
    evolve(request.identity, environment=environment).assume()
    given = [each for each in environment["PYTHONPATH"].split(os.pathsep) if each]
    sys.path[:] = [os.getcwd(), *dict.fromkeys([*given, *sys.path])]
    sys.argv[:] = request.words[len(_WORKER) - 1 :]

    import cbor2
    from crossbar import _util
    from crossbar.worker import main

    # As it is at the end of the module.
    _util.set_flags_from_args(sys.argv[1:])
    options = main.get_argument_parser().parse_args(sys.argv[1:])
    if options.extra:
        options.extra = cbor2.loads(binascii.a2b_hex(options.extra))
    main._run_command_exec_worker(options)


def _import_most() -> None:
    """Import what takes no reactor: each of the processes has its own.  Modules that import one stop there."""
    sys.modules[_REACTOR] = None  # type: ignore[assignment]
    for module in (
        "crossbar.node.main",
        "crossbar.personality",
        "crossbar.worker.main",
        "crossbar.worker.router",
        "autobahn.twisted.component",
        "cfxdb",
        "treq",
        "txtorcon",
        "zlmdb",
        "twisted.web.proxy",
        "twisted.web.static",
        "twisted.web.wsgi",
        "werkzeug.routing",
    ):
        try:
            importlib.import_module(module)
        except ImportError:
            continue
    del sys.modules[_REACTOR]
    # Its plugins are looked for where the node says.
    sys.modules.pop("twisted.plugins", None)
    gc.collect()
    gc.freeze()


def run() -> None:
    """Be Crossbar.io's program, which is the first argument."""
    del sys.argv[0]
    _import_most()
    own = nursery_of_this(_be_worker, "PYTHONPATH")
    if own is None:
        return
    fork_by_twisted(lambda: own, _can_fork)
    import crossbar

    sys.exit(crossbar.run())
