"""C6: which forms correspond?

Five learners, from each of which another fifth of the links was hidden: never shown from one text to the other, though
every clause was seen in 1>1 and 2>2. Behind a clause of the one text, does the learner expect its hidden counterpart?
Its rank must beat the best of all that needs no such learning: common words (BM25), place in the text, the same network
untrained, and one that was trained on an unrelated second text. The best of them is taken in each unit anew, which is
against the claim. (Alignment by common words would judge itself.)
"""

from __future__ import annotations

from itertools import chain

import pandas as pd

from resonance.claims.claim import CROSS, Claim, Role
from resonance.claims.effect import Criterion
from resonance.claims.evidence import END, START, Evidence, Moment, Unidentifiable, Values, paired
from resonance.claims.layers import between_layers
from resonance.claims.verdict import Ruling

FOLDS = tuple(f"hidden-{fold}" for fold in range(5))
CLAIM = Claim(
    id="C6",
    name="correspondence",
    title="The model learns not the text but which forms correspond, and the links between layers",
    endpoint="mean reciprocal rank of clauses whose link was hidden, by likelihood, over five folds, at the end",
    unit="MRR",
    contrast="against the best of BM25, place in the text, the untrained network and a run on an unrelated second text",
    sesoi=0.1,
    direction="above",
    roles={fold: Role(fold) for fold in FOLDS} | {"unrelated": Role("unrelated", "control")},
    control="the links are there to be found: BM25 finds the hidden ones, by at least 0.1 more than shifted ones",
    traps=(
        "Links that were shown are recited, not understood: only hidden ones count.",
        "Both texts run from start to end: place alone finds links.",
        "Links between layers are another question: patching of activations answers it, and its numbers stand beside.",
    ),
    would_change="a gain of less than 0.1 over common words and place, with 30 hidden links or more",
    figure="correspondence",
)


def judge(evidence: Evidence) -> Ruling:
    """The gain over the best baseline; what each baseline reaches beside it."""

    hidden = {fold: evidence.value(fold, "matching.hidden", directions=CROSS) for fold in FOLDS}
    if (links := sum(each.min() for each in hidden.values())) < 30:
        raise Unidentifiable(f"The pair has {links:.0f} links that were hidden in turn; 30 are needed.")

    def over_folds(measure: str, at: Moment = END) -> Values:
        """Mean over the hidden links of all folds: each fold counts by its links."""
        found = {fold: evidence.value(fold, f"matching.{measure}", at, directions=CROSS) for fold in FOLDS}
        return (pd.DataFrame(found) * pd.DataFrame(hidden)).sum(axis=1) / pd.DataFrame(hidden).sum(axis=1)

    found, chance = over_folds("mrr_hidden"), over_folds("mrr_likelihood_null")
    baselines = {
        "common words (BM25)": over_folds("mrr_hidden_lexical"),
        "place in the text": over_folds("mrr_hidden_position"),
        "the untrained network": over_folds("mrr_hidden", START),
        "an unrelated second text": evidence.value("unrelated", "matching.mrr_likelihood", directions=CROSS),
    }
    beyond = paired(found, pd.DataFrame(baselines).max(axis=1))
    return Ruling(
        criteria=(Criterion.above(CLAIM.sesoi, beyond, "hidden links beyond the best baseline", CLAIM.unit),),
        control=evidence.control(CLAIM.control, lambda: over_folds("mrr_hidden_lexical") - chance, 0.1),
        secondary=chain(
            evidence.secondary("hidden links beyond shifted ones", lambda: found - chance, tested=True),
            evidence.secondary("hidden links", lambda: found),
            *(evidence.secondary(f"the same by {name}", baselines.__getitem__, name) for name in baselines),
            between_layers(evidence, FOLDS),
        ),
    )
