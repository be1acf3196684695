"""Imports Autobahn without what we never use.  Import this before anything else of autobahn.

We speak CBOR.  Two of Autobahn's optional serializers cost every process something:

* bjdata (UBJSON) comes with Crossbar's dependencies, compiled for an older numpy; importing it prints a traceback of
  20 lines.
* Autobahn's own copy of flatbuffers imports numpy wherever that is installed, which takes 0.13 s and 30 MB.
"""

import sys

# None in sys.modules makes ``import`` raise ImportError, which Autobahn handles.
sys.modules.setdefault("bjdata", None)  # type: ignore[arg-type]

#: Autobahn's messages refer to it too, and load it when it is used: it is hidden from the serializers only.
_HIDDEN = "autobahn.flatbuffers"


def _import_serializers() -> None:
    import txaio

    # As `autobahn.twisted` does, which comes later.
    txaio.use_twisted()
    import autobahn.wamp.message

    kept = sys.modules.get(_HIDDEN)
    sys.modules[_HIDDEN] = None  # type: ignore[assignment]
    try:
        import autobahn.wamp.serializer  # noqa: F401
    finally:
        del sys.modules[_HIDDEN]
        if kept is not None:
            sys.modules[_HIDDEN] = kept


_import_serializers()
