"""What the router's two processes do not import, and that what they may need is there all the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from imports import imported

from icefarm.farm.router.config import find_crossbar
from icefarm.farm.router.node import STAND_INS

pytestmark = pytest.mark.integration

#: What Crossbar.io imports of blockchains and their networks.
UNUSED = (
    "web3.main",
    "py_ecc.bls",
    "aiohttp",
    "docker",
    "requests",
    "_bjdata",
    "xbr._abi",
    "eth_abi.codec",
    "yapf",
)


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> str:
    """The router's own Python, whose programs find the stand-ins that a router finds."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(STAND_INS), os.environ.get("PYTHONPATH", ""))))
    return str(Path(find_crossbar(None)).with_name("python"))


@pytest.mark.parametrize("modules", ["crossbar.node.node, crossbar.node.main", "crossbar.worker.main"])
def test_a_router_imports_no_blockchain(router: str, modules: str) -> None:
    assert imported(f"import {modules}", UNUSED, router) == []


def test_a_stand_in_does_what_crossbar_does_with_it_while_it_is_imported(router: str) -> None:
    program = "import web3; assert web3.Web3.toChecksumAddress('0x' + '5aaeb6' + 34 * '0').startswith('0x5aaEB6')"
    assert imported(program, UNUSED, router) == []


@pytest.mark.parametrize(
    "program",
    [
        "import web3, ens; assert web3.Web3.toBytes(1) == b'\\1' and web3.Web3.keccak(b'') and ens.AsyncENS",
        "import web3.middleware; from eth_keyfile.keyfile import decode_keyfile_json",
        "import txaio; txaio.use_twisted(); import xbr; assert xbr.FbsRepository('x') and not xbr.is_address(b'x')",
        "from xbr import EIP712AuthorityCertificate as one; assert callable(one.load) and not hasattr(one, 'nothing')",
        "import eth_abi; assert eth_abi.encode_abi(['uint8'], [1])[-1] == 1 and eth_abi.abi.default_codec",
        "from eth_keyfile import create_keyfile_json; assert create_keyfile_json(32 * b'1', b'x', iterations=1)",
    ],
)
def test_what_a_stand_in_lacks_is_taken_from_the_real_module(router: str, program: str) -> None:
    imported(program, (), router)
