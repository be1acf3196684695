"""Become a child process that ends when its parent does.

``python -m icefarm.farm.processes.child OPTIONS -- COMMAND...``

A farm killed with SIGKILL can't stop its children; the kernel then signals them instead (prctl(2),
PR_SET_PDEATHSIG). The program leads a session of its own, so that a Ctrl-C in the farm's terminal reaches only the
farm, and the whole group of processes that it starts can be signalled at once.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
from collections.abc import Sequence

from icefarm.system.open_files import allow_open_files

__all__ = ["child_command", "main"]

#: From linux/prctl.h and linux/sched.h.
_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
#: Enough for any farm; some programs loop over all that they may have.
MOST_DESCRIPTORS = 65_536
#: Exit codes of a shell for a command that can't be run, and one that isn't there.
_CANNOT_RUN, _NOT_FOUND = 126, 127


def child_command(
    command: Sequence[str],
    *,
    death_signal: signal.Signals = signal.SIGTERM,
    uid: int | None = None,
    gid: int | None = None,
    namespace: bool = False,
) -> list[str]:
    """Return the command line that runs ``command`` as such a child of this process.

    The kernel sends it ``death_signal`` when this process ends. With ``uid`` and ``gid`` it first drops root's rights.
    With ``namespace`` as well, it only appears to be that user: it runs in a user namespace (user_namespaces(7)) where
    it owns root's files but lacks root's capabilities.
    """
    identity = [] if uid is None else ["--uid", str(uid), "--gid", str(uid if gid is None else gid)]
    if namespace:
        identity.append("--namespace")
    shim = ["-m", "icefarm.farm.processes.child", "--parent", str(os.getpid()), "--signal", death_signal.name]
    return [sys.executable, *shim, *identity, "--", *command]


def _end_with_parent(parent: int, death_signal: signal.Signals) -> None:
    """Ask the kernel for ``death_signal`` at the parent's end; must follow setuid, which clears that."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # It may have ended before we asked; then there is no signal.
    if os.getppid() != parent:
        sys.exit(f"the process that started this one ({parent}) has ended")


def _enter_namespace(uid: int, gid: int) -> None:
    """Map this user and group to ``uid`` and ``gid``; the namespace's capabilities end with the exec that follows."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        sys.exit(
            f"this machine allows no user namespace ({os.strerror(ctypes.get_errno())}): start the farm as another "
            f"user than root, or put its data directory and its programs where user {uid} may read them"
        )
    # An unprivileged process may set its groups only once it can't gain rights by that.
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {outer_uid} 1"), ("gid_map", f"{gid} {outer_gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _drop_rights(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="icefarm.farm.processes.child", description=__doc__)
    parser.add_argument("--parent", type=int, required=True, metavar="PID")
    parser.add_argument("--signal", type=signal.Signals.__getitem__, default=signal.SIGTERM, metavar="NAME")
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("--namespace", action="store_true")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Set the process up and exec the command; returns only by an exception."""
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    os.setsid()
    allow_open_files(MOST_DESCRIPTORS)
    if options.uid is not None:
        become = _enter_namespace if options.namespace else _drop_rights
        become(options.uid, options.uid if options.gid is None else options.gid)
    _end_with_parent(options.parent, options.signal)
    try:
        os.execvp(options.command[0], options.command)
    except OSError as error:
        print(f"cannot run {options.command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _CANNOT_RUN)


if __name__ == "__main__":
    main()
