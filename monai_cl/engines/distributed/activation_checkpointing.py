"""Activation checkpointing: blocks of a network compute their activations again in backward instead of keeping them."""

from __future__ import annotations

import functools

from monai.networks.blocks.dynunet_block import UnetBasicBlock, UnetResBlock, UnetUpBlock
from monai.networks.blocks.segresnet_block import ResBlock
from monai.networks.blocks.transformerblock import TransformerBlock
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock
from monai.networks.nets.swin_unetr import SwinTransformerBlock
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from monai_cl.errors import UserError

BLOCKS = (
    UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock, TransformerBlock, SwinTransformerBlock,
    UnetBasicBlock, UnetResBlock, UnetUpBlock, ResBlock,
)  # fmt: skip
"""MONAI's blocks of UNETR, SwinUNETR, DynUNet and SegResNet."""


def checkpoint_activations(network: nn.Module) -> int:
    """Let the outermost of `BLOCKS` keep only their input until backward; returns how many do.

    What is computed stays, to the last bit, random numbers included; each of these forwards is computed twice.
    Parameters and their names stay.

    Args:
        network: changed in place, before it is wrapped for several processes.

    Raises:
        UserError: a network without such blocks, or with a batch norm in one, which would count each batch twice.

    Source: Chen et al., "Training deep nets with sublinear memory cost", 2016; `torch.utils.checkpoint`.
    """
    blocks = _outermost(network)
    batch_norms = any(isinstance(module, _BatchNorm) for block in blocks for module in block.modules())
    if not blocks or batch_norms:
        raise UserError(
            "activation_checkpointing",
            expected="a network of MONAI's UNETR, SwinUNETR, DynUNet or SegResNet blocks, without batch norm",
            found=f"{type(network).__name__} " + ("with batch norm" if batch_norms else "without such blocks"),
            remedy="set --activation_checkpointing False",
        )
    for block in blocks:
        # an instance's own forward: a wrapping module would change the names of the weights
        block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
    return len(blocks)


def _outermost(module: nn.Module) -> list[nn.Module]:
    if isinstance(module, BLOCKS):
        return [module]
    return [block for child in module.children() for block in _outermost(child)]
