"""What can happen to a farm: each fault as a coroutine that lasts until its cause is over."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from attrs import frozen
from twisted.internet.task import deferLater

from faults.clients import Client
from faults.farm import FaultyFarm
from faults.parts import RESTART_DELAY, Victim
from faults.relay import Relay

__all__ = ["FAULTS", "SEVERAL", "Fault", "Scene", "choose", "faults_of"]


@frozen
class Scene:
    """Where faults strike."""

    farm: FaultyFarm
    #: Clients that must get all their answers; they are held up, never killed.
    evaluators: Sequence[Client]
    random: Random

    async def lasting(self, shortest: float, longest: float) -> None:
        await deferLater(self.farm.reactor, self.random.uniform(shortest, longest))


@frozen
class Fault:
    """A kind of fault."""

    name: str
    strike: Callable[[Scene], Awaitable[None]]
    #: What it happens to: two faults at once happen to different things.
    part: str
    #: How often it is chosen, beside the others.
    weight: int = 1
    #: Another thing that it happens to.
    also: str = ""

    def strikes_beside(self, other: Fault) -> bool:
        """Tell whether it happens to different things than another one."""
        return not {self.part, self.also} & ({other.part, other.also} - {""})


async def _kill(scene: Scene, victim: Victim) -> None:
    await victim.kill()
    await deferLater(scene.farm.reactor, RESTART_DELAY)
    await victim.start()


async def _stall(scene: Scene, victim: Victim) -> None:
    await victim.running()
    victim.pause()
    await scene.lasting(0.5, 4.0)
    victim.resume()


def _worker(scene: Scene) -> Victim:
    return scene.farm.workers[scene.random.choice(sorted(scene.farm.workers))]


async def kill_worker(scene: Scene) -> None:
    await _kill(scene, _worker(scene))


async def stall_worker(scene: Scene) -> None:
    await _stall(scene, _worker(scene))


async def kill_boards(scene: Scene) -> None:
    """The process of a worker's boards: as if their hub had lost its power."""
    os.kill(scene.farm.boards_process(scene.random.choice(sorted(scene.farm.workers))), signal.SIGKILL)


async def kill_control(scene: Scene) -> None:
    await _kill(scene, scene.random.choice(scene.farm.controls))


async def stall_control(scene: Scene) -> None:
    await _stall(scene, scene.random.choice(scene.farm.controls))


async def kill_router(scene: Scene) -> None:
    await _kill(scene, scene.random.choice(scene.farm.routers))


async def stall_router(scene: Scene) -> None:
    await _stall(scene, scene.random.choice(scene.farm.routers))


async def kill_database(scene: Scene) -> None:
    await _kill(scene, scene.farm.postgres)


async def stall_database(scene: Scene) -> None:
    await _stall(scene, scene.farm.postgres)


async def stop_database(scene: Scene) -> None:
    await scene.farm.postgres.stop()
    await scene.lasting(1.0, 5.0)
    await scene.farm.postgres.start()


async def stall_client(scene: Scene) -> None:
    client = scene.random.choice(list(scene.evaluators))
    client.signal(signal.SIGSTOP)
    await scene.lasting(0.5, 4.0)
    client.signal(signal.SIGCONT)


async def _cut(scene: Scene, link: Relay) -> None:  # noqa: ARG001
    link.cut()


async def _reset(scene: Scene, link: Relay) -> None:  # noqa: ARG001
    link.reset()


async def _refuse(scene: Scene, link: Relay) -> None:
    await link.stop()
    await scene.lasting(0.5, 4.0)
    await link.start()


async def _hold(scene: Scene, link: Relay) -> None:
    """A black hole: nobody is told, and in the end the connections are dead or go on."""
    link.hold()
    await scene.lasting(0.5, 4.0)
    if scene.random.random() < 0.5:
        link.reset()
    link.release()


async def _delay(scene: Scene, link: Relay) -> None:
    link.delay = 0.3
    await scene.lasting(1.0, 3.0)
    link.delay = 0.0


def _on_link(how: Callable[[Scene, Relay], Awaitable[None]], whose: str) -> Callable[[Scene], Awaitable[None]]:
    async def strike(scene: Scene) -> None:
        await how(scene, scene.random.choice(scene.farm.links.of_kind(whose)))

    return strike


async def move_worker(scene: Scene) -> None:
    """Its operator gives it another router."""
    name = scene.random.choice(sorted(scene.farm.workers))
    await scene.farm.move_worker(name, scene.random.randrange(len(scene.farm.routers)))


async def stop_router(scene: Scene) -> None:
    """A router stays away; workers that are there move to another one, and back when it is there again."""
    away = scene.random.randrange(len(scene.farm.routers))
    homeless = [name for name, router in scene.farm.places.items() if router == away]
    await scene.farm.routers[away].stop()
    for name in homeless:
        await scene.farm.move_worker(name, (away + 1) % len(scene.farm.routers))
    await scene.lasting(4.0, 12.0)
    await scene.farm.routers[away].start()
    for name in homeless:
        await scene.farm.move_worker(name, away)


async def cut_off_control(scene: Scene) -> None:
    """A control's network is down: to the routers, or to PostgreSQL as well."""
    number = scene.random.randrange(len(scene.farm.controls))
    ways = scene.random.choice([scene.farm.links.controls[number], scene.farm.links.of_control(number)])
    for way in ways:
        way.hold()
    await scene.lasting(1.0, 8.0)
    for way in ways:
        way.reset()
        way.release()


def _serial(scene: Scene) -> str:
    return scene.random.choice(scene.farm.serials())


async def unplug_board(scene: Scene) -> None:
    """Now, or in the middle of what it receives."""
    serial = _serial(scene)
    await scene.farm.command("unplug", serial, *scene.random.choice([(), (str(scene.random.randrange(200_000)),)]))
    await scene.lasting(0.3, 3.0)
    await scene.farm.command("plug", serial)


async def _faulty_board(scene: Scene, name: str, *number: str) -> None:
    serial = _serial(scene)
    await scene.farm.command("fault", serial, name, "on", *number)
    await scene.lasting(0.5, 3.0)
    await scene.farm.command("fault", serial, name, "off")


async def silence_board(scene: Scene) -> None:
    await _faulty_board(scene, "silent")


async def garble_board(scene: Scene) -> None:
    await _faulty_board(scene, "garbled", scene.random.choice(["3", "20", "100"]))


FAULTS: tuple[Fault, ...] = (
    Fault("worker killed", kill_worker, "worker", 2),
    Fault("worker stalled", stall_worker, "worker"),
    Fault("boards' process killed", kill_boards, "worker"),
    Fault("control killed", kill_control, "control", 2),
    Fault("control stalled", stall_control, "control"),
    Fault("router killed", kill_router, "router", 2),
    Fault("router stalled", stall_router, "router"),
    Fault("PostgreSQL killed", kill_database, "PostgreSQL", 2),
    Fault("PostgreSQL stalled", stall_database, "PostgreSQL"),
    Fault("PostgreSQL away", stop_database, "PostgreSQL"),
    Fault("client stalled", stall_client, "client"),
    *(
        Fault(f"link of {whose} {name}", _on_link(how, whose), f"link of {whose}")
        for whose in ("clients", "workers", "control", "PostgreSQL")
        for name, how in (("cut", _cut), ("reset", _reset), ("refused", _refuse), ("held up", _hold), ("slow", _delay))
    ),
    # Commands for boards go to the process of their worker.
    Fault("board unplugged", unplug_board, "worker", 2),
    Fault("board silent", silence_board, "worker"),
    Fault("board garbled", garble_board, "worker"),
)

#: What can happen, too, to a farm with several routers and controls.
SEVERAL: tuple[Fault, ...] = (
    Fault("worker moved to another router", move_worker, "worker", 2),
    Fault("router away, its workers move", stop_router, "worker", 2, also="router"),
    Fault("control cut off", cut_off_control, "link of control", 2),
)


def faults_of(farm: FaultyFarm) -> tuple[Fault, ...]:
    """Return what can happen to a farm of that shape."""
    return FAULTS + SEVERAL if farm.routers_wanted > 1 and farm.controls_wanted > 1 else FAULTS


def choose(random: Random, faults: Sequence[Fault], at_once: float) -> list[Fault]:
    """Choose a fault, and with the probability ``at_once`` a second one that happens to something else."""
    (first,) = random.choices(faults, [fault.weight for fault in faults])
    others = [fault for fault in faults if fault.strikes_beside(first)]
    if not others or random.random() >= at_once:
        return [first]
    return [first, *random.choices(others, [fault.weight for fault in others])]
