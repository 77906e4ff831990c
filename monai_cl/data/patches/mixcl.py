"""MixCL's pairs of patches (P1, P2), every one drawn from its global position and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.utils.data import Dataset

from monai_cl.data.patches.crops import crop_size, crop_start, hu_window, label_dtype, read_warped_crop, sample_centre
from monai_cl.data.patches.segmentation import SegmentationPatches
from monai_cl.data.sampling.case_order import CaseOrder
from monai_cl.data.sampling.positions import Stream, address_generator, address_rng
from monai_cl.errors import UserError
from monai_cl.transforms.label_table import IGNORED
from monai_cl.transforms.voxel_sampling import boundary_weight_map, sample_voxels
from monai_cl.transforms.warp import random_warp

__all__ = ["MixCLPatches", "SegmentationPatches"]

PADDING = -1


class MixCLPatches(Dataset):
    """P1 and P2 with the voxels that the label term compares (MixCL, section "Patches" and Eq. 7).

    P1 is centred on a labelled voxel, of a class drawn at random among the case's foreground classes, with
    probability ``foreground_probability``, and on a voxel of the body otherwise: exactly there, except that a crop is
    shifted to lie inside a volume that is large enough. P2 is centred by the same rule; with probability
    ``same_image_probability`` it comes from the same case, else from another case of the same data set (from the
    same case where the data set has no other). Each patch has its own spatial warp, of image and label alike; what
    the warp needs beyond the patch is read from the volume, and only beyond the volume there are air and label 0.

    ``dataset[position]`` takes any position >= 0 and depends on (seed, position) alone; give the loader a
    `PositionSampler`. ``len`` is the number of cases, which is an epoch when ``balance="cases"``.

    Args:
        store: a `VolumeStore`.
        keys_by_dataset: data set name -> the keys of its cases; a data set's index is its place in the mapping.
        patch_size: edge length in voxels, or the three edge lengths; a multiple of ``levels_stride``.
        window: (lower, upper) HU, clipped and scaled to [0, 1].
        seed: the run's seed.
        foreground_probability: probability, in [0, 1], that a patch is centred on a voxel of a foreground class.
        same_image_probability: probability, in [0, 1], that P2 comes from the case of P1.
        elastic_probability: probability, in [0, 1], that the warp has its elastic part.
        affine_probability: probability, in [0, 1], that the warp has its affine part.
        warp: further options of `monai_cl.transforms.warp.random_warp` (ranges).
        levels_stride: voxels of the patch per voxel of the level on which labels are compared. Level voxel j stands
            for patch voxel ``j · stride + stride // 2`` of each axis (nearest to the block's centre, the upper one
            of two), for label and weight alike.
        voxels_per_class: largest number of voxels drawn from a class.
        mu: μ of the weight map W, in voxels of the patch; see `monai_cl.transforms.boundary_weight_map`.
        epsilon: ε of the weight map W, the weight of voxels far from every boundary.
        balance: see `CaseOrder`.

    Raises:
        ValueError: if an option is out of its range; UserError if there is no case.
    """

    def __init__(
        self,
        store: Any,
        keys_by_dataset: Mapping[str, Sequence[str]],
        *,
        patch_size: int | Sequence[int] = 96,
        window: Sequence[float] = (-150.0, 250.0),
        seed: int = 0,
        foreground_probability: float = 2 / 3,
        same_image_probability: float = 0.5,
        elastic_probability: float = 0.5,
        affine_probability: float = 0.5,
        warp: Mapping[str, Any] | None = None,
        levels_stride: int = 2,
        voxels_per_class: int = 64,
        mu: float = 8.0,
        epsilon: float = 0.05,
        balance: str = "cases",
    ) -> None:
        for name, value in (
            ("foreground_probability", foreground_probability),
            ("same_image_probability", same_image_probability),
        ):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {value}")
        if voxels_per_class < 1:
            raise ValueError(f"voxels_per_class must be >= 1, got {voxels_per_class}")
        self.patch_size, self.window = crop_size(patch_size), hu_window(window)
        if levels_stride < 1 or any(s % levels_stride for s in self.patch_size):
            raise ValueError(f"levels_stride must be >= 1 and divide patch_size {self.patch_size}, got {levels_stride}")
        self.store, self.seed = store, int(seed)
        self.names = tuple(keys_by_dataset)
        self.keys = tuple(tuple(keys) for keys in keys_by_dataset.values())
        if not any(self.keys):
            raise UserError(f"data sets {list(self.names)}", expected="at least one prepared case", found="none")
        self.order = CaseOrder([len(keys) for keys in self.keys], seed=seed, balance=balance)
        self.foreground_probability, self.same_image_probability = foreground_probability, same_image_probability
        parts = {"elastic_probability": elastic_probability, "affine_probability": affine_probability}
        if twice := sorted(parts.keys() & (warp or {}).keys()):
            raise ValueError(f"warp must not repeat {', '.join(twice)}: give it beside warp")
        self.warp = {**(warp or {}), **parts}
        # refuses bad options here, not in a worker
        random_warp(np.random.default_rng(0), patch_size=(2, 2, 2), spacing=(1, 1, 1), **self.warp)
        boundary_weight_map(np.zeros((1, 1, 1), np.uint8), mu=mu, epsilon=epsilon)
        self.levels_stride, self.voxels_per_class = int(levels_stride), int(voxels_per_class)
        self.mu, self.epsilon = mu, epsilon
        flat = [key for keys in self.keys for key in keys]
        self.label_dtype = label_dtype(store, flat)
        # background is a class too
        self.n_voxels = self.voxels_per_class * max(
            1 + sum(label > 0 for label in store.label_ids(key)) for key in flat
        )

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """The pair at a global position.

        Returns:
            image1, image2 (1, H, W, D) float32 in [0, 1], after the spatial and before any intensity augmentation;
            label1, label2 (1, H, W, D) uint8 (int64 where an id exceeds 255 or voxels are `IGNORED`, which are never
            drawn); voxels1, voxels2 (K,) int64, flat indices into the level's grid, and voxel_labels1, voxel_labels2
            (K,) int64, all padded with -1 to K = voxels_per_class · (largest number of classes of a case, background
            included); dataset, position
            (integers); id1, id2 (the cases' ids).
        """
        position = int(position)
        dataset, case = self.order(position)
        rng = address_rng(self.seed, Stream.PATCHES, position)
        sample: dict[str, Any] = {"dataset": dataset, "position": position}
        keys = self.keys[dataset]
        for number, index in enumerate((case, self._partner(rng, case, len(keys))), start=1):
            # a separate generator: what P1 draws does not change what P2 draws
            image, label = self._patch(keys[index], address_rng(self.seed, Stream.PATCHES, position, number))
            voxels, voxel_labels = self._voxels(label[0], address_generator(self.seed, Stream.VOXELS, position, number))
            sample |= {
                f"image{number}": image,
                f"label{number}": label.to(self.label_dtype),
                f"voxels{number}": voxels,
                f"voxel_labels{number}": voxel_labels,
                f"id{number}": self.store.entry(keys[index]).id,
            }
        return sample

    def annotated(
        self, key: str, rng: np.random.Generator, generator: torch.Generator, *, per_class: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A patch of a case with voxels of each of its classes, as samples have them, without padding.

        Args:
            key: of the case.
            rng: draws the patch.
            generator: draws the voxels.
            per_class: voxels of a class, at most.

        Returns:
            image (1, H, W, D), flat indices (K,) into the level's grid, and the classes (K,) there.
        """
        image, label = self._patch(key, rng)
        drawn, classes = self._drawn(label[0], generator, per_class)
        return image, drawn, classes

    def _partner(self, rng: np.random.Generator, case: int, n_cases: int) -> int:
        same = rng.random() < self.same_image_probability
        if same or n_cases == 1:
            return case
        return (case + 1 + int(rng.integers(n_cases - 1))) % n_cases

    def _patch(self, key: str, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        entry = self.store.entry(key)
        centre = sample_centre(entry, rng, foreground_probability=self.foreground_probability)
        start = crop_start(centre, self.patch_size, entry.shape)
        warp = random_warp(rng, patch_size=self.patch_size, spacing=entry.spacing, **self.warp)
        return read_warped_crop(self.store, key, start, warp, window=self.window)

    def _voxels(self, label: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        drawn, classes = self._drawn(label, generator, self.voxels_per_class)
        voxels = torch.full((2, self.n_voxels), PADDING, dtype=torch.int64)
        voxels[0, : len(drawn)] = drawn
        voxels[1, : len(drawn)] = classes
        return voxels[0], voxels[1]

    def _drawn(self, label: Tensor, generator: torch.Generator, per_class: int) -> tuple[Tensor, Tensor]:
        stride = self.levels_stride
        level = (slice(stride // 2, None, stride),) * 3
        weights = boundary_weight_map(label, mu=self.mu, epsilon=self.epsilon)[level]
        labels = label[level]
        weights[labels == IGNORED] = 0  # never drawn
        drawn = sample_voxels(labels, weights, per_class=per_class, generator=generator)
        return drawn, rearrange(labels, "h w d -> (h w d)")[drawn].long()
