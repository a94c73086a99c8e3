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


TEXTS = ("pair", "concepts")
"""Figures of the two texts."""
ACROSS = ("permutations", "depth")
"""Figures that compare the schedules of a pair."""
PER_PAIR = (*TEXTS, *ACROSS)
"""Figures that are drawn once per pair."""
PER_STUDY = ("verdicts",)
"""Figures that are drawn once."""

CAPTIONS: dict[str, Caption] = {
    "verdicts": Caption(
        "The claims at a glance",
        "One row per claim. The point is the effect of its first criterion, divided by the smallest effect that would "
        "matter for this claim (SESOI), so that all claims have one axis: at 0 nothing was found, from 1 on it "
        "matters, and the green side is that of the claim. The line is the 95 % interval over the units; without a "
        "line there are too few of them. An arrow lies beyond the axis. A claim can be refuted only where its positive "
        "control passed, since only then would the effect have been seen.",
        "verdicts.json",
    ),
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
    "permutations": Caption(
        "Do the permutations matter?",
        "One panel per learner that was run on several schedules, one line per seed: after how many cycles 99% of the "
        "target tokens are the most likely ones before the update, mean of the four directions. Level lines: the "
        "schedule does not matter. Lines that rise and fall together: it does, whatever the seed. Lines that cross: "
        "the seed decides. An open mark at the top is a run that did not get there. What is seen is a spread; whether "
        "it is more than chance is said by claim C12.",
        "tables/loss.parquet",
    ),
    "depth": Caption(
        "Depth of the interweaving, or data?",
        "What a paraphrase that was never trained on costs at the end of a run, per byte, lower is better. Left, "
        "against the number of cycles for which one direction is trained in a row: a line that rises says that finer "
        "interweaving helps. Right, against the number of versions of the pair: a line that falls says that data help. "
        "Both have the same vertical axis, so the slopes can be compared, per doubling of the dose.",
        "tables/probes.parquet",
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
    "understanding": Caption(
        "Recitation against understanding",
        "A path through the snapshots of each learner. Left: the further right, the more of the targets is known by "
        "heart; the further up, the more a paraphrase of the target costs against cycle 0. A path that falls while it "
        "goes right learns something that serves other words; one that rises recites and forgets, or grows too sure of "
        "itself. Right: at the places where the input was edited, to the right the answer is the trained word, upwards "
        "the edited one; what is missing to 100% is neither. A reciter ends at the lower right, a copier at the upper "
        "left.",
        "tables/memorisation.parquet, tables/probes.parquet",
    ),
    "reliability": Caption(
        "As right as it is sure?",
        "Predictions in bins of their largest probability, against the share of them that are right. On the diagonal "
        "both are equal; below it the network is too sure, above it not sure enough. The area of a mark is the share "
        "of the tokens that are in its bin: a small mark away from the diagonal is a few tokens. Known targets (left) "
        "are right whatever is believed, so calibration is to be read on texts that were never trained on (right).",
        "tables/confidence.parquet, tables/memorisation.parquet",
    ),
    "dose": Caption(
        "Dose and response",
        "The same six endpoints for all learners in one panel each, over cycles: what is known, what is recited where "
        "the input says otherwise, how often a name or number that was exchanged in the input is followed into the "
        "other text (an untrained network: half of the time), what new texts cost, and how wrong the confidence on "
        "them is. Points are seeds; the band, from four seeds on, is the 95 % interval of their mean at that cycle, by "
        "Student's t. It speaks of seeds of this pair and recipe, and of one cycle at a time.",
        "tables/loss.parquet, tables/probes.parquet, tables/anchors.parquet, tables/confidence.parquet",
    ),
    "critic": Caption(
        "Do heads know where their network errs?",
        "The chance that a wrong token is rated worse than a right one, among the tokens of the learner's own greedy "
        "output; ½ is guessing. A head says something only as far as its line lies above those that need no head. "
        "The gain at the corner is what remains beyond the place in the text and the network's own confidence, at "
        "marks after those that were fitted. Points end where too few tokens are wrong to say anything.",
        "tables/critics.parquet",
    ),
    "interference": Caption(
        "What a step on one direction does to the others",
        "Each row is one more step of the learner's own optimizer on that direction, each column the loss of a "
        "direction: how much it changes, per gain of the step's own direction. Blue helps, red harms, and a number "
        "beyond the colours is still printed. The grey diagonal is the change of the own loss itself; where it is tiny "
        "the numbers of its row mean nothing. What a step without any gradient does, by momentum, is subtracted from "
        "all of them. With many learners only the last chunk edge, or the first and the last, is drawn.",
        "tables/transfer.parquet",
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
    "geometry": Caption(
        "How many dimensions the states fill",
        "Three measures of the same thing for the states of the targets, layer by layer, from the dark embedding to "
        "the light last layer: the participation ratio and RankMe count directions with much variance, two nearest "
        "neighbours the dimensions at the finest scale. They differ in what they count, so their heights cannot be "
        "compared, and all of them are bounded by the number of tokens. A fall says that states come to lie in fewer "
        "dimensions, not that something was understood.",
        "tables/geometry.parquet",
    ),
    "between": Caption(
        "How alike the learners are",
        "Each learner against each: debiased CKA of the states of the same target tokens, last layer against last "
        "layer, mean of the four directions. Above the diagonal the end, below it cycle 0, on it the same learner with "
        "another seed; 1 is the same up to rotation, scale and shift, 0 is chance. Learners that are alike at the end "
        "stand together. Learners that start from one base are at 1 in cycle 0, so it is the fall from there that says "
        "something. A few directions of large variance may decide the number, and likeness of states is not likeness "
        "of what is said.",
        "tables/between.parquet",
    ),
    "correspondence": Caption(
        "Which forms correspond",
        "A segment is looked up among all segments of another text, or of the same text in another role; 1 means that "
        "the right one always comes first. The level line is what common words find without any network, the grey band "
        "what the states find when the segments of one text are shifted: only what lies above both, and above cycle 0, "
        "was learned. The same segment in two roles has the same words, so an untrained network already has nearly 1.",
        "tables/correspondence.parquet, tables/matching.parquet",
    ),
    "links": Caption(
        "Links between layers",
        "Text 1 and text 2 only. The input's words come in another order, and then the clean hidden states of one"
        " clause are put back behind one layer: what share of the loss on a target clause goes away? The blue "
        "line is the clause that says the same, the dashed one all clauses that do not, the dotted one the same "
        "clause with other places put back. Only blue above the grey band says that the clause was read through "
        "its own place in that layer; blue at the level of the others says that the input matters as a whole, not"
        " clause by clause. What lies in the same place of both texts is found by place too. Learners that lose "
        "nothing by a shuffled input recite, and have no panel.",
        "tables/patching.parquet",
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

PER_RUNS = tuple(kind for kind in CAPTIONS if kind not in PER_PAIR + PER_STUDY)
"""Figures that are drawn once per pair and schedule."""
