"""Prepared head boxes as samples: the voxels of a scan, its class, its findings and those of its slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from monai_cl.data.datalist.items import CT, reading_options
from monai_cl.data.grid import Grid
from monai_cl.data.io.reading import read_grid, read_volume
from monai_cl.data.patches.crops import hu_window
from monai_cl.data.slices.pixels import window_slices
from monai_cl.data.store.volume_store import VolumeStore
from monai_cl.errors import UserError
from monai_cl.transforms.volume.head_box import UNKNOWN, box_findings

WINDOW = (-45.0, 155.0)


@dataclass(frozen=True)
class BoxedScan:
    """One prepared scan.

    Attributes:
        key: in the store.
        id: of the item.
        patient: of the item.
        target: its class, None where it is not known.
        findings: (n,) 0, 1 or -1 where it is not known, in the order of the names.
        slice_findings: (D,) likewise, for the slices of the box, feet to head.
    """

    key: str
    id: str
    patient: str
    target: int | None
    findings: np.ndarray
    slice_findings: np.ndarray


class HeadBoxes(Dataset):
    """Scans that were prepared with ``Preparation(head_box=…)``, one per sample.

    Args:
        store: the store.
        volumes: the scans.
        window: (lower, upper) HU, clipped and scaled to [0, 1].

    Raises:
        ValueError: a window that is not two increasing numbers.
        UserError: no scan.
    """

    def __init__(self, store: VolumeStore, volumes: Sequence[BoxedScan], *, window: Sequence[float] = WINDOW) -> None:
        if not volumes:
            raise UserError("scans", expected="at least one", found="none", remedy="choose another split or list")
        self.store, self.volumes, self.window = store, tuple(volumes), hu_window(window)

    def of(self, volumes: Sequence[BoxedScan]) -> HeadBoxes:
        """The same of other scans of the store."""
        return HeadBoxes(self.store, volumes, window=self.window)

    def __len__(self) -> int:
        return len(self.volumes)

    @property
    def patients(self) -> list[str]:
        """The patient of every scan."""
        return [volume.patient for volume in self.volumes]

    @property
    def targets(self) -> list[int | None]:
        """The class of every scan, None where it is not known."""
        return [volume.target for volume in self.volumes]

    @property
    def modalities(self) -> tuple[str, ...]:
        """CT alone."""
        return (CT,)

    @property
    def prepared_as(self) -> dict[str, Any]:
        """Options of `monai_cl.data.slices.energy_reference.preparation_of`."""
        made = self.store.preparation
        return {"size": made.head_box, "window": self.window, "find_head": made.find_head}

    def addresses(self) -> list[tuple[str, str]]:
        """Modality of every scan, and what tells it from the others, whatever else is in the list."""
        return [(CT, f"{volume.patient}/{volume.id}") for volume in self.volumes]

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A sample.

        Returns:
            image (1, D, H, W) float32 in [0, 1], rows from front to back, columns from the patient's right to the left,
            slices from feet to head; target, findings (n,) and slice_findings (D,), float32, -1 where they are not
            known; label, the class or -1; id, patient, number.
        """
        volume = self.volumes[index]
        box = window_slices(self.store.read(volume.key), self.window)
        return {
            "image": box[None],
            "target": torch.tensor(UNKNOWN if volume.target is None else float(volume.target)),
            "findings": torch.from_numpy(volume.findings),
            "slice_findings": torch.from_numpy(volume.slice_findings),
            "label": -1 if volume.target is None else volume.target,
            "id": volume.id,
            "patient": volume.patient,
            "number": int(index),
        }


def boxed_scans(
    store: VolumeStore, keys: Sequence[str], items: Sequence[Mapping[str, Any]], *, finding_names: Sequence[str] = ()
) -> list[BoxedScan]:
    """The prepared scans with the labels of their items.

    Args:
        store: where they were prepared.
        keys: of the entries.
        items: of a data list, in the order of the keys.
        finding_names: in the order of the network's outputs; other findings are left out.

    Raises:
        UserError: not as many ``slice_findings`` as a file has slices.
    """
    scans = []
    for key, item in zip(keys, items, strict=True):
        entry = store.entry(key)
        found = item.get("findings") or {}
        values = [found.get(name) for name in finding_names]
        scans.append(
            BoxedScan(
                key=key,
                id=entry.id,
                patient=entry.patient,
                target=item.get("target"),
                findings=np.array([UNKNOWN if value is None else value for value in values], np.float32),
                slice_findings=_slice_findings(item, entry.affine, entry.shape[2]),
            )
        )
    return scans


def _slice_findings(item: Mapping[str, Any], box_affine: np.ndarray, depth: int) -> np.ndarray:
    values = item.get("slice_findings")
    if values is None:
        return np.full(depth, UNKNOWN, np.float32)
    grid = read_grid(Path(item["image"])) or _series_grid(item)
    return box_findings(
        values, affine=grid.affine, shape=grid.shape, box_affine=box_affine, depth=depth, where=item["image"]
    )


def _series_grid(item: Mapping[str, Any]) -> Grid:
    return read_volume(item["image"], **reading_options(item)).grid
