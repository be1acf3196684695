"""Tests of tests: no test of the browser asserts what it has read from the page once.

A page changes after an action, in its own time, and Playwright learns of it later still: ``page.url`` right after a
click is the old address on a busy machine.  ``expect`` and `browser.looking.until` wait for what is wanted.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1] / "browser"
#: What Playwright reads once.
READS = frozenset(
    {
        *("all_inner_texts", "all_text_contents", "bounding_box", "content", "count", "evaluate", "evaluate_all"),
        *("get_attribute", "inner_html", "inner_text", "input_value", "is_checked", "is_disabled", "is_editable"),
        *("is_enabled", "is_hidden", "is_visible", "text_content", "title"),
    }
)
#: Of these the result may be measured and compared later, such as a time; the state of the page may not.
MEASURES = frozenset({"evaluate", "evaluate_all", "bounding_box"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(tree: ast.AST) -> list[Function]:
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def _pages(function: Function) -> set[str]:
    """Return the names of a function that stand for pages."""
    arguments = [*function.args.args, *function.args.kwonlyargs]
    pages = {each.arg for each in arguments if each.annotation and ast.unparse(each.annotation) == "Page"}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and ast.unparse(node.value).endswith(".new_page()"):
            pages |= {ast.unparse(target) for target in node.targets}
    return pages


def _reads(node: ast.AST, pages: set[str], reads: frozenset[str], known: set[str]) -> bool:
    """Tell whether something is read from a page here, directly or by one of these names."""
    return any(_is_read(each, pages, reads) or _is_known(each, known) for each in ast.walk(node))


def _is_read(node: ast.AST, pages: set[str], reads: frozenset[str]) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == "url" and ast.unparse(node.value) in pages
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in reads:
        return False
    # The count of a list has an argument, and boards of a farm evaluate circuits.
    return not (node.func.attr == "count" and node.args) and ast.unparse(node.func.value) != "boards"


def _is_known(node: ast.AST, known: set[str]) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in known


def _is_there(test: ast.expr) -> bool:
    """Tell whether an assertion only says that there is something, for the checker of types."""
    return isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.IsNot) and len(test.ops) == 1


def asserted_reads(text: str) -> Iterator[int]:
    """Yield the lines of a file that assert what was read once."""
    functions = _functions(ast.parse(text))
    readers = {
        function.name
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Return)
        and node.value is not None
        and _reads(node.value, _pages(function), READS - MEASURES, set())
    }
    for function in functions:
        pages, known = _pages(function), set(readers)
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and _reads(node.value, pages, READS - MEASURES, known):
                known |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        for node in ast.walk(function):
            if isinstance(node, ast.Assert) and not _is_there(node.test) and _reads(node.test, pages, READS, known):
                yield node.lineno


@pytest.mark.parametrize("path", sorted(TESTS.glob("*.py")), ids=lambda path: path.stem)
def test_what_a_page_shows_is_waited_for(path: Path) -> None:
    found = list(asserted_reads(path.read_text()))
    assert found == [], f"{path.name} asserts what it has read once: use expect, or until of browser.looking"


@pytest.mark.parametrize(
    "lines",
    [
        "assert page.url.endswith('#/plots')",
        "zoomed = page.url; assert 'from=' in zoomed",
        "other = context.new_page(); assert other.url == ''",
        "assert page.locator('b').count() == 2",
        "assert page.get_by_role('row').first.is_visible()",
        "assert page.evaluate('window.scrollY') == 0",
        "before = shown(page); assert before == []",
        "assert shown(page) == []",
        "text = page.title(); long = text * 2; assert long",
    ],
)
def test_reads_that_are_asserted_are_found(lines: str) -> None:
    text = "def shown(page: Page):\n    return page.locator('b').all_inner_texts()\n\n"
    assert list(asserted_reads(f"{text}def test(page: Page, context):\n    {lines}\n")) == [5]


@pytest.mark.parametrize(
    "lines",
    [
        "expect(page).to_have_url('x')",
        "address = page.url; page.goto(address)",
        "assert crowd.url == started.url",
        "assert 'abc'.count('a') == 1",
        "began = page.evaluate('performance.now()'); assert began < 9",
        "assert len(list(boards.evaluate(circuits))) == 3",
        "box = page.locator('b').bounding_box(); assert box is not None",
        "name = page.locator('b').inner_text(); expect(page.locator('i')).to_have_text(name)",
    ],
)
def test_other_lines_are_not(lines: str) -> None:
    assert list(asserted_reads(f"def test(page: Page, crowd):\n    {lines}\n")) == []
