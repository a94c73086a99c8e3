import numpy as np
import pytest

from resonance.measures.cka import alignment, centred_gram, debiased_cka, null_alignments


def song_hsic(k: np.ndarray, m: np.ndarray) -> float:
    """Song et al. 2012, eq. 5, as it is printed: traces and sums over kernels with zero diagonal."""
    n, one = len(k), np.ones(len(k))
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    middle = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ m) + middle - 2 / (n - 2) * one @ k @ m @ one) / (n * (n - 3))


def song_cka(x: np.ndarray, y: np.ndarray) -> float:
    k, m = x @ x.T, y @ y.T
    return song_hsic(k, m) / np.sqrt(song_hsic(k, k) * song_hsic(m, m))


def biased_cka(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    return float(np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


def draw(seed: int, n: int, d: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def test_parity_with_the_printed_formula() -> None:
    x = draw(0, 40, 7)
    y = x @ draw(1, 7, 5) + draw(2, 40, 5)
    assert debiased_cka(x, y) == pytest.approx(song_cka(x, y), abs=1e-12)
    assert 0.2 < debiased_cka(x, y) < 0.95


def test_of_itself_is_one_at_any_scale() -> None:
    x = draw(0, 50, 6)
    for scale in (1e-100, 1e-12, 1.0, 1e100):
        assert debiased_cka(x, scale * x) == pytest.approx(1, abs=1e-12)


def test_rotation_scale_and_shift_change_nothing() -> None:
    x, y = draw(0, 60, 8), draw(0, 60, 8) ** 3
    rotation = np.linalg.qr(draw(3, 8, 8))[0]
    assert debiased_cka(x, 3.5 * y @ rotation + 11) == pytest.approx(debiased_cka(x, y), abs=1e-12)


def test_other_linear_maps_change_it() -> None:
    x = draw(0, 60, 8)
    assert debiased_cka(x, x * 3.0 ** np.arange(8)) < 0.7


@pytest.mark.parametrize(("n", "bound"), [(300, 0.02), (600, 0.02), (64, 0.1)])
def test_unrelated_vectors_give_nothing_where_the_biased_form_sees_much(n: int, bound: float) -> None:
    """The spread of the null is about √2 / n: four of it at n = 64."""
    x, y = draw(1, n, 256), draw(2, n, 256)
    assert abs(debiased_cka(x, y)) < bound
    assert biased_cka(x, y) > 0.29


def test_no_bias_on_average() -> None:
    values = [debiased_cka(draw(2 * i, 64, 256), draw(2 * i + 1, 64, 256)) for i in range(60)]
    assert abs(np.mean(values)) < 0.012


def test_null_is_the_cka_of_reordered_tokens() -> None:
    x = draw(0, 30, 5)
    y = x + 0.5 * draw(1, 30, 5)
    order = np.random.default_rng(2).permutation(30)
    found = null_alignments(centred_gram(x), centred_gram(y), [np.arange(30), order])
    assert found == pytest.approx([debiased_cka(x, y), debiased_cka(x, y[order])], abs=1e-12)
    assert found[1] < 0.3 < found[0]


def test_what_does_not_vary_has_no_cka() -> None:
    assert np.isnan(debiased_cka(np.full((10, 3), 0.1), draw(0, 10, 3)))
    assert np.isnan(alignment(np.zeros((5, 5)), np.ones((5, 5))))


def test_rows_must_correspond_and_suffice() -> None:
    with pytest.raises(ValueError, match="same token"):
        debiased_cka(draw(0, 10, 3), draw(0, 9, 3))
    with pytest.raises(ValueError, match="at least 4"):
        debiased_cka(draw(0, 3, 3), draw(0, 3, 3))
