"""Adding up stack frames along the calls, which the build test does for the board's images."""

from __future__ import annotations

from pathlib import Path

import pytest
from firmware_stack import UNSEEN, Graph, deepest, read

GRAPH = Graph(
    {"main": 8, "a.c:poll": 40, "b.c:poll": 24, "deep": 100, "leaf": 0},
    {"main": {"__indirect_call", "leaf"}, "b.c:poll": {"deep"}, "a.c:poll": {"memcpy"}},
)


def test_graphs_of_gcc_are_read(tmp_path: Path) -> None:
    path = tmp_path / "core.c.ci"
    path.write_text(
        'graph: { title: "core.c"\n'
        r'node: { title: "core.c:give" label: "give\ncore.c:11:6\n32 bytes (static)\n0 dynamic objects" }'
        "\n"
        r'node: { title: "memset" label: "__builtin_memset\n<built-in>" shape : ellipse }'
        "\n"
        r'edge: { sourcename: "core.c:give" targetname: "memset" label: "core.c:12:5" }'
        "\n}\n"
    )
    assert read([path]) == Graph({"core.c:give": 32}, {"core.c:give": {"memset"}})


def test_a_frame_that_only_shows_at_run_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "core.c.ci"
    path.write_text(r'node: { title: "grow" label: "grow\ncore.c:1:1\n16 bytes (dynamic)" }')
    with pytest.raises(ValueError, match="grow is dynamic"):
        read([path])


def test_the_deepest_of_all_that_a_pointer_may_reach_counts() -> None:
    assert deepest(GRAPH, "main", {"main": ("poll",)}) == (8 + 24 + 100, ["main", "poll", "deep"])
    assert deepest(GRAPH, "main", {"main": ("leaf",)}) == (8, ["main", "leaf"])


def test_a_function_of_the_c_library_counts_as_well() -> None:
    assert deepest(Graph({"main": 8}, {"main": {"memcpy"}}), "main", {})[0] == 8 + UNSEEN


def test_a_pointer_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(ValueError, match="main calls through a pointer is not stated"):
        deepest(GRAPH, "main", {})


def test_calls_in_a_circle_have_no_depth() -> None:
    with pytest.raises(ValueError, match="a circle: a -> b -> a"):
        deepest(Graph({"a": 8, "b": 8}, {"a": {"b"}, "b": {"a"}}), "a", {})


def test_a_function_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="no function main"):
        deepest(Graph(), "main", {})


def test_of_two_functions_of_one_name_the_greater_frame_counts(tmp_path: Path) -> None:
    node = r'node: {{ title: "tud_mount_cb" label: "tud_mount_cb\nusb.c:1:1\n{} bytes (static)" }}'
    paths = [tmp_path / name for name in ("weak.ci", "strong.ci")]
    for path, size in zip(paths, (8, 0), strict=True):
        path.write_text(node.format(size))
    assert read(paths) == read(reversed(paths)) == Graph({"tud_mount_cb": 8})
