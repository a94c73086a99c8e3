import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from resonance.measures.procrustes import Fold, Split, candidates, centred, procrustes_rotation, split_drift


def draw(seed: int, n: int, d: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def turn(d: int, seed: int = 9) -> np.ndarray:
    return np.linalg.qr(draw(seed, d, d))[0]


def halves(n: int) -> list[Fold]:
    first, second = np.arange(n // 2), np.arange(n // 2, n)
    return [(first, second), (second, first)]


def split(before: np.ndarray, after: np.ndarray, fit: int) -> Split:
    return split_drift(before[:fit], after[:fit], before[fit:], after[fit:], halves(fit))


def test_rotation_is_found() -> None:
    x, q = draw(0, 200, 16), turn(16)
    assert procrustes_rotation(x, x @ q + 5) == pytest.approx(q, abs=1e-7)


def test_parity_with_scipy_on_noisy_data() -> None:
    x = draw(0, 80, 12)
    y = x @ turn(12) + 0.5 * draw(1, 80, 12)
    expected, _ = orthogonal_procrustes(centred(x), centred(y))
    found = procrustes_rotation(x, y)
    assert found == pytest.approx(expected, abs=1e-6)
    assert found @ found.T == pytest.approx(np.eye(12), abs=1e-12)


def test_directions_without_data_stay() -> None:
    basis, inside = turn(6, 4), np.eye(6)
    inside[:3, :3] = turn(3)
    x = np.pad(draw(0, 50, 3), ((0, 0), (0, 3)))
    q = procrustes_rotation(x @ basis, x @ inside @ basis)
    assert basis @ q @ basis.T == pytest.approx(inside, abs=1e-6)


@pytest.mark.parametrize("decay", [0.0, 1.0])
@pytest.mark.parametrize(("n", "d"), [(300, 64), (600, 128), (1800, 128)])
def test_a_planted_rotation_is_all_of_the_drift(n: int, d: int, decay: float) -> None:
    x = draw(0, n + 100, d) * np.arange(1, d + 1) ** -decay
    found = split(x, x @ turn(d), n)
    assert found.rotation_share > 0.999
    assert found.rest < 1e-3 * found.drift
    assert found.components == d


@pytest.mark.parametrize("size", [0.03, 0.3, 1.0])
@pytest.mark.parametrize("decay", [0.0, 1.0])
@pytest.mark.parametrize(("n", "d"), [(64, 64), (300, 256), (600, 256), (600, 128)])
def test_isotropic_noise_is_no_rotation(n: int, d: int, decay: float, size: float) -> None:
    x = draw(0, n + 100, d) * np.arange(1, d + 1) ** -decay
    found = split(x, x + size * x.std() * draw(1, n + 100, d), n)
    assert -0.03 < found.rotation_share < 0.02
    assert found.rest == pytest.approx(found.drift, rel=0.02)


def test_what_the_split_is_for_in_sample_and_naive_scores_mislead() -> None:
    """n = 600, D = 256: on its own tokens Procrustes 'explains' (D − 1)/2n = 21 % of noise, on others it adds more."""
    x, y = (z := draw(0, 1200, 256)), z + 0.3 * draw(1, 1200, 256)
    q = procrustes_rotation(x[:600], y[:600])

    def share(rows: slice) -> float:
        p, r = centred(x[rows]), centred(y[rows])
        return 1 - np.square(r - p @ q).sum() / np.square(r - p).sum()

    assert share(slice(600)) == pytest.approx(0.21, abs=0.03)
    assert share(slice(600, None)) < -0.15


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_a_mixture_gives_the_planted_share(decay: float) -> None:
    """The estimate lies below the truth by what noise costs a fit in all D dimensions: (D − 1)/2n of the rest."""
    x = draw(0, 2000, 64) * np.arange(1, 65) ** -decay
    turned = x @ turn(64)
    y = turned + 0.7 * x.std() * draw(1, 2000, 64)
    truth = 1 - np.square(centred(y - turned))[1500:].sum() / np.square(centred(y - x))[1500:].sum()
    assert 0.6 < truth < 0.9
    assert split(x, y, 1500).rotation_share == pytest.approx(truth, abs=0.02)


def test_a_rotation_of_a_few_components_is_found_in_noise() -> None:
    x = draw(0, 1000, 64) * np.where(np.arange(64) < 4, 3.0, 0.3)
    q = np.eye(64)
    q[:4, :4] = turn(4)
    y = x @ q + 0.3 * draw(1, 1000, 64)
    truth = 1 - np.square(centred(y - x @ q))[800:].sum() / np.square(centred(y - x))[800:].sum()
    found = split(x, y, 800)
    assert found.rotation_share == pytest.approx(truth, abs=0.02)
    assert found.components < 64


def test_scaling_is_rest() -> None:
    x = draw(0, 400, 32) * np.arange(1, 33) ** -0.5
    found = split(x, 1.5 * x, 300)
    assert found.drift == pytest.approx(0.5)
    assert found.rest == pytest.approx(0.5, rel=1e-3)
    assert (found.rotation_share, found.components) == (0, 0)


def test_new_directions_are_rest() -> None:
    x = np.pad(draw(0, 400, 20), ((0, 0), (0, 12)))
    new = np.pad(draw(1, 400, 12), ((0, 0), (20, 0)))
    assert abs(split(x, x + new, 300).rotation_share) < 0.03


def test_no_drift_has_no_share() -> None:
    x = draw(0, 100, 8)
    found = split(x, x.copy(), 80)
    assert (found.drift, found.rest) == (0, 0)
    assert np.isnan(found.rotation_share)


def test_a_shift_is_neither_rotation_nor_rest() -> None:
    x = draw(0, 100, 8)
    found = split(x, x + 2.0, 80)
    spread = np.sqrt(np.square(centred(x[80:])).sum(axis=1).mean())
    assert found.shift == pytest.approx(2 * np.sqrt(8) / spread)
    assert found.drift == pytest.approx(0, abs=1e-12)
    assert np.isnan(found.rotation_share)


def test_turning_what_did_not_turn_is_punished() -> None:
    x = draw(0, 400, 16)
    y = x @ turn(16)
    y[300:] = x[300:] + 0.1 * draw(1, 100, 16)
    assert split(x, y, 300).rotation_share < -10


def test_share_is_what_the_two_norms_say() -> None:
    x = draw(0, 400, 16)
    found = split(x, x @ turn(16) + draw(1, 400, 16), 300)
    assert found.rotation_share == pytest.approx(1 - (found.rest / found.drift) ** 2)


def test_candidates_run_from_nothing_to_all() -> None:
    assert candidates(128) == [0, 4, 8, 16, 32, 64, 128]
    assert candidates(6) == [0, 4, 6]
    assert candidates(2) == [0, 2]
