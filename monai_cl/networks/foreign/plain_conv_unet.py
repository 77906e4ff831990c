"""MONAI's DynUNet and nnU-Net v2's PlainConvUNet are one network: the names of one, the names of the other."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from monai_cl.errors import UserError

_INPUT, _BOTTLENECK, _OUTPUT = "input_block", "bottleneck", "output_block.conv.conv"
_ALIASES = ((".conv.", ".all_modules.0."), (".norm.", ".all_modules.1."))  # PlainConvUNet's second names


def plain_conv_weights(weights: Mapping[str, Tensor], *, source: object = "weights") -> dict[str, Tensor]:
    """A DynUNet's tensors under all names of a PlainConvUNet of the same sizes.

    Kernels get their three axes reversed, (x, y, z) to (z, y, x). What PlainConvUNet has and DynUNet does not is zero:
    the biases of convolutions in front of an instance norm, which removes them, those of transposed convolutions, and,
    where there is an output layer, the output layers of the coarser levels, which only deep supervision uses.

    Args:
        weights: of the encoder, and where present of decoder and output layer.
        source: the file, for messages.

    Raises:
        UserError: several kernel sizes, or tensors that PlainConvUNet has no place for.
    """
    levels = _levels(weights)
    kernels = {tuple(tensor.shape[2:]) for name, tensor in weights.items() if ".conv1.conv." in name}
    if len(kernels) > 1:
        # DynUNet's decoder has the kernels of the level below where PlainConvUNet's has those of its own level
        raise UserError(source, expected="a DynUNet of one kernel size", found=sorted(kernels))
    places = dict(chain.from_iterable(_places(level, levels) for level in range(levels)))
    places[_OUTPUT] = f"decoder.seg_layers.{levels - 2}"
    made: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        module, kind = name.rsplit(".", 1)
        if name.startswith("skip_layers."):
            continue
        if module not in places:
            raise UserError(
                source, expected="a DynUNet of plain blocks", found=f"{name}, which PlainConvUNet does not have"
            )
        target = places[module]
        made[f"{target}.{kind}"] = reverse_axes(tensor)
        if target.endswith(".conv") or ".transpconvs." in target:
            channels = tensor.shape[1] if ".transpconvs." in target else tensor.shape[0]
            made[f"{target}.bias"] = torch.zeros(channels, dtype=tensor.dtype)
    if (last := f"decoder.seg_layers.{levels - 2}.weight") in made:
        for level in range(levels - 2):
            channels = made[f"decoder.stages.{level}.convs.1.conv.weight"].shape[0]
            made[f"decoder.seg_layers.{level}.weight"] = made[last].new_zeros(len(made[last]), channels, 1, 1, 1)
            made[f"decoder.seg_layers.{level}.bias"] = made[last].new_zeros(len(made[last]))
    for one, other in _ALIASES:
        made |= {name.replace(one, other): tensor for name, tensor in made.items() if one in name}
    if any(name.startswith("decoder.") for name in made):  # the decoder holds the encoder as well
        made |= {f"decoder.{name}": tensor for name, tensor in made.items() if name.startswith("encoder.")}
    return made


def dynunet_encoder(
    weights: Mapping[str, Tensor], own: Mapping[str, Tensor], *, source: object = "weights"
) -> dict[str, Tensor]:
    """The encoder of a PlainConvUNet under DynUNet's names: the reverse of `plain_conv_weights`.

    A convolution's bias is left out: the instance norm behind it removes it. The decoder is not taken, because the
    biases of its transposed convolutions have no place in a DynUNet.

    Args:
        weights: of nnU-Net v2.
        own: state dict of the DynUNet that is to take them.
        source: the file, for messages.

    Returns:
        Name -> tensor; {} where the weights are of another network.

    Raises:
        UserError: what shapes do not tell: more than two convolutions in a stage, or other strides, which the kernels
            of the transposed convolutions have.
    """
    stages = [name.split(".") for name in weights if name.startswith("encoder.stages.") and ".0.convs." in name]
    levels = 1 + max((int(parts[2]) for parts in stages), default=-1)
    if levels and levels != _levels(own):
        raise UserError(
            source,
            expected=f"a PlainConvUNet of {_levels(own)} stages, as this DynUNet has",
            found=f"{levels} stages",
            remedy="plan its training in nnU-Net with as many stages (docs/model_files.md), or leave the file out",
        )
    if more := [name for name in weights if name.startswith("encoder.stages.") and ".0.convs.2." in name]:
        raise UserError(source, expected="a PlainConvUNet of two convolutions in each stage", found=more[0])
    theirs_ours = {
        level: (
            weights.get(f"decoder.transpconvs.{level}.weight"),
            own.get(f"upsamples.{level}.transp_conv.conv.weight"),
        )
        for level in range(levels - 1)
    }
    for level, (kernel, needed) in theirs_ours.items():
        if kernel is not None and needed is not None and kernel.shape[:1:-1] != needed.shape[2:]:
            raise UserError(
                source,
                expected=f"strides {list(needed.shape[2:])} (x, y, z) at stage {levels - 1 - level}",
                found=list(kernel.shape[:1:-1]),
                remedy="train a PlainConvUNet with the strides of this DynUNet, or leave the file out",
            )
    made = {}
    for level in range(levels):
        for ours, theirs in _places(level, levels):
            kinds = ("weight", "bias") if ".norm" in theirs else ("weight",)
            for kind in kinds if theirs.startswith("encoder.") else ():
                if (tensor := weights.get(f"{theirs}.{kind}")) is not None:
                    made[f"{ours}.{kind}"] = reverse_axes(tensor)
    return made


def nnunet_architecture(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """``architecture`` as nnU-Net's plans must have it for the weights to fit, axes in nnU-Net's order (z, y, x).

    Args:
        weights: of a DynUNet; where the decoder is not there, every level but the first has stride 2, as the project's.

    Source: nnunetv2 2.8, ``nnUNetv2_plan_experiment``.
    """
    levels = _levels(weights)
    first = [weights[f"{_block(level, levels)}.conv1.conv.weight"] for level in range(levels)]
    up = [weights.get(f"upsamples.{level}.transp_conv.conv.weight") for level in range(levels - 2, -1, -1)]
    strides = [[1, 1, 1], *([2, 2, 2] if kernel is None else list(kernel.shape[:1:-1]) for kernel in up)]
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": levels,
            "features_per_stage": [kernel.shape[0] for kernel in first],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [list(kernel.shape[:1:-1]) for kernel in first],
            "strides": strides,
            "n_conv_per_stage": [2] * levels,
            "n_conv_per_stage_decoder": [2] * (levels - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def reverse_axes(tensor: Tensor) -> Tensor:
    """A kernel (F, C, x, y, z) as (F, C, z, y, x) and back; a vector as it is."""
    return tensor.permute(0, 1, 4, 3, 2).contiguous() if tensor.ndim == 5 else tensor


def _levels(weights: Mapping[str, Tensor]) -> int:
    return 2 + len({name.split(".")[1] for name in weights if name.startswith("downsamples.")})


def _block(level: int, levels: int) -> str:
    return _INPUT if level == 0 else _BOTTLENECK if level == levels - 1 else f"downsamples.{level - 1}"


def _places(level: int, levels: int) -> list[tuple[str, str]]:
    """Modules with tensors of an encoder's level, and of the decoder's level that ends at it: ours, theirs."""
    ours = [(_block(level, levels), f"encoder.stages.{level}.0")]
    found = []
    if level < levels - 1:
        ours.append((f"upsamples.{level}.conv_block", f"decoder.stages.{level}"))
        found = [(f"upsamples.{level}.transp_conv.conv", f"decoder.transpconvs.{level}")]
    for block, stage in ours:
        for number in (1, 2):
            found += [
                (f"{block}.conv{number}.conv", f"{stage}.convs.{number - 1}.conv"),
                (f"{block}.norm{number}", f"{stage}.convs.{number - 1}.norm"),
            ]
    return found
