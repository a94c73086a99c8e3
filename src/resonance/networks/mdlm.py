"""A masked-diffusion language model: the input is always visible, the target is masked and filled in again.

Source: arXiv 2406.07524. Noise, loss and sampler are in `masked_diffusion.py`, the layers in `bidirectional.py`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from resonance import params
from resonance.errors import UserError
from resonance.networks import masked_diffusion as diffusion
from resonance.networks.bidirectional import NORM_EPS, Layer, rotation
from resonance.networks.network import Answer, Below, Edit, Network, Output, State

STD = 0.02
"""Standard deviation of fresh matrices, as in the transformer."""

SEED = 0
"""Of the masks in the bound and of the order of filling: the same for every learner and cycle, so that they compare."""

BATCH = 4
"""Sequences that are read at once for the bound."""


class Mdlm(Network):
    """Layers that look both ways, over V tokens and a mask, whose id is V. A mask is read but never said.

    The network scores each place from all that stands around it. To keep the convention of causal networks, scores are
    handed out one place earlier: `logits_BTV[:, i]` is about token i + 1, and the last place is about token 0, which
    nobody asks for.

    generator: the only source of random numbers.
    """

    causal = False

    def __init__(self, settings: params.Mdlm, vocabulary: int, generator: Generator) -> None:
        super().__init__()
        width, heads = settings.width, settings.heads
        if width % (2 * heads):
            raise UserError(
                f"mdlm: width {width} is not an even multiple of heads {heads} (rotary positions turn pairs of "
                "channels): change one of them."
            )
        self.settings = settings
        self.depth, self.width, self.vocabulary, self.mask = settings.layers, width, vocabulary, vocabulary
        with torch.device("meta"):
            self.embed_tokens = nn.Embedding(vocabulary + 1, width)
            self.layers = nn.ModuleList(Layer(width, heads, settings.feedforward) for _ in range(self.depth))
            self.norm = nn.RMSNorm(width, eps=NORM_EPS)
            self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.to_empty(device=generator.device)
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.ndim >= 2:
                    parameter.normal_(0.0, STD, generator=generator)
                else:
                    parameter.fill_(1.0)

    def forward(
        self, tokens_BT: Tensor, state: State | None = None, edit: Edit | None = None, below: Below | None = None
    ) -> Output:
        """See `Network.forward`; tokens may be masks. There is no state.

        below: of these very tokens, because every layer depends on which of them are masked.
        """
        stateless(state)
        hidden = self._hidden(tokens_BT, edit, below)
        return Output(hidden, self._scores(last(hidden).roll(-1, dims=1)))

    def _hidden(self, tokens_BT: Tensor, edit: Edit | None, below: Below | None = None) -> tuple[Tensor | None, ...]:
        """The hidden states, as in `Output`."""
        if below is None:
            start, x_BTD = 0, self.embed_tokens(tokens_BT)
        elif not 0 <= below.layer < self.depth or "tokens" not in below.extra:
            raise ValueError(f"`below` at layer {below.layer} was not made by this network of {self.depth} layers")
        elif not torch.equal(below.extra["tokens"], tokens_BT):
            raise ValueError("`below` is of other tokens: here every layer depends on what is masked")
        else:
            start, x_BTD = below.layer + 1, below.hidden_BTD
            x_BTD = x_BTD if edit is None else edit(below.layer, x_BTD)
        hidden: list[Tensor | None] = [None] * start + [x_BTD]
        by = rotation(tokens_BT.shape[1], self.width // self.settings.heads, x_BTD)
        for index in range(start, self.depth):
            x_BTD = self.layers[index](x_BTD, by)
            x_BTD = x_BTD if edit is None else edit(index, x_BTD)
            hidden.append(x_BTD)
        return tuple(hidden)

    def _scores(self, x: Tensor) -> Tensor:
        """[..., D] → scores [..., V] of the token that stands there."""
        scores: Tensor = self.lm_head(self.norm(x))
        return scores

    @torch.no_grad()
    def below(self, tokens_BT: Tensor, layer: int) -> Below:
        """See `Network.below`; `extra` holds the tokens, masks included, for which alone it is valid."""
        return replace(super().below(tokens_BT, layer), extra={"tokens": tokens_BT})

    def masked(self, tokens_BT: Tensor, prompt: int, draws: Generator) -> tuple[Tensor, Tensor]:
        """See `Network.masked`: a token after the prompt is masked with probability (1 - EPS) t and then weighs 1/t.

        t is drawn from (EPS, 1), once per sequence, stratified over the batch. Visible tokens weigh 0.
        """
        t_B = diffusion.EPS + (1 - diffusion.EPS) * diffusion.stratified(len(tokens_BT), draws)
        shown_BN = diffusion.noised(tokens_BT[:, prompt:], t_B, self.mask, draws)
        weight_B1 = diffusion.weight(t_B).to(tokens_BT.device)[:, None]
        return torch.cat([tokens_BT[:, :prompt], shown_BN], dim=1), weight_B1 * (shown_BN == self.mask)

    def nll(self, tokens_BT: Tensor, prompt: int, draws: Generator) -> Tensor:
        """See `Network.nll`: an estimate of the bound on -log p, at one t per sequence; 0 where a token is visible."""
        shown_BT, weight_BN = self.masked(tokens_BT, prompt, draws)
        scores_BNV = self._scores(last(self._hidden(shown_BT, None))[:, prompt:])
        nll_N = cross_entropy(scores_BNV.flatten(0, 1), tokens_BT[:, prompt:].flatten(), reduction="none")
        return weight_BN * nll_N.view_as(weight_BN)

    def denoised(self, shown_BT: Tensor, prompt: int, edit: Edit | None = None) -> Tensor:
        """log p(x_0 | x_t) of the tokens after `prompt`, [B, N, V]; what is visible is certain."""
        scores_BNV = self._scores(last(self._hidden(shown_BT, edit))[:, prompt:])
        return diffusion.subs(scores_BNV, shown_BT[:, prompt:], self.mask)

    def _wanted(self, prompt_BT: Tensor, edit: Edit | None, shown_BN: Tensor, wanted_BN: Tensor) -> Tensor:
        """A `Denoiser` for what follows a prompt: log p [M, V] at the wanted places alone, all of them masked."""
        tokens_BT = torch.cat([prompt_BT.expand(len(shown_BN), -1), shown_BN], dim=1)
        x_BND = last(self._hidden(tokens_BT, edit))[:, prompt_BT.shape[1] :]
        return diffusion.log_softmax(self._scores(x_BND[wanted_BN]))

    def _filled(self, prompt_BT: Tensor, length: int, edit: Edit | None) -> tuple[Tensor, Tensor]:
        """Masks after a prompt, filled greedily: (tokens [B, length], log p [B, length, V] that each came from)."""
        order = diffusion.filling_order(length, self.settings.steps, torch.Generator().manual_seed(SEED))
        masks_BN = prompt_BT.new_full((len(prompt_BT), length), self.mask)
        denoiser = partial(self._wanted, prompt_BT, edit)
        return diffusion.filled(denoiser, masks_BN, [places.to(prompt_BT.device) for places in order])

    @torch.no_grad()
    def answer(
        self,
        tokens_BT: Tensor,
        prompt: int,
        state: State | None = None,
        edit: Edit | None = None,
        below: Below | None = None,
    ) -> Answer:
        """What is said of the tokens after `prompt` of one sequence (B = 1), of which only the number is known.

        log_p_NV: the distribution from which the sampler filled each place; the most probable tokens are the text that
            `generate` returns. nll_N: the share of each token in an upper bound on -log p of them all.
        below: not used, since it was read off the true tokens.
        """
        stateless(state)
        prompt_BT, target_N = tokens_BT[:, :prompt], tokens_BT[0, prompt:]
        draws = torch.Generator().manual_seed(SEED)
        masked_KN = diffusion.masked_sets(self.settings.draws, len(target_N), draws).to(tokens_BT.device)
        nll_N = diffusion.bound(partial(self._wanted, prompt_BT, edit), target_N, masked_KN, self.mask, BATCH)
        return Answer(self._filled(prompt_BT, len(target_N), edit)[1][0], nll_N)

    @torch.no_grad()
    def generate(
        self,
        prompt_BT: Tensor,
        length: int,
        state: State | None = None,
        edit: Edit | None = None,
        following: Edit | None = None,
    ) -> Tensor:
        """A text of `length` tokens after the prompt, int64 [B, length].

        Masks are filled in a fixed random order, in `steps` steps, each of as many places as an ancestral step fills on
        average, with the most probable token of each. `following` edits every later place by itself.
        """
        stateless(state)
        if length == 0:
            return prompt_BT[:, :0]
        return self._filled(prompt_BT, length, joined(edit, following, prompt_BT.shape[1]))[0]

    @torch.no_grad()
    def sample(self, prompt_BT: Tensor, length: int, steps: int, draws: Generator, edit: Edit | None = None) -> Tensor:
        """A random text of `length` tokens after the prompt, int64 [B, length], by `steps` ancestral steps to t = 0.

        edit: of the whole sequence.
        """
        shown_BN = prompt_BT.new_full((len(prompt_BT), length), self.mask)
        times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
        for stays in diffusion.stays(times[:-1], times[1:]):
            log_p_BNV = self.denoised(torch.cat([prompt_BT, shown_BN], dim=1), prompt_BT.shape[1], edit)
            shown_BN = diffusion.ancestral_step(shown_BN, log_p_BNV, stays.expand(len(shown_BN)), self.mask, draws)
        return shown_BN


def last(hidden: tuple[Tensor | None, ...]) -> Tensor:
    """What the last layer left; every pass computes it."""
    return cast(Tensor, hidden[-1])


def stateless(state: State | None) -> None:
    """ValueError where a state is given."""
    if state is not None:
        raise ValueError("this network has no state to start from")


def joined(edit: Edit | None, following: Edit | None, prompt: int) -> Edit | None:
    """`edit` on the first `prompt` tokens, `following` on each later one by itself, as in a causal generation."""
    if edit is None and following is None:
        return None

    def apply(layer: int, hidden_BTD: Tensor) -> Tensor:
        read_BTD, said_BND = hidden_BTD[:, :prompt], hidden_BTD[:, prompt:]
        if edit is not None:
            read_BTD = edit(layer, read_BTD)
        if following is not None:
            said_BND = following(layer, said_BND.flatten(0, 1)[:, None]).view_as(said_BND)
        return torch.cat([read_BTD, said_BND], dim=1)

    return apply
