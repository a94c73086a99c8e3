"""A controller under a planted judge, to whom a token is wrong that was said before."""

from __future__ import annotations

import pytest
import torch
from conftest import TINY
from speakers import VOCABULARY, awake, example
from torch import Tensor

from resonance.learning import controller
from resonance.learning.batch import Batch
from resonance.learning.controller import SEGMENT, controlled, reread
from resonance.learning.learner import Learner
from resonance.learning.moment import generator
from resonance.params import Critic


class Patience:
    """Remembers what it was asked, in order."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def estimates(self, learner: Learner, batch: Batch, said_1N: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(said_1N)
        return repeated(said_1N), said_1N[0] * 0.0


def repeated(said_1N: Tensor) -> Tensor:
    said = said_1N[0].tolist()
    return torch.tensor([float(token in said[:place]) for place, token in enumerate(said)])


def score(said_1N: Tensor) -> float:
    return float(repeated(said_1N).mean())


def long(direction: str = "1>2") -> Batch:
    """A target of 40 tokens whose [EOS] is never said."""
    made = example(3, 50, direction)
    made.tokens_BT[0, -1] = VOCABULARY
    return made


def spoken_under_control(name: str, judge: Patience, draws: int = 0, **settings: object) -> tuple[Tensor, Tensor]:
    """(the greedy output, what is said in the end)."""
    made, batch = awake(name), long()
    own_1N = made.say(batch, 40)
    return own_1N, controlled(made, batch, own_1N, judge, Critic(**settings), generator(draws, "test"))


@pytest.mark.parametrize("name", TINY)
def test_what_is_kept_is_never_worse_in_the_eyes_of_the_judge(name):
    judge = Patience()
    own_1N, said_1N = spoken_under_control(name, judge, threshold=0.0, attempts=3)
    assert said_1N.shape == own_1N.shape
    assert score(said_1N) < score(own_1N)
    # Segment by segment: of all versions of the first one that were judged the kept one is the best.
    first = [one for one in judge.seen if one.shape[1] == SEGMENT]
    assert 2 <= len(first) <= 4
    assert score(said_1N[:, :SEGMENT]) == min(map(score, first))


@pytest.mark.parametrize("name", ["gpt", "rwkv7"])
def test_the_same_generator_gives_the_same_words(name):
    for _, said_1N in [spoken_under_control(name, Patience(), threshold=0.0)]:
        assert torch.equal(said_1N, spoken_under_control(name, Patience(), threshold=0.0)[1])
    others = [spoken_under_control(name, Patience(), draws, threshold=0.0)[1] for draws in (1, 2, 3)]
    assert not all(torch.equal(other_1N, said_1N) for other_1N in others)


@pytest.mark.parametrize("settings", [{"threshold": 1.0}, {"attempts": 0, "threshold": 0.0}])
def test_without_an_action_the_output_is_the_greedy_one(settings):
    judge = Patience()
    own_1N, said_1N = spoken_under_control("gpt", judge, **settings)
    assert torch.equal(said_1N, own_1N)
    assert all(torch.equal(one, own_1N[:, : one.shape[1]]) for one in judge.seen)


def test_first_the_input_is_read_again_then_the_segment_is_drawn(monkeypatch):
    asked: list[tuple[int, int, bool]] = []
    real = controller.spoken

    def watched(learner: Learner, read_BT: Tensor, prompt: int, length: int, drawn_B: Tensor, draws: torch.Generator):
        asked.append((read_BT.shape[1], prompt, bool(drawn_B.any())))
        return real(learner, read_BT, prompt, length, drawn_B, draws)

    monkeypatch.setattr(controller, "spoken", watched)
    spoken_under_control("gpt", Patience(), threshold=0.0, attempts=3)
    assert asked[:3] == [(18, 18, False), (10, 10, True), (10, 10, True)]
    assert all(prompt in (10, 18) for _, prompt, _ in asked)


def test_the_whole_is_not_worse_either(monkeypatch):
    """Where what follows from better segments is worse, the greedy output stands."""
    made, batch = awake("gpt"), long()
    own_1N = torch.tensor([[1, 1, *range(2, 40)]])
    monkeypatch.setattr(controller, "continued", lambda *given, **_: continuation(given[3], given[4]))

    def continuation(said_1N: Tensor, length: int) -> Tensor:
        start = said_1N.shape[1]
        new = torch.full((1, length), 5) if start else torch.arange(length)[None]
        return torch.cat([said_1N, new], dim=1)

    judge = Patience()
    said_1N = controlled(made, batch, own_1N, judge, Critic(threshold=0.0), generator(0, "test"))
    assert torch.equal(said_1N, own_1N)
    assert any(score(one) > score(own_1N) for one in judge.seen if one.shape[1] == 40)


def test_after_the_end_nothing_is_said():
    made, batch = awake("gpt"), long()
    own_1N = made.say(batch, 40)
    end = int(own_1N[0, 5])
    batch.tokens_BT[0, -1] = end
    first = own_1N[0].tolist().index(end)
    said_1N = controlled(made, batch, own_1N[:, : first + 1], Patience(), Critic(threshold=1.0), generator(0, "test"))
    assert torch.equal(said_1N, own_1N[:, : first + 1])
    drawn_1N = controlled(made, batch, own_1N[:, : first + 1], Patience(), Critic(threshold=0.0), generator(0, "test"))
    assert end not in drawn_1N[0, :-1]


def test_the_input_is_read_again_where_there_is_room():
    made, batch = awake("gpt"), long()
    said_1N = batch.target_BT[:, :5]
    again = reread(made, batch, said_1N, 16)
    assert again is not None
    tokens = batch.tokens_BT[0].tolist()
    assert again.tokens_BT[0].tolist() == [*tokens[:9], *tokens[1:9], *tokens[9:]]
    assert again.prompt == 18
    made.network.longest = 18 + 5 + 16
    assert reread(made, batch, said_1N, 16) is not None
    made.network.longest -= 1
    assert reread(made, batch, said_1N, 16) is None
