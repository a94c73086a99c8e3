"""Hidden states of a clean input that are put back into a corrupted one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from segmented import awake
from snapshots.experiments.scenes import TOKENS, learner, scene
from torch import Tensor

from resonance.learning.learner import Learner
from resonance.networks.network import Below, Edit, Network, Output, State
from resonance.snapshots.experiments import patching
from resonance.snapshots.experiments.patching import Patch, Trace, by_clause, chosen, findings, moved, trace

GLA = {"gla": {"width": 32, "layers": 2, "heads": 2, "chunk": 16}}
FEEDBACK = {"feedback": {"width": 16, "layers": 2, "heads": 2, "feedforward": 24, "span": 64}}
NETWORKS = {
    "gpt": lambda: learner(),
    "loreft": lambda: learner("loreft"),
    "rwkv7": lambda: learner("rwkv7"),
    "gla": lambda: learner(network=GLA),
    "feedback": lambda: learner(network=FEEDBACK),
}


def made(name: str) -> Learner:
    """A learner at which inputs matter: fresh weights are moved, edits of LoReFT too."""
    found = awake(NETWORKS[name]())
    with torch.no_grad():
        for parameter in found.scope.trained().values():
            parameter.add_(0.1 * torch.arange(parameter.numel()).view(parameter.shape).cos())
    return found


def traced(name: str, direction: str = "1>2") -> Trace:
    return trace(scene(made(name)), direction)  # type: ignore[arg-type]


def places(of: Trace, whole: bool = False) -> np.ndarray:
    """Of the input, or of the whole sequence."""
    assert of.clean.input is not None
    length = of.clean.tokens_BT.shape[1]
    return np.arange(length) if whole else np.arange(of.clean.input.start, of.clean.input.stop)


def alone(of: Trace, clean: bool) -> Tensor:
    """What an ordinary pass gives of one of the two sequences."""
    asked = of.clean if clean else of.corrupted
    with torch.no_grad():
        return -asked.nll(of.learner.read(asked, whole=True).logits_BTV).double()


def test_the_two_sequences_differ_behind_the_first_tokens_of_the_input_alone() -> None:
    of = traced("gpt")
    changed = torch.nonzero(of.clean.tokens_BT[0] != of.corrupted.tokens_BT[0])[:, 0]
    assert of.clean.input is not None
    assert int(changed.min()) >= of.clean.input.start + 2
    assert int(changed.max()) < of.clean.input.stop
    assert len(changed) > 10


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_put_back_is_the_corrupted_input_and_everything_the_clean_one(name: str) -> None:
    of = traced(name)
    depth, every = of.learner.network.depth, places(of)
    clean, corrupted = alone(of, True), alone(of, False)
    assert (clean - corrupted).abs().max() > 1e-2
    nothing, embedding, all_layers = of.log_p(
        [Patch((), every), Patch((0,), every), Patch(tuple(range(depth + 1)), every)]
    )
    torch.testing.assert_close(nothing, corrupted, rtol=0, atol=1e-5)
    torch.testing.assert_close(embedding, clean, rtol=0, atol=1e-5)
    torch.testing.assert_close(all_layers, clean, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["gpt", "loreft", "gla"])
@pytest.mark.parametrize("layer", [1, 2])
def test_one_layer_at_all_places_is_enough_where_layers_read_nothing_but_the_one_below(name: str, layer: int) -> None:
    of = traced(name)
    (found,) = of.log_p([Patch((layer,), places(of, whole=True))])
    torch.testing.assert_close(found, alone(of, True), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "feedback"])
def test_nobody_reads_what_the_last_layer_leaves_in_the_input(name: str) -> None:
    """The first target token is predicted at the separator, which is no place of the input."""
    of = traced(name)
    (found,) = of.log_p([Patch((of.learner.network.depth,), places(of))])
    torch.testing.assert_close(found, alone(of, False), rtol=0, atol=1e-5)


def test_rows_of_one_pass_do_not_see_each_other() -> None:
    of = traced("gpt")
    every = places(of)
    patches = [Patch((layer,), every[start : start + 6]) for layer in (0, 1) for start in (4, 10, 16, 22, 28)]
    together = list(of.log_p(patches))
    assert len(together) == 10
    for patch, found in zip(patches, together, strict=True):
        (by_itself,) = of.log_p([patch])
        torch.testing.assert_close(found, by_itself, rtol=0, atol=1e-5)
    assert len({tuple(found.tolist()) for found in together}) == 10


def test_what_an_edit_of_loreft_left_is_put_back_and_not_edited_again() -> None:
    """An edit of the whole input behind layer 1, done by hand: LoReFT's own, then the clean states."""
    of = traced("loreft")
    own, every, clean_BTD = of.learner.scope.edit(of.corrupted.prompt), places(of), of.hidden[2]
    assert own is not None
    assert clean_BTD is not None

    def by_hand(number: int, hidden_BTD: Tensor) -> Tensor:
        hidden_BTD = own(number, hidden_BTD).clone()
        if number == 1:
            hidden_BTD[:, every] = clean_BTD[:, every]
        return hidden_BTD

    with torch.no_grad():
        logits_BTV = of.learner.network(of.corrupted.tokens_BT, edit=by_hand).logits_BTV
    (found,) = of.log_p([Patch((2,), every)])
    torch.testing.assert_close(found, -of.corrupted.nll(logits_BTV).double(), rtol=0, atol=1e-5)


def test_the_learner_stays_as_it_was() -> None:
    asked = scene(made("loreft"))
    before = {name: tensor.clone() for name, tensor in asked.learner.saved().items()}
    carried = torch.get_rng_state()
    assert len(list(findings(asked)))
    after = asked.learner.saved()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert torch.equal(carried, torch.get_rng_state())
    assert not any(parameter.grad is not None for parameter in asked.learner.network.parameters())


def test_findings_of_a_direction() -> None:
    found = list(findings(scene(made("gpt"))))
    kinds = {(f.quantity, f.layer is None, f.item is None) for f in found}
    assert kinds == {
        ("clean", True, True),
        ("corrupted", True, True),
        ("patched", False, False),
        ("moved", False, False),
    }
    assert {f.layer for f in found if f.quantity == "moved"} == {0, 1}
    items = chosen(TOKENS, "1>2", 2)
    assert items == [1, 2, 3, 4], "clause 0 begins before the corruption does"
    assert {f.item for f in found if f.direction == "1>2" and f.item is not None} == set(items)
    of = trace(scene(made("gpt")), "1>2")
    clean = [f.value for f in found if f.quantity == "clean" and f.direction == "1>2"]
    segments = TOKENS.segments("2")
    assert sum(clean) == pytest.approx(float(alone(of, True)[: len(segments)][torch.tensor(segments >= 0)].sum()))


@pytest.mark.parametrize("change", [{"links": []}, {"windows": 2}])
def test_nothing_of_pairs_without_links_or_with_windows(change: dict[str, object]) -> None:
    assert not list(findings(replace(scene(learner()), tokens=replace(TOKENS, **change))))


def test_nothing_of_readers_and_of_networks_that_are_not_causal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not list(findings(scene(learner("reader"))))
    seen = learner()
    monkeypatch.setattr(type(seen.network), "causal", False)
    assert not list(findings(scene(seen)))


def test_of_many_clauses_some_that_lie_evenly() -> None:
    many = replace(TOKENS, links=[(n, n) for n in range(5)])
    assert chosen(many, "1>2", 0, most=3) == [0, 2, 4]
    assert chosen(many, "2>1", 10_000) == []


def test_other_places_are_as_many_and_all_corrupted() -> None:
    assert moved(np.arange(4, 8), kept=2, length=22).tolist() == [14, 15, 16, 17]
    assert moved(np.arange(18, 22), kept=2, length=22).tolist() == [8, 9, 10, 11]
    assert moved(np.arange(10, 14), kept=2, length=22).tolist() == [2, 3, 20, 21], "round the end"


def test_tokens_between_clauses_count_for_none() -> None:
    assert by_clause(np.array([1.0, 2, 4, 8, 16]), np.array([0, -1, 1, 1, 0])) == [17, 12]


# ---- planted: it is known which clause is read, and behind which layer ----------------------------------------------


class Reading(Network):
    """Target clause j is known from input clause `link[j]`, whose places hold it behind layer 1 and nowhere else.

    The first layer writes into each place of a clause what it says, where the place's token is the right one and the
    input's last clause is right too; the second takes it from there to the separator; the third from the separator to
    the target. Channels: is the token right; at the input's places what the clause says; what was brought away.
    """

    depth, causal = 3, True

    def __init__(self, true_T: Tensor, clause_T: Tensor, target_T: Tensor, prompt: int, vocabulary: int) -> None:
        super().__init__()
        self.true_T, self.clause_T, self.target_T, self.prompt = true_T, clause_T, target_T, prompt
        self.width, self.vocabulary = 11, vocabulary

    def forward(
        self, tokens_BT: Tensor, state: State | None = None, edit: Edit | None = None, below: Below | None = None
    ) -> Output:
        batch, length = tokens_BT.shape
        right_BT = (tokens_BT == self.true_T[:length]).float()
        hidden = [torch.zeros(batch, length, self.width)]
        hidden[0][..., 0] = right_BT
        says_TC = torch.nn.functional.one_hot(self.clause_T[:length].clamp(min=0), 5).float()
        says_TC[self.clause_T[:length] < 0] = 0
        gate_B = hidden[0][:, self.clause_T[:length] == 4, 0].amin(1)
        for layer in range(self.depth):
            new = hidden[-1].clone()
            if layer == 0:
                new[..., 1:6] = says_TC * (hidden[-1][..., :1] * gate_B[:, None, None])
                new[..., 0] = 0
            elif layer == 1:
                new[:, self.prompt - 1, 6:] = hidden[-1][:, :, 1:6].sum(1) / says_TC.sum(0)
                new[..., 1:6] = 0
            else:
                new[..., 6:] = hidden[-1][:, self.prompt - 1, None, 6:]
            hidden.append(new if edit is None else edit(layer, new))
        logits_BTV = torch.zeros(batch, length, self.vocabulary)
        for place in range(self.prompt - 1, length - 1):
            clause = int(self.target_T[place + 1])
            if clause >= 0:
                logits_BTV[:, place, self.true_T[place + 1]] = 9 * hidden[-1][:, place, 6 + clause]
        return Output(tuple(hidden), logits_BTV)


def reading(links: dict[int, int]) -> Learner:
    """1>2, where target clause j is read from input clause links[j]."""
    found = learner()
    clean = trace(scene(found), "1>2").clean
    true_T = clean.tokens_BT[0]
    clause_T, target_T = torch.full_like(true_T, -1), torch.full_like(true_T, -1)
    assert clean.input is not None
    clause_T[clean.input] = torch.from_numpy(TOKENS.segments("1").copy())
    target_T[clean.prompt : clean.prompt + len(TOKENS.segments("2"))] = torch.tensor(
        [links[other] if other >= 0 else -1 for other in TOKENS.segments("2").tolist()]
    )
    found.network = Reading(true_T, clause_T, target_T, clean.prompt, TOKENS.vocabulary)
    return found


def test_a_planted_clause_is_found_behind_its_layer_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first layer asks for the last clause, so the embedding of that one alone brings something back."""
    second = {second: first for first, second in TOKENS.links}
    monkeypatch.setattr(patching, "CROSS", ("1>2",))
    found = list(findings(scene(reading(second))))
    base = {f.other: f.value for f in found if f.quantity == "corrupted"}
    clean = {f.other: f.value for f in found if f.quantity == "clean"}
    share = {
        (f.layer, f.item, f.other): (f.value - base[f.other]) / (clean[f.other] - base[f.other])
        for f in found
        if f.quantity == "patched"
    }
    assert min(clean[other] - base[other] for other in clean) > 10
    for (layer, item, other), value in share.items():
        if (layer, item) != (0, 4):
            read = layer == 1 and second[other] == item
            assert value == pytest.approx(float(read), abs=1e-6), (layer, item, other)
