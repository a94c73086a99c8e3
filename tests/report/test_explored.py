from __future__ import annotations

from itertools import product

from resonance.plan import RunKey
from resonance.report.explored import MANY, explored


def runs(learners: int, schedules: int, seeds: int) -> list[RunKey]:
    named = product(range(learners), ("a",), range(schedules), range(seeds))
    return [RunKey(f"l{learner}", pair, f"s{schedule}", seed) for learner, pair, schedule, seed in named]


def test_all_runs_of_a_small_study() -> None:
    assert explored(iter(runs(4, 2, 3))) == runs(4, 2, 3)


def test_of_many_seeds_the_first() -> None:
    found = explored(runs(8, 2, 10))
    assert found == [RunKey(f"l{learner}", "a", f"s{schedule}", 0) for learner in range(8) for schedule in range(2)]


def test_of_many_schedules_too_the_first() -> None:
    assert explored(runs(22, 9, 10)) == [RunKey(f"l{learner}", "a", "s0", 0) for learner in range(22)]


def test_one_run_of_every_learner_even_where_learners_are_many() -> None:
    assert len(explored(runs(MANY + 3, 1, 1))) == MANY + 3
