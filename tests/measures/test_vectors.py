from collections.abc import Callable

import numpy as np
import pytest

from resonance.measures.vectors import Snapshots


def test_rows_come_in_the_same_order_at_every_cycle(synthetic: Callable) -> None:
    snapshots = synthetic(later=lambda v, cycle, rng: v + cycle).write().snapshots
    assert snapshots.cycles == (0, 1, 2, 4, 8)
    assert snapshots.layers == (0, 1)
    first, last = snapshots.at(0).layer(1), snapshots.at(8).layer(1)
    assert first.same_places(last)
    assert last.vectors - first.vectors == pytest.approx(8, abs=1e-5)
    assert first.vectors.dtype == np.float64


def test_a_selection_is_what_was_written(synthetic: Callable) -> None:
    run = synthetic(length=10, width=3)
    own = run.write().snapshots.at(0).layer(1).where(direction="2>1", side="target", text="1")
    place = run.places().index(("2>1", "target", "1"))
    written = np.random.default_rng([1]).standard_normal((len(run.places()) * 10, 3))[place * 10 : place * 10 + 10]
    assert own.vectors == pytest.approx(written, abs=1e-6)
    assert own.position.tolist() == list(range(10))
    assert own.token.tolist() == run.tokens("1").tolist()
    assert own.segment.tolist() == [0] * 6 + [1] * 4


def test_words_are_compared_as_words(synthetic: Callable) -> None:
    tokens = synthetic().write().snapshots.at(1).layer(0)
    assert len(tokens.where(direction="probe", text="unrelated")) == 60
    assert len(tokens.where(side="target")) == 240
    assert len(tokens.where(direction="nowhere")) == 0


def test_a_cycle_in_two_files_is_refused(synthetic: Callable) -> None:
    files = synthetic().write().snapshots_files
    with pytest.raises(ValueError, match="cycle 0"):
        Snapshots.of([files[0], files[0]])
