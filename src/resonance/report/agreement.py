"""What a network says beside what it should say: which stretches agree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

WORD = re.compile(r"\s+|\w+|[^\w\s]")
"""Blanks, words, single signs: joined again they give the text back."""


@dataclass(frozen=True)
class Stretch:
    """Neighbouring words of one text that all agree with the other text, or all do not."""

    text: str
    agrees: bool


@dataclass(frozen=True)
class Agreement:
    """Two texts side by side.

    Attributes:
        output: what the network said, cut into stretches, its line breaks and other invisible characters as signs.
        reference: what it should have said, cut in the same way.
        exact: characters, from the start, up to the first difference.
        share: of the reference's words (blanks not counted), how many stand in the output in the same order.
    """

    output: tuple[Stretch, ...]
    reference: tuple[Stretch, ...]
    exact: int
    share: float


VISIBLE: dict[int, int | str] = {
    **{code: 0x2400 + code for code in range(32)},
    0x7F: "␡",
    ord("\n"): "↵",
    ord("\t"): "⇥",
}
"""What stands for characters that cannot be seen: a network that says sixty line breaks must not fill a page."""


def agreement(output: str, reference: str) -> Agreement:
    """Align two texts word by word (longest matching blocks, Ratcliff and Obershelp, as in difflib)."""
    said, wanted = WORD.findall(output), WORD.findall(reference)
    blocks = SequenceMatcher(None, said, wanted, autojunk=False).get_matching_blocks()
    in_output = {place for block in blocks for place in range(block.a, block.a + block.size)}
    in_reference = {place for block in blocks for place in range(block.b, block.b + block.size)}
    words = [place for place, word in enumerate(wanted) if not word.isspace()]
    exact = next((i for i, (a, b) in enumerate(zip(output, reference, strict=False)) if a != b), None)
    return Agreement(
        output=_stretches(said, in_output),
        reference=_stretches(wanted, in_reference),
        exact=min(len(output), len(reference)) if exact is None else exact,
        share=sum(place in in_reference for place in words) / len(words) if words else float(output == reference),
    )


def _stretches(words: list[str], agreeing: set[int]) -> tuple[Stretch, ...]:
    """Join neighbours of one kind. A lone blank that happens to match says nothing, so it does not agree."""
    found: list[Stretch] = []
    for place, word in enumerate(words):
        lone = word.isspace() and not {place - 1, place + 1} & agreeing
        agrees = place in agreeing and not lone
        if found and found[-1].agrees == agrees:
            found[-1] = Stretch(found[-1].text + word, agrees)
        else:
            found.append(Stretch(word, agrees))
    return tuple(Stretch(stretch.text.translate(VISIBLE), stretch.agrees) for stretch in found)
