from __future__ import annotations

import numpy as np
import pytest

from resonance.text.counterfactual import blank, edited, shuffled

IDS = np.random.default_rng(1).zipf(1.5, size=200).clip(max=60).astype(np.int64)
IDS.flags.writeable = False


def test_blank_keeps_the_start() -> None:
    new = blank(IDS, 16, 99)
    assert np.array_equal(new[:16], IDS[:16])
    assert set(new[16:]) == {99}
    assert len(new) == len(IDS)


def test_shuffled_keeps_the_start_and_the_tokens() -> None:
    new = shuffled(IDS, 16, 3)
    assert np.array_equal(new[:16], IDS[:16])
    assert not np.array_equal(new, IDS)
    assert np.array_equal(np.sort(new), np.sort(IDS))
    assert np.array_equal(new, shuffled(IDS, 16, 3))
    assert not np.array_equal(new, shuffled(IDS, 16, 4))


@pytest.mark.parametrize("seed", range(10))
def test_edits_are_isolated_and_leave_the_start(seed: int) -> None:
    new, sites = edited(IDS, 16, 32, seed)
    assert len(sites) == 32
    assert sites.min() >= 16
    assert np.diff(sites).min() >= 2
    assert np.array_equal(np.flatnonzero(new != IDS), sites)
    assert set(new) <= set(IDS)


def test_edits_are_as_frequent_as_what_they_replace() -> None:
    ids = np.repeat(np.arange(20), [1] * 10 + [5] * 10)
    new, sites = edited(ids, 0, 20, 0)
    assert all((ids[site] < 10) == (new[site] < 10) for site in sites)
    drawn = {int(new[site]) for seed in range(20) for new, sites in [edited(ids, 0, 20, seed)] for site in sites}
    assert len(drawn) == 20  # drawn among equals, not always the same


def test_edits_are_deterministic_and_differ_between_seeds() -> None:
    first, again, other = (edited(IDS, 16, 32, seed) for seed in (5, 5, 6))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


def test_all_sites_are_equally_likely() -> None:
    counts = np.zeros(10)
    for seed in range(3000):
        counts[edited(np.arange(10), 4, 2, seed)[1]] += 1
    # of the ten ways to choose two of six that do not touch, the outer places are in four, the inner ones in three
    assert counts[:4].sum() == 0
    assert counts[4:] / 3000 == pytest.approx([0.4, 0.3, 0.3, 0.3, 0.3, 0.4], abs=0.04)


@pytest.mark.parametrize(("length", "sites"), [(0, 0), (16, 0), (17, 1), (18, 1), (19, 2), (26, 5)])
def test_short_texts_have_fewer_edits(length: int, sites: int) -> None:
    new, found = edited(np.arange(length), 16, 32, 0)
    assert len(found) == sites
    assert len(new) == length
    assert len(shuffled(np.arange(length), 16, 0)) == length
    assert len(blank(np.arange(length), 16, 0)) == length


def test_a_text_of_one_word_has_no_edits() -> None:
    new, sites = edited(np.zeros(50, dtype=np.int64), 0, 5, 0)
    assert len(sites) == 0
    assert set(new) == {0}
