"""Exponents and spectral radii of maps whose own are known."""

from __future__ import annotations

import math

import pytest
import torch
from snapshots.transitions import radius, transitions
from torch import Tensor

from resonance.networks.rwkv7 import RWKV7
from resonance.params import RWKV7 as Settings
from resonance.snapshots import lyapunov
from resonance.snapshots.lyapunov import leading, log_growth, orthonormal, product
from resonance.snapshots.stability import packed, unpacked
from resonance.snapshots.tangents import Map, Method, push

METHODS = pytest.mark.parametrize("method", ["jvp", "differences"])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def exponents(F: Map, s: Tensor, k: int, warm: int, counted: int, method: Method = "jvp") -> list[float]:
    growth = log_growth([F] * (warm + counted), s, orthonormal(len(s), k, seeded()), method)
    mean: list[float] = growth[warm:].mean(0).tolist()
    return mean


def with_eigenvalues(*blocks: Tensor, seed: int = 0) -> Tensor:
    """A matrix that is not normal, with the eigenvalues of these blocks."""
    T = random(sum(map(len, blocks)), sum(map(len, blocks)), seed=seed)
    return T @ torch.block_diag(*blocks) @ torch.linalg.inv(T)


def real(*values: float) -> Tensor:
    return torch.diag(torch.tensor(values, dtype=torch.float64))


def turning(modulus: float, angle: float) -> Tensor:
    """Eigenvalues modulus · e^{± i angle}."""
    sine, cosine = math.sin(angle), math.cos(angle)
    return modulus * torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64)


@METHODS
def test_the_logistic_map_at_4(method: Method) -> None:
    (found,) = exponents(lambda s: 4 * s * (1 - s), torch.tensor([0.3], dtype=torch.float64), 1, 100, 1000, method)
    assert found == pytest.approx(math.log(2), rel=0.01)


def henon(s: Tensor) -> Tensor:
    return torch.stack([1 - 1.4 * s[0] ** 2 + s[1], 0.3 * s[0]])


def by_hand(warm: int, counted: int) -> float:
    """The mean growth of a tangent of the map of Hénon, in a loop over numbers."""
    x, y, u, v, total = 0.0, 0.0, 1.0, 0.0, 0.0
    for step in range(warm + counted):
        x, y, u, v = 1 - 1.4 * x * x + y, 0.3 * x, -2.8 * x * u + v, 0.3 * u
        length = math.hypot(u, v)
        u, v = u / length, v / length
        total += math.log(length) if step >= warm else 0
    return total / counted


@METHODS
def test_the_map_of_henon(method: Method) -> None:
    """The same numbers as a loop that finds the known 0.419 in 200,000 steps; here so few that chaos cannot part them.

    The exponents sum to log b: every step leaves so much of an area.
    """
    assert by_hand(100, 200_000) == pytest.approx(0.419, rel=0.01)
    bound = 1e-8 if method == "jvp" else 1e-5
    start = torch.zeros(2, dtype=torch.float64)
    first, second = exponents(henon, start, 2, 20, 20, method)
    assert first == pytest.approx(by_hand(20, 20), abs=bound)
    assert first + second == pytest.approx(math.log(0.3), abs=bound)
    assert exponents(henon, start, 1, 100, 1000, method) == pytest.approx([0.419], rel=0.05)


def test_a_linear_map_has_the_logarithms_of_its_eigenvalues() -> None:
    A = with_eigenvalues(real(1.2, 0.5, -0.3, 0.1))
    found = exponents(lambda s: A @ s, random(4), 3, 60, 40)
    assert found == pytest.approx([math.log(1.2), math.log(0.5), math.log(0.3)], abs=1e-6)


def test_a_complex_pair_has_one_exponent_twice() -> None:
    """Over whole turns of the pair: within one, the growth of each column depends on the angle."""
    A = with_eigenvalues(turning(0.9, 2 * math.pi / 10), real(0.3, 0.2))
    found = exponents(lambda s: A @ s, random(4), 2, 50, 40)
    assert found == pytest.approx([math.log(0.9)] * 2, abs=1e-6)


def test_maps_follow_one_another() -> None:
    """Two maps by turns: the exponents of two steps are those of their product, also of maps to more numbers."""
    up = random(6, 3, seed=1)
    down = with_eigenvalues(real(2.0, 0.5, 0.1)) @ torch.linalg.pinv(up)
    maps = [lambda s: up @ s, lambda s: down @ s] * 30
    growth = log_growth(maps, random(3), orthonormal(3, 3, seeded())).unflatten(0, (-1, 2)).sum(1)
    assert growth[15:].mean(0).tolist() == pytest.approx([math.log(2), math.log(0.5), math.log(0.1)], abs=1e-6)


def test_growth_that_cannot_be_told_from_rounding_is_nan() -> None:
    """float32 knows columns to some 1e-7: a second exponent 20 nats below the first is the first one's rounding."""
    A = torch.diag(torch.tensor([1.0, 2e-9]))
    first, second = log_growth([lambda s: A @ s] * 3, torch.ones(2), orthonormal(2, 2, seeded()))[-1].tolist()
    assert first == pytest.approx(0, abs=1e-5)
    assert math.isnan(second)
    assert log_growth([lambda s: 1e-39 * s], torch.ones(2), orthonormal(2, 2, seeded())).isnan().all()
    assert not log_growth([lambda s: 1e-37 * s], torch.ones(2), orthonormal(2, 2, seeded())).isnan().any()


def test_tangents_are_no_more_than_there_are_directions() -> None:
    assert orthonormal(1, 2, seeded()).shape == (1, 1)


@METHODS
@pytest.mark.parametrize(
    ("blocks", "known"),
    [
        ([real(0.8, 0.5, 0.2, 0.1, 0.05)], 0.8),
        ([real(-1.5, 1.2, 0.3)], 1.5),
        ([real(0.7, -0.7, 0.2, 0.1)], 0.7),
        ([turning(0.9, 0.7), real(0.6, 0.5, 0.1)], 0.9),
        ([turning(0.9, 0.7), turning(0.9, 1.9), turning(0.3, 0.1)], 0.9),
        ([torch.tensor([[0.6, 5.0], [0.0, 0.6]], dtype=torch.float64), real(0.1, 0.2)], 0.6),
        ([real(*[0.5] * 4, *[0.25] * 4)], 0.5),
        ([real(3.0)], 3.0),
    ],
    ids=["real", "negative", "plus and minus", "a pair", "two pairs", "a Jordan block", "many equal ones", "a number"],
)
def test_spectral_radius_of_known_matrices(blocks: list[Tensor], known: float, method: Method) -> None:
    """Of at most eight dimensions: the space that is searched becomes all there is, and the answer exact."""
    A = with_eigenvalues(*blocks)
    n = len(A)
    for k in (1, 2):
        found = leading([lambda s: A @ s], random(n, seed=3), orthonormal(n, k, seeded()), method)
        assert found.found
        assert found.radius == pytest.approx(known, rel=0.02)


def test_spectral_radius_of_a_large_matrix_in_few_products() -> None:
    """Eigenvalues 0.8^i: QR iteration on two columns needs a dozen products for 1 % here."""
    A = with_eigenvalues(real(*(0.8**i for i in range(200))))
    found = leading([lambda s: A @ s], random(200, seed=3), orthonormal(200, 2, seeded()))
    assert found.found
    assert found.products <= 12
    assert found.radius == pytest.approx(1, rel=0.01)


def test_what_was_not_found_says_so() -> None:
    """A rotation of all space has no direction that leads."""
    A = torch.linalg.qr(random(100, 100)).Q
    found = leading([lambda s: A @ s], random(100, seed=3), orthonormal(100, 2, seeded()), products=5)
    assert not found.found
    assert found.products == 5


def test_leading_tangents_are_those_that_grow_most() -> None:
    """No turn needed: the exponents are right from the first map on, of two equal ones and of a pair."""
    for blocks, expected in (
        ([real(*[0.9] * 3, *(0.7**i / 2 for i in range(30)))], [0.9, 0.9]),
        ([real(*(0.7**i for i in range(30)))], [1, 0.7]),
        ([turning(0.9, 2 * math.pi / 8), real(*(0.7**i / 2 for i in range(30)))], [0.9, 0.9]),
    ):
        A = with_eigenvalues(*blocks)
        found = leading([lambda s, A=A: A @ s], random(len(A), seed=3), orthonormal(len(A), 2, seeded()))
        growth = log_growth([lambda s, A=A: A @ s] * 8, random(len(A)), found.Q)
        torch.testing.assert_close(found.Q.T @ found.Q, torch.eye(2, dtype=torch.float64))
        assert growth.mean(0).exp().tolist() == pytest.approx(expected, rel=0.03)


def test_a_map_to_one_point_has_radius_0() -> None:
    found = leading([lambda s: 0 * s], torch.ones(5), orthonormal(5, 2, seeded()))
    assert (found.radius, found.found) == (0, True)


def test_a_product_that_is_not_finite_is_no_radius() -> None:
    found = leading([lambda s: s / 0], torch.ones(5), orthonormal(5, 2, seeded()))
    assert math.isnan(found.radius)
    assert not found.found


def test_each_map_of_a_cycle_has_the_whole_range_of_a_precision() -> None:
    """1e-120 in all, which float32 does not hold."""
    Q = orthonormal(3, 2, seeded())
    torch.testing.assert_close(
        product([lambda s: 1e-30 * s] * 4, torch.ones(3), Q), 1e-120 * Q, rtol=1e-6, atol=0, check_dtype=True
    )


class Reading:
    """A tiny RWKV-7, in double precision, that reads 24 tokens from a state of 1,152 numbers."""

    def __init__(self) -> None:
        settings = Settings(width=32, layers=2, head_size=16, chunk=8)
        self.network = RWKV7(settings, 50, seeded()).double()
        with torch.no_grad():
            for number, parameter in enumerate(self.network.parameters()):
                parameter += 0.2 * random(*parameter.shape, seed=number)
        self.tokens_BT = torch.randint(50, (1, 24), generator=seeded(1))
        state = self.network(self.tokens_BT).state
        assert state is not None
        self.like = state
        self.s = packed(state).detach()

    @torch.no_grad()
    def __call__(self, s: Tensor) -> Tensor:
        output = self.network(self.tokens_BT, unpacked(s, self.like))
        assert output.state is not None
        return packed(output.state)


@pytest.fixture(scope="module")
def reading() -> Reading:
    return Reading()


def test_jvp_through_rwkv7_is_what_differences_say(reading: Reading) -> None:
    Q = orthonormal(len(reading.s), 3, seeded(2))
    _, exact = push(reading, reading.s, Q)
    _, rough = push(reading, reading.s, Q, "differences")
    torch.testing.assert_close(exact, rough, rtol=0, atol=1e-6 * float(exact.norm()))


def test_the_radius_of_rwkv7_is_that_of_its_transitions(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the tokens, a layer's matrix is multiplied by fixed transitions, and what lies below does not read it: the
    Jacobian is triangular in the layers, and its eigenvalues are those of the products, whatever the network learned.
    """
    products = transitions(monkeypatch, 2, lambda: reading(reading.s))
    assert [len(A) for A in products] == [2, 2]
    expected = radius(products)
    Q = orthonormal(len(reading.s), 2, seeded(2))
    assert leading([reading], reading.s, Q).radius == pytest.approx(expected, rel=0.02)
    monkeypatch.setattr(lyapunov, "TOLERANCE", 1e-6)
    assert leading([reading], reading.s, Q, products=60).radius == pytest.approx(expected, rel=1e-5)


def test_the_matrix_of_the_first_layer_is_affine_in_itself(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """S → S A + B: a change of S goes through A, whatever its size."""
    first = transitions(monkeypatch, 2, lambda: reading(reading.s))[0]
    name = "blocks.0.att.matrix"
    change = random(*reading.like[name].shape, seed=5)
    moved = {**reading.like, name: reading.like[name] + 10 * change}
    with torch.no_grad():
        before = reading.network(reading.tokens_BT, reading.like).state[name]
        after = reading.network(reading.tokens_BT, moved).state[name]
    torch.testing.assert_close((after - before)[0], 10 * change[0] @ first, rtol=1e-9, atol=1e-9)
