"""What edits make of a frozen network, at places that they leave alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from segmented import awake
from snapshots.experiments.scenes import TOKENS, examples, learner
from torch import Tensor

from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.networks.network import Below, Edit, Network, Output, State
from resonance.networks.tensors import named
from resonance.params import DIRECTIONS, Evaluation
from resonance.snapshots.experiments import edits
from resonance.snapshots.experiments.edits import DRAWS, adding, findings, followed, hidden, joint, span, turned
from resonance.snapshots.experiments.scene import Scene

KINDS = ("loreft", "noreft", "direft", "consreft")


def edited(kind: str = "loreft", network: object = None, **settings: object) -> Learner:
    """A learner with edits away from where they start, of a network whose states differ."""
    train = {kind: {"layers": [1, 2], "rank": 2, "positions": "f2+l2", **settings}}
    changes = {"network": network} if network else {}
    made = awake(learner("loreft", train=train, **changes))
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in made.scope.named_parameters():
            step = 0.3 * torch.randn(parameter.shape, generator=noise)
            parameter.add_(step.tril(-1) if name.endswith("original") else step)
    return made


def scene(made: Learner) -> Scene:
    return Scene(made, made, 4, TOKENS, examples(TOKENS), Evaluation())


def bases(made: Learner) -> dict[str, Tensor]:
    return {name: span(module) for name, module in made.scope.edits.items()}


class Mixing(Network):
    """Each layer adds the mean of all vectors up to a place, times M."""

    depth, width, vocabulary = 3, 32, TOKENS.vocabulary

    def __init__(self, M_DD: Tensor) -> None:
        super().__init__()
        self.M_DD = M_DD
        draws = torch.Generator().manual_seed(4)
        self.codes_VD = torch.randn(self.vocabulary, self.width, generator=draws, dtype=torch.float64)

    def forward(
        self, tokens_BT: Tensor, state: State | None = None, edit: Edit | None = None, below: Below | None = None
    ) -> Output:
        hidden = [self.codes_VD[tokens_BT]]
        for layer in range(self.depth):
            left_BTD = hidden[-1] + means(hidden[-1]) @ self.M_DD
            hidden.append(left_BTD if edit is None else edit(layer, left_BTD))
        return Output(tuple(hidden), hidden[-1])


def means(vectors_BTD: Tensor) -> Tensor:
    count_T = torch.arange(1, vectors_BTD.shape[1] + 1, dtype=vectors_BTD.dtype)
    return vectors_BTD.cumsum(1) / count_T[:, None]


def mixing(M_DD: Tensor | None = None) -> Learner:
    made = edited()
    made.network = Mixing(torch.eye(32, dtype=torch.float64) if M_DD is None else M_DD)
    return made


def unedited(made: Learner, example: Batch) -> list[int]:
    """Places between and behind f2+l2."""
    return [*range(2, example.prompt - 2), *range(example.prompt, example.tokens_BT.shape[1])]


def of(found: list, quantity: str, item: int = 0) -> dict[tuple[str, int], float]:
    return {(f.direction, f.layer): f.value for f in found if (f.quantity, f.item) == (quantity, item)}


# ---- the numbers -------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_answer_of_a_network_that_is_known() -> None:
    """Layer 2 spreads what the edits of layer 1 moved: the mean of these moves, turned by M."""
    made = mixing(torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(7)).double()).Q)
    found = list(findings(scene(made)))
    J_DK = joint(bases(made))
    assert J_DK.shape == (32, 8)
    for example in examples(TOKENS):
        frozen = made.network(example.tokens_BT).hidden
        moves_TD = torch.zeros_like(frozen[2])
        for name, place in (("first", slice(0, 2)), ("last", slice(example.prompt - 2, example.prompt))):
            h_PD = frozen[2][:, place].float()
            moves_TD[:, place] = made.scope.edits[f"1-{name}"](h_PD).double() - frozen[2][:, place]
        chosen = unedited(made, example)
        drift_ND = (means(moves_TD) @ made.network.M_DD)[0, chosen]
        before_ND = frozen[3][0, chosen]
        key = example.direction, 3
        wanted = drift_ND.norm() / (before_ND - before_ND.mean(0)).norm()
        assert of(found, "drift")[key] == pytest.approx(float(wanted), rel=1e-4)
        outside = 1 - ((drift_ND @ J_DK).norm() / drift_ND.norm()) ** 2
        assert of(found, "outside")[key] == pytest.approx(float(outside), rel=1e-3)
        assert 0.3 < float(outside) < 1


def test_what_edits_put_in_themselves_is_inside_and_what_is_made_of_it_can_be_outside() -> None:
    made = mixing()
    found = list(findings(scene(made)))
    assert max(of(found, "outside").values()) < 1e-9
    assert min(of(found, "drift").values()) > 0.01
    assert max(of(found, "outside", item=1).values()) < 1e-9
    J_DK = joint(bases(made))
    away_DK = torch.linalg.svd(J_DK)[0][:, 8:16]
    found = list(findings(scene(mixing(J_DK @ away_DK.T))))
    assert min(of(found, "outside").values()) > 1 - 1e-9


def test_random_edits_are_answered_by_the_same_network() -> None:
    """Where M says nothing of directions, random edits are answered as the learner's own are: in their own space."""
    found = list(findings(scene(mixing())))
    drawn = [f for f in found if f.quantity == "outside_random" and f.item == 0]
    assert len(drawn) == DRAWS * 4
    assert max(f.value for f in drawn) < 1e-9
    own, other = of(found, "drift")["1>2", 3], [f.value for f in found if f.quantity == "drift_random" and f.item == 0]
    assert min(other) > 0.3 * own
    assert max(other) < 3 * own
    assert len({f.value for f in found if (f.quantity, f.direction) == ("drift_random", "1>2")}) == DRAWS * 2


# ---- the edits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_the_moves_lie_in_the_space_of_their_edit_and_keep_their_length_in_another(kind: str, tied: bool) -> None:
    made = edited(kind, tied=tied)
    example = examples(TOKENS)[0]
    with torch.no_grad():
        _, moves = followed(made, made.scope, example)
    own = bases(made)
    assert all(basis_DR.shape == (32, 2) for basis_DR in own.values())
    again = turned(made.scope, example, moves, own, own)
    other = turned(made.scope, example, moves, own, edits.random_like(own, scene(made), 3))
    assert sorted(moves) == [1, 2]
    for layer, moves_TD in moves.items():
        torch.testing.assert_close(again[layer], moves_TD, rtol=0, atol=1e-5 * float(moves_TD.abs().max()))
        torch.testing.assert_close(other[layer].norm(dim=1), moves_TD.norm(dim=1), rtol=1e-4, atol=1e-6)
        places = moves_TD.norm(dim=1).nonzero().flatten().tolist()
        assert places == [0, 1, example.prompt - 2, example.prompt - 1]
        assert (other[layer] - moves_TD).norm() > 0.5 * moves_TD.norm()
        assert torch.linalg.matrix_rank(other[layer], rtol=1e-5) <= (2 if tied else 4)


NETWORKS = {
    "transformer": None,
    "rwkv7": {"rwkv7": {"width": 32, "layers": 3, "head_size": 16, "chunk": 16}},
    "mdlm": {"mdlm": {"width": 32, "layers": 3, "heads": 2, "feedforward": 48}},
    "feedback": {"feedback": {"width": 32, "layers": 3, "heads": 2}},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_moves_that_are_added_are_what_the_edits_do(name: str) -> None:
    """Whatever way a network asks for its edits; so random ones stand where the learner's own do."""
    made = edited(network=NETWORKS[name])
    example = examples(TOKENS)[0]
    with torch.no_grad():
        found, moves = followed(made, made.scope, example)
        again, frozen = hidden(made, example, adding(moves)), hidden(made, example, None)
    for layer in range(4):
        torch.testing.assert_close(again[layer], found[layer], rtol=0, atol=1e-4)
    assert (found[3] - frozen[3]).norm() > 0.01 * frozen[3].norm()
    rows = list(findings(replace(scene(made), examples=[example])))
    assert {f.item for f in rows} == {0, 1}
    assert all(0 <= f.value <= 1 + 1e-9 for f in rows if f.quantity.startswith("outside"))


# ---- where it is looked ------------------------------------------------------------------------------------------


def test_every_direction_layer_place_and_draw() -> None:
    found = list(findings(scene(edited(layers=[0, 1]))))
    keys = [f[:1] + f[2:] for f in found]
    assert len(set(keys)) == len(keys)
    wanted = {
        (quantity + suffix, direction, layer, item, number)
        for quantity in ("drift", "outside")
        for suffix, numbers in (("", (None,)), ("_random", range(DRAWS)))
        for number in numbers
        for direction in DIRECTIONS
        for layer in (2, 3)
        for item in (0, 1)
    }
    assert set(keys) == wanted


def test_where_all_places_are_edited_none_is_left_alone() -> None:
    found = list(findings(scene(edited(positions="all"))))
    assert {f.item for f in found} == {1}
    assert {f.layer for f in found} == {3}


def test_nothing_above_the_last_layer_and_without_edits() -> None:
    assert not list(findings(scene(edited(layers=[2]))))
    assert not list(findings(scene(learner("gpt"))))
    reader = awake(learner("rwkv7", train={"loreft": {"layers": [0]}}, carry=True))
    assert not list(findings(scene(reader)))


def test_places_that_edits_cannot_reach_do_not_count() -> None:
    """Before the last two tokens of the prompt nothing moves in a causal network; elsewhere it does."""
    example = examples(TOKENS)[0]
    before, behind = range(example.prompt - 2), range(example.prompt, example.tokens_BT.shape[1])
    for name, reached in (("transformer", [*behind]), ("mdlm", [*before, *behind])):
        made = edited(network=NETWORKS[name], positions="l2")
        others_T, touched_T = edits.places_of(made, made.scope, example)
        assert touched_T.nonzero().flatten().tolist() == [example.prompt - 2, example.prompt - 1]
        assert others_T.nonzero().flatten().tolist() == reached


def test_edits_that_do_nothing_have_no_shares() -> None:
    made = edited()
    with torch.no_grad():
        for module in made.scope.edits.values():
            module.learned_source.weight.copy_(module.rotate_layer.weight.T)
            module.learned_source.bias.zero_()
    found = list(findings(scene(made)))
    assert {f.quantity for f in found} == {"drift", "drift_random"}
    assert max(f.value for f in found) < 1e-5


def test_a_learner_stays_as_it_was_and_the_numbers_come_again() -> None:
    made = edited()
    before = {name: tensor.clone() for name, tensor in (named(made.network) | named(made.scope)).items()}
    first = list(findings(scene(made)))
    assert first == list(findings(scene(made)))
    after = named(made.network) | named(made.scope)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
