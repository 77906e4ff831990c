"""What a network is, in plain values: its class, and the arguments that make one of the same shape."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from torch import Tensor, nn

from monai_cl.networks.foreign.names import named_as
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


_VIT = {
    "patches": "vit.patch_embedding.position_embeddings",
    "patch_embedding": "vit.patch_embedding.patch_embeddings.weight",
    "mlp": "vit.blocks.0.mlp.linear1.weight",
    "first": "encoder1.layer.conv1.conv.weight",
}
_FIRST = (
    ("swin_unetr_1_4", "swinViT.patch_embed.proj.weight"),
    ("segresnet", "convInit.conv.weight"),
    ("dynunet", "input_block.conv1.conv.weight"),
    ("dynunet", "encoder.stages.0.0.convs.0.conv.weight"),  # nnU-Net's PlainConvUNet
)
_V2 = "swinViT.layers1c.0.layer.conv1.conv.weight"


def network_of_weights(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The backbone that weights are for, and what the shapes of its tensors tell of its arguments; {}: not known.

    Args:
        weights: of the network, its encoder or its transformer alone, from anywhere.

    Returns:
        ``backbone``, ``in_channels``, ``feature_size``; of a UNETR also ``hidden_size``, ``mlp_dim`` and ``patches``,
        the number of patches of 16³ voxels into which the input is divided. What is not in the file is left out. Of
        the SwinUNETRs whose names are the same, it is the one that published weights are for.
    """
    vit = named_as(weights, _VIT.values())
    shapes = {key: tuple(vit[name].shape) for key, name in _VIT.items() if name in vit}
    if len(shapes.get("patches", ())) == 3 and len(shapes.get("mlp", ())) == 2:
        first = shapes.get("first", ())
        channels = first or shapes.get("patch_embedding", ())
        return {
            "backbone": "unetr",
            **({"in_channels": channels[1]} if len(channels) == 5 else {}),
            **({"feature_size": first[0]} if len(first) == 5 else {}),
            "hidden_size": shapes["mlp"][1],
            "mlp_dim": shapes["mlp"][0],
            "patches": shapes["patches"][1],
        }
    for backbone, name in _FIRST:
        kernel = named_as(weights, [name]).get(name)
        if kernel is not None and kernel.ndim == 5:
            v2 = name.startswith("swinViT.") and _V2 in named_as(weights, [name, _V2])
            found = {"in_channels": kernel.shape[1], "feature_size": kernel.shape[0]}
            return {"backbone": "swin_unetr_v2" if v2 else backbone, **found}
    return {}


def differences(trained: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The arguments that both have with other values: name -> (of the trained network, of this one).

    Args:
        trained: arguments in a record, or what `network_of_weights` found.
        own: arguments of a network that takes the weights; the number of classes may differ.
    """
    # a UNETR's record does not name it: it was the only one
    trained, own = ({"backbone": "unetr", **d} if "hidden_size" in d else dict(d) for d in (trained, own))
    if "patches" in trained and "img_size" in own:
        own["patches"] = prod(edge // 16 for edge in own["img_size"])
    shared = [key for key in trained if key in own and key not in ("in_channels", "out_channels")]
    return {key: (trained[key], own[key]) for key in shared if trained[key] != own[key]}
