"""Count the pulses of a circuit on one board, with Autobahn alone: pip install 'autobahn[serialization]'.

python count_autobahn.py ../circuits/square_2khz.bin

ICEFARM_URL is where the farm is (http://127.0.0.1:8080), ICEFARM_TOKEN a token, where the farm wants one.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from pathlib import Path
from typing import Any

from autobahn.asyncio.wamp import ApplicationRunner, ApplicationSession
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.serializer import CBORSerializer

farm = os.environ.get("ICEFARM_URL", "http://127.0.0.1:8080")
bitstream = Path(sys.argv[1]).read_bytes()
failures: list[str] = []


# [sign-in]
class Counter(ApplicationSession):
    """Signs in, counts, and leaves."""

    def onConnect(self) -> None:
        self.instance = str(uuid.uuid4())
        extra = {"role": "client", "instance": self.instance}
        self.join("icefarm", authmethods=["ticket"], authid="count-python", authextra=extra)

    def onChallenge(self, _: Any) -> str:
        return os.environ.get("ICEFARM_TOKEN", "")

    # [/sign-in]

    # [heartbeat]
    async def heartbeats(self) -> None:
        while True:
            await self.call("icefarm.v1.control.heartbeat", self.instance)
            await asyncio.sleep(5)

    # [/heartbeat]

    async def onJoin(self, _: Any) -> None:
        beating = asyncio.ensure_future(self.heartbeats())
        try:
            await self.count()
        except ApplicationError as error:
            # [error]
            failures.append(f"{error.error} {error.args[0]}")
            # [/error]
        finally:
            beating.cancel()
            self.leave()

    # [evaluate]
    async def count(self) -> None:
        # Autobahn takes a keyword `options` for itself, so the arguments are given by position:
        # amount, serials, kind, options, wait, timeout.
        arguments = 1, None, "pulsecount", {"window": 0.1}, True, 60
        [board] = await self.call("icefarm.v1.control.reserve", *arguments)
        try:
            measurement = await self.call(
                f"icefarm.v1.device.{board['serial']}.evaluate",
                reservation=board["id"],
                evaluation_id=str(uuid.uuid4()),
                bitstream=bitstream,
            )
            print(board["serial"], measurement["value"], sep="\t")
        finally:
            await self.call("icefarm.v1.control.end", [board["serial"]])

    # [/evaluate]

    def onLeave(self, details: Any) -> None:
        if details.reason != "wamp.close.normal":
            failures.append(f"{details.reason} {details.message or ''}")
        self.disconnect()

    def onDisconnect(self) -> None:
        asyncio.get_running_loop().stop()


url = farm.replace("http", "ws", 1).rstrip("/") + "/ws"
try:
    ApplicationRunner(url, serializers=[CBORSerializer()]).run(Counter, log_level="error")
except OSError as error:
    failures.append(f"{farm}: {error}")
sys.exit("\n".join(failures) or 0)
