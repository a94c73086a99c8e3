"""A target without meaning, the words of the second text in another order, is learned by heart as well."""

from __future__ import annotations

from statistics import median

from phenomena import pair
from phenomena.phenomenon import Found, Measures, Phenomenon, told
from resonance.training.step import Trainer

DIRECTIONS = ["1>1", "1>2", "2>1", "2>2"]
TO_SECOND = ("1>2", "2>2")


def run(cycles: int = 150, characters: int = 240, width: int = 64, seeds: int = 2) -> Measures:
    """A small fresh transformer on the beginning of the pair, as it is written and with text 2 shuffled."""
    times: dict[str, list[int | None]] = {
        shown: [t99(shown, seed, cycles, characters, width) for seed in range(seeds)]
        for shown in ("as-written", "shuffled-meta")
    }
    written, mixed = (middle(times[shown]) for shown in ("as-written", "shuffled-meta"))
    return {
        "t99 of text 2 as it is written, median of the seeds": told(written, "cycles"),
        "t99 of text 2 with its words shuffled": Found(
            expected="reached as well", measured=mixed, holds=mixed is not None
        ),
        "ratio of both": Found(
            expected="> 1: more slowly",
            measured=mixed / written if written and mixed else None,
            holds=bool(written and mixed and mixed > written),
        ),
    }


def middle(times: list[int | None]) -> float | None:
    """The median, where 99 % was reached by all."""
    reached = [time for time in times if time is not None]
    return float(median(reached)) if len(reached) == len(times) else None


def t99(shown: str, seed: int, cycles: int, characters: int, width: int) -> int | None:
    """First cycle in which 99 % of the tokens of text 2 are the likeliest ones, before the updates; None: never."""
    tokens = pair.tokens("spacing", characters)
    learner = pair.learner(tokens, seed, width, shown=shown)
    batches, trainer = pair.batches(tokens, learner.settings), Trainer(learner)
    for cycle in range(1, cycles + 1):
        names, values = trainer.cycle(cycle, [batches[direction] for direction in DIRECTIONS])
        accuracy = values[:, names.index("accuracy")]
        if min(float(accuracy[DIRECTIONS.index(direction)]) for direction in TO_SECOND) >= 0.99:
            return cycle
    return None


PHENOMENON = Phenomenon(
    title="Random targets",
    source="Zhang et al. 2016, arXiv 1611.03530: networks fit random labels as well, more slowly",
    checked=(
        "Read: an overview of the paper, which is about labels of images (1.5 to 3.5 times as many steps). That "
        "it carries over to texts is this project's expectation, no source was found."
    ),
    setup=(
        "The first 240 characters of both texts of `spacing`, a fresh transformer of width 64 with 2 layers, "
        "default optimizer. t99 is the first cycle in which 99 % of the tokens of text 2 are the likeliest ones, "
        "from either input, before the updates. `shown: shuffled-meta` is the control of the study. Two seeds: "
        "enough to see that both are learned, not to trust a ratio near 1."
    ),
    holds=(
        "Words without order are known by heart too. So verbatim recall is no sign of understanding; how much "
        "sooner the real text is known could be one at best, and with a ratio near 1 and so few seeds not even "
        "its sign is established. Claims about meaning need probes that were never trained on. A base that has "
        "read prose may differ; that was not run here."
    ),
    fails=(
        "From fresh weights and without prose before, the order of the words did not make the real text faster to "
        "learn by heart. So recall, and even the time until recall, says nothing of meaning in a learner that "
        "starts from nothing; claims about meaning need probes that were never trained on. A base that has read "
        "prose may differ; that was not run here."
    ),
    run=run,
)
