"""Shows methods as callers see them: the three APIs of the client share the coroutines of one engine.

autodoc finds these coroutines, and calls each method ``async``.  For the blocking API that is wrong, and that of
Twisted returns Deferreds.
"""

from __future__ import annotations

from typing import Any

from docutils.nodes import Element
from sphinx.addnodes import desc_annotation, desc_signature

__all__ = ["setup"]

#: Where methods are to be awaited.
AWAITED = "icefarm.client.aio"


def setup(app: Any) -> dict[str, bool]:
    """Look at each description once it is there."""
    app.connect("object-description-transform", _without_async)
    return {"parallel_read_safe": True}


def _without_async(_app: Any, domain: str, _kind: str, content: Element) -> None:
    if domain != "py" or content.parent is None:
        return
    for signature in content.parent.findall(desc_signature):
        if signature.get("module") != AWAITED:
            for word in list(signature.findall(desc_annotation)):
                if word.astext().startswith("async"):
                    signature.remove(word)
