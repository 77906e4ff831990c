"""End to end: what a MixCL step is fed with, a pair of patches with views and drawn voxels, from prepared volumes.

A sample is V1, V1' and V2 (96³, float32), the clean patches, the warped labels and the drawn voxels of both patches.
Everybody makes the same: a class-balanced crop, window, elastic and affine each with probability ½, four intensity
operations each with .2 a view, Eq. 7 on the full-resolution label, at most 64 voxels a class on every second voxel.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine import views, warps
from engine.weights import by_monai, draw_by_monai
from monai_cl.data import MixCLPatches
from monai_cl.engines import MixCLPrepareBatch
from monai_cl.transforms import boundary_weight_map, sample_voxels

WINDOW = (-150.0, 250.0)
PATCH = warps.PATCH
Sampler = Callable[[int], Any]


def engine(store, keys: list[str]) -> Sampler:
    """This project's data set and batch preparation, as the bundle uses them."""
    from torch.utils.data import default_collate

    patches = MixCLPatches(store, {"synthetic": keys}, patch_size=PATCH, window=WINDOW)
    prepare = MixCLPrepareBatch(seed=0)
    device = torch.device("cpu")

    def sample(number: int):
        return prepare(default_collate([patches[number + 1]]), device)

    return sample


def monai(items: list[dict], *, cache: str, strong: bool, classes: int, amount: float, folder: Path) -> Sampler:
    """A composition of MONAI's transforms.

    Args:
        items: .nii.gz files on the prepared grid.
        cache: "memory" (CacheDataset) or "disk" (PersistentDataset).
        strong: cached class indices, RandSmoothDeformd and distances of the classes present, instead of what the
            tutorials show.
        classes: number of classes, background included.
        amount: of the elastic part (see `engine.warps`).
        folder: for the PersistentDataset.
    """
    from monai.data import CacheDataset, PersistentDataset
    from monai.transforms import (
        ClassesToIndicesd,
        Compose,
        EnsureChannelFirstd,
        LoadImaged,
        Orientationd,
        RandCropByLabelClassesd,
        ScaleIntensityRanged,
        Spacingd,
    )

    keys = ["image", "label"]
    steps = [
        LoadImaged(keys),
        EnsureChannelFirstd(keys),
        Orientationd(keys, axcodes="RAS", labels=None),
        Spacingd(keys, pixdim=(1.5, 1.5, 2.0), mode=("bilinear", "nearest")),
        ScaleIntensityRanged("image", a_min=WINDOW[0], a_max=WINDOW[1], b_min=0.0, b_max=1.0, clip=True),
    ]
    if strong:
        steps.append(ClassesToIndicesd("label", num_classes=classes, max_samples_per_class=10_000))
    files = [{key: item[key] for key in keys} for item in items]
    if cache == "memory":
        dataset = CacheDataset(files, Compose(steps), num_workers=1, progress=False)
    else:
        dataset = PersistentDataset(files, Compose(steps), cache_dir=folder)
        for index in range(len(files)):
            dataset[index]
    crop = RandCropByLabelClassesd(
        keys,
        label_key="label",
        spatial_size=PATCH,
        num_classes=classes,
        ratios=[0.5, *[1.0] * (classes - 1)],
        indices_key="label_cls_indices" if strong else None,
        warn=False,
    )
    crop.set_random_state(0)
    warp = (warps.monai_strong if strong else warps.monai_stock)(amount, 0.5, 0.5)

    def patch(case: int) -> tuple[Tensor, Tensor]:
        cut = crop(dataset[case])[0]
        return warp(cut["image"].as_tensor(), cut["label"].as_tensor())

    def voxels(label: Tensor) -> Tensor:
        weights = by_monai(label, classes=None if strong else classes)
        return draw_by_monai(label[1::2, 1::2, 1::2], weights[1::2, 1::2, 1::2])

    return _pair(patch, views.monai(0.2), voxels, len(items))


def batchgenerators(dataset: Any, names: list[str], *, amount: float) -> Sampler:
    """nnU-Net's .b2nd and class locations with batchgeneratorsv2; for Eq. 7, which they lack, this project's."""
    warp = warps.batchgenerators(amount, 0.5, 0.5)
    rng = np.random.default_rng(0)

    def patch(case: int) -> tuple[Tensor, Tensor]:
        data, segmentation, _, properties = dataset.load_case(names[case])
        places = properties["class_locations"]
        classes = [value for value, found in places.items() if len(found)]
        chosen = places[classes[rng.integers(len(classes))]]
        centre = chosen[rng.integers(len(chosen))][1:]
        box = _box(centre, data.shape[1:])
        image = torch.from_numpy(data[(slice(None), *box)]).clamp_(*WINDOW).sub_(WINDOW[0]).div_(WINDOW[1] - WINDOW[0])
        return warp(image, torch.from_numpy(segmentation[(slice(None), *box)]))

    return _pair(patch, views.batchgenerators(0.2), _engine_voxels, len(names))


def torchio(items: list[dict], arrays: list[tuple[np.ndarray, np.ndarray]], *, amount: float) -> Sampler:
    """TorchIO on volumes held in memory, with class coordinates held too; for Eq. 7, which it lacks, this project's."""
    warp = warps.torchio(amount, 0.5, 0.5)
    rng = np.random.default_rng(0)
    scaled = [np.clip((image - WINDOW[0]) / (WINDOW[1] - WINDOW[0]), 0, 1).astype(np.float32) for image, _ in arrays]
    places = [[np.argwhere(label == value)[:10_000] for value in np.unique(label) if value] for _, label in arrays]

    def patch(case: int) -> tuple[Tensor, Tensor]:
        chosen = places[case][rng.integers(len(places[case]))]
        box = _box(chosen[rng.integers(len(chosen))], scaled[case].shape)
        image, label = (np.ascontiguousarray(array[box])[None] for array in (scaled[case], arrays[case][1]))
        return warp(torch.from_numpy(image), torch.from_numpy(label))

    return _pair(patch, views.torchio(0.2), _engine_voxels, len(items))


def _pair(
    patch: Callable[[int], tuple[Tensor, Tensor]],
    view: Callable[[Tensor], Tensor],
    voxels: Callable[[Tensor], Tensor],
    cases: int,
) -> Sampler:
    partners = itertools.cycle([0, 1])  # P2 from the same case every second time

    def sample(number: int):
        case = (number + 1) % cases
        (image1, label1), (image2, label2) = patch(case), patch((case + next(partners)) % cases)
        drawn = [voxels(label[0]) for label in (label1, label2)]
        stacked = torch.stack([torch.as_tensor(view(image)) for image in (image1, image1, image2)])
        return stacked, torch.stack([image1, image1, image2]), torch.stack([label1, label2]), drawn

    return sample


def _engine_voxels(label: Tensor) -> Tensor:
    integers = label.to(torch.uint8)
    level = (slice(1, None, 2),) * 3
    return sample_voxels(integers[level], boundary_weight_map(integers)[level])


def _box(centre, shape) -> tuple[slice, ...]:
    starts = [min(max(int(c) - p // 2, 0), n - p) for c, p, n in zip(centre, PATCH, shape)]
    return tuple(slice(s, s + p) for s, p in zip(starts, PATCH))
