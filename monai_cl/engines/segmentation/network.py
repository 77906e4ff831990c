"""The parts of a segmentation network's optimisation: groups of parameters, weights of classes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from monai_cl.engines.distributed.wrapping import unwrap_ddp
from monai_cl.errors import UserError
from monai_cl.networks import load_encoder, segmentation_network
from monai_cl.networks.transfer import encoder_weights
from monai_cl.networks.volume.backbones import backbone_of

logger = logging.getLogger(__name__)


def segmentation_unetr(*, pretrained_encoder: str | None = None, **unetr: Any) -> nn.Module:
    """`monai.networks.nets.UNETR(**unetr)`, with its encoder from a file if one is given; configs of earlier versions.

    Args:
        pretrained_encoder: ``encoder.pt`` of ``python -m monai_cl export_encoder``; None trains from scratch.
        unetr: UNETR's own arguments.

    Raises:
        UserError: when the file is not an encoder of this architecture; the message names what did not match. Or a
            patch size that UNETR cannot take.
    """
    network = segmentation_network(**unetr)
    if pretrained_encoder:
        logger.info("%s", load_encoder(network, pretrained_encoder))
    return network


def parameter_groups(
    network: nn.Module, *, learning_rate: float, encoder_factor: float = 1.0, at_random: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Trainable parameters in two groups, encoder and the rest, for an optimiser.

    A learning-rate schedule scales both alike.

    Args:
        network: of a `Backbone`'s kind, or its DDP wrapper; of any other network all parameters are of the rest.
        learning_rate: of the rest.
        encoder_factor: the encoder's learning rate over that of the rest, in (0, 1]. Worth lowering only where the
            encoder is pre-trained.
        at_random: parts of the encoder that are not, see `Start`; they are of the rest.

    Raises:
        ValueError: a factor outside (0, 1].
    """
    if not 0 < encoder_factor <= 1:
        raise ValueError(f"encoder_factor must be in (0, 1], got {encoder_factor}")
    network = unwrap_ddp(network)
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    encoder = {
        name: p
        for name, p in encoder_weights(trained, backbone_of(network)).items()
        if name.split(".")[0] not in at_random
    }
    return [
        {"params": list(encoder.values()), "lr": learning_rate * encoder_factor},
        {"params": [p for name, p in trained.items() if name not in encoder], "lr": learning_rate},
    ]


def loss_weights(background: float, *, organs: int, device: torch.device | str = "cpu") -> Tensor | None:
    """Weights of the classes for MONAI's `DiceCELoss`: ``background``, then 1 for each organ; None where all are 1.

    Args:
        background: weight of class 0, > 0.
        organs: number of further classes.
        device: where the loss is computed.

    Raises:
        UserError: a weight that is not > 0.
    """
    if not background > 0:
        raise UserError("background_weight", expected="a number > 0", found=background)
    return None if background == 1 else torch.tensor([background] + [1.0] * organs, device=device)
