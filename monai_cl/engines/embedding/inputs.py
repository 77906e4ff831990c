"""The input of an encoder, made of one scan as its training made it: patches, slices or a head box, and what counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset

from monai_cl.data import Preparation
from monai_cl.data.slices.pixels import fit_masks, window_slices
from monai_cl.data.store.conversion import Converted, convert
from monai_cl.engines.classification.loaded_volume import loaded_slices, no_organ, several_organs
from monai_cl.engines.embedding.encoder import BOXES, PATCHES, FrozenEncoder
from monai_cl.engines.embedding.scales import scale_of
from monai_cl.errors import UserError
from monai_cl.transforms.scan_scale import SCALE, body_threshold
from monai_cl.transforms.volume.body import BODY_HU, body_mask

_WITHOUT = "leave such scans out with --skip"


@dataclass(frozen=True)
class ScanInputs:
    """What an encoder sees of one scan.

    Attributes:
        images: (N, C, …) float32 in [0, 1], slices or a box; of patches the padded volume (C, X, Y, Z).
        weights: how much each voxel counts, as ``images`` without channels; None: the whole representation counts.
        rows: of each image: where it lies, see :meth:`layers` for volumes.
        layers: of each layer of voxels along the body: ``z_mm`` and ``depth``; empty for slices, which are layers.
        starts: of patches: first voxel in ``images``; empty for others.
        size: of a patch.
    """

    images: Tensor
    weights: Tensor | None
    rows: Mapping[str, Sequence[Any]]
    layers: Mapping[str, Sequence[float]]
    starts: Sequence[tuple[int, ...]] = ()
    size: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.starts) or len(self.images)

    def batch(self, first: int, count: int) -> tuple[Tensor, Tensor | None]:
        """Images (B, C, …) and weights (B, …) from one place on, at most ``count``.

        Args:
            first: place of the first.
            count: how many.
        """
        if not self.starts:
            part = slice(first, first + count)
            return self.images[part], None if self.weights is None else self.weights[part]
        boxes = [
            tuple(slice(start, start + edge) for start, edge in zip(starts, self.size))
            for starts in self.starts[first : first + count]
        ]
        images = torch.stack([self.images[(slice(None), *box)] for box in boxes])
        return images, None if self.weights is None else torch.stack([self.weights[box] for box in boxes])


class ScanLoader(Dataset):
    """Items of scans as `ScanInputs`; a scan that cannot be used is the `UserError` that says why.

    Args:
        encoder: that the inputs are for.
        items: of :func:`monai_cl.engines.embedding.scans.embedding_items`.
        pooled: whether maps are pooled over the body or the organ, so that weights are needed.
        find_head: False: scans for an encoder of boxes are such boxes already.
    """

    def __init__(
        self, encoder: FrozenEncoder, items: Sequence[Mapping[str, Any]], *, pooled: bool, find_head: bool = True
    ) -> None:
        self.kind, self.settings = encoder.kind, dict(encoder.preprocessing)
        self.size = encoder.patch_size if encoder.kind == PATCHES else ()
        self.items, self.pooled, self.find_head = list(items), pooled, find_head
        by_modality = isinstance(self.settings.get("modality"), Mapping)
        # as in the training of slices of any modality: those at the ends that show nothing are left out
        self.empty_ends = bool(self.settings.get("empty_ends", not by_modality))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> ScanInputs | UserError:
        item = self.items[number]
        try:
            intensity = scale_of(item, self.settings)
            if self.kind == PATCHES:
                return self._patches(item, intensity)
            return self._box(item, intensity) if self.kind == BOXES else self._slices(item, intensity)
        except UserError as error:
            return error

    def fault(self, number: int) -> UserError | None:
        """Why a scan cannot be used, as far as its item tells without reading it.

        Args:
            number: place of the scan.
        """
        try:
            scale_of(self.items[number], self.settings)
            self._check_label(self.items[number])
        except UserError as error:
            return error
        return None

    def _patches(self, item: Mapping[str, Any], intensity: str) -> ScanInputs:
        preparation = Preparation(spacing=tuple(self.settings["spacing"]), intensity=intensity)
        volume = convert(item, preparation)
        image = _windowed(volume.image, self._window(intensity))
        weights = torch.from_numpy(_counted(item, volume, intensity)).float()
        grids = [_starts(length, edge) for length, edge in zip(image.shape, self.size)]
        # a voxel in several patches counts once
        for axis, (along, edge) in enumerate(zip(grids, self.size)):
            covered = np.zeros(image.shape[axis])
            for start in along:
                covered[max(start, 0) : start + edge] += 1
            shape = [1, 1, 1]
            shape[axis] = -1
            weights /= torch.from_numpy(covered).float().reshape(shape)
        # a volume smaller than the patch lies in its middle, as in training
        before = [max(0, -along[0]) for along in grids]
        margins = [(b, max(0, edge - n - b)) for b, n, edge in zip(before, image.shape, self.size)]
        margin = [value for pair in reversed(margins) for value in pair]
        starts = [tuple(s + b for s, b in zip(place, before)) for place in product(*grids)]
        boxes = [tuple(slice(s, s + edge) for s, edge in zip(place, self.size)) for place in starts]
        image, weights = pad(image, margin), pad(weights, margin)
        kept = [place for place, box in zip(starts, boxes) if weights[box].any()]
        centres = [np.add(place, np.subtract(self.size, 1) / 2) - before for place in kept]
        places = [volume.affine[:3] @ [*centre, 1] for centre in centres]
        rows = {name: [round(float(p[axis]), 3) for p in places] for axis, name in enumerate(("x_mm", "y_mm", "z_mm"))}
        # layers of the padding weigh nothing
        numbers = np.arange(image.shape[2]) - before[2]
        return ScanInputs(image[None], weights, rows, _layers(volume.affine, numbers, volume.image), kept, self.size)

    def _slices(self, item: Mapping[str, Any], intensity: str) -> ScanInputs:
        names = {"size": "image_size", "pixel_size": "pixel_size", "neighbours": "neighbours", "window": "window"}
        options = {name: self.settings[key] for name, key in names.items() if self.settings.get(key) is not None}
        slices = loaded_slices(
            item,
            fraction=self.settings["fraction"],
            intensity=intensity,
            empty_ends=self.empty_ends,
            option="--organ",
            without=_WITHOUT,
            **options,
        )
        chosen, entry = slices.volumes[0], slices.store.entry()
        drawn = [slices[number] for number in range(len(slices))]
        weights = None
        if self.pooled:
            counted = self._slice_weights(slices, intensity)
            spacing, size = entry.spacing[1::-1], slices.size
            weights = fit_masks(counted, spacing, size=size, pixel_size=slices.pixel_size).float()
        affine, middle = entry.affine, (np.array(entry.shape[:2]) - 1) / 2
        z = [round(float(affine[2] @ [*middle, k, 1]), 3) for k in chosen.slices.tolist()]
        rows = {"slice": chosen.slices.tolist(), "depth": [round(float(d), 6) for d in chosen.depths], "z_mm": z}
        return ScanInputs(torch.stack([sample["image"] for sample in drawn]), weights, rows, {})

    def _slice_weights(self, slices: Any, intensity: str) -> Tensor:
        """(N, H, W) uint8, turned as `window_slices` turns the image."""
        store, numbers = slices.store, slices.volumes[0].slices
        if store.entry().has_label:
            mask = store.read("", kind="label") > 0
        else:
            mask = _body(store.read(""), intensity)
        turned = np.ascontiguousarray(mask[:, :, numbers].transpose(2, 1, 0)[:, ::-1, ::-1])
        return torch.from_numpy(turned.astype(np.uint8))

    def _box(self, item: Mapping[str, Any], intensity: str) -> ScanInputs:
        depth, height, width = self.settings["box_size"]
        preparation = Preparation(
            spacing=None, layout="slices", head_box=(depth, height, width), find_head=self.find_head
        )
        self._check_label(item)
        box = convert(item, preparation)
        image = window_slices(box.image, self._window(intensity))
        weights = None
        if self.pooled:
            mask = _body(box.image, intensity)
            weights = torch.from_numpy(np.ascontiguousarray(mask.transpose(1, 0, 2)[::-1, ::-1])).float()[None]
        layers = _layers(box.affine, np.arange(depth), box.image)
        return ScanInputs(image[None, None], weights, {}, layers)

    def _check_label(self, item: Mapping[str, Any]) -> None:
        if self.kind == BOXES and item.get("label"):
            raise UserError(
                item["image"],
                expected="no --organ: an encoder of head boxes pools over the head",
                found=f"the label map {item['label']}",
                remedy="leave --organ and --masks out",
            )

    def _window(self, intensity: str) -> tuple[float, float]:
        low, high = self.settings["window"] if intensity == "hounsfield" else SCALE
        return float(low), float(high)


def _windowed(array: np.ndarray, window: tuple[float, float]) -> Tensor:
    """(X, Y, Z) in [0, 1], step by step as `monai_cl.data.patches.crops.read_crop`."""
    low, high = window
    return torch.from_numpy(array.astype(np.float32)).clamp_(low, high).sub_(low).div_(high - low)


def _counted(item: Mapping[str, Any], volume: Converted, intensity: str) -> np.ndarray:
    """The voxels of the organ, or of the body where there is no label."""
    if volume.label is None:
        return _body(volume.image, intensity)
    organ = volume.label > 0
    values = np.unique(volume.label[organ]).tolist()
    if len(values) > 1:
        raise several_organs(item["label"], values, option="--organ")
    if not values:
        raise no_organ(item, without=_WITHOUT)
    return organ


def _body(image: np.ndarray, intensity: str) -> np.ndarray:
    return body_mask(image, BODY_HU if intensity == "hounsfield" else body_threshold(image))


def _starts(length: int, edge: int) -> list[int]:
    """First voxels of patches side by side, the last one moved back inside; negative where the volume is smaller."""
    if length <= edge:
        return [(length - edge) // 2]
    return [*range(0, length - edge, edge), length - edge]


def _layers(affine: np.ndarray, numbers: np.ndarray, image: np.ndarray) -> dict[str, list[float]]:
    middle = (np.array(image.shape[:2]) - 1) / 2
    depths = (numbers + 0.5) / image.shape[2]
    depths = depths if affine[2, 2] > 0 else 1 - depths
    z = [round(float(affine[2] @ [*middle, k, 1]), 3) for k in numbers]
    return {"slice": numbers.tolist(), "depth": [round(float(depth), 6) for depth in depths], "z_mm": z}
