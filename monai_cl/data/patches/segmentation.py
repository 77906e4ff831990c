"""Crops for supervised segmentation, every one drawn and augmented from its global position and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from torch.utils.data import Dataset

from monai_cl.data.patches.crops import (
    class_in_turn,
    crop_size,
    crop_start,
    hu_window,
    label_dtype,
    read_crop,
    read_warped_crop,
    sample_centre,
    sample_voxel_of,
)
from monai_cl.data.sampling.case_order import CaseOrder
from monai_cl.data.sampling.positions import Stream, address_rng, address_seed
from monai_cl.errors import UserError
from monai_cl.transforms.seeding import call_seeded
from monai_cl.transforms.warp import random_warp


class SegmentationPatches(Dataset):
    """Class-balanced crops, warped if wanted, then a MONAI transform that is re-seeded for every sample.

    A crop is centred on a voxel of a class drawn at random among the case's foreground classes with probability
    ``foreground_probability``, on a voxel of the body otherwise, shifted to lie inside a volume that is large enough.
    With ``classes_in_turn`` the classes of a case come one after the other instead, see `class_in_turn`.

    ``dataset[position]`` takes any position >= 0 and depends on (seed, position) alone; give the loader a
    `PositionSampler`. ``len`` is the number of cases: an epoch.

    Args:
        store: a `VolumeStore`.
        keys: of the cases.
        patch_size: edge length in voxels, or the three edge lengths.
        window: (lower, upper) HU, clipped and scaled to [0, 1].
        seed: the run's seed.
        foreground_probability: see above.
        classes_in_turn: see above.
        warp: options of `monai_cl.transforms.random_warp`; every crop then has a warp of its own. What it needs beyond
            the crop is read from the volume. None: no warp.
        transform: takes and returns a dictionary with ``image`` and ``label``; its randomness, MONAI's or from the
            global generators, is addressed too, see `call_seeded`.

    Raises:
        ValueError: if an option is out of its range; UserError if there is no case.
    """

    def __init__(
        self,
        store: Any,
        keys: Sequence[str],
        *,
        patch_size: int | Sequence[int] = 96,
        window: Sequence[float] = (-150.0, 250.0),
        seed: int = 0,
        foreground_probability: float = 2 / 3,
        classes_in_turn: bool = False,
        warp: Mapping[str, Any] | None = None,
        transform: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        if not 0 <= foreground_probability <= 1:
            raise ValueError(f"foreground_probability must be in [0, 1], got {foreground_probability}")
        if not keys:
            raise UserError("segmentation crops", expected="at least one prepared case", found="none")
        self.store, self.keys, self.seed = store, tuple(keys), int(seed)
        self.patch_size, self.window = crop_size(patch_size), hu_window(window)
        self.foreground_probability, self.transform = foreground_probability, transform
        self.classes_in_turn, self.warp = bool(classes_in_turn), None if warp is None else dict(warp)
        if self.warp is not None:  # refuses bad options here, not in a worker
            random_warp(np.random.default_rng(0), patch_size=(2, 2, 2), spacing=(1, 1, 1), **self.warp)
        self.order = CaseOrder([len(self.keys)], seed=seed)
        self.label_dtype = label_dtype(store, self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """The crop at a global position.

        Returns:
            image (1, H, W, D) float32, in [0, 1] before the transform; label (1, H, W, D) uint8 (int64 where an id
            exceeds 255 or voxels are `IGNORED`); position (integer); id (of the case). Tensors are plain
            and contiguous.
        """
        position = int(position)
        _, case = self.order(position)
        entry = self.store.entry(self.keys[case])
        image, label = self._crop(position, case)
        sample: dict[str, Any] = {"image": image, "label": label}
        if self.transform is not None:
            seed = address_seed(self.seed, Stream.TRANSFORM, position)
            sample = call_seeded(self.transform, sample, seed=seed)
        return {
            "image": _plain(sample["image"], torch.float32),
            "label": _plain(sample["label"], self.label_dtype),
            "position": position,
            "id": entry.id,
        }

    def _crop(self, position: int, case: int) -> tuple[torch.Tensor, torch.Tensor]:
        key, entry = self.keys[case], self.store.entry(self.keys[case])
        rng = address_rng(self.seed, Stream.SEGMENTATION, position)
        share = self.foreground_probability
        if self.classes_in_turn:
            visit = position // len(self.keys)
            kind = class_in_turn(visit, entry.classes, foreground_probability=share, seed=self.seed, case=case)
            centre = sample_voxel_of(entry, rng, kind)
        else:
            centre = sample_centre(entry, rng, foreground_probability=share)
        start = crop_start(centre, self.patch_size, entry.shape)
        if self.warp is None:
            return read_crop(self.store, key, start, self.patch_size, window=self.window)
        warp = random_warp(
            address_rng(self.seed, Stream.SEGMENTATION, position, 1),
            patch_size=self.patch_size,
            spacing=entry.spacing,
            **self.warp,
        )
        return read_warped_crop(self.store, key, start, warp, window=self.window)


def _plain(value: Any, dtype: torch.dtype) -> torch.Tensor:
    tensor = value.as_tensor() if isinstance(value, MetaTensor) else torch.as_tensor(value)
    return tensor.to(dtype).contiguous()
