"""Compiled training: the layers of a network as fused kernels, made by torch.compile on the machine of the job."""

from __future__ import annotations

import logging

import torch

from resonance.networks.network import Network

logger = logging.getLogger(__name__)

SHAPES = 256
"""Variants of a layer that are compiled before torch would fall back, in silence, to the code as it stands."""


def compile_network(network: Network) -> None:
    """Let every layer that allows it be compiled at its first pass, once per length of a sequence.

    The examples of a study have few lengths, so shapes are static: what is compiled for one is right for all cycles.
    """
    layers = list(network.compilable())
    if not layers:
        logger.info("compute.compile: %s has no layers that can be compiled; it runs as it is", type(network).__name__)
    torch._dynamo.config.recompile_limit = SHAPES
    for layer in layers:
        layer.compile(dynamic=False)
