"""Slices with depth, modality and patient-level label: a flat data set over the kept slices of many volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from monai_cl.data.datalist.items import CT, item_modality
from monai_cl.data.patches.crops import hu_window
from monai_cl.data.slices.choice import choose_slices, slice_depths
from monai_cl.data.slices.direction import require_axial
from monai_cl.data.slices.pixels import SliceSamples, fit_slices, window_slices
from monai_cl.errors import UserError
from monai_cl.transforms.scan_scale import SCALE

if TYPE_CHECKING:
    from monai_cl.data.datalist.model import DataList
    from monai_cl.data.store.volume_store import VolumeStore

WINDOW = (-100.0, 400.0)
_MOST_SHOWN = 20


@dataclass(frozen=True)
class SliceVolume:
    """A volume and which of its slices are used.

    Attributes:
        key: in the store.
        id, patient: from the data list; of several data sets, the patient has the data set's name in front, because
            names are unique only within a data set.
        target: class of the patient, or None where it is not known.
        slices: (n,) kept array indices along the third axis, ascending.
        depths: (n,) their depths in (0, 1), feet to head.
        modality: in capitals.
        window: (lower, upper) of its stored values, where they are not HU.
        findings: name -> 0 or 1, those that are known.
    """

    key: str
    id: str
    patient: str
    target: int | None
    slices: np.ndarray
    depths: np.ndarray
    modality: str = CT
    window: tuple[float, float] | None = None
    findings: Mapping[str, int] = field(default_factory=dict)


def organ_ids(data_list: DataList, organ: str = "liver") -> dict[str, int]:
    """Data set -> label id of an organ, for those data sets of a list that annotate it; ids differ between them.

    Args:
        data_list: the list; its data sets are asked one by one.
        organ: name of the organ in the list's ``labels``; case and surrounding blanks do not matter.
    """
    return {
        dataset.name: label
        for dataset in data_list.datasets
        for label, name in dataset.classes.items()
        if name.strip().lower() == organ.strip().lower()
    }


def slice_volumes(
    store: VolumeStore,
    keys: Sequence[str],
    items: Sequence[Mapping[str, Any]],
    *,
    liver: int | Mapping[str, int] | None = None,
    fraction: float = 0.7,
    progress: bool = False,
) -> list[SliceVolume]:
    """Choose the slices of prepared volumes.

    Args:
        store: a store, best of layout "slices" and native spacing.
        keys: the store's keys of the volumes, as :func:`monai_cl.data.prepare` returns them.
        items: the data list's items of the same volumes, in the order of ``keys``; an item's ``target`` is its
            patient's class. ``modality`` and ``findings`` are kept too.
        liver: label id of the liver, or data set -> id (:func:`organ_ids`). None, a data set not named, a volume
            without label: the volume's own central part.
        fraction: part of the slices to keep.
        progress: show a progress bar; masks are read once and then remembered.

    Raises:
        UserError: masks without liver (all of them in one message), nothing to choose from, or a stack along another
            axis than the body's.
    """
    if len(keys) != len(items):
        raise ValueError(f"keys and items must be of one length, got {len(keys)} and {len(items)}")
    if not keys:
        raise UserError("slices", expected="at least one prepared volume", found="none")
    from tqdm import tqdm

    several = len({str(item.get("dataset", "")) for item in items}) > 1
    volumes, faults = [], []
    for key, item in tqdm(
        list(zip(keys, items)), desc="Choosing slices", unit="volume", disable=not progress, leave=False
    ):
        entry = store.entry(key)
        source = entry.source.get("image", {}).get("path", entry.folder)
        require_axial(entry.affine, where=f"patient {entry.patient}: {source}")
        label = liver.get(str(item.get("dataset", ""))) if isinstance(liver, Mapping) else liver
        try:
            chosen = choose_slices(store, key, label=label, fraction=fraction)
        except UserError as error:
            faults.append(str(error))
            continue
        depths = slice_depths(entry.affine, entry.shape[2])[chosen]
        target = item.get("target")
        patient = str(item.get("patient") or entry.patient)
        patient = f"{item.get('dataset', '')}/{patient}" if several else patient
        volumes.append(
            SliceVolume(
                key,
                entry.id,
                patient,
                None if target is None else int(target),
                chosen,
                depths,
                modality=item_modality(item),
                window=None if entry.preparation.get("intensity") is None else SCALE,
                findings=dict(item.get("findings") or {}),
            )
        )
    if faults:
        more = f"\n  ... and {len(faults) - _MOST_SHOWN} more" if len(faults) > _MOST_SHOWN else ""
        raise UserError("\n  ".join([f"{len(faults)} masks without liver:", *faults[:_MOST_SHOWN]]) + more)
    return volumes


class CTSlices(Dataset):
    """Slices as a network takes them; ``dataset[i]`` is the i-th kept slice, volume by volume, feet to head.

    Only the chunk of the slice (and of its neighbours) is read and decompressed. Images are oriented as a radiologist
    sees them: front up, the patient's right on the left.

    Args:
        store: a `VolumeStore`, best with ``Preparation(spacing=None, layout="slices")``.
        volumes: from :func:`slice_volumes`.
        window: (lower, upper) HU, clipped and scaled to [0, 1]; scans that are not in HU have their own.
        size: pixels per side. A square matrix of that size is passed on untouched; other matrices are resampled so that
            the longer side of the field of view fits, and padded with air.
        pixel_size: mm; then pixels get this size and the middle of the image is cut out or padded.
        neighbours: k slices below and above each as further channels (2k + 1 in all); at an end of the volume the last
            slice is repeated.
        modalities: words in the order of their numbers; None: those of the volumes, sorted.
        findings: names in the order of an item's ``findings``; none: items have none.

    Raises:
        ValueError: an option out of its range.
        UserError: no volume, a volume of another modality, or, where the store knows, a slice that is one value all
            over the window.
    """

    def __init__(
        self,
        store: VolumeStore,
        volumes: Sequence[SliceVolume],
        *,
        window: Sequence[float] = WINDOW,
        size: int = 512,
        pixel_size: float | None = None,
        neighbours: int = 0,
        modalities: Sequence[str] | None = None,
        findings: Sequence[str] = (),
    ) -> None:
        if size < 1:
            raise ValueError(f"size must be >= 1 pixel, got {size}")
        if pixel_size is not None and not pixel_size > 0:
            raise ValueError(f"pixel_size must be > 0 mm or None, got {pixel_size}")
        if neighbours < 0:
            raise ValueError(f"neighbours must be >= 0, got {neighbours}")
        if not volumes:
            raise UserError("slices", expected="at least one volume", found="none")
        self.store, self.volumes, self.window = store, tuple(volumes), hu_window(window)
        self.size, self.pixel_size, self.neighbours = int(size), pixel_size, int(neighbours)
        own = {volume.modality: volume for volume in self.volumes}
        self.modalities = tuple(sorted(own) if modalities is None else modalities)
        self.findings = tuple(findings)
        if unknown := sorted(set(own) - set(self.modalities)):
            where, expected = own[unknown[0]].id, f"one of the modalities {', '.join(self.modalities)}"
            raise UserError(where, expected=expected, found=unknown[0], remedy="name it too, or leave the scan out")
        self._ends = np.cumsum([len(volume.slices) for volume in self.volumes])
        for volume in self.volumes:
            self._check_constant(volume)

    def of(self, volumes: Sequence[SliceVolume]) -> CTSlices:
        """The same of other volumes of the store."""
        names = ("window", "size", "pixel_size", "neighbours", "modalities", "findings")
        return CTSlices(self.store, volumes, **{name: getattr(self, name) for name in names})

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def channels(self) -> int:
        """Channels of an image: 2 · neighbours + 1."""
        return 2 * self.neighbours + 1

    @property
    def patients(self) -> list[str]:
        """The patient of every slice."""
        return [volume.patient for volume in self.volumes for _ in volume.slices]

    @property
    def targets(self) -> list[int | None]:
        """The class of every slice's patient, None where it is not known."""
        return [volume.target for volume in self.volumes for _ in volume.slices]

    @property
    def depths(self) -> np.ndarray:
        """(len,) depth of every slice."""
        return np.concatenate([volume.depths for volume in self.volumes])

    @property
    def prepared_as(self) -> dict[str, Any]:
        """Options of `monai_cl.data.slices.energy_reference.preparation_of`."""
        return {"size": self.size, "window": self.window, "pixel_size": self.pixel_size}

    def addresses(self) -> list[tuple[str, str]]:
        """Modality of every slice, and what tells it from the others, whatever else is in the list."""
        return [
            (volume.modality, f"{volume.patient}/{volume.id}/{int(middle)}")
            for volume in self.volumes
            for middle in volume.slices
        ]

    def locate(self, index: int) -> tuple[int, int]:
        """The volume of a slice and its place among the volume's kept slices."""
        if not 0 <= index < len(self):
            raise IndexError(f"slice {index} of {len(self)}")
        volume = int(np.searchsorted(self._ends, index, side="right"))
        return volume, int(index) - (int(self._ends[volume - 1]) if volume else 0)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One slice.

        Returns:
            image (2k + 1, size, size) float32 in [0, 1]; depth, () float32 in (0, 1); label, the class or -1; modality,
            its number; patient, id; volume and slice, the place in ``volumes`` and the array index; index; where there
            are names of findings, findings (n,) int64, 0, 1 or -1 of the whole scan.

        Raises:
            UserError: the slice is one constant value inside the window.
        """
        number, place = self.locate(int(index))
        volume = self.volumes[number]
        middle = int(volume.slices[place])
        findings = torch.tensor([volume.findings.get(name, -1) for name in self.findings])
        return ({"findings": findings} if self.findings else {}) | {
            "image": self._image(volume, middle),
            "depth": torch.tensor(volume.depths[place], dtype=torch.float32),
            "label": -1 if volume.target is None else volume.target,
            "modality": self.modalities.index(volume.modality),
            "patient": volume.patient,
            "id": volume.id,
            "volume": number,
            "slice": middle,
            "index": int(index),
        }

    def __getitems__(self, indices: Sequence[int]) -> SliceSamples:
        """The slices of a batch, one like ``dataset[i]`` each, their images contiguous in memory.

        A `DataLoader` calls this by itself. NumPy allocates the memory, because it asks for large pages: touching 64
        MiB of new memory for every batch takes longer than reading the slices into it.
        """
        images = torch.from_numpy(np.empty((len(indices), self.channels, self.size, self.size), np.float32))
        samples = SliceSamples(images)
        for index, image in zip(indices, images):
            sample = self[index]
            samples.append(sample | {"image": image.copy_(sample["image"])})
        return samples

    def _check_constant(self, volume: SliceVolume) -> None:
        """Checked before a training begins, not when it reaches the slice."""
        ranges = getattr(self.store.entry(volume.key), "slice_range", None)
        if ranges is None:
            return
        seen = np.clip(ranges[volume.slices], *(volume.window or self.window))
        constant = np.flatnonzero(seen[:, 0] == seen[:, 1])
        if len(constant):
            middle = int(volume.slices[constant[0]])
            raise self._constant(volume, middle, *(int(value) for value in ranges[middle]))

    def _constant(self, volume: SliceVolume, middle: int, low: int, high: int) -> UserError:
        entry = self.store.entry(volume.key)
        source = entry.source.get("image", {}).get("path", entry.folder)
        window, unit = (self.window, " HU") if volume.window is None else (volume.window, "")
        damaged = "is the file damaged or cut? Copy or export it again, or take it out of the list and report that"
        return UserError(
            f"patient {volume.patient}: {source}",
            expected=f"an image in slice {middle} (of {entry.shape[2]} from the feet)",
            found=f"one value, {low}{unit}, all over the window {window}"
            if low == high
            else f"values from {low} to {high}{unit}, which are one value over the window {window}",
            remedy=damaged if low == high else f"choose a window that divides them, or {damaged}",
        )

    def _image(self, volume: SliceVolume, middle: int) -> torch.Tensor:
        entry = self.store.entry(volume.key)
        around = np.clip(np.arange(middle - self.neighbours, middle + self.neighbours + 1), 0, entry.shape[2] - 1)
        first, last = int(around[0]), int(around[-1])
        stored = self.store.read(volume.key, (slice(None), slice(None), slice(first, last + 1)))
        images = window_slices(stored, volume.window or self.window)
        low, high = torch.aminmax(images[middle - first])
        if low == high:
            seen = stored[..., middle - first]
            raise self._constant(volume, middle, int(seen.min()), int(seen.max()))
        if len(around) != len(images):
            images = images[torch.from_numpy(around - first)]
        return fit_slices(images, entry.spacing[1::-1], size=self.size, pixel_size=self.pixel_size)
