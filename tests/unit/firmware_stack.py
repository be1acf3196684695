"""How deep the stack of an image gets, from the call graphs that GCC writes beside its objects (-fcallgraph-info=su).

What GCC can't see is stated by whoever asks: whom a call through a pointer may reach.  Functions without a graph
(assembler, the C library) count as `UNSEEN`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import Factory, frozen

__all__ = ["INDIRECT", "UNSEEN", "Graph", "deepest", "plain", "read"]

_NODE = re.compile(r'^node: \{ title: "([^"]+)" label: "([^"]*)"')
_EDGE = re.compile(r'^edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')
_FRAME = re.compile(r"\\n(\d+) bytes \(([^)]+)\)")
#: What GCC calls the target of a call through a pointer.
INDIRECT = "__indirect_call"
#: Bytes for a function without a graph: memcpy and its like push a few registers.
UNSEEN = 64


@frozen
class Graph:
    """Frames of functions in bytes, and whom they call.  A static function's name is `file:function`."""

    frames: dict[str, int] = Factory(dict)
    calls: dict[str, set[str]] = Factory(dict)

    def named(self, name: str) -> list[str]:
        """Return all functions of that plain name."""
        return [each for each in self.frames if plain(each) == name]


def plain(name: str) -> str:
    """Return a function's name without its file, and without what GCC adds to that of a clone."""
    return name.rpartition(":")[2].partition(".")[0]


def read(paths: Iterable[Path]) -> Graph:
    """Return the graph of all files together.  Raises ValueError where a frame's size is not known at compile time."""
    graph = Graph()
    for path in paths:
        for line in path.read_text().splitlines():
            if node := _NODE.match(line):
                if frame := _FRAME.search(node[2]):
                    if frame[2] != "static":
                        raise ValueError(f"the frame of {node[1]} is {frame[2]}")
                    # A weak function of the same name counts as well: the linker may have taken either.
                    graph.frames[node[1]] = max(int(frame[1]), graph.frames.get(node[1], 0))
            elif edge := _EDGE.match(line):
                graph.calls.setdefault(edge[1], set()).add(edge[2])
    return graph


def deepest(graph: Graph, root: str, pointers: Mapping[str, tuple[str, ...]]) -> tuple[int, list[str]]:
    """Return the greatest depth from ``root`` (a plain name) in bytes, and the calls that get there.

    ``pointers``: whom a function that calls through a pointer may reach, by plain names.  Raises ValueError where it
    does not say it, where functions call each other in a circle, and where ``root`` is unknown.
    """
    found: dict[str, tuple[int, list[str]]] = {}

    def targets(name: str) -> set[str]:
        called = graph.calls.get(name, set())
        if INDIRECT not in called:
            return called
        if plain(name) not in pointers:
            raise ValueError(f"whom {plain(name)} calls through a pointer is not stated")
        reached = {each for other in pointers[plain(name)] for each in graph.named(other)}
        return (called - {INDIRECT}) | reached

    def visit(name: str, above: list[str]) -> tuple[int, list[str]]:
        if name in above:
            raise ValueError(f"a circle: {' -> '.join([*above[above.index(name) :], name])}")
        if name not in found:
            below = max((visit(each, [*above, name]) for each in targets(name)), default=(0, []))
            found[name] = (graph.frames.get(name, UNSEEN) + below[0], [plain(name), *below[1]])
        return found[name]

    if not graph.named(root):
        raise ValueError(f"there is no function {root}")
    return max(visit(each, []) for each in graph.named(root))
