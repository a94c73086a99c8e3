"""A published causal language model, from a folder or a pinned revision: safetensors only, no remote code unasked."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from resonance import params
from resonance.errors import UserError
from resonance.networks.causal_lm import CausalLM
from resonance.networks.transformer import initialise


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
                f"network.hub.path {settings.path!r} is not a folder here; for a repository on the hub "
                "set network.hub.revision to a commit, so that its weights cannot change."
            )
        kwargs = {"revision": settings.revision, "trust_remote_code": settings.trust_remote_code}
        try:
            if generator is None:
                model = AutoModelForCausalLM.from_pretrained(
                    settings.path,
                    use_safetensors=True,
                    dtype=getattr(torch, settings.dtype),
                    device_map=settings.device_map,
                    **kwargs,
                )
            else:
                with torch.random.fork_rng():
                    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(settings.path, **kwargs))
                initialise(model, generator)
        except (OSError, ValueError) as error:
            raise UserError(
                f"network.hub.path {settings.path!r} cannot be loaded ({' '.join(str(error).split())[:200]}); "
                "give a folder with config.json and model.safetensors, or a repository and a network connection."
            ) from None
        super().__init__(model)
