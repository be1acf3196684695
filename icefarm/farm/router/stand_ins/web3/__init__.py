"""Stands in for web3; see the package around it."""

from __future__ import annotations

from functools import partial
from pkgutil import extend_path
from typing import Any

from icefarm_later import attribute_of, later, real

__getattr__ = partial(attribute_of, "web3")
# Modules of it that have no stand-in are the real ones.
__path__ = extend_path(__path__, __name__)


class _Names(type):
    def __getattr__(cls, name: str) -> Any:
        return getattr(real("web3").Web3, name)


def _to_checksum_address(value: Any) -> Any:
    # As web3 has it.
    from eth_utils import to_checksum_address

    return to_checksum_address(value)


class Web3(metaclass=_Names):
    """Has what Crossbar.io looks for when it is imported, under the old names and the new ones."""

    toChecksumAddress = to_checksum_address = staticmethod(_to_checksum_address)  # noqa: N815
    isChecksumAddress = is_checksum_address = staticmethod(later("web3", "Web3", "is_checksum_address"))  # noqa: N815
    toBytes = to_bytes = staticmethod(later("web3", "Web3", "to_bytes"))  # noqa: N815
    toInt = to_int = staticmethod(later("web3", "Web3", "to_int"))  # noqa: N815
    isConnected = is_connected = later("web3", "Web3", "is_connected")  # noqa: N815
    privateKeyToAccount = staticmethod(later("web3", "middleware", "signing", "private_key_to_account"))  # noqa: N815
