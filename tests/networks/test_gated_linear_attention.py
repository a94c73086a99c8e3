"""The chunked rule is the recurrence, whatever the gates; both are the reference of fla; its kernel is never silent."""

from __future__ import annotations

import importlib.util
import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from resonance.errors import UserError
from resonance.networks import gated_linear_attention as rule
from resonance.networks.gated_linear_attention import chunked, fla_kernel, gated_linear_attention, recurrent

MAKER = Path(__file__).with_name("golden") / "make_gla.py"
golden = runpy.run_path(str(MAKER))

GATES = ("usual", "no temperature", "-30", "-300", "-30, no temperature", "-300, no temperature", "mixed", "closed")
"""What the gate is made from: logits about 0, or about the number; "mixed" has all kinds next to each other."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small products are slower on several threads, much slower where others use them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def log_gate(kind: str, noise: Tensor) -> Tensor:
    """The logarithm of gates, from standard normal numbers."""
    if kind == "mixed":
        kinds = torch.stack([log_gate(other, noise) for other in GATES[:-2]] + [torch.zeros_like(noise)])
        return kinds.gather(0, (noise * 1e3).long().remainder(len(kinds)).unsqueeze(0))[0]
    if kind == "closed":
        return torch.where(noise > 0.8, -torch.inf, log_gate("usual", noise))
    logit = noise + float(kind.split(",")[0]) if kind.startswith("-") else noise
    return F.logsigmoid(logit) / (1 if "no temperature" in kind else 16)


def drawn(
    T: int, dtype: torch.dtype, gates: str = "usual", B: int = 2, H: int = 3, K: int = 8, V: int = 16
) -> list[Tensor]:
    """q, k, v, log_a and a state."""
    generator = torch.Generator().manual_seed(T)
    shapes = [(B, T, H, K), (B, T, H, K), (B, T, H, V), (B, T, H, K), (B, H, K, V)]
    q, k, v, noise, state = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return [x.to(dtype).requires_grad_() for x in (q, k, v, log_gate(gates, noise), state)]


def error(found: Tensor, expected: Tensor) -> float:
    """max |difference| / std, where what the type of `found` cannot hold counts as 0; 0 / 0 is 0."""
    expected = expected.detach().to(found.dtype)
    difference = float((found.detach() - expected).abs().max())
    return difference and difference / float(expected.std())


def outcome(o: Tensor, state: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """Outputs, state, and the gradients of a weighted sum of both."""
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(x.shape, generator=generator).to(x) for x in (o, state)]
    return [o, state, *torch.autograd.grad((o * weights[0]).sum() + (state * weights[1]).sum(), inputs)]


# Chunks


@pytest.mark.parametrize("gates", GATES)
@pytest.mark.parametrize(("T", "chunk"), [(1, 8), (7, 16), (32, 16), (33, 16), (70, 32), (150, 64)])
def test_chunked_is_recurrent(T: int, chunk: int, gates: str) -> None:
    """float32 is held against the recurrence in float64: what is lost is lost by this form."""
    inputs = drawn(T, torch.float32, gates)
    fine = [x.detach().double().requires_grad_() for x in inputs]
    expected = outcome(*recurrent(*fine), fine)
    for found, allowed in (
        (outcome(*chunked(*fine, chunk), fine), 1e-10),
        (outcome(*chunked(*inputs, chunk), inputs), 1e-5),
    ):
        for one, other in zip(found, expected, strict=True):
            assert one.isfinite().all()
            assert error(one, other) < allowed


@pytest.mark.parametrize("gates", ["-30, no temperature", "-300", "mixed"])
def test_these_gates_break_the_form_that_divides(gates: str) -> None:
    """K e^{-b}, the chunk of the textbook, overflows: the gates of the test above are strong enough for it."""
    q, k, v, log_a, _ = (x.detach()[0, :, 0] for x in drawn(64, torch.float32, gates))
    summed = log_a.cumsum(0)
    divided = ((q * summed.exp()) @ (k * (-summed).exp()).T).tril() @ v
    assert not divided.isfinite().all()


@pytest.mark.parametrize("gates", GATES)
def test_a_split_sequence_is_the_whole(gates: str) -> None:
    """Cuts inside and between chunks, by the form that the number of tokens calls for."""
    inputs = [x.detach() for x in drawn(75, torch.float32, gates)]
    whole_o, whole_state = gated_linear_attention(*inputs, 16)
    for cuts in ([32, 43], [1, 74], [16, 3, 56], [70, 5]):
        parts, state = [], inputs[4]
        for piece in zip(*(x.split(cuts, 1) for x in inputs[:4]), strict=True):
            o, state = gated_linear_attention(*piece, state, 16)
            parts.append(o)
        assert error(torch.cat(parts, 1), whole_o) < 1e-5
        assert error(state, whole_state) < 1e-5


def test_an_open_gate_keeps_and_a_closed_one_forgets_everything() -> None:
    q, k, v, _, state = (x.detach() for x in drawn(40, torch.float64))
    for chunk in (8, 32):
        kept = chunked(q, k, v, torch.zeros_like(q), state, chunk)[1]
        assert error(kept, state + torch.einsum("bthk,bthv->bhkv", k, v)) < 1e-12
        o, last = chunked(q, k, v, torch.full_like(q, -torch.inf), state, chunk)
        assert torch.equal(last, k[:, -1].unsqueeze(-1) * v[:, -1].unsqueeze(-2))
        assert error(o, (q * k).sum(-1, keepdim=True) * v / 8**0.5) < 1e-12


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # torch itself, in forward mode
@pytest.mark.parametrize("gates", ["usual", "mixed"])
def test_gradients_are_those_of_finite_differences(gates: str) -> None:
    inputs = drawn(5, torch.float64, gates, B=1, H=2, K=3, V=2)
    assert torch.autograd.gradcheck(lambda *x: chunked(*x, 4), inputs, check_forward_ad=True)
    assert torch.autograd.gradcheck(recurrent, inputs, check_forward_ad=True)


@pytest.mark.parametrize("T", [1, rule.SHORT, rule.SHORT + 1, 40])
def test_either_form_is_computed_in_float32_at_least(T: int) -> None:
    """bfloat16 inputs, and float32 inputs under autocast, give what float32 gives for the same numbers."""
    coarse = [x.detach().bfloat16() for x in drawn(T, torch.float32)]
    fine = [x.float() for x in coarse]
    o, state = gated_linear_attention(*fine, 16)
    coarse_o, coarse_state = gated_linear_attention(*coarse[:4], fine[4], 16)
    assert coarse_o.dtype == torch.bfloat16
    assert torch.equal(coarse_o, o.bfloat16())
    assert torch.equal(coarse_state, state)
    assert torch.equal(gated_linear_attention(*coarse, 16)[1], state)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(gated_linear_attention(*fine, 16)[0], o)


# The reference of fla


@pytest.mark.parametrize("form", ["recurrent", "chunked"])
def test_golden_numbers_of_fla(form: str) -> None:
    """Outputs, state and gradients of fla-core's reference, committed; both sides are float32, rounded to 7 digits."""
    own = recurrent if form == "recurrent" else lambda *x: chunked(*x, 8)
    found = golden["by_rule"](own, golden["rule_inputs"]())
    expected = json.loads(MAKER.with_name("gla.json").read_text())["rule"]
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert error(tensor, torch.tensor(expected[name])) < 5e-6, name


@pytest.mark.skipif(importlib.util.find_spec("fla") is None, reason="fla-core is not installed")
@pytest.mark.parametrize("form", ["recurrent", "chunked"])
def test_parity_with_the_reference_of_fla(form: str) -> None:
    """Sizes of this project's networks, a state before and after; fla computes in float32."""
    inputs = dict(zip(("q", "k", "v", "gate", "state"), drawn(70, torch.float32, H=4, K=16, V=32), strict=True))
    own = recurrent if form == "recurrent" else lambda *x: chunked(*x, 32)
    found, expected = golden["by_rule"](own, inputs), golden["by_fla"](inputs)
    for name, tensor in found.items():
        assert error(tensor, expected[name]) < (1e-4 if name.startswith("d ") else 1e-5), name


# The kernel of fla


def test_the_kernel_is_refused_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"no GPU here: set kernel: torch, or run `pip install \"fla-core\[cuda\]\"`"):
        fla_kernel()


def test_the_kernel_is_refused_where_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "fla.ops.gla", None)
    with pytest.raises(UserError, match=r"network\.gla\.kernel: fla needs .*pip install \"fla-core\[cuda\]\""):
        fla_kernel()


def test_the_kernel_is_refused_on_the_cpu() -> None:
    """Also for a few tokens, for which the kernel would not be called."""
    for T in (1, 40):
        with pytest.raises(UserError, match=r"runs on a GPU alone: set compute\.device: cuda"):
            gated_linear_attention(*drawn(T, torch.float32), 16, kernel=recurrent)


def test_the_kernel_is_called_as_fla_documents_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with `chunk_gla`'s signature: natural logarithms, its own scale, state [B, H, K, V] in and out."""
    called = []

    def chunk_gla(
        q: Tensor, k: Tensor, v: Tensor, g: Tensor, scale: float | None = None, initial_state: Tensor | None = None,
        output_final_state: bool = False,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        assert scale is None
        assert initial_state is not None
        assert output_final_state
        called.append(q.shape[1])
        return recurrent(q, k, v, g, initial_state)

    package = ModuleType("fla.ops.gla")
    package.chunk_gla = chunk_gla  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fla.ops.gla", package)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    inputs = [x.detach() for x in drawn(40, torch.float32)]
    found, expected = gated_linear_attention(*inputs, 16, kernel=fla_kernel()), chunked(*inputs, 16)
    assert called == [40]
    assert error(found[0], expected[0]) < 1e-5
    assert error(found[1], expected[1]) < 1e-5


@pytest.mark.skipif(
    not torch.cuda.is_available() or importlib.util.find_spec("fla") is None, reason="needs a GPU and fla-core"
)
def test_parity_with_the_kernel_of_fla() -> None:
    """fla's own bar, rmse(difference) / rmse <= 0.005: on tensor cores it multiplies in TF32."""
    inputs = [x.detach().cuda().requires_grad_() for x in drawn(300, torch.float32, H=4, K=16, V=32)]
    expected = outcome(*gated_linear_attention(*inputs, 32), inputs)
    found = outcome(*gated_linear_attention(*inputs, 32, kernel=fla_kernel()), inputs)
    for one, other in zip(found, expected, strict=True):
        assert float((one - other).square().mean().sqrt() / other.square().mean().sqrt()) < 5e-3
