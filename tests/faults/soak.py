"""``python -m faults.soak``: a farm under faults, one after the other, at random; prints what became of it.

Several clients evaluate without end; others race to reserve boards, and are killed now and then.  One of those that
evaluate gives boards to these, which go before it, and gets them back, all the time.  After each fault the farm must
get whole by itself before the next one strikes; at the end every account must balance.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections import Counter, defaultdict
from random import Random
from statistics import median
from typing import Any

from attrs import Factory, define, field
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from waiting import until

from faults.clients import Client, Tally
from faults.farm import FaultyFarm
from faults.invariants import check_archived, check_nothing_is_held, check_single_holders
from faults.kinds import FAULTS, Fault, Scene, choose, faults_of

__all__ = ["Soak", "report"]

#: Seconds after the end of a fault's cause, in which the farm must be whole.
RECOVERY_LIMIT = 120.0
#: Seconds between the farm's being whole and the next fault.
PAUSE = (0.2, 2.0)
#: How often two faults strike at once, and what they are called together.
AT_ONCE, TWO = 0.25, "two of these at once"
#: Evaluations of contenders, in each of their rounds, at most; and where only boards change hands.
ROUND, QUICK_ROUND = 20, 3
#: Seconds between these, at most: mostly the boards go back to the client that lent them, which takes a few seconds,
#: since their firmware is written twice on the way.
BETWEEN = 6.0
#: Seconds between two looks at the time, where no faults strike.
CALM = 0.5


@define(eq=False)
class Soak:
    """One run."""

    farm: FaultyFarm
    seed: int
    seconds: float
    #: Ends early once there are so many answers; None: it does not.
    enough: int | None = None
    faults: tuple[Fault, ...] = FAULTS
    tell: Any = print
    #: Boards that are left to contenders.
    contended: int = 2
    #: Clients that race for them.
    racing: int = 2
    window: float = 0.02
    random: Random = field(init=False)
    evaluators: list[Client] = Factory(list)
    contenders: list[Client] = Factory(list)
    #: Accounts of contenders that were killed: those must not have got wrong values or second answers either.
    past: list[Client] = Factory(list)
    recoveries: dict[str, list[float]] = Factory(lambda: defaultdict(list))
    #: The longest recovery, and after what.
    slowest: tuple[float, str] = (0.0, "nothing")
    #: How often a control took the lead.
    terms: int = 0
    _told_to_end: bool = False

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.seed)

    @property
    def answered(self) -> int:
        return sum(client.tally.values for client in [*self.evaluators, *self.contenders, *self.past])

    @property
    def preempted(self) -> int:
        """How often a board was given up for others."""
        return sum(client.tally.preempted for client in self.evaluators)

    async def run(self) -> None:
        """Let faults strike for the given time, then check everything.  Raises AssertionError."""
        reactor = self.farm.reactor
        self._start_evaluators()
        await until(lambda: all(client.measured_since(0) for client in self.evaluators), "evaluations", 60)
        for _ in range(self.racing if self.contended > 0 else 0):
            self._start_contender()
        end = reactor.seconds() + self.seconds
        while (
            not self._told_to_end and reactor.seconds() < end and (self.enough is None or self.answered < self.enough)
        ):
            if self.faults:
                await self._one_fault()
                await deferLater(reactor, self.random.uniform(*PAUSE))
            else:
                await deferLater(reactor, CALM)
        if self.contenders:
            await until(lambda: self.preempted > 0, "a board that was given up for others", RECOVERY_LIMIT)
        await self._finish()

    def end(self) -> None:
        """Come to an end after the present fault, with all checks."""
        self._told_to_end = True

    async def _one_fault(self) -> None:
        faults = choose(self.random, self.faults, AT_ONCE)
        names = " and ".join(fault.name for fault in faults)
        self.tell(f"{self.answered} answers; {names}")
        if self.contenders and self.random.random() < 0.2:
            await self._replace_contender()
        scene = Scene(self.farm, self.evaluators, self.random)
        await gatherResults([Deferred.fromCoroutine(_struck(fault, scene)) for fault in faults])
        taken = await self._whole(names, self.farm.reactor.seconds())
        self.recoveries[names if len(faults) == 1 else TWO].append(taken)
        self.slowest = max(self.slowest, (taken, names))
        deaths = {part.name: part.deaths for part in self.farm.parts if part.deaths}
        assert not deaths, f"ended by themselves: {deaths}"

    async def _whole(self, fault: str, over: float) -> float:
        """Wait until every board measures again and control answers from its database; returns the seconds since."""
        reactor = self.farm.reactor
        answering = Deferred.fromCoroutine(self.farm.watcher.available())
        answering.addTimeout(RECOVERY_LIMIT, reactor)
        try:
            await until(
                lambda: all(client.measured_since(over) for client in self.evaluators),
                f"each board has measured again after: {fault}",
                RECOVERY_LIMIT,
            )
            await answering
        except AssertionError:
            for client in self.evaluators:
                late = {serial: over - client.measured.get(serial, 0.0) for serial in client.held}
                self.tell(f"{client.name}: seconds since its boards measured: {late}; {client.story[-5:]}")
            raise
        return float(reactor.seconds() - over)

    def _start_evaluators(self) -> None:
        own = self.farm.amount - self.contended
        usual: dict[str, Any] = {"rounds": 0, "items": 0, "window": self.window}
        lent = own // 2
        steady = Client.start(self.farm, "evaluator-0", boards=own - lent, seed=0, **usual)
        self.evaluators.append(steady)
        if lent > 0:
            # It has the boards, too, for which others race.
            more: dict[str, Any] = {"boards": lent + self.contended, "lend": True, "seed": 1}
            self.evaluators.append(Client.start(self.farm, "lender", router=self._router(1), **more, **usual))

    def _start_contender(self) -> None:
        number = len(self.contenders) + len(self.past)
        options: dict[str, Any] = {
            "boards": -self.contended,
            "rounds": 0,
            "items": -(ROUND if self.faults else QUICK_ROUND),
            "window": self.window,
            "patience": 20,
            "pause": BETWEEN,
        }
        name, router = f"contender-{number}", self._router(number)
        self.contenders.append(Client.start(self.farm, name, router=router, seed=number, **options))

    def _router(self, number: int) -> int:
        """Return the router at which a client signs in: they take turns."""
        return number % len(self.farm.routers)

    async def _replace_contender(self) -> None:
        """SIGKILL one that races, whatever it is doing; its boards are free again after the grace period."""
        victim = self.contenders.pop(self.random.randrange(len(self.contenders)))
        await victim.kill()
        self.past.append(victim)
        self._start_contender()

    async def _finish(self) -> None:
        for client in [*self.evaluators, *self.contenders]:
            (await client.finish(RECOVERY_LIMIT)).check()
        for client in self.past:
            assert not client.tally.wrong, client.tally.wrong[0]
            assert client.tally.doubled == 0
        if not self.faults:
            repeated = sum(client.tally.repeated for client in [*self.evaluators, *self.contenders])
            assert repeated == 0, f"{repeated} evaluations were called for again although nothing failed"
        await check_nothing_is_held(self.farm, RECOVERY_LIMIT)
        check_single_holders(self.farm)
        everybody = [*self.evaluators, *self.contenders, *self.past]
        await check_archived(self.farm, [client.tally for client in everybody], RECOVERY_LIMIT)
        ((self.terms,),) = self.farm.query("SELECT term FROM control_leader")


async def _struck(fault: Fault, scene: Scene) -> None:
    await fault.strike(scene)


def report(soak: Soak, seconds: float) -> list[str]:
    """Say what happened, for a person."""
    tallies = [client.tally for client in [*soak.evaluators, *soak.contenders]]
    everybody = [*tallies, *(client.tally for client in soak.past)]
    strikes = sum(map(len, soak.recoveries.values()))
    failures = sum(sum(tally.failures.values()) for tally in everybody)
    refusals = sum((tally.refusals for tally in everybody), Counter[str]())
    lines = [
        f"seed {soak.seed}; {seconds:.0f} s; {strikes} faults, one every {seconds / max(1, strikes):.1f} s; "
        f"{len(soak.past)} clients killed",
        "",
        "| fault | times | whole again after, p50 | worst |",
        "|---|---|---|---|",
        *(
            f"| {name} | {len(taken)} | {median(taken):.1f} s | {max(taken):.1f} s |"
            for name, taken in sorted(soak.recoveries.items())
        ),
        "",
        f"longest: {soak.slowest[0]:.1f} s, after {soak.slowest[1]}",
        f"evaluations asked: {sum(tally.asked or 0 for tally in tallies)} by the clients that were not killed",
        f"answered with the right value: {sum(tally.values for tally in everybody)}",
        f"answered with a named error: {failures} {_failures(everybody)}",
        f"lost: {sum(tally.lost for tally in tallies if tally.asked is not None)}",
        f"answered twice: {sum(tally.doubled for tally in everybody)}",
        f"wrong values: {sum(len(tally.wrong) for tally in everybody)}",
        f"requests for boards that were refused, by name: {dict(refusals)}",
        f"answers of a later call than the first: {sum(tally.repeated for tally in everybody)}",
        f"boards given up for others: {sum(tally.preempted for tally in everybody)}; got back: "
        f"{sum(tally.regained for tally in everybody)}",
        f"routers: {len(soak.farm.routers)}; controls: {len(soak.farm.controls)}; terms of leaders: {soak.terms}; "
        f"controls that ended since another one led: {sum(control.restarts for control in soak.farm.controls)}",
    ]
    return lines


def in_a_line(soak: Soak, seconds: float) -> str:
    """Say what counts, for the page of the nightly run."""
    everybody = [client.tally for client in [*soak.evaluators, *soak.contenders, *soak.past]]
    wrong = sum(
        len(tally.wrong) + tally.doubled + (tally.lost if tally.asked is not None else 0) for tally in everybody
    )
    return (
        f"{sum(map(len, soak.recoveries.values()))} faults in {seconds:.0f} s: "
        f"{sum(tally.values for tally in everybody)} right values, "
        f"{sum(sum(tally.failures.values()) for tally in everybody)} named errors, {wrong} lost, double or wrong"
    )


def _failures(tallies: list[Tally]) -> str:
    messages: dict[str, str] = {}
    for tally in tallies:
        messages.update({name: tally.messages[name] for name in tally.failures})
    return "; ".join(f"{name}: {message}" for name, message in messages.items())


async def _main(reactor: Any, options: argparse.Namespace) -> None:
    half = options.boards // 2
    farm = FaultyFarm(
        reactor,
        {"w1": options.boards - half, "w2": half},
        grace=options.grace,
        routers_wanted=options.routers,
        controls_wanted=options.controls,
        speed=options.speed,
    )
    faults = () if options.no_faults else faults_of(farm)
    more = {"racing": options.contenders, "window": options.window}
    soak = Soak(farm, options.seed, options.minutes * 60, options.evaluations, faults, _tell, options.contended, **more)
    _tell(f"seed {options.seed}; farm in {farm.directory}")
    whole = False
    began = reactor.seconds()

    def interrupted(*_: object) -> None:
        """Come to an end at the first Ctrl-C, at once at the second."""
        _tell("ending after the present fault; Ctrl-C once more ends at once")
        soak.end()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, interrupted)
    try:
        await farm.start()
        began = reactor.seconds()
        await soak.run()
        whole = True
    finally:
        seconds = reactor.seconds() - began
        for client in [*soak.evaluators, *soak.contenders]:
            await client.kill()
        left = await farm.stop(keep=not whole)
    print("\n".join(report(soak, seconds)))
    assert left == [], f"processes or files stayed behind: {left}"
    print("no process, file, reservation or request stayed behind")
    print(in_a_line(soak, seconds))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--evaluations", type=int, help="end once so many have been answered")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)), help="of faults and moments")
    parser.add_argument("--boards", type=int, default=8)
    parser.add_argument("--routers", type=int, default=2, help="at which the two workers are, in turn (2)")
    parser.add_argument("--controls", type=int, default=2, help="of which one leads (2)")
    parser.add_argument("--speed", default="instant", help="of the boards")
    parser.add_argument("--window", type=float, default=0.02, help="seconds, of the boards' own time")
    parser.add_argument("--grace", type=float, default=30.0)
    parser.add_argument("--contended", type=int, default=2, help="boards for which they race, each for 1 to N")
    parser.add_argument("--contenders", type=int, default=2, help="clients that race for boards")
    parser.add_argument("--no-faults", action="store_true", help="boards change hands, and nothing fails")
    options = parser.parse_args()
    from twisted.internet import reactor as module

    reactor: Any = module
    failures: list[str] = []

    def failed(failure: Any) -> None:
        failures.append(failure.getTraceback())

    def begin() -> None:
        running = Deferred.fromCoroutine(_main(reactor, options))
        running.addErrback(failed).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    print(*failures, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
