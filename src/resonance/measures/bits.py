"""Bits per byte: what a text costs, in a unit that does not depend on the tokenizer."""

from __future__ import annotations

from math import log

import pandas as pd


def bits_per_byte(rows: pd.DataFrame, size: int) -> float:
    """Σ nll / (ln 2 · bytes) over the tokens of a text.

    Args:
        rows: `window`, `position`, `nll` (nat) of one text at one cycle; the last position of each window is its end
            mark, which has no bytes and is left out.
        size: UTF-8 bytes of the text.
    """
    last = rows.groupby("window")["position"].transform("max")
    return float(rows["nll"][rows["position"] < last].sum()) / (log(2) * size)
