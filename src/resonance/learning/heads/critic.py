"""A critic: per token of what its learner says itself, how likely it is wrong, and how wrong the rest will be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, rms_norm

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.controller import controlled
from resonance.learning.deviation import deviation
from resonance.learning.head import Critique, Head
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment, generator
from resonance.learning.objective import Materials
from resonance.learning.part import below
from resonance.learning.rounds import Rounds
from resonance.learning.speech import ended, spoken
from resonance.networks.network import Output


class Critic(Head):
    """See `params.Critic`. Of the last hidden state of each token that the learner said, h: v = W h + b, two numbers.

    sigmoid(v_0) is the probability that the token is wrong, v_1 an estimate of the edit distance of all that follows
    (`deviation.Deviation`: `error_N`, `suffix_N`). Minimised: mean over tokens of cross-entropy + (v_1 - suffix)² / 2.

    At the first visit of a direction in a round of `every` cycles the learner says what it would, greedily and once by
    chance. Its hidden states over that, not the words, are kept with their deviations and learned from at each visit of
    the round: they belong together as they were, and reading the words again would cost a pass per visit.
    """

    def __init__(self, settings: params.Critic, materials: Materials) -> None:
        super().__init__(settings, materials)
        if not materials.network.causal:
            raise UserError(
                "heads.critic: it judges an output from its beginning to its end, but this network fills a text in any "
                "order: leave the critic out, or choose a network that predicts the next token."
            )
        self.settings = settings
        self.judge = estimator(materials.network.width, settings.hidden, generator(materials.seed, "critic"))
        self.heard = Rounds(settings.every)

    def loss(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Head.loss`; not of the pass over the true target, but of what was said in this round."""
        heard_MF = self.heard.at(batch, moment.cycle, lambda: self.listen(learner, batch, moment.generator("critic")))
        hidden_MD, error_M, suffix_M = heard_MF[:, :-2], heard_MF[:, -2], heard_MF[:, -1]
        wrong_M, distance_M = self.judge(hidden_MD).unbind(-1)
        return binary_cross_entropy_with_logits(wrong_M, error_M) + (distance_M - suffix_M).square().mean() / 2

    @torch.no_grad()
    def listen(self, learner: Learner, batch: Batch, draws: torch.Generator) -> Tensor:
        """What there is to learn from a direction, [M, D + 2]: hidden state, error and suffix of all M tokens said."""
        drawn_B = torch.tensor([False, True] if self.settings.sample else [False])
        prompt_BT = batch.tokens_BT[:, : batch.prompt].expand(len(drawn_B), -1)
        said_BN = spoken(learner, prompt_BT, batch.prompt, batch.target_BT.shape[1], drawn_B, draws)
        lessons = []
        for whole_1N in said_BN.split(1):
            hidden_ND = heard(learner, batch, whole_1N)  # of what is left out too: one length, one compiled layer
            said_1N = ended(batch, whole_1N)
            found = deviation(said_1N[0].cpu().numpy(), batch.target_BT[0].cpu().numpy())
            wanted_N2 = torch.from_numpy(np.stack([found.error_N, found.suffix_N], axis=1)).to(hidden_ND)
            lessons.append(torch.cat([hidden_ND[: len(wanted_N2)], wanted_N2], dim=1))
        return torch.cat(lessons)

    @torch.no_grad()
    def estimates(self, learner: Learner, batch: Batch, said_1N: Tensor) -> tuple[Tensor, Tensor]:
        """(probability that it is wrong, distance of what follows) of each token said after a prompt: [N], [N]."""
        wrong_N, distance_N = self.judge(heard(learner, batch, said_1N)).unbind(-1)
        return wrong_N.sigmoid(), distance_N

    def examine(self, learner: Learner, asked: Sequence[Batch], draws: torch.Generator) -> list[Critique]:
        """See `Head.examine`; sources `own`, `sample`, `controlled` (if there is a controller), `corrupted:<kind>`."""
        clean, *corrupted = asked
        prompt_BT = torch.cat([batch.tokens_BT[:, : batch.prompt] for batch in (clean, *asked)])
        drawn_B = torch.arange(len(prompt_BT)) == 0
        said_BN = spoken(learner, prompt_BT, clean.prompt, clean.target_BT.shape[1], drawn_B, draws)
        sample_1N, own_1N, *others = (ended(clean, said_1N) for said_1N in said_BN.split(1))
        outputs = [("own", clean, own_1N), ("sample", clean, sample_1N)]
        if self.settings.attempts:
            outputs.append(("controlled", clean, controlled(learner, clean, own_1N, self, self.settings, draws)))
        outputs += [(batch.condition, batch, said_1N) for batch, said_1N in zip(corrupted, others, strict=True)]
        return [
            Critique(source, batch, said_1N[0], *self.estimates(learner, batch, said_1N))
            for source, batch, said_1N in outputs
        ]

    def saved(self) -> dict[str, Tensor]:
        """The weights, and what was heard in this round."""
        return super().saved() | {f"heard/{name}": tensor for name, tensor in self.heard.saved().items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Part.restore`."""
        super().restore(tensors)
        self.heard.restore(below(tensors, "heard"))


def heard(learner: Learner, batch: Batch, said_1N: Tensor) -> Tensor:
    """The last hidden state of each token said [N, D], float32: what the learner knows once it has said it.

    Its root mean square is brought to 1, as networks do before their own head: what layers leave can be so small that
    weights which start at 0 take hundreds of cycles to say anything.
    """
    hidden_BTD = learner.read(batch.said(said_1N), whole=True).hidden[-1]
    assert hidden_BTD is not None
    return rms_norm(hidden_BTD[0, batch.prompt :].float(), hidden_BTD.shape[-1:])


def estimator(width: int, hidden: int, draws: torch.Generator) -> nn.Module:
    """[..., D] → [..., 2]: a linear map, or one behind a hidden layer with tanh; at first 0 whatever it reads."""
    with torch.device("meta"):
        last = nn.Linear(hidden or width, 2)
        layers = [nn.Linear(width, hidden), nn.Tanh(), last] if hidden else [last]
    made = nn.Sequential(*layers).to_empty(device=draws.device)
    for parameter in made.parameters():
        nn.init.zeros_(parameter)
    if hidden:
        nn.init.normal_(made.get_parameter("0.weight"), 0.0, width**-0.5, generator=draws)
    return made
