"""Mamba's mixing of tokens from a given state.

transformers goes on from a state one token at a time only: where it reads several at once, it begins the scan with
zeros. Here its mixers get a forward method that begins with what is there:

    x, z = W_in u                    x ← silu(conv(x)), K inputs wide
    Δ, B, C = W_x x                  FalconMamba: each through a norm of its own
    Δ ← softplus(W_Δ Δ + b)
    s_t = exp(Δ_t A) s_{t-1} + Δ_t B_t x_t          A = -exp(A_log)
    W_out ((C_t s_t + D x_t) silu(z_t))

Source: Gu and Dao, *Mamba*, arXiv 2312.00752, section 3. E inner width, N size of the state, R rank of Δ.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, linear, silu, softplus
from transformers.cache_utils import Cache
from transformers.integrations.accelerate import force_accelerate_hooks
from transformers.models.falcon_mamba.modeling_falcon_mamba import FalconMambaMixer
from transformers.models.mamba.modeling_mamba import MambaMixer


def begin_where_left(model: nn.Module) -> None:
    """Let every Mamba mixer in `model` read any number of tokens from the state in its cache."""
    for mixer in model.modules():
        if isinstance(mixer, (MambaMixer, FalconMambaMixer)):
            # accelerate keeps what it wraps under this name, and fetches weights around it
            name = "_old_forward" if hasattr(mixer, "_old_forward") else "forward"
            setattr(mixer, name, partial(_mixed, mixer, getattr(mixer, name)))


def _mixed(
    mixer: Any, afresh: Callable[..., Tensor], hidden_BTD: Tensor, cache_params: Cache | None = None, **kwargs: Any
) -> Tensor:
    """One mixer: `afresh`, the method of transformers, where there is no state yet."""
    layer: Any = None if cache_params is None else cache_params.layers[mixer.layer_idx]
    if layer is None or layer.recurrent_states[0] is None:
        return afresh(hidden_BTD, cache_params=cache_params, **kwargs)
    mixed_BTD, layer.conv_states[0], layer.recurrent_states[0] = continued(
        mixer, hidden_BTD, layer.conv_states[0], layer.recurrent_states[0]
    )
    return mixed_BTD


@force_accelerate_hooks(["conv1d", "dt_proj"])
def continued(mixer: Any, hidden_BTD: Tensor, last_BEK: Tensor, state_BEN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What a mixer makes of T tokens; the last K inputs of its convolution and its state, before and after."""
    x_BTE, gate_BTE = mixer.in_proj(hidden_BTD).chunk(2, dim=-1)
    inputs_BET = torch.cat([last_BEK.to(x_BTE.dtype), x_BTE.transpose(1, 2)], dim=-1)
    x_BET = conv1d(inputs_BET[..., 1:], mixer.conv1d.weight, mixer.conv1d.bias, groups=inputs_BET.shape[1])
    x_BTE = mixer.act(x_BET).transpose(1, 2)

    sizes = [mixer.time_step_rank, mixer.ssm_state_size, mixer.ssm_state_size]
    step_BTR, write_BTN, read_BTN = mixer.x_proj(x_BTE).split(sizes, dim=-1)
    if isinstance(mixer, FalconMambaMixer):
        step_BTR = mixer.dt_layernorm(step_BTR)
        write_BTN, read_BTN = mixer.b_layernorm(write_BTN), mixer.c_layernorm(read_BTN)

    exact = torch.promote_types(state_BEN.dtype, torch.float32)
    step_BTE = softplus(linear(step_BTR, mixer.dt_proj.weight).to(exact) + mixer.dt_proj.bias)
    decay_BTEN = (step_BTE[..., None] * -mixer.A_log.to(exact).exp()).exp()
    gain_BTEN = (step_BTE * x_BTE)[..., None] * write_BTN[:, :, None]
    states_BTEN = scan(decay_BTEN, gain_BTEN, state_BEN.to(exact))
    reads_BTE = (states_BTEN @ read_BTN.to(exact)[..., None])[..., 0] + mixer.D * x_BTE
    mixed_BTD = mixer.out_proj((reads_BTE * silu(gate_BTE)).to(hidden_BTD.dtype))
    return mixed_BTD, inputs_BET[..., -last_BEK.shape[-1] :], states_BTEN[:, -1]


def scan(decay_BTEN: Tensor, gain_BTEN: Tensor, state_BEN: Tensor) -> Tensor:
    """s_t = decay_t s_{t-1} + gain_t at every token, from s_0 = `state_BEN`."""
    states = []
    for decay_BEN, gain_BEN in zip(decay_BTEN.unbind(1), gain_BTEN.unbind(1), strict=True):
        state_BEN = torch.addcmul(gain_BEN, decay_BEN, state_BEN)
        states.append(state_BEN)
    return torch.stack(states, dim=1)
