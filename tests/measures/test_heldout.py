import numpy as np

from resonance.measures.heldout import first_half, folds, parts
from resonance.measures.procrustes import split_drift
from resonance.measures.vectors import Tokens


def tokens(text: list[str], position: list[int], token: list[int], width: int = 2) -> Tokens:
    n = len(text)
    words = np.array(["1>1"] * n), np.array(["input"] * n)
    zeros = np.zeros(n, int)
    return Tokens(*words, np.array(text), zeros, np.array(position), np.array(token), zeros, np.zeros((n, width)))


def test_probes_judge_with_token_types_that_the_pair_lacks() -> None:
    token = [*range(30), *range(10, 50)]
    found = parts(tokens(["1"] * 30 + ["unrelated"] * 40, [*range(30), *range(40)], token))
    assert found is not None
    name, fit, judges = found
    assert name == "probes"
    assert np.flatnonzero(fit).tolist() == list(range(30))
    assert np.flatnonzero(judges).tolist() == list(range(50, 70))


def test_without_probes_the_second_half_judges() -> None:
    token = [*range(50), *range(5), *range(50, 95)]
    found = parts(tokens(["1"] * 100, [*range(100)], token))
    assert found is not None
    name, fit, judges = found
    assert name == "halves"
    assert np.flatnonzero(fit).tolist() == list(range(50))
    assert np.flatnonzero(judges).tolist() == list(range(55, 100))


def test_a_shuffled_text_is_not_held_out() -> None:
    found = parts(tokens(["1"] * 60 + ["shuffled-1"] * 60, [*range(60)] * 2, [*range(60), *range(59, -1, -1)]))
    assert found is not None
    assert found[0] == "halves"


def test_too_few_tokens_give_no_verdict() -> None:
    assert (
        parts(tokens(["1"] * 30 + ["unrelated"] * 19, [*range(30), *range(19)], [*range(30), *range(100, 119)])) is None
    )
    assert parts(tokens(["1"] * 60, [*range(60)], [0] * 60)) is None


def test_halves_are_of_each_text() -> None:
    assert first_half(tokens(["1", "1", "2", "2", "2"], [0, 1, 4, 5, 7], [0] * 5)).tolist() == [1, 0, 1, 1, 0]


def test_folds_validate_on_unseen_types() -> None:
    found = folds(tokens(["1"] * 6, [*range(6)], [1, 2, 3, 1, 4, 5]))
    assert [(fit.tolist(), judges.tolist()) for fit, judges in found] == [([0, 1, 2], [4, 5]), ([3, 4, 5], [1, 2])]


def test_noise_that_belongs_to_the_type_is_no_rotation() -> None:
    """Each of 60 types stands 20 times and drifts by its own fixed noise, as in an embedding: nothing to learn."""
    rng = np.random.default_rng(0)
    token = rng.integers(0, 60, 1200)
    embedding, drift = rng.standard_normal((2, 120, 32))
    fit = tokens(["1"] * 1200, [*range(1200)], token.tolist(), 32)
    x, y = embedding[token], (embedding + 0.3 * drift)[token]
    p, q = embedding[60:], (embedding + 0.3 * drift)[60:]
    every_type = [(np.arange(0, 1200, 2), np.arange(1, 1200, 2))]
    assert split_drift(x, y, p, q, every_type).rotation_share < -0.15
    # Two folds share all types here, so that neither may validate: the tokens are cut by type instead.
    assert folds(fit) == []
    by_type = [
        (np.flatnonzero(token < 30), np.flatnonzero(token >= 30)),
        (np.flatnonzero(token >= 30), np.flatnonzero(token < 30)),
    ]
    assert abs(split_drift(x, y, p, q, by_type).rotation_share) < 0.03
