"""The device of a job, set up so that the same job gives the same bytes."""

from __future__ import annotations

import os

import torch

from resonance import params
from resonance.errors import UserError


def set_up(compute: params.Compute) -> torch.device:
    """Fix threads and deterministic kernels; returns the device that the parameters ask for."""
    if compute.device == "cuda" and not torch.cuda.is_available():
        raise UserError("compute.device: cuda, but no GPU is visible here; set it to auto or cpu, or run where one is.")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(compute.threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    wanted = compute.device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)
