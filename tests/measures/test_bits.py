import math

import pandas as pd
import pytest

from resonance.measures.bits import bits_per_byte


def test_by_hand_over_two_windows_without_end_marks() -> None:
    rows = pd.DataFrame({"window": [0, 0, 0, 1, 1], "position": [0, 1, 2, 0, 1], "nll": [1.0, 2.0, 50.0, 3.0, 70.0]})
    assert bits_per_byte(rows, 12) == pytest.approx(6 / math.log(2) / 12)


def test_uniform_bytes_cost_eight_bits() -> None:
    rows = pd.DataFrame({"window": 0, "position": range(11), "nll": math.log(256)})
    assert bits_per_byte(rows, 10) == pytest.approx(8)
