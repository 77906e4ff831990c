"""What a network is, in plain values: its class, and the arguments that make one of the same shape."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from torch import Tensor, nn

from monai_cl.networks.volume.backbones import backbone_of, network_within


def describe_network(network: nn.Module) -> dict[str, Any]:
    """Class and arguments of a network, as the record of its weights has them (`monai_cl.networks.save_weights`).

    Args:
        network: of a `Backbone`'s kind or a `MixCLNet`, whose arguments are read from its layers; one from
            `slice_encoder` or a `SliceUNet`, or a module that has such an ``encoder`` or ``unet``; of any other network
            the arguments are not known, {}.

    Returns:
        ``class``, its full name, and ``arguments``; of a `MixCLNet` also ``reconstructs``, whether its decoder and last
        layer do.
    """
    inner = network_within(network)
    backbone = backbone_of(inner)
    if backbone is not None:
        arguments = backbone.arguments(inner)
    else:
        parts: list[Any] = [network, *(getattr(network, part, None) for part in ("encoder", "unet"))]
        arguments = next((dict(part.arguments) for part in parts if hasattr(part, "arguments")), {})
    kind = type(network)
    found: dict[str, Any] = {"class": f"{kind.__module__}.{kind.__qualname__}", "arguments": arguments}
    if network is not inner and hasattr(network, "reconstruct"):
        found["reconstructs"] = network.reconstruct
    return found


def unetr_of_weights(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of a UNETR that the shapes of its tensors tell; {} where they are of another network.

    Args:
        weights: of a UNETR or of its encoder, under its own names.

    Returns:
        ``in_channels``, ``feature_size``, ``hidden_size``, ``mlp_dim`` and ``patches``, the number of patches of 16³
        voxels into which the input is divided.
    """
    position = weights.get("vit.patch_embedding.position_embeddings")
    hidden = weights.get("vit.blocks.0.mlp.linear1.weight")
    first = weights.get("encoder1.layer.conv1.conv.weight")
    if position is None or hidden is None or first is None or (position.ndim, hidden.ndim, first.ndim) != (3, 2, 5):
        return {}
    return {
        "in_channels": first.shape[1],
        "feature_size": first.shape[0],
        "hidden_size": hidden.shape[1],
        "mlp_dim": hidden.shape[0],
        "patches": position.shape[1],
    }


def differences(trained: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The arguments that both have with other values: name -> (of the trained network, of this one).

    Args:
        trained: arguments in a record, or what `unetr_of_weights` found.
        own: arguments of a network that takes the weights; the number of classes may differ.
    """
    # a UNETR's record does not name it: it was the only one
    trained, own = ({"backbone": "unetr", **d} if "hidden_size" in d else dict(d) for d in (trained, own))
    if "patches" in trained and "img_size" in own:
        own["patches"] = prod(edge // 16 for edge in own["img_size"])
    shared = [key for key in trained if key in own and key not in ("in_channels", "out_channels")]
    return {key: (trained[key], own[key]) for key in shared if trained[key] != own[key]}
