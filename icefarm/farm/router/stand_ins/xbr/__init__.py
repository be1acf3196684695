"""Stands in for xbr; see the package around it."""

from __future__ import annotations

from functools import partial
from pkgutil import extend_path

from icefarm_later import Later, attribute_of, later

__getattr__ = partial(attribute_of, "xbr")
# Modules of it that have no stand-in are the real ones: Crossbar.io's controller takes `xbr._secmod` for its keys.
__path__ = extend_path(__path__, __name__)

from xbr._schema import FbsObject, FbsRepository, FbsSchema  # noqa: F401

parse_certificate_chain = later("xbr", "parse_certificate_chain")


class EIP712AuthorityCertificate(metaclass=Later):
    """What vouches for clients with certificates."""
