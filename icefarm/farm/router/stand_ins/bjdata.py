"""There is no bjdata, an optional serializer of Autobahn (UBJSON), which no farm speaks.

Crossbar.io brings one that is compiled for an older numpy: importing it prints a traceback of 20 lines.
"""

raise ImportError("hidden: see icefarm.farm.router.stand_ins")
