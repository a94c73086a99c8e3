from collections.abc import Callable

import numpy as np

from resonance.measures.sample import MOST_TOKENS, evenly, generator, trained


def test_long_texts_are_thinned_evenly() -> None:
    assert evenly(np.arange(7), 7).tolist() == list(range(7))
    kept = evenly(np.arange(1000), 10)
    assert kept.tolist() == [0, 111, 222, 333, 444, 555, 666, 777, 888, 999]


def test_generators_are_keyed() -> None:
    assert generator("a", 1).random() == generator("a", 1).random()
    assert generator("a", 1).random() != generator("a", 2).random()
    assert generator("a", 11).random() != generator("a1", 1).random()


def test_texts_in_their_directions_and_no_probe(synthetic: Callable) -> None:
    run = synthetic(cycles=(0,), length=MOST_TOKENS + 6, width=2, layers=1).write()
    tokens = run.snapshots.at(0).layer(0)
    found = list(trained(tokens))
    assert [(direction, side) for direction, side, _ in found] == [
        (direction, side) for direction in ("1>1", "1>2", "2>1", "2>2") for side in ("input", "target")
    ]
    for direction, side, places in found:
        own = tokens.take(places)
        assert len(own) == MOST_TOKENS
        assert set(own.direction) == {direction}
        assert set(own.side) == {side}
        assert (np.diff(own.position) > 0).all()
        assert own.position[-1] == MOST_TOKENS + 5
