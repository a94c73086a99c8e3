from __future__ import annotations

import pytest
import torch
from conftest import TINY, tiny
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.head import Head
from resonance.learning.learner import Learner, new_network
from resonance.learning.moment import Moment, generator
from resonance.learning.objective import Materials, Objective
from resonance.networks.network import Output
from resonance.networks.tensors import named, read_sealed, write_sealed
from resonance.params import Lm
from resonance.training.step import Trainer

VOCABULARY = 60


def learner(name: str, seed: int = 0, **changes: object) -> Learner:
    return Learner(tiny(name, **changes), VOCABULARY, seed=seed, base=None)


def awake(name: str, **changes: object) -> Learner:
    """A learner whose predictions depend on its state: those of a fresh RWKV-7 do not yet."""
    made = learner(name, **changes)
    noise = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in made.network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise), alpha=0.1)
    return made


def example(seed: int = 0, length: int = 14) -> Batch:
    tokens_BT = torch.randint(2, VOCABULARY, (1, length), generator=torch.Generator().manual_seed(seed))
    return Batch(tokens_BT, 6, "1>2", seed)


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


# ---- what is saved -----------------------------------------------------------------------------------------------


class Teacher(Objective):
    """A term with all that a term may have: a trained gain, a network and an optimizer of its own, a growing memory."""

    every = 2

    def __init__(self, settings: Lm, materials: Materials) -> None:
        super().__init__(settings, materials)
        self.gain = nn.Parameter(torch.ones(()))
        self.teacher = materials.new_network(generator(materials.seed, "teacher"))
        self.register_buffer("memory", torch.zeros(0))
        self.register_buffer("seen", None)
        self.optimizer = AdamW(self.teacher.parameters(), lr=0.01)

    def trained(self) -> dict[str, nn.Parameter]:
        return {"gain": self.gain}

    def optimizers(self) -> dict[str, Optimizer]:
        return {"teaching": self.optimizer}

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        noise = 1 + 0.1 * torch.rand((), generator=moment.generator("toy"))
        with torch.no_grad():
            wanted_BTV = self.teacher(batch.tokens_BT).logits_BTV
        return self.gain * noise * (output.logits_BTV - wanted_BTV).square().mean()

    def after_step(self, learner: Learner, batch: Batch, moment: Moment) -> None:
        batch.nll(self.teacher(batch.tokens_BT).logits_BTV).mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.memory = torch.cat([self.memory, torch.rand(1, generator=moment.generator("memory"))])

    def event(self, learner: Learner, batches: list[Batch], cycle: int) -> None:
        self.seen = torch.tensor(float(cycle)) if self.seen is None else self.seen + cycle


class Critic(Head):
    """A head that guesses the loss of each target token."""

    def __init__(self, width: int) -> None:
        nn.Module.__init__(self)
        self.guess = nn.Linear(width, 1)
        nn.init.ones_(self.guess.weight)

    def loss(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        last_BTD = output.hidden[-1]
        assert last_BTD is not None
        assert not last_BTD.requires_grad
        guess = batch.predictions(self.guess(last_BTD))[0, :, 0]
        return (guess - batch.nll(output.logits_BTV)).square().mean()


def full(name: str, **changes: object) -> Learner:
    """A tiny learner with one more term and a head."""
    made = learner(name, **changes)
    materials = Materials(
        made.network, VOCABULARY, made.seed, lambda fresh: new_network(made.settings, VOCABULARY, 0, None, fresh)
    )
    made.objectives["teacher"] = Teacher(Lm(), materials)
    made.heads["critic"] = Critic(made.network.width)
    return made


@pytest.mark.parametrize("name", TINY)
def test_a_learner_goes_on_as_if_it_had_never_stopped(name, tmp_path):
    """With parts that own optimizers, further networks and buffers that grow."""
    make = full if name != "reader" else learner
    whole = Trainer(make(name))
    batches = [example(0), example(1)]
    for cycle in range(1, 4):
        whole.cycle(cycle, batches)
    write_sealed(tmp_path / "state.safetensors", whole.saved(), {"kind": "state"})
    saved = read_sealed(tmp_path / "state.safetensors")[0]
    resumed = Trainer(make(name))
    assert not same(resumed.saved(), saved)
    resumed.restore(saved)
    assert same(resumed.saved(), saved)
    for cycle in range(4, 7):
        theirs, ours = resumed.cycle(cycle, batches), whole.cycle(cycle, batches)
        assert theirs[0] == ours[0]
        assert torch.equal(theirs[1], ours[1])
    assert same(resumed.saved(), whole.saved())
    if make is full:
        teacher = whole.learner.objectives["teacher"]
        assert teacher.memory.shape == (12,)
        assert teacher.seen == 2 + 4 + 6


def test_parts_are_saved_under_names_of_their_own():
    made = full("loreft")
    Trainer(made).cycle(1, [example()])
    saved = set(made.saved())
    assert {"objective/teacher/gain", "objective/teacher/memory", "head/critic/guess.weight"} <= saved
    assert "objective/teacher/teaching/teacher.model.lm_head.weight/exp_avg" in saved
    assert any(name.startswith("scope/edits.1-first.") for name in saved)
    assert not any(name.startswith("network/") for name in saved)
    marked = set(made.marked())
    assert marked <= saved
    assert {"objective/teacher/gain", "head/critic/guess.weight"} <= marked
    assert not any("teaching" in name for name in marked)


def test_a_head_changes_nothing_but_itself():
    alone, watched = learner("gpt"), learner("gpt")
    watched.heads["critic"] = Critic(watched.network.width)
    for made in (alone, watched):
        trainer = Trainer(made)
        for cycle in range(1, 4):
            names, _ = trainer.cycle(cycle, [example()])
    assert "head.critic" in names
    assert same(named(watched.network), named(alone.network))
    assert not torch.equal(watched.heads["critic"].guess.weight, torch.ones(1, 32))


@pytest.mark.parametrize("name", TINY)
def test_a_mark_makes_an_untouched_learner_say_the_same(name):
    trained = awake(name)
    trainer = Trainer(trained)
    for cycle in range(1, 4):
        trainer.cycle(cycle, [example(0), example(1)])
    mark = {key: tensor.clone() for key, tensor in trained.marked().items()}
    again = awake(name)
    untouched = again.read(example(2)).logits_BTV.detach()
    again.restore(mark)
    assert torch.equal(again.read(example(2)).logits_BTV, trained.read(example(2)).logits_BTV)
    assert not torch.equal(again.read(example(2)).logits_BTV, untouched)


# ---- where it starts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TINY)
def test_all_that_is_fresh_depends_on_the_seed_alone(name):
    torch.manual_seed(1)
    first = learner(name)
    torch.manual_seed(2)
    expected = torch.rand(2)
    torch.manual_seed(2)
    second = learner(name)
    assert torch.equal(torch.rand(2), expected)
    assert same(named(first.network), named(second.network))
    assert same(first.saved(), second.saved())
    matrices = [key for key, tensor in named(first.network).items() if key.endswith(("q_proj.weight", "key.weight"))]
    other = named(learner(name, seed=1).network)
    assert matrices
    assert not any(torch.equal(named(first.network)[key], other[key]) for key in matrices)


@pytest.mark.parametrize("name", ["gpt", "rwkv7"])
def test_a_base_is_where_it_starts(name):
    base = named(new_network(tiny(name), VOCABULARY, 7, None))
    settings = tiny(name, init="base")
    for seed in (0, 1):
        assert same(named(Learner(settings, VOCABULARY, seed, base).network), base)
    made = Learner(settings, VOCABULARY, 0, base)
    Trainer(made).cycle(1, [example()])
    assert not same(named(made.network), base)
    with pytest.raises(ValueError, match="needs the weights of the base"):
        Learner(settings, VOCABULARY, 0, None)


def test_random_weights_are_a_control_also_where_a_base_is_given():
    base = named(new_network(tiny("gpt"), VOCABULARY, 7, None))
    made = Learner(tiny("gpt"), VOCABULARY, 0, base)
    assert same(named(made.network), named(learner("gpt").network))
    assert not same(named(made.network), base)


def test_further_networks_start_like_the_learners_or_fresh():
    base = named(new_network(tiny("gpt"), VOCABULARY, 7, None))
    settings = tiny("gpt", init="base")
    assert same(named(new_network(settings, VOCABULARY, 0, base)), base)
    fresh = named(new_network(settings, VOCABULARY, 0, base, generator(0, "teacher")))
    assert not same(fresh, base)
    assert same(fresh, named(new_network(settings, VOCABULARY, 5, base, generator(0, "teacher"))))


# ---- the carried state -------------------------------------------------------------------------------------------


def test_a_network_without_a_state_has_nothing_to_carry():
    with pytest.raises(UserError, match="carry: true needs a network with a state; transformer has none"):
        learner("gpt", carry=True)


@pytest.mark.parametrize(
    ("name", "changes", "carries"),
    [
        ("gpt", {"train": "nothing"}, False),
        ("reader", {}, True),
        ("rwkv7", {}, False),
        ("rwkv7", {"carry": True}, True),
        ("rwkv7", {"train": {"layers": {"layers": [1]}}}, False),
    ],
)
def test_who_carries_a_state(name, changes, carries):
    made = awake(name, **changes)
    assert made.memory.keeps is carries
    first = made.read(example())
    made.carry_on(example(0), first)
    assert (made.carried is not None) is carries
    second = made.read(example())
    assert torch.equal(first.logits_BTV, second.logits_BTV) is not carries


def test_the_carried_state_is_cut_off_from_its_graph():
    made = awake("rwkv7", carry=True)
    output = made.read(example())
    assert output.state is not None
    assert any(tensor.requires_grad for tensor in output.state.values())
    made.carry_on(example(), output)
    assert made.carried is not None
    assert not any(tensor.requires_grad for tensor in made.carried.values())
    assert same(made.carried, {name: tensor.detach() for name, tensor in output.state.items()})
    names, values = Trainer(made).cycle(1, [example(0), example(1)])  # a second backward pass through it would fail
    assert values[:, names.index("grad_norm")].min() > 0


def test_carrying_on_is_reading_one_long_text():
    made = awake("reader")
    whole = made.network(torch.cat([example(0).tokens_BT, example(1).tokens_BT], dim=1))
    made.carry_on(example(0), made.read(example(0)))
    after = made.read(example(1))
    expected_BTV = whole.logits_BTV[:, 14:]
    assert (after.logits_BTV - expected_BTV).abs().max() <= 1e-5 * expected_BTV.std()


def test_the_carried_state_is_a_part_of_every_mark():
    made = awake("reader")
    assert made.marked() == {}
    made.carry_on(example(), made.read(example()))
    assert set(made.marked()) == {f"carried/{name}" for name in made.network.empty_state(1)}
    again = awake("reader")
    again.restore({name: tensor.clone() for name, tensor in made.marked().items()})
    assert torch.equal(again.read(example(1)).logits_BTV, made.read(example(1)).logits_BTV)
    again.restore({})
    assert again.carried is None


# ---- what is not computed twice ----------------------------------------------------------------------------------


def test_examples_that_differ_in_any_way_do_not_share_what_lies_below():
    made = learner("loreft")
    tokens = [example(seed).tokens_BT for seed in range(4)]
    batches = [
        Batch(tokens[0], 6, "1>2", 0),
        Batch(tokens[1], 6, "2>1", 0),
        Batch(tokens[2], 6, "1>2", 1),
        Batch(tokens[3], 6, "1>2", 0, "shuffled"),
    ]
    for batch in batches * 2:
        assert torch.equal(made.read(batch).logits_BTV, made.read(batch, whole=True).logits_BTV)


@pytest.mark.parametrize("name", ["gpt", "rwkv7"])
def test_half_precision_is_a_choice(name):
    exact, rough = learner(name), Learner(tiny(name), VOCABULARY, 0, None, precision="bf16")
    ours, theirs = exact.read(example()).logits_BTV, rough.read(example()).logits_BTV.float()
    assert 0 < (ours - theirs).abs().max() < 0.1 * ours.std()
    assert {parameter.dtype for parameter in rough.network.parameters()} == {torch.float32}


# ---- several at once ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt", "rwkv7"])
def test_sequences_of_different_lengths_are_read_in_one_pass(name):
    made = awake(name)
    batches = [example(0, 14), example(1, 9), example(2, 20)]
    assert made.together(batches)
    for batch, output in zip(batches, made.read_together(batches), strict=True):
        alone = made.read(batch)
        torch.testing.assert_close(output.logits_BTV, alone.logits_BTV)
        for mine, other in zip(output.hidden, alone.hidden, strict=True):
            torch.testing.assert_close(mine, other)


@pytest.mark.parametrize(("name", "changes"), [("loreft", {}), ("reader", {}), ("rwkv7", {"carry": True})])
def test_sequences_that_are_edited_or_follow_each_other_are_read_alone(name, changes):
    assert not awake(name, **changes).together([example(0), example(1)])
