"""What a process does not import: nothing costs as much before the first answer as imports that nobody uses."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from icefarm.farm.router.node import STAND_INS

#: Packages that take long to import.
TWISTED = ("twisted", "autobahn", "OpenSSL")
HEAVY = (*TWISTED, "numpy", "asyncio", "rich", "importlib.metadata", "cattrs")


def _imported(program: str, packages: tuple[str, ...]) -> list[str]:
    """Return which of these packages a program has imported when it ends."""
    ending = f"""
import atexit, sys
atexit.register(lambda: print(*(name for name in {packages!r} if sys.modules.get(name)), file=sys.stderr))
"""
    done = subprocess.run([sys.executable, "-c", ending + program], capture_output=True, text=True, check=True)
    return done.stderr.split()


def _command(*arguments: str) -> str:
    return f"sys.argv[:] = ['icefarm', *{arguments!r}]\nfrom icefarm.cli import main\nmain()"


def test_the_check_sees_what_is_imported() -> None:
    assert _imported("import asyncio", HEAVY) == ["asyncio"]


def test_the_list_of_verbs_imports_nothing_that_takes_long() -> None:
    assert _imported(_command("--help"), HEAVY) == []


@pytest.mark.parametrize("verb", ["devices", "evaluate", "watch", "end", "simulate"])
def test_the_help_of_a_verb_imports_nothing_that_takes_long(verb: str) -> None:
    assert _imported(_command(verb, "--help"), HEAVY) == []


@pytest.mark.parametrize(
    "statement",
    ["from icefarm.client import Farm", "from icefarm.client.aio import Farm", "from icefarm.client import Result"],
)
def test_a_script_imports_twisted_only_when_it_makes_a_farm(statement: str) -> None:
    assert _imported(statement, HEAVY) == []


def test_a_farm_imports_no_numpy() -> None:
    assert _imported("import icefarm.wamp.link, icefarm.client.api.reactor_thread", ("numpy", "bjdata")) == []


#: What Crossbar.io imports of blockchains and their networks.
UNUSED = ("web3.main", "py_ecc.bls", "aiohttp", "requests", "_bjdata", "xbr._abi", "eth_abi.codec", "yapf")
needs_crossbar = pytest.mark.skipif(find_spec("crossbar") is None, reason="the router is in an environment of its own")


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have programs find the stand-ins that a router finds."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(STAND_INS), os.environ.get("PYTHONPATH", ""))))


@needs_crossbar
@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("modules", ["crossbar.node.node, crossbar.node.main", "crossbar.worker.main"])
def test_a_router_imports_no_blockchain(modules: str) -> None:
    assert _imported(f"import {modules}", UNUSED) == []


@needs_crossbar
@pytest.mark.usefixtures("stand_ins")
def test_a_stand_in_does_what_crossbar_does_with_it_while_it_is_imported() -> None:
    program = "import web3; assert web3.Web3.toChecksumAddress('0x' + '5aaeb6' + 34 * '0').startswith('0x5aaEB6')"
    assert _imported(program, UNUSED) == []


@needs_crossbar
@pytest.mark.usefixtures("stand_ins")
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
def test_what_a_stand_in_lacks_is_taken_from_the_real_module(program: str) -> None:
    _imported(program, ())
