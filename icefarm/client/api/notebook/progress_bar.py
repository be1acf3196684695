"""The bar of ``evaluate(progress=True)``: tqdm's, which suits notebooks and terminals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from icefarm.client.api.notebook.tables import needed_package
from icefarm.client.evaluation.results import Result

__all__ = ["MakeBar", "bar_of", "counted", "counted_awaiting"]

MakeBar = Callable[[], Any]


def bar_of(total: int | None) -> MakeBar:
    """Return what makes the bar when results begin.  Raises `InvalidArgument` where tqdm is not installed."""
    auto = needed_package("tqdm.auto", "'icefarm[notebook]'", "tqdm")
    return lambda: auto.tqdm(total=total, unit="evaluation", dynamic_ncols=True)


def counted(results: Iterator[Result], make: MakeBar) -> Iterator[Result]:
    """Yield results, and count them on a bar."""
    bar = make()
    try:
        for result in results:
            yield result
            _count(bar, result)
    finally:
        bar.close()
        # At once, also after an interrupt: it ends the evaluation.
        results.close()  # type: ignore[attr-defined]


async def counted_awaiting(results: AsyncIterator[Result], make: MakeBar) -> AsyncIterator[Result]:
    """Yield results, and count them on a bar."""
    bar = make()
    try:
        async for result in results:
            yield result
            _count(bar, result)
    finally:
        bar.close()
        await results.aclose()  # type: ignore[attr-defined]


def _count(bar: Any, result: Result) -> None:
    bar.update()
    if not result.ok:
        bar.icefarm_failed = getattr(bar, "icefarm_failed", 0) + 1
        bar.set_postfix(failed=bar.icefarm_failed, refresh=False)
