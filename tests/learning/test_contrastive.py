"""SimCTG, SimCSE and InfoNCE, and what all terms on representations have in common."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from segmented import LINKS, awake, example, examples, learner, pair
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objectives.infonce import info_nce
from resonance.networks.network import Output
from resonance.networks.tensors import named, read_sealed, write_sealed
from resonance.training.step import Trainer

MOMENT = Moment(seed=0, cycle=3, slot=1)
MDLM = {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48, "steps": 4, "draws": 4}}
ALL = {
    "simctg": {"weight": 0.7},
    "simcse": {"weight": 0.3, "layer": 1},
    "infonce": {"weight": 0.3, "own": 2},
    "obd-sd": {"weight": 5.0, "every": 2},
}


def made_up(batch: Batch, *, width: int = 32, depth: int = 2, seed: int = 5) -> Output:
    """An output with random states in float64 that ask for gradients, none of them alike."""
    draws = torch.Generator().manual_seed(seed)
    shape = (depth + 1, 1, batch.tokens_BT.shape[1], width)
    states = torch.randn(shape, generator=draws, dtype=torch.float64) + 0.5
    return Output(tuple(states.requires_grad_().unbind()), torch.zeros(1, shape[2], 1))


def term(made: Learner, tag: str, batch: Batch, output: Output | None = None, moment: Moment = MOMENT) -> Tensor:
    return made.objectives[tag].term(made, batch, made.read(batch) if output is None else output, moment)


def trained(objective: object, cycles: int, **changes: object) -> tuple[Trainer, list[str], Tensor]:
    """A learner after some cycles of the four directions, and the last row of what was measured."""
    trainer = Trainer(learner(objective, optimizer={"adamw": {"lr": 0.003}}, **changes))
    for cycle in range(1, cycles + 1):
        names, values = trainer.cycle(cycle, examples(pair()))
    return trainer, names, values


# ---- SimCTG ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("margin", [-0.2, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("direction", ["1>2", "2>2"])
def test_simctg_is_the_published_formula_over_the_whole_sequence(margin, direction):
    made, batch = learner({"simctg": {"margin": margin}}), example(pair(), direction)
    output = made_up(batch)
    hidden = output.hidden[-1][0].detach().numpy()
    unit = hidden / np.linalg.norm(hidden, axis=1, keepdims=True)
    costs, others = [], []
    for i in range(len(unit)):
        for j in range(len(unit)):
            if i != j:
                costs.append(max(0.0, margin - unit[i] @ unit[i] + unit[i] @ unit[j]))
                others.append(unit[i] @ unit[j])
    assert term(made, "simctg", batch, output).item() == pytest.approx(np.mean(costs), abs=1e-12)
    assert made.objectives["simctg"].measured()["anisotropy"].item() == pytest.approx(np.mean(others), abs=1e-12)


def test_simctg_costs_nothing_at_margin_0_and_the_margin_where_all_states_are_one():
    batch = example(pair())
    assert term(learner({"simctg": {"margin": 0.0}}), "simctg", batch, made_up(batch)).item() == 0
    one_D = torch.randn(32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    collapsed = Output((one_D.expand(1, batch.tokens_BT.shape[1], -1),), torch.zeros(1, 1, 1))
    made = learner({"simctg": {"margin": 0.3}})
    assert term(made, "simctg", batch, collapsed).item() == pytest.approx(0.3, abs=1e-12)
    assert made.objectives["simctg"].measured()["anisotropy"].item() == pytest.approx(1.0, abs=1e-12)


def test_simctg_spreads_states():
    ends = []
    for weight in (0.0, 1.0):
        _, names, values = trained({"lm": 1.0, "simctg": {"weight": weight, "margin": 0.8}}, 12)
        ends.append(values[:, names.index("simctg.anisotropy")].mean())
    assert ends[1] < 0.5 * ends[0]


# ---- SimCSE ------------------------------------------------------------------------------------------------------


def noise_of(made: Learner, length: int, moment: Moment = MOMENT) -> Tensor:
    """What both views are multiplied by."""
    kept = torch.rand(2, length, made.network.width, generator=moment.generator("simcse")) >= 0.25
    return kept / 0.75


def by_hand(made: Learner, batch: Batch, layer: int, lead: int = 0) -> Tensor:
    """Both views in two passes of one sequence, pooled clause by clause: cross-entropy of cosines / temperature."""
    tokens_BT = batch.tokens_BT[:, : batch.prompt]
    if lead:
        tokens_BT = torch.cat([made.carried["context"], tokens_BT], dim=1)
    scoped = made.scope.edit(batch.prompt) or (lambda _, hidden_BTD: hidden_BTD)
    views = []
    for factor_TD in noise_of(made, tokens_BT.shape[1]):

        def edit(at, hidden_BTD, factor_TD=factor_TD):
            return scoped(at, hidden_BTD) * factor_TD if at == 0 else scoped(at, hidden_BTD)

        state = made.carried if made.network.recurrent and not lead else None
        hidden_TD = made.network(tokens_BT, state=state, edit=edit).hidden[layer + 1][0, lead + 1 :]
        views.append([hidden_TD[0:5].mean(0), hidden_TD[6:10].mean(0), hidden_TD[11:17].mean(0)])
    cosine_SS = torch.stack([torch.stack([cosine_similarity(a, b, dim=0) for b in views[1]]) for a in views[0]])
    return cross_entropy(cosine_SS / 0.05, torch.arange(3))


@pytest.mark.parametrize(
    ("name", "changes", "layer"),
    [
        ("gpt", {}, 1),
        ("gpt", {}, 0),
        ("rwkv7", {}, 1),
        ("rwkv7", {"carry": True}, 1),
        ("loreft", {}, 2),
        ("loreft", {"train": {"loreft": {"layers": [0, 2], "rank": 2, "positions": "all"}}}, 0),
        ("gpt", {"network": MDLM}, 1),
        ("gpt", {"train": {"nothing": {"memory": "context", "window": 9}}}, 1),
    ],
)
def test_simcse_is_cross_entropy_between_two_noisy_passes(name, changes, layer):
    made = awake(learner({"simcse": {"dropout": 0.25, "layer": layer}}, name=name, **changes))
    batch = example(pair(), "1>2")
    if made.memory.keeps:
        made.carry_on(example(pair(), "2>1"), made.read(example(pair(), "2>1")))
    lead = 9 if made.carried and "context" in made.carried else 0
    found, wanted = term(made, "simcse", batch), by_hand(made, batch, layer, lead)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert found > 0


def test_simcse_reads_what_the_memory_holds():
    made = awake(learner({"simcse": {"dropout": 0.25}}, name="rwkv7", carry=True))
    batch = example(pair())
    fresh = term(made, "simcse", batch)
    made.carry_on(batch, made.read(batch))
    assert not torch.equal(term(made, "simcse", batch), fresh)


def test_views_depend_on_the_step_alone():
    made, batch = awake(learner({"simcse": {}})), example(pair())
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = term(made, "simcse", batch)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(term(made, "simcse", batch), first)
    for other in (Moment(0, 4, 1), Moment(0, 3, 2), Moment(1, 3, 1)):
        assert not torch.equal(term(made, "simcse", batch, moment=other), first)


def test_a_little_noise_leaves_both_views_alike():
    made, batch = awake(learner({"simcse": {"dropout": 1e-6}})), example(pair())
    term(made, "simcse", batch)
    measured = made.objectives["simcse"].measured()
    assert measured["match"] == 1
    assert measured["alike"] == pytest.approx(1.0, abs=1e-6)
    assert -1 < measured["mean"] < 1


def test_simcse_tells_segments_apart():
    _, names, values = trained({"simcse": {"weight": 1.0}}, 1)
    start = values[:, names.index("term.simcse")].mean()
    _, names, values = trained({"simcse": {"weight": 1.0}}, 15)
    assert values[:, names.index("term.simcse")].mean() < 0.3 * start
    assert values[:, names.index("simcse.match")].min() == 1


# ---- InfoNCE -----------------------------------------------------------------------------------------------------


def vectors(output: Output, batch: Batch) -> dict[tuple[str, int], np.ndarray]:
    """The pooled states of 1>2 or 2>1, at length 1, clause by clause."""
    hidden = output.hidden[-1][0].detach().numpy()
    places = {"1": [(0, 5), (6, 10), (11, 17)], "2": [(0, 4), (5, 12)]}
    found = {}
    for text, first in zip(batch.direction[::2], (batch.input.start, batch.prompt), strict=True):
        for number, (start, stop) in enumerate(places[text]):
            mean = hidden[first + start : first + stop].mean(0)
            found[text, number] = mean / np.linalg.norm(mean)
    return found


def wanted_nce(found: dict, wrong: list[np.ndarray], temperature: float) -> tuple[float, float]:
    """The term and the mean log of the number of candidates, link by link."""
    both_ways = {(("1", i), ("2", j)) for i, j in LINKS} | {(("2", j), ("1", i)) for i, j in LINKS}
    costs, candidates = [], []
    for a, b in sorted(both_ways):
        negatives = [z for n, z in found.items() if n != a and (a, n) not in both_ways] + wrong
        scores = np.exp([found[a] @ found[b] / temperature, *(found[a] @ z / temperature for z in negatives)])
        costs.append(-np.log(scores[0] / scores.sum()))
        candidates.append(np.log(len(scores)))
    return float(np.mean(costs)), float(np.mean(candidates))


@pytest.mark.parametrize("direction", ["1>2", "2>1"])
def test_infonce_is_the_formula_link_by_link(direction):
    made, batch = learner({"infonce": {"temperature": 0.2}}), example(pair(), direction)
    output = made_up(batch)
    cost, candidates = wanted_nce(vectors(output, batch), [], 0.2)
    found = term(made, "infonce", batch, output)
    assert found.item() == pytest.approx(cost, abs=1e-12)
    measured = {name: value.item() for name, value in made.objectives["infonce"].measured().items()}
    assert measured["information"] == pytest.approx(candidates - cost, abs=1e-12)
    assert found > 0
    assert measured["information"] < candidates
    z = vectors(output, batch)
    pairs = {"linked": [z["1", i] @ z["2", j] for i, j in LINKS]}
    pairs["inter"] = [z["1", i] @ z["2", j] for i in range(3) for j in range(2) if (i, j) not in LINKS]
    pairs["intra"] = [z["1", i] @ z["1", j] for i in range(3) for j in range(i)] + [z["2", 0] @ z["2", 1]]
    assert {name: measured[name] for name in pairs} == pytest.approx({n: np.mean(v) for n, v in pairs.items()})


def test_infonce_has_no_term_where_one_text_stands_twice():
    made, batch = learner({"infonce": {"own": 1}}), example(pair(), "1>1")
    output = made_up(batch)
    loss = term(made, "infonce", batch, output)
    assert loss.item() == 0
    assert all(not gradient.any() for gradient in torch.autograd.grad(loss, output.hidden[-1]))
    measured = made.objectives["infonce"].measured()
    assert all(measured[name].isnan() for name in ("linked", "inter", "information"))
    assert measured["intra"].isfinite()
    assert measured.keys() == {"linked", "inter", "intra", "information", "own"}
    assert not made.objectives["infonce"].said.kept, "nothing is said for it"


def test_infonce_bounds_what_is_known():
    """Never below 0; and where vectors tell which segment is meant, log N - L comes up to log N."""
    linked_NN = torch.eye(6, dtype=torch.bool).roll(3, 0)
    noise = torch.randn(200, 6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for logits_NN in 5 * noise:
        loss, most = info_nce(logits_NN, linked_NN)
        assert loss >= 0
        assert most.item() == pytest.approx(math.log(5))
    equal, _ = info_nce(torch.zeros(6, 6, dtype=torch.float64), linked_NN)
    assert equal.item() == pytest.approx(math.log(5), abs=1e-12), "vectors that tell nothing: log N"
    known, _ = info_nce(100.0 * linked_NN.double(), linked_NN)
    assert known.item() == pytest.approx(0, abs=1e-12)


def test_own_words_are_candidates_where_they_are_wrong():
    made, tokens = awake(learner({"infonce": {"temperature": 0.2, "own": 4}})), pair()
    batch, part = example(tokens, "1>2"), made.objectives["infonce"]
    own_BN = batch.target_BT.clone()
    own_BN[0, 2] += 1  # a fault in the first clause; one between the clauses and one in [EOS] are none
    own_BN[0, 4] += 1
    own_BN[0, -1] += 1
    part.said.kept = {"1>2/0": (0, own_BN)}
    output = made.read(batch)
    hidden_TD = made.network(batch.said(own_BN).tokens_BT).hidden[-1][0, batch.prompt :].detach().double().numpy()
    wrong = hidden_TD[0:4].mean(0)
    wrong /= np.linalg.norm(wrong)
    wide = Output(tuple(hidden.double() for hidden in output.hidden), output.logits_BTV)
    cost, candidates = wanted_nce(vectors(wide, batch), [wrong], 0.2)
    found = term(made, "infonce", batch, output)
    assert found.item() == pytest.approx(cost, abs=1e-5)
    assert part.measured()["own"] == 1
    assert part.measured()["information"].item() == pytest.approx(candidates - cost, abs=1e-5)
    without = term(learner({"infonce": {"temperature": 0.2}}), "infonce", batch, output)
    assert found > without


def test_own_words_without_a_fault_cost_nothing():
    made, batch = awake(learner({"infonce": {"own": 4}})), example(pair(), "2>1")
    made.objectives["infonce"].said.kept = {"2>1/0": (0, batch.target_BT.clone())}
    output = made.read(batch)
    made.network.forward = None  # a further pass would fail
    found = term(made, "infonce", batch, output)
    assert made.objectives["infonce"].measured()["own"] == 0
    assert torch.equal(found, term(learner({"infonce": {}}), "infonce", batch, output))


def test_own_words_are_the_greedy_output_of_each_round():
    made, batch = awake(learner({"infonce": {"own": 4}})), example(pair(), "1>2")
    said = made.objectives["infonce"].said
    for cycle, round_, new in ((2, 0, True), (4, 0, False), (5, 1, True)):
        with torch.no_grad():
            made.network.model.lm_head.weight.add_(
                torch.randn(48, 32, generator=torch.Generator().manual_seed(cycle)), alpha=3
            )
        term(made, "infonce", batch, moment=Moment(0, cycle, 0))
        assert said.kept["1>2/0"][0] == round_
        assert torch.equal(said.kept["1>2/0"][1], made.say(batch, batch.target_BT.shape[1])) is new


def test_infonce_joins_what_says_the_same():
    _, names, values = trained({"infonce": {"weight": 1.0}}, 20)
    measured = dict(zip(names, values[:2].T, strict=True))
    assert measured["infonce.linked"].min() > measured["infonce.inter"].max() + 0.5
    assert measured["term.infonce"].max() < 0.5 * math.log(4)


def test_infonce_needs_links():
    for tokens in (pair(clauses=None), pair(links=[])):
        with pytest.raises(UserError, match=r"objective.infonce: pair 'tiny' .* links in its segments.yaml"):
            learner({"lm": 1.0, "infonce": {}}, tokens)


# ---- what they have in common ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", [*ALL])
def test_the_total_is_the_weighted_sum_and_gradients_reach_the_network_alone(tag):
    made = awake(learner({"lm": 1.0, tag: ALL[tag]}))
    trainer, batch = Trainer(made), example(pair())
    for cycle in (1, 2):
        trainer.cycle(cycle, examples(pair()))
    output = made.read(batch)
    total, row = trainer._measure(batch, output, MOMENT)
    wanted = row["term.lm"] + ALL[tag]["weight"] * row[f"term.{tag}"]
    assert torch.allclose(total.detach(), wanted)
    assert row[f"term.{tag}"] > 0
    term(made, tag, batch, made.read(batch)).backward()
    touched = {name for name, parameter in made.network.named_parameters() if parameter.grad is not None}
    assert touched
    assert not any("lm_head" in name for name in touched), "a term on states, not on scores"
    assert dict(made.objectives[tag].named_parameters()) == {}


@pytest.mark.parametrize(
    ("tag", "name", "changes"),
    [(tag, "gpt", {}) for tag in ALL]
    + [("infonce", "gpt", {"update": "cycle"}), ("obd-sd", "gpt", {"update": "cycle"})]
    + [("simcse", "loreft", {}), ("infonce", "rwkv7", {"carry": True})],
)
def test_a_run_goes_on_as_if_it_had_never_stopped(tag, name, changes, tmp_path):
    tokens = pair()

    def fresh() -> Trainer:
        settings = {**ALL[tag], "layer": 2} if name == "loreft" else ALL[tag]
        return Trainer(learner({"lm": 1.0, tag: settings}, tokens, name, **changes))

    whole = fresh()
    for cycle in (1, 2, 3):
        whole.cycle(cycle, examples(tokens))
    write_sealed(tmp_path / "state.safetensors", whole.saved(), {"kind": "state"})
    again = fresh()
    again.restore(read_sealed(tmp_path / "state.safetensors")[0])
    for cycle in (4, 5):
        found, wanted = again.cycle(cycle, examples(tokens)), whole.cycle(cycle, examples(tokens))
        assert found[0] == wanted[0]
        assert torch.equal(found[1].nan_to_num(7), wanted[1].nan_to_num(7))
    ours, theirs = again.saved(), whole.saved()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert not any(key.startswith("objective/") for key in whole.learner.marked()), "a learner says the same without"


@pytest.mark.parametrize("tag", [*ALL])
@pytest.mark.parametrize("name", ["gpt", "reader"])
def test_they_watch_what_is_not_trained(tag, name):
    made = awake(learner({tag: ALL[tag]}, name=name, train="nothing"))
    before = {key: tensor.clone() for key, tensor in named(made.network).items()}
    trainer = Trainer(made)
    for cycle in (1, 2, 3):
        names, values = trainer.cycle(cycle, examples(pair()))
    assert values[0, names.index(f"term.{tag}")] > 0
    assert all(torch.equal(tensor, before[key]) for key, tensor in named(made.network).items())


@pytest.mark.parametrize("tag", [*ALL])
@pytest.mark.parametrize("name", ["gpt", "loreft", "mdlm", "carry"])
def test_they_train_with_every_kind_of_learner(tag, name):
    changes: dict[str, dict[str, object]] = {
        "mdlm": {"network": MDLM},
        "carry": {"name": "rwkv7", "carry": True},
        "loreft": {"name": "loreft"},
    }
    settings = {**ALL[tag], "layer": -1} if tag != "simctg" else ALL[tag]
    tokens = pair(windows=2, links=[(0, 0), (1, 1)])
    trainer = Trainer(learner({tag: settings}, tokens, **changes.get(name, {})))
    cycle = [example(tokens, direction, window) for direction in ("1>2", "2>2") for window in (0, 1)]
    for number in (1, 2, 3):
        names, values = trainer.cycle(number, cycle)
    assert values[:, names.index(f"term.{tag}")].isfinite().all()
    assert values[:, names.index("grad_norm")].max() > 0, "one segment alone has none"


def test_only_what_is_read_and_carried_decides_about_some():
    flags = {tag: learner({tag: ALL[tag]}, train="nothing").objectives[tag].autonomous for tag in ALL}
    assert flags == {"simctg": True, "simcse": False, "infonce": False, "obd-sd": False}
    assert learner({"infonce": {}}).objectives["infonce"].autonomous
