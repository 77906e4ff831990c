"""The data-dependent initialisation of a pre-training on slices, from its own first slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from monai_cl.errors import UserError
from monai_cl.networks import data_dependent_init
from monai_cl.networks.modes import evaluation_mode

if TYPE_CHECKING:
    from monai_cl.data import CTSlices
    from monai_cl.networks import ProjectedEncoder, SliceEncoder


def start_standardised(network: nn.Module, slices: CTSlices, *, enabled: bool = True) -> None:
    """Scale the network's convolutions by 128 slices spread evenly over the data set; see `standardise_convolutions`.

    Every process of a run sees the same slices. A resumed run loads its weights from the checkpoint afterwards.

    Args:
        network: as it was initialised; changed in place.
        slices: `CTSlices`.
        enabled: False does nothing.

    Raises:
        UserError: a network with convolutions that have no bias (they have a norm, which standardises already).
    """
    if not enabled:
        return
    chosen = np.unique(np.linspace(0, len(slices) - 1, min(128, len(slices))).round().astype(int))
    images = torch.stack([slices[int(i)]["image"] for i in chosen]).to(next(network.parameters()).device)
    try:
        data_dependent_init(network, images)
    except ValueError as error:
        raise UserError(
            "standardise_start",
            expected=f"a backbone without norms such as tinynet ({error})",
            remedy="use --standardise_start False",
        ) from error


@torch.no_grad()
def dry_run(network: SliceEncoder | ProjectedEncoder, *, channels: int, size: int) -> None:
    """Run a network of slices once on an empty slice of the expected size; the network is left as it was.

    Args:
        network: with ``represent``.
        channels: channels of a slice: 1, or 2k + 1 with k neighbours on either side.
        size: pixels of an edge of the square slice.

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
            raise  # errors of the GPU are not errors of the network
        raise UserError(
            "backbone",
            expected=f"a network of slices ({channels}, {size}, {size})",
            found=f"one that does not accept them ({' '.join(str(error).split())[:200]})",
            remedy="correct backbone, image_size or neighbours",
        ) from error
