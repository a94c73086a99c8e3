"""What each figure is called and how it is read: for the report, and for docs/figures.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """Words around a figure.

    Attributes:
        heading: what it is about.
        reading: how to read it, and what it does not show.
        source: the tables or files that it is drawn from.
    """

    heading: str
    reading: str
    source: str


PER_PAIR = ("pair", "concepts")
"""Figures that are drawn once per pair; all others once per pair and schedule."""

CAPTIONS: dict[str, Caption] = {
    "pair": Caption(
        "The two texts",
        "Each box is a segment with its first words, from top to bottom as in the text. A line joins a segment of the "
        "article with the segment of the meta-analysis that says the same; pale boxes have no counterpart. Crossing "
        "lines mean that the two texts tell things in a different order.",
        "tokens.parquet of the pair",
    ),
    "concepts": Caption(
        "What the two texts name",
        "Each mark is a word, phrase, name or number that recurs in the pair; its area is its PageRank, its colour and "
        "shape say in which text it stands. Coloured lines are relations that the texts tell in words; grey ones join "
        "what stands close in a sentence, for each concept the two strongest. Distances on the page mean little.",
        "tokens.parquet of the pair",
    ),
    "loss": Caption(
        "Loss on the four directions",
        "Lower is better; 0 means that every next token is certain. Cycle 0 is the network before the first cycle. "
        "Loss alone cannot tell reading from reciting: two lines that share a target and fall together (1→2 with 2→2, "
        "2→1 with 1→1) may do so without any use of the input. The pale lines are the steps between the marks, so an "
        "instability that no mark hit is seen there.",
        "tables/loss.parquet",
    ),
    "recall": Caption(
        "Recital, word for word",
        "How far greedy output runs without a single error when the first tokens of the target are given (how many, is "
        "said by the line), as a share of what is left of it. 100% is a complete recital. If the lines lie far apart, "
        "the network knows the text but not where it begins.",
        "tables/memorisation.parquet",
    ),
    "probes": Caption(
        "New texts and changed inputs",
        "Left: what texts cost that were never trained on, per byte, so that texts can be compared; a rising line "
        "means that general skill is being lost. Middle: by how much the loss on the true target rises when the input "
        "is blanked, shuffled or edited (its first tokens, which tell which text it is, always stay); near 0 means "
        "that the input is not used. Right: at the places where the input was edited and the target is the same text, "
        "does the answer follow the edit (copying), repeat the trained word (reciting) or neither?",
        "tables/probes.parquet",
    ),
    "reader": Caption(
        "Reading without training",
        "Only learners that carry a recurrent state from cycle to cycle. Left: by how much one more cycle changes the "
        "state, on two logarithmic axes; a straight fall is a power law, a plateau is a state that keeps moving, a "
        "line that ends early has come to rest. Middle: the loss of a pass against the first one, mean over the "
        "directions; below 0 the state helps. What a cycle does to the state depends on its order, so single cycles "
        "are pale and the line is their mean. Right, at every snapshot: by how much a small difference between two "
        "states that read the same cycles grows, per cycle, along the direction in which it grows most; below 0 the "
        "state forgets where it started, above 0 it amplifies it. In a network whose state is linear given the tokens, "
        "this says how its gates are set and is no finding about memory.",
        "tables/reader.parquet",
    ),
    "drift": Caption(
        "How far each layer has moved",
        "Each column of a map is a snapshot, each row a layer. The squared drift from cycle 0 is the sum of two parts: "
        "what one rotation of the whole space explains (nothing is lost by it: the points keep their places among each "
        "other), and the rest, a change of shape. The rotation is fitted on some tokens and judged on others that it "
        "has not seen; where it predicts worse than none, its share is below 0 and its part is drawn as 0. Both maps "
        "have one colour scale, so brightness can be compared across learners.",
        "tables/similarity.parquet",
    ),
    "trajectory": Caption(
        "Paths of the texts inside the network",
        "The mean state of each text in the last layer, in the plane of greatest variance of that learner, fitted once "
        "over all cycles: distances within a panel are true as far as the plane reaches (its share of the variance "
        "stands at the corner), distances between panels mean nothing. Targets have one path per direction; an input "
        "is read before the direction is known and has one path per text. Paths that end together have become one "
        "place in this plane.",
        "snapshots",
    ),
}
"""All figures, in the order in which the report shows them."""
