"""The package's reading in MONAI's pipelines: a reader for ``LoadImaged``, and a transform for labels."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import ImageReader, MetaTensor
from monai.transforms import LoadImaged, MapTransform
from monai.utils import ImageMetaKey, MetaKeys, SpaceKeys

from monai_cl.data.grid import Grid
from monai_cl.data.io.formats import format_named
from monai_cl.data.io.label_reading import read_label
from monai_cl.data.io.reading import read_volume
from monai_cl.errors import UserError


class CTReader(ImageReader):
    """:func:`read_volume` for MONAI: ``LoadImaged(keys, reader=CTReader)``.

    MONAI tries its other readers when ``read`` fails: they do not notice a damaged file, and one of them unpickles what
    a .npy file holds. So ``read`` only takes note of the paths, and ``get_data`` reads them and raises.

    Args:
        series: Series Instance UID for a folder with several series.
        uneven_slices: ``"error"`` or ``"interpolate"``.
        series_part: the acquisition to take of a series with several.
    """

    def __init__(self, series: str | None = None, uneven_slices: str = "error", series_part: str | None = None) -> None:
        super().__init__()
        self.series, self.uneven_slices, self.series_part = series, uneven_slices, series_part

    def verify_suffix(self, filename: Sequence[str | os.PathLike] | str | os.PathLike) -> bool:
        """Whether every name is a folder or ends like a format of :func:`read_volume`."""
        return all(path.is_dir() or format_named(path.name) is not None for path in _paths(filename))

    def read(self, data: Sequence[str | os.PathLike] | str | os.PathLike, **kwargs: Any) -> list[Path]:
        """The paths, unread."""
        return _paths(data)

    def get_data(self, img: Sequence[Path]) -> tuple[np.ndarray, dict]:
        """Array (X, Y, Z), or (N, X, Y, Z) of several files on one grid, and MONAI's metadata.

        Raises:
            UserError: as :func:`read_volume`, or files on different grids.
        """
        volumes = [
            read_volume(path, series=self.series, series_part=self.series_part, uneven_slices=self.uneven_slices)
            for path in img
        ]
        first = volumes[0]
        for volume in volumes[1:]:
            if not first.grid.same_as(volume.grid, any_axes=False):
                raise UserError(volume.path, expected=f"the grid of {first.path}", found="another shape or affine")
        meta = {
            MetaKeys.AFFINE: first.affine.copy(),
            MetaKeys.ORIGINAL_AFFINE: first.affine.copy(),
            MetaKeys.SPATIAL_SHAPE: np.array(first.array.shape),
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.ORIGINAL_CHANNEL_DIM: 0 if len(volumes) > 1 else float("nan"),
            "spacing": np.array(first.spacing),
            "series_part": self.series_part or "",
            "uneven_slices": self.uneven_slices,
        }
        return np.stack([volume.array for volume in volumes]) if len(volumes) > 1 else first.array, meta


class LoadScand(MapTransform):
    """``LoadImaged`` with `CTReader`, set as the item says under ``series_part`` and ``uneven_slices``.

    Args:
        keys: of the paths; each becomes an image (X, Y, Z) with MONAI's metadata.

    Raises:
        UserError: when called, see :func:`read_volume`.
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys)
        self._reader = CTReader()
        # one for all items: making it takes note of every reader that MONAI has
        self._load = LoadImaged(
            keys,
            reader=self._reader,  # type: ignore[arg-type]  # LoadImage documents that it takes an instance too
        )

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its images loaded, (X, Y, Z) with metadata."""
        self._reader.series_part = data.get("series_part")
        self._reader.uneven_slices = data.get("uneven_slices") or "error"
        return self._load(data)


def reading_of(meta: Mapping[str, Any]) -> dict[str, str]:
    """How `CTReader` read an image, out of its metadata: ``series_part``, ``uneven_slices``, where they were set."""
    return {key: str(meta[key]) for key in ("series_part", "uneven_slices") if meta.get(key)}


class LoadLabeld(MapTransform):
    """Load labels on the grid of ``image`` (C, X, Y, Z), which is loaded already and not yet turned or resampled.

    In place of ``LoadImaged`` for labels: a label may be stored with other axis directions than its image, and raw
    arrays are then no pair. See :func:`read_label`, which gets ``label_map``, ``ignore`` and
    ``uneven_slices`` of the item.

    ``keys`` are of the paths; each becomes a label (1, X, Y, Z) float32 in the axes of the image's file.

    Raises:
        UserError: when called, see :func:`read_label`.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its labels loaded."""
        item = dict(data)
        image: MetaTensor = item["image"]
        grid = Grid(tuple(image.shape[1:]), image.affine.cpu().numpy().astype(np.float64))
        for key in self.key_iterator(item):
            label = read_label(
                item[key],
                image=str(image.meta[ImageMetaKey.FILENAME_OR_OBJ]),
                grid=grid,
                label_map=item.get("label_map"),
                ignore=item.get("ignore"),
                uneven_slices=item.get("uneven_slices") or "error",
                series_part=item.get("series_part"),
            )
            array = torch.from_numpy(np.ascontiguousarray(label.array, dtype=np.float32))[None]
            meta = {ImageMetaKey.FILENAME_OR_OBJ: str(item[key])}
            item[key] = MetaTensor(array, affine=image.affine.clone(), meta=meta)
        return item


def _paths(names: Sequence[str | os.PathLike] | str | os.PathLike) -> list[Path]:
    return [Path(name) for name in ([names] if isinstance(names, (str, os.PathLike)) else names)]
