"""A published causal language model, from a folder or a pinned revision: safetensors only, no remote code unasked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from resonance import params
from resonance.errors import UserError
from resonance.networks.causal_lm import CausalLM
from resonance.networks.recurrent_cache import remembered_by
from resonance.networks.selective_scan import begin_where_left


class Hub(CausalLM):
    """A model that transformers loads; its own weights are its base.

    vocabulary: ignored, a published model has its own.
    generator: None keeps the published weights; otherwise they are drawn afresh (`init: random`).
    """

    def __init__(
        self, settings: params.Hub, vocabulary: int | None = None, generator: torch.Generator | None = None
    ) -> None:
        if settings.revision is None and not Path(settings.path).is_dir():
            raise UserError(
                f"network.hub.path {settings.path!r} is not a folder here; for a repository on the hub set "
                "network.hub.revision to a commit (40 hex digits), so that its weights cannot change."
            )
        try:
            with torch.random.fork_rng(devices=[]):
                model = (published(settings) if generator is None else fresh(settings, generator)).eval()
                begin_where_left(model)
                remembered = remembered_by(model)
        except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
            raise UserError(refusal(settings.path, " ".join(str(error).split()))) from None
        super().__init__(model, remembered)
        if looks_ahead(self):
            raise UserError(
                f"network.hub.path {settings.path!r}: in {type(model).__name__} a token sees later ones, so it is not "
                "a causal language model: choose another."
            )
        self.placed = generator is None and settings.device_map is not None

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """As in torch, but a model that `device_map` has placed stays where it is."""
        return self if self.placed else super().to(*args, **kwargs)


def published(settings: params.Hub) -> PreTrainedModel:
    """The model with its published weights; ValueError where some are not there."""
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        settings.path,
        revision=settings.revision,
        trust_remote_code=settings.trust_remote_code,
        use_safetensors=True,
        dtype=getattr(torch, settings.dtype),
        device_map=settings.device_map,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    model, report = loaded
    wrong = report["missing_keys"] | {name for name, *_ in report["mismatched_keys"]}
    if wrong:
        raise ValueError(f"its files lack, or hold in another size, {', '.join(sorted(wrong)[:3])}")
    return model


def fresh(settings: params.Hub, generator: torch.Generator) -> PreTrainedModel:
    """The model with weights drawn by its own rule, from torch's global generator, which the caller puts back."""
    trust = {"trust_remote_code": settings.trust_remote_code}
    config = AutoConfig.from_pretrained(settings.path, revision=settings.revision, **trust)
    torch.default_generator.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
    return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, settings.dtype), **trust)


@torch.no_grad()
def looks_ahead(network: CausalLM) -> bool:
    """Whether the last of four tokens changes what is predicted before it, as in BERT, which transformers loads too."""
    device = next(p.device for p in network.parameters() if p.device.type != "meta")  # meta: what lies on a disk
    places = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 0]], device=device)
    one_TV, other_TV = network(network.vocabulary // 2 + places).logits_BTV[:, :3]
    return bool((one_TV - other_TV).abs().max() > 1e-3 * one_TV.std())


def refusal(path: str, reason: str) -> str:
    """One sentence: what is wrong with the model, and what to do."""
    if "trust_remote_code" in reason:
        return (
            f"network.hub.path {path!r} comes with Python code of its own: read it, then set "
            "network.hub.trust_remote_code: true, or choose another model."
        )
    return (
        f"network.hub.path {path!r} cannot be loaded ({reason.split('. ')[0].rstrip('.')}); "
        "give a folder with config.json and model.safetensors, or a repository and a network connection."
    )
