"""What a network is, in plain values: its class, and the arguments that make one of the same shape."""

from __future__ import annotations

from typing import Any

from monai.networks.nets import UNETR
from torch import nn


def describe_network(network: nn.Module) -> dict[str, Any]:
    """Class and arguments of a network, as the record of its weights has them (`monai_cl.networks.save_weights`).

    Args:
        network: a `monai.networks.nets.UNETR` or a module that has one as ``unetr``, whose arguments are read from its
            layers; one from `slice_encoder` or a module that has such an ``encoder``; of any other network the
            arguments are not known, {}.

    Returns:
        ``class``, its full name, and ``arguments``.
    """
    unetr = getattr(network, "unetr", network)
    if isinstance(unetr, UNETR):
        arguments = _of_unetr(unetr)
    else:
        encoder = network if hasattr(network, "arguments") else getattr(network, "encoder", None)
        arguments = dict(getattr(encoder, "arguments", {}))
    kind = type(network)
    return {"class": f"{kind.__module__}.{kind.__qualname__}", "arguments": arguments}


def _of_unetr(network: UNETR) -> dict[str, Any]:
    block: Any = network.vit.blocks[0]
    convolution: Any = network.encoder1.layer.conv1.conv
    head: Any = network.out.conv.conv
    return {
        "in_channels": convolution.in_channels,
        "out_channels": head.out_channels,
        "img_size": [feat * patch for feat, patch in zip(network.feat_size, network.patch_size)],
        "feature_size": convolution.out_channels,
        "hidden_size": network.hidden_size,
        "mlp_dim": block.mlp.linear1.out_features,
        "num_heads": block.attn.num_heads,
    }
