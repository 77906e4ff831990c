"""Weights of this project under the names of other libraries' networks: MONAI, timm and nnU-Net v2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from monai_cl.errors import UserError
from monai_cl.networks.foreign.names import likely_architecture, named_as
from monai_cl.networks.foreign.plain_conv_unet import nnunet_architecture, plain_conv_weights
from monai_cl.networks.resnet import RESNETS, resnet_of_weights
from monai_cl.networks.transfer import encoder_weights
from monai_cl.networks.unet.semi_supervised import unet_weights
from monai_cl.networks.volume.encoder_file import named_by_backbone

# `timm.create_model` has these three; SwAV's wider ones are other networks than its wide_resnet50_2
TIMM_RESNETS = ("resnet18", "resnet50", "resnet152")
_UNET_DOWN = ("conv_0.", *(f"down_{level}." for level in range(1, 5)))
_UNET_UP = (*(f"upcat_{level}." for level in range(1, 5)), "final_conv.")


@dataclass(frozen=True)
class Outgoing:
    """Weights for another library.

    Attributes:
        network: class or model name in that library.
        tensors: name there -> tensor, contiguous, on the CPU.
        parts: which of ``encoder``, ``decoder`` and ``output`` they are.
        arguments: of the network there, as far as the tensors tell.
    """

    network: str
    tensors: dict[str, Tensor]
    parts: tuple[str, ...] = ("encoder",)
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether these are all tensors of the network."""
        return self.parts in (("encoder", "decoder", "output"), ("all",))


def monai_weights(weights: Mapping[str, Tensor], *, parts: Sequence[str], source: object = "weights") -> Outgoing:
    """Weights under the names of MONAI's own network: UNETR, SwinUNETR, SegResNet, DynUNet or the 2-D BasicUNet.

    Args:
        weights: from `read_weights`.
        parts: which of ``encoder``, ``decoder`` and ``output`` to take, where the file has them.
        source: the file, for messages.

    Raises:
        UserError: weights of another network.
    """
    backbone, inner = named_by_backbone(weights)
    copies: tuple[str, ...] = ()
    if encoder := encoder_weights(inner, backbone):
        names: dict[str, tuple[str, ...]] = {"decoder": backbone.decoder, "output": (f"{backbone.output}.",)}
        network, copies = backbone.kind.__name__, ("skip_layers.",)  # DynUNet's second name of every tensor
    else:
        # of a mean teacher's two networks the student's; of a pre-training the encoder
        inner = named_as(unet_weights(weights), ["conv_0.conv_0.conv.weight", "down_4.convs.conv_0.conv.weight"])
        encoder = {name: tensor for name, tensor in inner.items() if name.startswith(_UNET_DOWN)}
        names, network = {"decoder": _UNET_UP[:-1], "output": _UNET_UP[-1:]}, "BasicUNet"
    if not encoder:
        raise UserError(
            source,
            expected="weights of MONAI's UNETR, SwinUNETR, SegResNet, DynUNet or BasicUNet",
            found=_looks(weights),
            remedy="a ResNet of slices goes to timm, any network to safetensors",
        )
    tensors, found = dict(encoder), ["encoder"]
    for part, prefixes in names.items():
        more = {name: tensor for name, tensor in inner.items() if name.startswith(prefixes)} if part in parts else {}
        if more:
            tensors |= more
            found.append(part)
    if len(found) == 3 and copies:
        tensors |= {name: tensor for name, tensor in inner.items() if name.startswith(copies)}
    sizes = {}
    if network == "BasicUNet":  # whose record has neither
        classes = tensors.get("final_conv.weight")
        sizes = {"in_channels": tensors["conv_0.conv_0.conv.weight"].shape[1]}
        sizes |= {} if classes is None else {"out_channels": classes.shape[0]}
    return Outgoing(network, _plain(tensors), tuple(found), sizes)


def timm_weights(weights: Mapping[str, Tensor], *, source: object = "weights") -> Outgoing:
    """A slice encoder's ResNet-18, 50 or 152 under the names of timm and torchvision, without a classifier.

    ``timm.create_model(network, in_chans=C, num_classes=0)`` loads them strictly; its features of slices that are
    standardised by the encoder's ``mean`` and ``std`` (see ``arguments``) are the encoder's representation.

    Args:
        weights: from `read_weights`.
        source: the file, for messages.

    Raises:
        UserError: weights of another network.
    """
    if found := resnet_of_weights(weights, TIMM_RESNETS):
        model, tensors = found
        mean, std = (
            next((float(t) for name, t in weights.items() if f".{name}".endswith(f".{key}") and t.ndim == 0), None)
            for key in ("mean", "std")
        )
        channels = {"in_chans": tensors["conv1.weight"].shape[1], "num_classes": 0}
        standardisation = {} if mean is None or std is None else {"mean": mean, "std": std}
        return Outgoing(model, _plain(tensors), ("all",), channels | standardisation)
    known = ", ".join(RESNETS[model][0] for model in TIMM_RESNETS)
    raise UserError(
        source,
        expected=f"a slice encoder with a {known} of the usual width, which timm has as well",
        found=_looks(weights),
        remedy="write it with --format safetensors, or --format monai where it is a network of MONAI",
    )


def nnunet_weights(weights: Mapping[str, Tensor], *, parts: Sequence[str], source: object = "weights") -> Outgoing:
    """A DynUNet under the names of nnU-Net v2's PlainConvUNet.

    nnU-Net's arrays are (z, y, x) and this project's (x, y, z): the axes of all kernels are reversed, so that the
    network there gives for reversed axes what the DynUNet gives.

    Args:
        weights: from `read_weights`.
        parts: see `monai_weights`; nnU-Net starts a training from encoder and decoder only.
        source: the file, for messages.

    Raises:
        UserError: weights of another network, or of a DynUNet with residual blocks.
    """
    try:
        ours = monai_weights(weights, parts=parts, source=source)
    except UserError:
        ours = None
    if ours is None or ours.network != "DynUNet":
        raise UserError(
            source,
            expected="a DynUNet, MONAI's version of nnU-Net's PlainConvUNet",
            found=_looks(weights) if ours is None else f"a {ours.network}, which nnU-Net v2 does not have",
            remedy="write it with --format monai or --format safetensors",
        )
    tensors = plain_conv_weights(ours.tensors, source=source)
    return Outgoing("PlainConvUNet", tensors, ours.parts, nnunet_architecture(ours.tensors))


def any_weights(weights: Mapping[str, Tensor], *, parts: Sequence[str], source: object = "weights") -> Outgoing:
    """Weights under MONAI's names or timm's, whichever fits; of any other network under the project's own names.

    Args:
        weights: from `read_weights`.
        parts: see `monai_weights`.
        source: the file, for messages.
    """
    try:
        return monai_weights(weights, parts=parts, source=source)
    except UserError:
        pass
    try:
        return timm_weights(weights, source=source)
    except UserError:
        return Outgoing("", _plain(weights), ("all",))


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _looks(weights: Mapping[str, Tensor]) -> str:
    if any(name.startswith(("backbone.layers.", "encoder.backbone.layers.")) for name in weights):
        return "a TinyNet, a network of this project"
    return likely_architecture(weights) or f"names such as {', '.join(sorted(weights)[:2])}"
