"""Evolve a circuit: a small genetic algorithm over real bitstreams, on as many boards as there are.

    python examples/evolve.py --boards 4 --generations 30 --seed 1 --plot fitness.svg

The genes are truth tables: bits of the look-up tables in some logic tiles of an example circuit, whose wiring stays as
it is, so that nothing that is tried can harm an FPGA.  Fitness is how near the pulses on ICE_27 come to a target
frequency.  Everything is drawn from the seed, and boards measure a circuit in whichever order: on virtual boards
without noise, the same seed gives the same history, bit by bit.

Virtual boards run the bitstream, and most changed circuits give no pulses at all. Started with `--model landscape`,
they invent a frequency that changes a little with each bit, which a search can climb.

Plots need `pip install 'icefarm[examples]'`.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from attrs import Factory, define, frozen

from icefarm.bitstream import Bitstream, from_bytes
from icefarm.client.aio import Boards, Farm

CIRCUIT = Path(__file__).parent / "circuits" / "square_8khz.asc"
#: Places of a truth table's 16 bits among the 2 x 10 bits of a logic cell (Project IceStorm, "logic tile"); the other
#: four are carry and flip-flop, and are left alone.
TABLE = (0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17)
#: First column of the logic cells in the lines of a tile.
FIRST = 36

#: One bit for each gene.
Genes = int


@frozen
class Plan:
    """What is to be evolved, and how."""

    target: float = 52_000.0
    window: float = 0.1
    tiles: int = 40
    population: int = 24
    parents: int = 6
    generations: int = 30
    #: Bits that a child has changed, at most.
    mutations: int = 12
    seed: int = 1


@frozen
class Generation:
    """The errors of one generation, hertz."""

    best: float
    mean: float
    worst: float


@define
class History:
    """What came of it."""

    generations: list[Generation] = Factory(list)
    best: Genes = 0
    evaluations: int = 0


class Template:
    """An .asc circuit with places for genes."""

    def __init__(self, path: Path, tiles: int) -> None:
        self._lines = path.read_text().splitlines()
        heads = [number for number, line in enumerate(self._lines) if line.startswith(".logic_tile")]
        #: Line and column of each gene.
        self._places = [
            (head + 1 + 2 * cell + bit // 10, FIRST + bit % 10)
            for head in heads[len(heads) // 2 :][:tiles]
            for cell in range(8)
            for bit in TABLE
        ]

    @property
    def length(self) -> int:
        """The number of genes."""
        return len(self._places)

    @property
    def genes(self) -> Genes:
        """The genes that the circuit has."""
        return sum((self._lines[line][column] == "1") << gene for gene, (line, column) in enumerate(self._places))

    def grown(self, genes: Genes) -> Bitstream:
        """Return the bitstream with these genes."""
        rows = {line: list(self._lines[line]) for line, _ in self._places}
        for gene, (line, column) in enumerate(self._places):
            rows[line][column] = "1" if genes >> gene & 1 else "0"
        lines = ["".join(rows[number]) if number in rows else line for number, line in enumerate(self._lines)]
        return from_bytes(("\n".join(lines) + "\n").encode())


def child(random: Random, one: Genes, other: Genes, length: int, mutations: int) -> Genes:
    """Return a child: each gene from one of the parents, some changed."""
    mask = random.getrandbits(length)
    genes = one & mask | other & ~mask
    for gene in random.sample(range(length), random.randint(1, mutations)):
        genes ^= 1 << gene
    return genes


async def errors(boards: Boards, template: Template, plan: Plan, population: Sequence[Genes]) -> list[float]:
    """Measure how far each is from the target, hertz."""
    found = [0.0] * len(population)
    async for result in boards.evaluate([template.grown(genes) for genes in population]):
        hertz = result.value / (result.measurement.window_us / 1e6)
        assert result.placement is not None
        found[result.placement["index"]] = abs(hertz - plan.target)
    return found


async def evolve(boards: Boards, plan: Plan, say: Callable[[str], None]) -> History:
    """Let generations follow one another; the best parents stay."""
    random, template, history = Random(plan.seed), Template(CIRCUIT, plan.tiles), History()
    start = template.genes
    population = [child(random, start, start, template.length, plan.mutations) for _ in range(plan.population)]
    known: dict[Genes, float] = {}
    for number in range(plan.generations):
        new = [genes for genes in dict.fromkeys(population) if genes not in known]
        known.update(zip(new, await errors(boards, template, plan, new), strict=True))
        history.evaluations += len(new)
        ranked = sorted(dict.fromkeys(population), key=lambda genes: (known[genes], genes))
        found = [known[genes] for genes in population]
        history.generations.append(Generation(min(found), sum(found) / len(found), max(found)))
        history.best = ranked[0]
        say(f"generation {number:3}: best {min(found):9.1f} Hz off, mean {sum(found) / len(found):9.1f}")
        parents = ranked[: plan.parents]
        children = [
            child(random, random.choice(parents), random.choice(parents), template.length, plan.mutations)
            for _ in range(plan.population - len(parents))
        ]
        population = [*parents, *children]
        known = {genes: known[genes] for genes in parents}
    return history


def plot(history: History, plan: Plan, path: Path) -> None:
    """Draw errors over generations to a file; its name says in which form."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "icefarm"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    numbers = range(len(history.generations))
    best = [generation.best for generation in history.generations]
    worst = [generation.worst for generation in history.generations]
    axes.fill_between(numbers, best, worst, alpha=0.15, linewidth=0, label="all")
    axes.plot(numbers, [generation.mean for generation in history.generations], label="mean")
    axes.plot(numbers, best, label="best")
    axes.set(xlabel="generation", ylabel=f"Hz from {plan.target:g} Hz", title=f"seed {plan.seed}")
    axes.set_ylim(bottom=0)
    axes.legend()
    # Without a date, so that the same run gives the same file.
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


async def run(farm_class: type[Farm], arguments: argparse.Namespace, plan: Plan) -> History:
    async with (
        farm_class(arguments.url, arguments.name) as farm,
        await farm.reserve(arguments.boards, window=plan.window, wait=True) as boards,
    ):
        return await evolve(boards, plan, print)


def main(words: Sequence[str] | None = None, farm_class: type[Any] = Farm) -> History:
    """Evolve as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", help="the farm; else ICEFARM_URL, else http://127.0.0.1:8080")
    parser.add_argument("--name", default="evolve")
    parser.add_argument("--boards", type=int, default=4)
    parser.add_argument("--generations", type=int, default=Plan().generations)
    parser.add_argument("--population", type=int, default=Plan().population)
    parser.add_argument("--target", type=float, default=Plan().target, metavar="HZ")
    parser.add_argument("--window", type=float, default=Plan().window, metavar="S")
    parser.add_argument("--seed", type=int, default=Plan().seed)
    parser.add_argument("--plot", type=Path, metavar="FILE")
    given = parser.parse_args(words)
    plan = Plan(given.target, given.window, population=given.population, generations=given.generations, seed=given.seed)
    history = asyncio.run(run(farm_class, given, plan))
    if given.plot is not None:
        plot(history, plan, given.plot)
    print(f"{history.evaluations} circuits measured; the best is {history.generations[-1].best:.1f} Hz off")
    return history


if __name__ == "__main__":
    main()
