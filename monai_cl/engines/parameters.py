"""What the optimiser trains, and how fast: the transferred encoder may go gentler than the rest."""

from __future__ import annotations

from typing import Any

from torch import nn

from monai_cl.networks.transfer import encoder_weights


def parameter_groups(network: nn.Module, *, learning_rate: float, encoder_factor: float = 1.0) -> list[dict[str, Any]]:
    """Trainable parameters in two groups, encoder (``vit``, ``encoder1–4``) and the rest, for an optimiser.

    A learning-rate schedule scales both alike.

    Args:
        network: a UNETR, or its DDP wrapper.
        learning_rate: of the rest.
        encoder_factor: the encoder's learning rate over that of the rest, in (0, 1]. Worth lowering only where the
            encoder is pre-trained.

    Raises:
        ValueError: a factor outside (0, 1].
    """
    if not 0 < encoder_factor <= 1:
        raise ValueError(f"encoder_factor must be in (0, 1], got {encoder_factor}")
    bare = network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network
    trained = {name: p for name, p in bare.named_parameters() if p.requires_grad}
    encoder = encoder_weights(trained)
    return [
        {"params": list(encoder.values()), "lr": learning_rate * encoder_factor},
        {"params": [p for name, p in trained.items() if name not in encoder], "lr": learning_rate},
    ]
