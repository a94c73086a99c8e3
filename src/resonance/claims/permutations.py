"""C12: do the permutations matter?

A crossed design: six schedules with seeds of their own, six initialisations, every combination once. The spread between
schedules of log t99, the time until 99 % of the target tokens are known, must exceed log 1.1: a tenth of that time.
Units are schedules and initialisations, and six of each give an interval (Williams 1962), so that this claim asks for
six and not for seven; its p is exact too, from schedules permuted within initialisations.
"""

from __future__ import annotations

from itertools import chain
from math import log

import numpy as np
import pandas as pd

from resonance.claims.claim import Claim, Role
from resonance.claims.crossed import Crossed
from resonance.claims.effect import Criterion, Effect
from resonance.claims.evidence import Evidence, Missing, Unidentifiable, Values, paired
from resonance.claims.moments import MOMENT, moment
from resonance.claims.verdict import Ruling, Secondary

SHUFFLED, FIXED = (tuple(f"{kind}-{n}" for n in range(6)) for kind in ("order", "fixed"))
CLAIM = Claim(
    id="C12",
    name="permutations",
    title="The permutations matter",
    endpoint="standard deviation between schedules of log t99, from 6 schedules x 6 initialisations",
    unit="log cycles",
    contrast="schedules against each other, each with the same initialisations",
    sesoi=log(1.1),
    direction="above",
    roles={"learner": Role("gpt")}
    | {name: Role(name, schedule=True) for name in SHUFFLED}
    | {name: Role(name, "control", schedule=True) for name in FIXED}
    | {"rerun": Role("rerun", "control")},
    control="a rerun of one schedule gives the same losses, to the last bit",
    traps=(
        "A schedule seed that is the weight seed as well cannot be told from it.",
        "'Fixed' means six of the 24 orders drawn at random, not one.",
        "A weighted order changes the dose: that is another question.",
        "A loss is read behind the last slot of a cycle: schedules differ there by what they showed last, too.",
    ),
    would_change="schedules that differ in log t99 by less than a tenth, over six or more of them",
    figure="permutations",
    primary=True,
)


def judge(evidence: Evidence) -> Ruling:
    """The spread between schedules; its share of the variance, fixed orders, and the moment in a cycle, beside it."""
    study, learner = evidence.study, evidence.learner("learner")
    if any(study.schedules[evidence.place(name)[1]].seed is None for name in SHUFFLED):
        raise Unidentifiable("Schedule and weights share one seed: give every order a `seed` of its own.")
    if learner.init == "base" and not (learner.network.published or study.base.per_seed):
        raise Unidentifiable("All seeds start from one base, and are no initialisations: set `base.per_seed: true`.")

    def log_times(names: tuple[str, ...]) -> pd.DataFrame:
        times = pd.DataFrame({name: evidence.times(name, 0.99) for name in names})
        if late := int(np.isinf(times.to_numpy(np.float64)).sum()):
            raise Missing(f"{late} of {times.size} runs did not reach t99: make the study longer.")
        return times.map(log).groupby(level="seed").mean()

    def fixed() -> Values:
        return log_times(FIXED).mean(axis=1) - log_times(SHUFFLED).mean(axis=1)

    def rerun() -> Values:
        return paired(*(evidence.value(role, "loss.nll", conditions=("clean",)) for role in ("learner", "rerun"))).abs()

    times = log_times(SHUFFLED)
    if len(times) < 2:
        raise Missing("One initialisation cannot be crossed with anything: six seeds are needed.")
    table = Crossed.of(times.to_numpy(np.float64).T)
    spread, share = (Effect.between(table, each) for each in (table.spread, table.share))
    return Ruling(
        criteria=(Criterion("spread between schedules of log t99", CLAIM.unit, CLAIM.sesoi, "above", spread),),
        control=evidence.control(CLAIM.control, rerun, 0.0, "below"),
        unit="schedule",
        secondary=chain(
            [Secondary("share of the variance of log t99 that the schedule has", share)],
            evidence.secondary("log t99 of fixed orders minus shuffled ones", fixed, tested=True),
            evidence.secondary(MOMENT, moment, evidence, SHUFFLED),
        ),
    )
