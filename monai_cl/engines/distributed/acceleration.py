"""Other ways to compute the same network: fused attention, memory format, less memory, compilation; by config keys."""

from __future__ import annotations

import locale
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from monai.networks.blocks.selfattention import SABlock
from torch import nn

from monai_cl.compat import keep_backward_buffers, use_fused_attention
from monai_cl.engines.distributed.activation_checkpointing import checkpoint_activations


def accelerate(
    network: nn.Module,
    *,
    fused_attention: bool = False,
    channels_last: bool = False,
    activation_checkpointing: bool = False,
    compiled: bool = False,
) -> nn.Module:
    """Change how a network computes, in place; its function, its parameters and their names stay.

    Args:
        network: before it is wrapped for several processes.
        fused_attention: `torch.nn.functional.scaled_dot_product_attention` in MONAI's attention blocks, which then
            never hold the (tokens x tokens) matrix.
        channels_last: weights with channels innermost, which suits Tensor Cores; results keep the format.
        activation_checkpointing: less memory for more time, see `checkpoint_activations`.
        compiled: `torch.compile` the forward, in place; the first step then takes a minute or more. Switches
            torch's ``donated_buffer`` off for the process, at some memory: measures may need the graph twice.

    Returns:
        ``network``.
    """
    if fused_attention:
        fuse_attention(network)
    if channels_last:
        volumetric = any(isinstance(module, nn.Conv3d) for module in network.modules())
        network.to(  # type: ignore[call-overload]  # torch's stub has no memory format alone
            memory_format=torch.channels_last_3d if volumetric else torch.channels_last
        )
    if activation_checkpointing:
        checkpoint_activations(network)
    if compiled:
        with utf8_locale():
            keep_backward_buffers()
            # not part of the key of inductor's cache, whose code from other runs would write over the kept buffers
            torch.compiler.config.cache_key_tag = "buffers kept"
            network.compile()  # torch.compile(network) would put a prefix before every key of the state dict
    return network


@contextmanager
def utf8_locale() -> Iterator[None]:
    """Files opened without an encoding are UTF-8: torch's compiler reads its templates that way on import.

    A library may have reset the process's locale, and reading would fail where it meets a letter beyond ASCII.
    """
    before = locale.setlocale(locale.LC_CTYPE)
    with suppress(locale.Error):
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    try:
        yield
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


def fuse_attention(network: nn.Module) -> int:
    """Let MONAI's attention blocks use PyTorch's fused attention; returns how many do.

    UNETR and ViT have no argument for it. Left alone are blocks that keep their attention matrix, that have a
    positional term of their own, or that drop weights: MONAI's fused branch drops them in evaluation too.

    Args:
        network: the network; its blocks are changed in place.
    """
    return sum(use_fused_attention(module) for module in network.modules() if isinstance(module, SABlock))
