"""Data-dependent initialisation: on a first batch, every channel of every convolution has mean 0, deviation 1.

A network without norms and with PyTorch's default weights reduces the difference between two slices from layer to
layer, until all embeddings point in one direction (cosine ≈ 1.000) and a contrastive loss has hardly any difference to
increase.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def standardise_convolutions(network: nn.Module, images: Tensor) -> nn.Module:
    """Scale and shift every 2D convolution so that its channels have mean 0 and deviation 1 over ``images``.

    ``w ← w / s``, ``b ← (b − m) / s`` with m and s over batch and pixels, layer by layer in the order of the forward
    pass, each on the output of the layers before it, already scaled. Norm layers are not changed: they would undo a
    scale.

    Args:
        network: takes ``images``; changed in place, in its current modes.
        images: (B, C, H, W), a first batch.

    Returns:
        ``network``.

    Raises:
        ValueError: a convolution without bias, which cannot be shifted, or none at all.

    Source: Salimans and Kingma, "Weight normalization", NeurIPS 2016, §3 (data-dependent initialisation).
    """
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    if not convolutions:
        raise ValueError("network must have a 2D convolution, found none")
    if any(module.bias is None for module in convolutions):
        raise ValueError("network must have a bias in every convolution: one without has a norm that standardises it")

    def standardise(module: nn.Conv2d, _: tuple, output: Tensor) -> Tensor:
        deviation, mean = torch.std_mean(output.float(), dim=(0, 2, 3))
        deviation += 1e-5  # for channels that are constant
        module.weight /= deviation[:, None, None, None]
        assert module.bias is not None
        module.bias.copy_((module.bias - mean) / deviation)
        return (output - mean[:, None, None]) / deviation[:, None, None]

    hooks = [module.register_forward_hook(standardise) for module in convolutions]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return network


def data_dependent_init(network: nn.Module, images: Tensor) -> nn.Module:
    """`standardise_convolutions` before a training; a momentum target starts as its online network.

    Args:
        network: such as a `ProjectedEncoder`, not yet trained; changed in place.
        images: (B, C, H, W) windowed to [0, 1].
    """
    standardise_convolutions(getattr(network, "online", network), images)
    after_initialisation = getattr(network, "after_initialisation", None)
    if after_initialisation is not None:
        after_initialisation()
    return network
