"""The data-dependent initialisation of a pre-training on slices, from its own first slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
def dry_run(
    network: SliceEncoder | ProjectedEncoder,
    *,
    channels: int,
    size: int | Sequence[int],
    views: nn.Module | None = None,
    batch_size: int = 2,
) -> None:
    """Run a network once on empty images of the expected size; the network is left as it was.

    With ``views`` it is run as training runs it: in training mode, on all views of a batch, crops of every size among
    them.

    Args:
        network: with ``represent``.
        channels: channels of an image: 1, or 2k + 1 with k neighbours on either side.
        size: pixels of an edge of the square slice, or (D, H, W) of a volume.
        views: of the training, see `SlicePrepareBatch`; None: ``represent`` is run on a single image.
        batch_size: samples of a process in a step; two are enough here.

    Raises:
        UserError: the network does not take such images.
    """
    place = next(network.parameters()).device
    shape = (channels, *((size, size) if isinstance(size, int) else size))
    empty = torch.zeros(1 if views is None else min(2, batch_size), *shape, device=place)
    try:
        if views is None:
            with evaluation_mode(network):
                network.represent(empty)
        else:
            with _left_as_it_was(network, place):
                network(views(empty, torch.arange(len(empty))))
    except UserError:
        raise
    except (RuntimeError, ValueError, AssertionError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "CUDA" in str(error) or "cuDNN" in str(error):
            raise  # errors of the GPU are not errors of the network
        what, keys = (
            ("slices", "backbone, image_size, neighbours") if isinstance(size, int) else ("volumes", "box_size")
        )
        raise UserError(
            "backbone",
            expected=f"a network of {what} {shape}{'' if views is None else f' and the views of {len(empty)}'}",
            found=f"one that does not accept them ({' '.join(str(error).split())[:200]})",
            remedy=f"correct {keys}{'' if views is None else ', crops, batch_size'}",
        ) from error


@contextmanager
def _left_as_it_was(network: nn.Module, place: torch.device) -> Iterator[None]:
    """Training mode; weights, statistics and random numbers are those from before, to the bit, behind it."""
    with evaluation_mode(network), torch.random.fork_rng([place] if place.type == "cuda" else []):
        state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        try:
            network.train()
            yield
        finally:
            network.load_state_dict(state)
