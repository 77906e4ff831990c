"""One empty slice through a network before anything long begins."""

from __future__ import annotations

import torch
from torch import nn

from monai_cl.errors import UserError
from monai_cl.networks.modes import evaluation_mode


@torch.no_grad()
def try_slice(network: nn.Module, *, channels: int, size: int) -> None:
    """Show a network of slices an empty one of the size of those to come; the network is left as it was.

    Args:
        network: with ``represent``.
        channels, size: of a slice (channels, size, size).

    Raises:
        UserError: the network does not take such slices.
    """
    place = next(network.parameters()).device
    try:
        with evaluation_mode(network):
            network.represent(torch.zeros(1, channels, size, size, device=place))
    except UserError:
        raise
    except (RuntimeError, ValueError, AssertionError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "CUDA" in str(error) or "cuDNN" in str(error):
            raise  # a GPU's faults are not the network's
        raise UserError(
            f"backbone: expected a network of slices ({channels}, {size}, {size}), found one that does not take them "
            f"({' '.join(str(error).split())[:200]}); correct backbone, image_size or neighbours"
        ) from error
