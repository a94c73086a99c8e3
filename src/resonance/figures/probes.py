"""What is beyond recitation: texts that were never trained on, and inputs that were tampered with."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from resonance.figures.cycles import LABEL, cycle_axis
from resonance.figures.notice import notice
from resonance.figures.rows import Tables, describe, draw_seeds, learners, rows
from resonance.figures.sheet import Group, sheet
from resonance.figures.style import GREEN, Mark, BLACK, BLUE, ORANGE, PURPLE, SKY, SMALL, GREY, VERMILLION, styled

SOLID, DASHED, DOTTED, MIXED = "-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (4, 1.5, 1, 1.5))

COLUMNS: tuple[tuple[str, str, str, dict[str, Mark]], ...] = (
    (
        "probes",
        "bits_per_byte",
        "probe as target (bits/byte)",
        {
            "target:paraphrase": Mark(BLUE, SOLID, "o", "paraphrase"),
            "target:unrelated": Mark(ORANGE, DASHED, "s", "unrelated text"),
            "target:shuffled": Mark(GREY, DOTTED, "^", "shuffled target"),
        },
    ),
    (
        "probes",
        "delta_nll",
        "loss added by the input (nat/token)",
        {
            "input:blank": Mark(BLACK, SOLID, "o", "blank input"),
            "input:shuffled": Mark(SKY, DASHED, "s", "shuffled input"),
            "input:edited": Mark(VERMILLION, DOTTED, "^", "edited input"),
        },
    ),
    (
        "probes",
        "answer_share",
        "answers at edited places (share)",
        {
            "store": Mark(PURPLE, SOLID, "o", "recites the trained word"),
            "follow": Mark(GREEN, DASHED, "s", "follows the edited word"),
            "other": Mark(GREY, DOTTED, "^", "says another word"),
        },
    ),
)
