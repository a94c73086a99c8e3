"""Introspection: a second look at each token said, through the gradients that the candidates for it would send back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.deviation import deviation
from resonance.learning.head import Critique, Head
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment, generator
from resonance.learning.objective import Materials
from resonance.learning.part import below
from resonance.learning.rounds import Rounds
from resonance.learning.speech import ended, spoken
from resonance.networks.network import Network, Output
from resonance.networks.tensors import named

HIDDEN = (300, 100)
"""Widths between the features and the candidates (Prabhushankar and AlRegib 2022: 640-300-100-10 for ten classes)."""

RATE = 0.1
"""Share that the examples heard last have in the mean and variance by which features are standardised."""

FARTHEST = 5.0
"""Standard deviations from the mean at which features are cut off: further out, sigmoids know no difference."""


class Introspection(Head):
    """See `params.Introspection`. Shape suffixes: N tokens said, K candidates, J projected dimensions, F features.

    The network's last layer gives the scores z = W x (+ b) and p = softmax(z). If candidate k were the right token, the
    loss -log p_k would have by W the gradient (p - e_k) xᵀ; of it row k, which pulls at that candidate, is projected
    by a fixed random P [D, J]: (p_k - 1) Pᵀx. From these K · J numbers a judge estimates which candidate is the token
    that was due (`deviation.Deviation.due_N`), or that none is. A second judge of the same depth reads x and log p_k
    instead. All that the first one sees is a function of these, so only where it beats the second one were gradients
    of use. Minimised: sum over both judges of the mean of -log of the probability given to what was due.

    At the first visit of a direction in a round of `every` cycles the learner says what it would, greedily, to inputs
    with noise. What it then knew is kept and learned from at each visit of the round.
    """

    def __init__(self, settings: params.Introspection, materials: Materials) -> None:
        super().__init__(settings, materials)
        if not materials.network.causal:
            raise UserError(
                "heads.introspection: it looks at the token that comes next, but this network fills a text in any "
                "order: leave the head out, or choose a network that predicts the next token."
            )
        if settings.candidates >= materials.vocabulary:
            raise UserError(
                f"heads.introspection.candidates is {settings.candidates}, but the vocabulary has "
                f"{materials.vocabulary} tokens: choose fewer candidates than tokens."
            )
        self.settings, self.vocabulary = settings, materials.vocabulary
        self.last = unembedding(materials.network)
        width, k, j = materials.network.width, settings.candidates, settings.projected
        draws = generator(materials.seed, "introspection")
        self.projection_DJ: Tensor
        self.register_buffer("projection_DJ", torch.randn(width, j, generator=draws, device=draws.device) * j**-0.5)
        self.judges = nn.ModuleDict({"gradient": Judge(k * j, k, draws), "hidden": Judge(width + k, k, draws)})
        self.heard = Rounds(settings.every)

    def loss(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Head.loss`; not of the pass over the true target, but of what was said in this round."""
        draws = moment.generator("introspection")
        heard_MF = self.heard.at(batch, moment.cycle, lambda: self.meet(self.listen(learner, batch, draws)))
        x_MD, log_p_MK, due_M = self.parted(heard_MF)
        return cast(
            Tensor,
            sum(
                cross_entropy(self.judges[name](features_MF), due_M)
                for name, features_MF in self.features(x_MD, log_p_MK).items()
            ),
        )

    @torch.no_grad()
    def listen(self, learner: Learner, batch: Batch, draws: torch.Generator) -> Tensor:
        """What there is to learn from a direction, [M, D + K + 1]: x, log p of the candidates, and which was due.

        The last is the place among the candidates of the token that was due at each of the M tokens said; K: none.
        """
        asked = [noisy(batch, self.settings.noise, self.vocabulary, draws) for _ in range(self.settings.inputs)]
        lessons = []
        for each, whole_1N in zip(asked, self.say(learner, asked, draws), strict=True):
            x_ND, log_p_NV = self.known(learner, each, whole_1N)  # of what is left out too: one length, one compilation
            said_1N = ended(each, whole_1N)
            log_p_NK, tokens_NK = log_p_NV[: said_1N.shape[1]].topk(self.settings.candidates)
            original_M = each.target_BT[0].cpu().numpy()
            due_N = np.append(original_M, -1)[deviation(said_1N[0].cpu().numpy(), original_M).due_N]
            place_N1 = place(tokens_NK, torch.from_numpy(due_N).to(tokens_NK.device))
            lessons.append(torch.cat([x_ND[: len(log_p_NK)], log_p_NK, place_N1[:, None].to(x_ND)], dim=1))
        return torch.cat(lessons)

    def meet(self, heard_MF: Tensor) -> Tensor:
        """Let the judges take examples into their idea of what is usual; the examples as they are."""
        x_MD, log_p_MK, _ = self.parted(heard_MF)
        for name, features_MF in self.features(x_MD, log_p_MK).items():
            cast(Judge, self.judges[name]).meet(features_MF)
        return heard_MF

    def parted(self, heard_MF: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(x_MD, log_p_MK, due_M) of what `listen` returned."""
        x_MD, log_p_MK, due_M1 = heard_MF.split([len(self.projection_DJ), self.settings.candidates, 1], dim=1)
        return x_MD, log_p_MK, due_M1[:, 0].long()

    def features(self, x_ND: Tensor, log_p_NK: Tensor) -> dict[str, Tensor]:
        """What each judge reads, [N, F]."""
        return {
            "gradient": gradients(x_ND, log_p_NK, self.projection_DJ).flatten(1),
            "hidden": torch.cat([x_ND, log_p_NK], dim=1),
        }

    def known(self, learner: Learner, batch: Batch, said_1N: Tensor) -> tuple[Tensor, Tensor]:
        """(x_ND, log_p_NV) from which the network predicts each token said after a prompt; float32."""
        said = batch.said(said_1N)
        with reading(learner.network, self.last) as seen:
            output = learner.read(said, whole=True)
        x_BTD = seen[-1][:, -said.tokens_BT.shape[1] :]  # without what a memory puts before it
        log_p_BNV = said.predictions(output.logits_BTV).float().log_softmax(-1)
        return said.predictions(x_BTD)[0].float(), log_p_BNV[0]

    @torch.no_grad()
    def estimates(self, learner: Learner, batch: Batch, said_1N: Tensor) -> dict[str, Tensor]:
        """By judge, the probability that each token said after a prompt is wrong, [N]."""
        x_ND, log_p_NV = self.known(learner, batch, said_1N)
        log_p_NK, tokens_NK = log_p_NV.topk(self.settings.candidates)
        place_N = place(tokens_NK, said_1N[0])
        log_p_N = log_p_NV.gather(1, said_1N[0, :, None])[:, 0]
        return {
            name: wrong(self.judges[name](features_NF), place_N, log_p_N, log_p_NK)
            for name, features_NF in self.features(x_ND, log_p_NK).items()
        }

    def say(
        self, learner: Learner, asked: Sequence[Batch], draws: torch.Generator, drawn: int = 0
    ) -> tuple[Tensor, ...]:
        """What the learner says to each of several prompts of one length, [1, N] each: the first `drawn` by chance."""
        prompt_BT = torch.cat([batch.tokens_BT[:, : batch.prompt] for batch in asked])
        drawn_B = torch.arange(len(asked)) < drawn
        return spoken(learner, prompt_BT, asked[0].prompt, asked[0].target_BT.shape[1], drawn_B, draws).split(1)

    def examine(self, learner: Learner, asked: Sequence[Batch], draws: torch.Generator) -> list[Critique]:
        """See `Head.examine`; sources `own`, `sample`, `corrupted:<kind>`.

        These are judged through gradients; with `hidden:` before them, by the judge that reads x and log p. With
        `reranked:`, or `hidden:reranked:`, greedy output is meant in which each token is the candidate that the judge
        finds most probable.
        """
        rows: list[tuple[str, Batch, str | None]] = [("sample", asked[0], None)]
        names = ["own", *(batch.condition for batch in asked[1:])]
        for judge in (None, *self.judges) if self.settings.rerank else (None,):
            how = "" if judge is None else f"{BEFORE[judge]}reranked:"
            rows += [(how + name, batch, judge) for name, batch in zip(names, asked, strict=True)]
        with self.reranking(learner, [judge for _, _, judge in rows]):
            said = self.say(learner, [batch for _, batch, _ in rows], draws, drawn=1)
        found = []
        for (source, batch, chosen), whole_1N in zip(rows, said, strict=True):
            said_1N = ended(batch, whole_1N)
            for judge, wrong_N in self.estimates(learner, batch, said_1N).items():
                if chosen is None:
                    found.append(Critique(BEFORE[judge] + source, batch, said_1N[0], wrong_N))
                elif judge == chosen:
                    found.append(Critique(source, batch, said_1N[0], wrong_N))
        return found

    @contextmanager
    def reranking(self, learner: Learner, judges: Sequence[str | None]) -> Iterator[None]:
        """As long as this is open, the greatest score of the last place is that of the candidate that a judge prefers.

        judges: which one, for each sequence of the batch; None: the scores stay as they are.
        """
        asks = {name: torch.tensor([name == judge for judge in judges])[:, None] for name in self.judges}

        def prefer(_module: nn.Module, inputs: tuple[Tensor, ...], z_BTV: Tensor) -> Tensor:
            with torch.autocast(z_BTV.device.type, enabled=False):
                x_BD, z_BV = inputs[0][:, -1].float(), z_BTV[:, -1].float()
                log_p_BK, tokens_BK = z_BV.log_softmax(-1).topk(self.settings.candidates)
                every_V = torch.arange(z_BV.shape[-1], device=z_BV.device)
                for name, features_BF in self.features(x_BD, log_p_BK).items():
                    best_B1 = self.judges[name](features_BF)[:, :-1].argmax(-1, keepdim=True)
                    chosen_BV = (every_V == tokens_BK.gather(1, best_B1)) & asks[name].to(z_BV.device)
                    z_BV = torch.where(chosen_BV, torch.inf, z_BV)
            return z_BV[:, None]

        hook = learner.network.get_submodule(self.last).register_forward_hook(prefer)
        try:
            yield
        finally:
            hook.remove()

    def marked(self) -> dict[str, Tensor]:
        """The judges, what they find usual, and the projection."""
        return dict(named(self))

    def saved(self) -> dict[str, Tensor]:
        """These, and what was heard in this round."""
        return super().saved() | {f"heard/{name}": tensor for name, tensor in self.heard.saved().items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Part.restore`."""
        super().restore(tensors)
        self.heard.restore(below(tensors, "heard"))


BEFORE = {"gradient": "", "hidden": "hidden:"}
"""What stands in the source of a critique before the output, by judge."""


class Judge(nn.Module):
    """Features [N, F] → scores [N, K + 1] of the candidates and, last, of none of them, whose score is always 0.

    Features are standardised by what was usual so far, then read by two layers of sigmoids. The first weights are
    random; those behind sigmoids, which are ½ in the middle with a slope of ¼, make up for that. With last weights of 0
    hundreds of steps went by before anything but the most frequent answer was learned.
    """

    def __init__(self, features: int, candidates: int, draws: torch.Generator) -> None:
        super().__init__()
        sizes = list(pairwise((features, *HIDDEN, candidates)))
        with torch.device("meta"):
            self.layers = nn.ModuleList(nn.Linear(*size) for size in sizes)
        self.layers.to_empty(device=draws.device)
        for number, (inner, _) in enumerate(sizes):
            weight, bias = self.layers[number].parameters()
            nn.init.normal_(weight, 0.0, (4 if number else 1) * inner**-0.5, generator=draws)
            with torch.no_grad():
                bias.copy_(-weight.sum(1) / 2 if number else torch.zeros_like(bias))
        self.mean_F: Tensor
        self.variance_F: Tensor
        self.register_buffer("mean_F", torch.zeros(features, device=draws.device))
        self.register_buffer("variance_F", torch.zeros(features, device=draws.device))

    def meet(self, features_NF: Tensor) -> None:
        """Mix the mean and variance so far with those of these examples; the first ones stand alone."""
        mean_F, variance_F = features_NF.mean(0), features_NF.var(0, correction=0)
        rate = RATE if self.variance_F.any() else 1.0
        away_F = mean_F - self.mean_F
        self.variance_F = (1 - rate) * (self.variance_F + rate * away_F.square()) + rate * variance_F
        self.mean_F = self.mean_F + rate * away_F

    def forward(self, features_NF: Tensor) -> Tensor:
        """The scores; their softmax are probabilities."""
        deviation_F = (self.variance_F + 1e-6).sqrt()
        x_NF = ((features_NF - self.mean_F) / deviation_F).clamp(-FARTHEST, FARTHEST)
        *inner, last = self.layers
        for layer in inner:
            x_NF = layer(x_NF).sigmoid()
        return pad(last(x_NF), (0, 1))


def gradients(x_ND: Tensor, log_p_NK: Tensor, projection_DJ: Tensor) -> Tensor:
    """Row k of the gradient of -log p_k by the unembedding, projected, for each candidate k: [N, K, J].

    (p_k - 1) Pᵀx: for each token a product of a column and a row, never more than K · J numbers.
    """
    return torch.expm1(log_p_NK)[..., None] * (x_ND @ projection_DJ)[:, None]


def wrong(scores_NC: Tensor, place_N: Tensor, log_p_N: Tensor, log_p_NK: Tensor) -> Tensor:
    """Probability that tokens are wrong, [N], given the scores of K candidates and none of them, C = K + 1.

    place_N: of each token among the candidates; K: not one of them. Then it has the share in the probability of none
    that the network gives it among all tokens that are not candidates. log_p_N: of the tokens; log_p_NK: of candidates.
    """
    right_N = scores_NC.softmax(-1).gather(1, place_N[:, None])[:, 0]
    rest_N = torch.maximum(1 - log_p_NK.exp().sum(-1), log_p_N.exp())
    return 1 - torch.where(place_N == log_p_NK.shape[1], right_N * log_p_N.exp() / rest_N, right_N)


def place(tokens_NK: Tensor, token_N: Tensor) -> Tensor:
    """Place of a token among K candidates, int64 [N]; K: it is not one of them."""
    found_NK = tokens_NK == token_N[:, None]
    return torch.where(found_NK.any(1), found_NK.int().argmax(1), tokens_NK.shape[1])


def noisy(batch: Batch, share: float, vocabulary: int, draws: torch.Generator) -> Batch:
    """The same target, asked of an input in which each token is, with that chance, another one of the vocabulary."""
    assert batch.input is not None
    input_1T = batch.tokens_BT[:, batch.input]
    hit_1T = torch.rand(input_1T.shape, generator=draws) < share
    step_1T = torch.randint(1, vocabulary, input_1T.shape, generator=draws)
    return batch.asked(
        torch.where(hit_1T.to(input_1T.device), (input_1T + step_1T.to(input_1T)) % vocabulary, input_1T)
    )


@contextmanager
def reading(network: Network, name: str) -> Iterator[list[Tensor]]:
    """As long as this is open, what the linear map of that name reads is added to the list."""
    seen: list[Tensor] = []

    def see(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0])

    hook = network.get_submodule(name).register_forward_pre_hook(see)
    try:
        yield seen
    finally:
        hook.remove()


@torch.no_grad()
def unembedding(network: Network) -> str:
    """The name of the linear map whose output is the scores of the next token, found in a pass over one token.

    Raises:
        UserError: there is none; the scores are not what a linear map gives, or go through something else after it.
    """
    made: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda _module, _inputs, output: made.update({name: output})

    linear = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    hooks = [module.register_forward_hook(keep(name)) for name, module in linear.items()]
    try:
        token_BT = torch.zeros(1, 1, dtype=torch.int64, device=next(network.parameters()).device)
        logits_BTV = network(token_BT).logits_BTV
    finally:
        for hook in hooks:
            hook.remove()
    for name, output in made.items():
        if output.shape == logits_BTV.shape and torch.equal(output.to(logits_BTV), logits_BTV):
            return name
    raise UserError(
        f"heads.introspection: the scores of {type(network).__name__} are not the output of a linear map, so there is "
        "no gradient of its last layer to look at: leave the head out, or choose another network."
    )
