"""From a batch of patches to one stacked forward of three views, and what the losses compare it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_cl.addressing import Stream, address_rng
from monai_cl.data.patches.crops import crop_size
from monai_cl.errors import UserError
from monai_cl.mixcl_views import PairViews
from monai_cl.transforms import random_views
from monai_cl.transforms.block_mask import hide, random_block_mask
from monai_cl.transforms.movement import Movements, draw_movement, move, movements
from monai_cl.transforms.own_views import OwnViews
from monai_cl.transforms.views import draw_view

TARGET_KEYS = ("voxels1", "voxels2", "voxel_labels1", "voxel_labels2")


class MixCLPrepareBatch:
    """``prepare_batch`` of MONAI's `SupervisedTrainer` for `monai_cl.data.MixCLPatches`.

    Views are made on the training device, a batch at a time, each addressed by (seed, position, view). The two views
    of P1 differ by intensity only and stay voxel-aligned, as Eq. 5 needs; with a ``geometry`` V1' shows P1 moved, and
    the targets say the way back, on which the loss brings its features onto common voxels.

    Args:
        seed: the run's seed.
        views: options of `monai_cl.transforms.random_views` (probability, ranges), or what makes views instead, see
            `OwnViews`.
        geometry: options of `monai_cl.transforms.draw_movement` (probability, ranges); None: V1' is not moved.
        spacing: mm of the patches, for ``geometry``.
        mask_ratio: share of cubes that V1' hides, see `random_block_mask`; 0: none.
        mask_block: their edge in voxels.
        patch_size: of the patches that will come, which the cubes must fill; None: as they come.

    Raises:
        ValueError: an option that is unknown or out of its range, a transform that may not make views.
    """

    def __init__(
        self,
        *,
        seed: int,
        views: Mapping[str, Any] | Callable[[Any], Any] | Sequence[Callable[[Any], Any]] | None = None,
        geometry: Mapping[str, float] | None = None,
        spacing: Sequence[float] = (1.0, 1.0, 1.0),
        mask_ratio: float = 0.0,
        mask_block: int = 16,
        patch_size: int | Sequence[int] | None = None,
    ) -> None:
        self.seed = int(seed)
        self.mask_ratio, self.mask_block = float(mask_ratio), int(mask_block)
        size = crop_size(2 * self.mask_block if patch_size is None else patch_size)
        # bad options are refused here, not in the first step
        if mask_ratio:
            random_block_mask(np.random.default_rng(0), size, block=mask_block, ratio=mask_ratio)
        self.geometry, self.spacing = dict(geometry or {}), tuple(float(step) for step in spacing)
        try:
            draw_movement(np.random.default_rng(0), size=size, spacing=self.spacing, **self.geometry)
        except TypeError as error:
            raise UserError(f"geometry: {error}") from error
        if views is None or isinstance(views, Mapping):
            options = dict(views or {})
            try:
                draw_view(np.random.default_rng(0), **options)
            except TypeError as error:
                raise UserError(f"views: {error}") from error
            self.view: Callable[..., Tensor] = partial(random_views, **options)
        else:
            self.view = OwnViews(views, size)

    def __call__(
        self, batch: Mapping[str, Any], device: torch.device, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Move and stack.

        Returns:
            inputs (3B, 1, H, W, D) in the order of `PairViews`; targets with ``clean`` (3B, 1, H, W, D),
            ``labels`` (2B, 1, H, W, D) of P1 then P2, and per sample the drawn voxels, their labels and the data set;
            with a ``mask_ratio`` ``hidden`` (B, 1, H, W, D), where V1' hides voxels; with a ``geometry`` ``back``
            (B, 3, 4), see `monai_cl.transforms.Movements`, and in ``clean`` the moved P1.
        """

        def to_device(tensor: Tensor) -> Tensor:
            return tensor.to(device=device, non_blocking=non_blocking, **kwargs)

        patches = PairViews.of_patches(to_device(batch["image1"]), to_device(batch["image2"]))
        positions = batch["position"].tolist()
        targets = {key: to_device(batch[key]) for key in TARGET_KEYS if key in batch}
        if self.geometry.get("probability"):
            moved = self._movements(positions, patches.v1.shape[2:])
            patches = patches._replace(v1_prime=move(patches.v1, to_device(moved.there)))
            targets["back"] = to_device(moved.back)
        views = [self.view(patch, seed=self.seed, positions=positions, view=view) for view, patch in enumerate(patches)]
        if "dataset" in batch:  # stays with the host, where the loss asks for it
            targets["dataset"] = batch["dataset"]
        targets["clean"] = torch.cat(patches)
        targets["labels"] = torch.cat([to_device(batch["label1"]), to_device(batch["label2"])])
        stacked = PairViews(*views)
        if self.mask_ratio:
            hidden = torch.stack([self._hidden(position, stacked.v1.shape[2:]) for position in positions]).to(device)
            stacked = stacked._replace(v1_prime=hide(stacked.v1_prime, hidden))
            targets["hidden"] = hidden[:, None]
        return torch.cat(list(stacked)), targets

    def _movements(self, positions: Sequence[int], size: Sequence[int]) -> Movements:
        rngs = [address_rng(self.seed, Stream.MOVEMENTS, position) for position in positions]
        return movements([draw_movement(rng, size=size, spacing=self.spacing, **self.geometry) for rng in rngs])

    def _hidden(self, position: int, size: Sequence[int]) -> Tensor:
        rng = address_rng(self.seed, Stream.MASKS, position)
        return random_block_mask(rng, size, block=self.mask_block, ratio=self.mask_ratio)
