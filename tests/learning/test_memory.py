"""What readers take along: the state of the network, the tokens read last, or the texts as they were last said."""

from __future__ import annotations

import pytest
import torch
from conftest import tiny
from torch import Tensor

from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.memory import differing, until_end
from resonance.params import DIRECTIONS
from resonance.training.step import Trainer

VOCABULARY = 60
BEGIN, SAME, OTHER, END = 0, 1, 2, 3


def text(which: str) -> Tensor:
    """Ten tokens of text 1, twelve of text 2."""
    draws = torch.Generator().manual_seed(int(which))
    return torch.randint(4, VOCABULARY, (1, 8 + 2 * int(which)), generator=draws)


def example(direction: str) -> Batch:
    source, goal = direction.split(">")
    separator = SAME if source == goal else OTHER
    parts = [torch.tensor([[BEGIN]]), text(source), torch.tensor([[separator]]), text(goal), torch.tensor([[END]])]
    stop = 1 + text(source).shape[1]
    return Batch(torch.cat(parts, dim=1), stop + 1, direction, 0, input=slice(1, stop), end=1)


def reader(name: str = "gpt", **nothing: object) -> Learner:
    made = Learner(tiny(name, train={"nothing": nothing}, objective={}), VOCABULARY, seed=0, base=None)
    noise = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in made.network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise), alpha=0.1)
    return made


def read(made: Learner, *directions: str) -> None:
    for direction in directions:
        batch = made.memory.shown(example(direction), made.carried)
        made.carry_on(batch, made.read(batch))


def greedy(made: Learner, before_BT: Tensor, length: int) -> Tensor:
    """The continuation, by one whole pass per token."""
    for _ in range(length):
        best = made.network(before_BT).logits_BTV[:, -1:].argmax(-1)
        before_BT = torch.cat([before_BT, best], dim=1)
    return before_BT[:, -length:]


# ---- the context -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt", "rwkv7"])
def test_with_the_context_a_sequence_is_read_after_the_ones_before_it(name):
    made = reader(name, memory="context", window=1000)
    one, two, three = (example(direction) for direction in DIRECTIONS[:3])
    read(made, one.direction, two.direction)
    output = made.read(three)
    whole = made.network(torch.cat([one.tokens_BT, two.tokens_BT, three.tokens_BT], dim=1))
    torch.testing.assert_close(output.logits_BTV, whole.logits_BTV[:, -three.tokens_BT.shape[1] :])
    for mine, all_of_it in zip(output.hidden, whole.hidden, strict=True):
        torch.testing.assert_close(mine, all_of_it[:, -three.tokens_BT.shape[1] :])
    log_p_NV = whole.logits_BTV[0, -three.target_BT.shape[1] - 1 : -1].log_softmax(-1)
    torch.testing.assert_close(made.answer(three).log_p_NV, log_p_NV)


def test_the_context_slides():
    made = reader(memory="context", window=30)
    read(made, "1>2", "2>1")
    whole_BT = torch.cat([example("1>2").tokens_BT, example("2>1").tokens_BT], dim=1)
    assert torch.equal(made.carried["context"], whole_BT[:, -30:])


def test_the_context_is_what_was_said_where_the_target_is_free():
    made = reader(memory="context", target="free")
    batch = example("1>2")
    read(made, "1>2")
    prompt_BT = batch.tokens_BT[:, : batch.prompt]
    said_BT = greedy(made, prompt_BT, batch.target_BT.shape[1])
    assert torch.equal(made.carried["context"], torch.cat([prompt_BT, said_BT], dim=1))
    assert torch.equal(made.say(batch, 3), greedy(made, torch.cat([made.carried["context"], prompt_BT], dim=1), 3))


# ---- the state ---------------------------------------------------------------------------------------------------


def test_the_state_goes_through_what_was_said_where_the_target_is_free():
    made = reader("rwkv7", target="free")
    batch = example("2>1")
    read(made, "2>1")
    prompt_BT = batch.tokens_BT[:, : batch.prompt]
    own_BT = torch.cat([prompt_BT, greedy(made, prompt_BT, batch.target_BT.shape[1])], dim=1)
    for name, tensor in made.network(own_BT).state.items():
        torch.testing.assert_close(made.carried[name], tensor)
    forced = reader("rwkv7")
    read(forced, "2>1")
    assert any(not torch.equal(made.carried[name], tensor) for name, tensor in forced.carried.items())


@pytest.mark.parametrize(
    ("name", "nothing", "kept"),
    [
        ("gpt", {}, False),
        ("gpt", {"memory": "context"}, True),
        ("gpt", {"memory": "text", "target": "free"}, True),
        ("rwkv7", {}, True),
        ("rwkv7", {"memory": "none"}, False),
        ("rwkv7", {"memory": "context"}, True),
    ],
)
def test_what_a_reader_keeps(name, nothing, kept):
    made = reader(name, **nothing)
    assert made.memory.keeps is kept
    read(made, "1>2")
    assert (made.carried is not None) is kept


def test_a_network_without_a_state_cannot_carry_one():
    with pytest.raises(UserError, match=r"train\.nothing\.memory: state needs a network with a state; transformer"):
        reader(memory="state")


# ---- the texts ---------------------------------------------------------------------------------------------------


def test_what_was_said_is_the_next_input():
    made = reader(memory="text", target="free")
    read(made, "1>2")
    batch = example("1>2")
    said_BT = greedy(made, batch.tokens_BT[:, : batch.prompt], batch.target_BT.shape[1])
    said_BT = until_end(said_BT, torch.tensor([[END]]))
    assert torch.equal(made.carried["2/0"], said_BT)
    asked = made.memory.shown(example("2>1"), made.carried)
    parts = [torch.tensor([[BEGIN]]), said_BT, torch.tensor([[OTHER]]), text("1"), torch.tensor([[END]])]
    assert torch.equal(asked.tokens_BT, torch.cat(parts, dim=1))
    assert torch.equal(asked.target_BT, example("2>1").target_BT)
    untouched = made.memory.shown(example("1>1"), made.carried)
    assert torch.equal(untouched.tokens_BT, example("1>1").tokens_BT)
    read(made, "2>2")
    assert made.carried.keys() == {"2/0"}


def test_a_text_of_nothing_can_still_be_an_input():
    asked = example("1>2").asked(torch.empty(1, 0, dtype=torch.int64))
    assert asked.prompt == 2
    assert torch.equal(asked.tokens_BT[:, :2], torch.tensor([[BEGIN, OTHER]]))
    assert torch.equal(asked.target_BT, example("1>2").target_BT)


def test_a_text_ends_at_its_end():
    tokens_BN = torch.tensor([[5, 8, 9, 8, 9]])
    assert until_end(tokens_BN, torch.tensor([[8, 9]])).tolist() == [[5]]
    assert until_end(tokens_BN, torch.tensor([[9, 9]])).tolist() == [[5, 8, 9, 8, 9]]


# ---- how far it moved --------------------------------------------------------------------------------------------


def test_the_change_of_a_memory_of_tokens_is_the_share_of_places_that_differ():
    old = {"1/0": torch.tensor([[1, 2, 3]]), "2/0": torch.tensor([[1]])}
    assert differing(old, old) == 0
    assert differing({**old, "1/0": torch.tensor([[1, 5, 3, 4]])}, old) == 2 / 5
    assert differing({**old, "3/0": torch.tensor([[7, 7]])}, old) == 2 / 6


@pytest.mark.parametrize("nothing", [{"memory": "context"}, {"memory": "text", "target": "free"}])
def test_a_reader_is_measured_saved_and_restored(nothing):
    trainer = Trainer(reader(**nothing))
    batches = [example(direction) for direction in DIRECTIONS]
    for cycle in (1, 2):
        names, values = trainer.cycle(cycle, batches)
    row = dict(zip(names, values[0].tolist(), strict=True))
    assert torch.isfinite(values).all()
    assert 0 <= row["state_change"] <= 1
    assert ("match" in row) == ("target" in nothing)
    again = Trainer(reader(**nothing))
    again.restore({name: tensor.clone() for name, tensor in trainer.saved().items()})
    assert again.learner.carried.keys() == trainer.learner.carried.keys()
    for found, wanted in zip(again.cycle(3, batches), trainer.cycle(3, batches), strict=True):
        assert found == wanted if isinstance(found, list) else torch.equal(found, wanted)
