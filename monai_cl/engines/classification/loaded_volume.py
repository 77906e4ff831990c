"""One scan in memory with the interface of a store, so that inference selects slices with the code of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl.data import CTSlices, Preparation, SliceVolume, choose_slices, slice_depths
from monai_cl.data.datalist.items import item_id
from monai_cl.data.slices.choice import shown_part
from monai_cl.data.slices.ct_slices import WINDOW
from monai_cl.data.slices.direction import require_axial
from monai_cl.data.store.conversion import Converted, convert
from monai_cl.errors import UserError
from monai_cl.transforms.scan_scale import SCALE

WITHOUT = "leave such scans out"


@dataclass(frozen=True)
class LoadedEntry:
    """As `StoreEntry`, as far as slices look at it."""

    id: str
    patient: str
    shape: tuple[int, int, int]
    affine: np.ndarray
    spacing: tuple[float, float, float]
    classes: tuple[int, ...]
    has_label: bool
    source: dict[str, Any]
    folder: Path
    levels: dict[int, np.ndarray]

    @property
    def voxels(self) -> dict[int, int]:
        """Class -> number of `coordinates`: all of them, so that callers look for no more."""
        return {label: len(indices) for label, indices in self.levels.items()}

    def coordinates(self, class_id: int) -> np.ndarray:
        """(n, 3), one voxel of the class in each slice that holds it."""
        z = self.levels[class_id]
        return np.stack([np.zeros_like(z), np.zeros_like(z), z], axis=1)


class LoadedVolume:
    """A converted scan; ``key`` is ignored.

    Args:
        item: ``image`` path; optional ``label``, ``label_map``, ``id``, ``patient``.
        intensity: see `Preparation`.

    Raises:
        UserError: what `monai_cl.data.store.conversion.convert` refuses: a damaged file, a mask on another grid, values
            that are not HU.
    """

    def __init__(self, item: Mapping[str, Any], *, intensity: str = "hounsfield") -> None:
        self._volume: Converted = convert(item, Preparation(spacing=None, layout="slices", intensity=intensity))
        label, affine = self._volume.label, self._volume.affine
        classes = () if label is None else tuple(int(value) for value in np.unique(label) if value > 0)
        sources = {kind: {"path": str(item[kind])} for kind in ("image", "label") if item.get(kind)}
        self._entry = LoadedEntry(
            id=item_id(item),
            patient=str(item.get("patient") or item_id(item)),
            shape=self._volume.image.shape,
            affine=affine,
            spacing=tuple(np.linalg.norm(affine[:3, :3], axis=0).tolist()),
            classes=classes,
            has_label=label is not None,
            source=sources,
            folder=Path(item["image"]),
            levels={value: np.flatnonzero(np.any(label == value, axis=(0, 1))) for value in classes},
        )

    def entry(self, key: str = "") -> LoadedEntry:
        """The description of the scan."""
        return self._entry

    def read(self, key: str, box: Sequence[slice] | None = None, *, kind: str = "image") -> np.ndarray:
        """A box of the image (int16 HU) or the label."""
        array = self._volume.image if kind == "image" else self._volume.label
        if array is None:
            raise ValueError("a scan without a label has no box of it")
        return array[(slice(None),) * 3 if box is None else tuple(box)]


def several_organs(mask: Any, values: Sequence[int], *, option: str = "--liver_label") -> UserError:
    """What is wrong with a mask of several values where one organ is asked for.

    Args:
        mask: its file.
        values: those found.
        option: that says which of them is meant.
    """
    return UserError(
        mask,
        expected="a mask of one organ alone",
        found=f"the values {list(values)}",
        remedy=f"say which of them is meant with {option}",
    )


def no_organ(item: Mapping[str, Any], *, without: str = WITHOUT) -> UserError:
    """What is wrong with a scan whose mask does not show the organ, which its value alone cannot tell.

    Args:
        item: with ``image`` and ``label``.
        without: how to go on without it.
    """
    return UserError(
        item["image"],
        expected="voxels of the organ in its label map",
        found=f"none in {item['label']}",
        remedy=f"correct it, or {without}",
    )


def loaded_slices(
    item: Mapping[str, Any],
    *,
    fraction: float = 0.7,
    intensity: str = "hounsfield",
    option: str = "--liver_label",
    without: str = WITHOUT,
    empty_ends: bool = True,
    **options: Any,
) -> CTSlices:
    """The kept slices of one scan, read from its files.

    Args:
        item: see `LoadedVolume`; with a ``label``, slices are chosen by its only class.
        fraction: central part that is kept.
        intensity: see `Preparation`; of other than CT the window is that of the percentiles.
        option: of the command that says which value of a mask is meant, for messages.
        without: how to go on without a scan whose mask does not show the organ, for messages.
        empty_ends: keep the slices at the ends that show nothing.
        options: of `CTSlices`.

    Raises:
        UserError: see `LoadedVolume`; a mask that is empty, or of several classes; a stack along another axis than the
            body's.
    """
    volume = LoadedVolume(item, intensity=intensity)
    entry = volume.entry()
    require_axial(entry.affine, where=item["image"])
    if len(entry.classes) > 1:
        raise several_organs(item["label"], entry.classes, option=option)
    if entry.has_label and not entry.classes:
        raise no_organ(item, without=without)
    label = entry.classes[0] if entry.has_label else None
    chosen = choose_slices(volume, "", label=label, fraction=fraction)
    depths = slice_depths(entry.affine, entry.shape[2])[chosen]
    if intensity != "hounsfield":
        options["window"] = SCALE
    if not empty_ends:
        voxels = volume.read("")[:, :, chosen]
        ranges = np.stack([voxels.min((0, 1)), voxels.max((0, 1))], axis=1)
        part = shown_part(ranges, options.get("window", WINDOW))
        chosen, depths = chosen[part], depths[part]
    return CTSlices(volume, [SliceVolume("", entry.id, entry.patient, None, chosen, depths)], **options)
