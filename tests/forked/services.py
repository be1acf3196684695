"""What a farm's nursery is, and what it forks: farms (``icefarm up``), control, workers and the router.

It forks the server of commands, too, whose farms have nurseries like the others.
"""

from __future__ import annotations

import gc
import importlib
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from forked import router, server
from forked.ending import run_to_the_end
from forked.modules import module_command
from forked.nursery import Request, fork_by_nursery, nursery_of_this, serve, show
from forked.router import installed
from forked.worlds import World

__all__ = ["SERVER", "can_fork", "run"]

#: How the server of commands starts; a descriptor and a directory follow.
SERVER = module_command("server")
#: How a service of a farm starts (`icefarm.farm.processes.child.child_command`), a service alone, and a farm.
_CHILD = [sys.executable, "-m", "icefarm.farm.processes.child"]
_TWISTD = str(Path(sys.executable).with_name("twistd"))
_UP = [sys.executable, "-P", "-m", "icefarm", "up"]
#: Where this interpreter and its forks look for modules, whatever a test has put into `os.environ` since.
_PATH = os.environ.get("PYTHONPATH")


def can_fork(words: list[str], environment: Mapping[str, str]) -> bool:
    """Tell whether this starts a farm, control, a worker, the router or the server of commands, as this user."""
    inner = _of_child(words)
    found = installed()
    if found is not None and found.can_fork(inner, environment):
        return True
    known = environment.get("PYTHONPATH") == _PATH
    return known and (words[: len(_UP)] == _UP or words[: len(SERVER)] == SERVER or _twistd(inner))


def _of_child(words: list[str]) -> list[str]:
    """Return what `icefarm.farm.processes.child` is to run, if this is it and its child keeps this user."""
    return words[words.index("--") + 1 :] if words[:3] == _CHILD and "--" in words and "--uid" not in words else words


def _twistd(words: Sequence[str]) -> bool:
    return words[0] == _TWISTD and any(word in words for word in ("icefarm-control", "icefarm-worker"))


#: The router's, where it can be forked.
_worlds: list[World] = []


class _Begins(BaseException):
    """Takes the place of exec."""

    def __init__(self, command: Sequence[str]) -> None:
        super().__init__(command)
        self.command = list(command)


def _begin(_: str, command: Sequence[str]) -> None:
    raise _Begins(command)


def _be(request: Request) -> None:
    """Be what was asked for, to the end."""
    if request.session:
        os.setsid()
    request.identity.assume()
    if request.words[: len(_UP)] == _UP:
        _be_farm(["icefarm", *request.words[len(_UP) - 1 :]], request.words)
    elif request.words[: len(SERVER)] == SERVER:
        show(request.words)
        server.be(*request.words[len(SERVER) :], be_farm=_be_farm)
    else:
        _be_service(request.words)


def _be_farm(arguments: list[str], shown: Sequence[str]) -> None:
    # It is forked as long as this process is still like one.
    own = nursery_of_this(_be)
    if own is None:
        return
    show(shown)
    fork_by_nursery(lambda: own, can_fork)
    from icefarm.cli import main

    sys.argv[:] = arguments
    main(prog_name="icefarm")


def _be_service(words: list[str]) -> None:
    if words[:3] == _CHILD:
        words = _become_child(words[3:])
    if _twistd(words):
        show([sys.executable, *words])
        from twisted.scripts.twistd import run

        sys.argv[:] = words
        run()
    else:
        show(words)
        router.run(_worlds[0], words)


def _become_child(arguments: list[str]) -> list[str]:
    """Do what `icefarm.farm.processes.child` does, and return what it would execute then."""
    from icefarm.farm.processes import child

    execute, os.execvp = os.execvp, _begin  # type: ignore[assignment]
    try:
        child.main(arguments)
    except _Begins as begins:
        return begins.command
    finally:
        os.execvp = execute
    raise AssertionError("it has executed nothing")


def _import_all() -> None:
    server.import_all()
    for module in (
        "icefarm.control.tap",
        "icefarm.farm.database",
        "icefarm.farm.readiness",
        "icefarm.farm.up",
        "icefarm.worker.tap",
        "twisted.scripts._twistd_unix",
        "twisted.scripts.twistd",
    ):
        importlib.import_module(module)
    assert "twisted.internet.reactor" not in sys.modules
    found = installed()
    if found is not None:
        _worlds.append(router.import_world(found))
    gc.collect()
    gc.freeze()


def run() -> None:
    """Serve; the arguments are the descriptor of a socket and `nursery.PADDING`.  Forks go on here."""
    _import_all()
    request = serve(socket.socket(fileno=int(sys.argv[1])))
    run_to_the_end(lambda: request is not None and _be(request))
