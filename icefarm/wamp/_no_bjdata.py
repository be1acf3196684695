"""Keeps Autobahn from importing bjdata.  Import this before autobahn.

Crossbar's dependencies bring bjdata along, compiled for an older numpy; importing it prints a traceback of 20 lines in
every process.  It is one of Autobahn's optional serializers (UBJSON); we speak CBOR.
"""

import sys

# None in sys.modules makes ``import bjdata`` raise ImportError, which Autobahn handles.
sys.modules.setdefault("bjdata", None)  # type: ignore[arg-type]
