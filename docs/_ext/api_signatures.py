"""Shows methods as callers see them: the three APIs of the client share the coroutines of one engine.

autodoc finds these coroutines, and calls each method ``async``.  For the blocking API that is wrong, and that of
Twisted returns Deferreds.  `reserve` and `adopt` of the engine return records, those of a farm its boards.
"""

from __future__ import annotations

import inspect
from typing import Any

from docutils.nodes import Element
from sphinx.addnodes import desc_annotation, desc_signature

__all__ = ["setup"]

#: Where methods are to be awaited, and where they return Deferreds.
AWAITED = "icefarm.client.aio"
DEFERRED = "icefarm.client.deferred."


def setup(app: Any) -> dict[str, bool]:
    """Look at each description once it is there."""
    app.connect("autodoc-process-signature", _as_called)
    app.connect("object-description-transform", _without_async)
    return {"parallel_read_safe": True}


def _as_called(
    _app: Any, what: str, name: str, found: Any, _options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None] | None:
    if what != "method" or not name.startswith("icefarm.client.") or returned is None:
        return None
    if name.endswith((".Farm.reserve", ".Farm.adopt")):
        returned = "Boards"
    awaited = inspect.iscoroutinefunction(inspect.unwrap(found))
    return signature, f"Deferred[{returned}]" if awaited and name.startswith(DEFERRED) else returned


def _without_async(_app: Any, domain: str, _kind: str, content: Element) -> None:
    if domain != "py" or content.parent is None:
        return
    for signature in content.parent.findall(desc_signature):
        if signature.get("module") != AWAITED:
            for word in list(signature.findall(desc_annotation)):
                if word.astext().startswith("async"):
                    signature.remove(word)
