"""What a run's first batches hold, as a page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PATCH, SLICE, STACK = "patch", "slice", "stack"


@dataclass(frozen=True)
class View:
    """One image of a sample.

    Attributes:
        name: what it is.
        image: (C, X, Y, Z) in RAS of a `PATCH`; (C, H, W), as a radiologist looks at it, of a `SLICE`; (C, D, H, W),
            such slices from the feet to the head, of a `STACK`.
        axes: `PATCH`, `SLICE` or `STACK`.
        label: ids, of the shape without channels.
        weights: likewise, numbers from 0 to 1.
        points: (n, 3) sampled voxels.
        as_prepared: whether it is what the network gets, not only what that is made of.
        scan: which of the sample's scans it is of.
    """

    name: str
    image: np.ndarray
    axes: str
    label: np.ndarray | None = None
    weights: np.ndarray | None = None
    points: np.ndarray | None = None
    as_prepared: bool = True
    scan: int = 0


@dataclass(frozen=True)
class SourceScan:
    """What a sample was read from.

    Attributes:
        id, patient, dataset: of the scan.
        spacing: mm of a stored voxel.
        unit: ``HU``; of other modalities ``native units``, the file's, or ``of 1000``, the store's.
        values: lowest and highest value that was read, in ``unit``.
        clipped: shares of the voxels below and above the window.
        inside: share of what was read that lies inside the scan.
        window: (lower, upper) of the network's 0 and 1, in ``unit``.
    """

    id: str
    patient: str
    dataset: str
    spacing: tuple[float, float, float]
    unit: str
    values: tuple[float, float]
    clipped: tuple[float, float]
    inside: float
    window: tuple[float, float]


@dataclass(frozen=True)
class PreviewedSample:
    """One sample of a batch.

    Attributes:
        batch: iteration, from 1.
        fields: name -> what the sample carries beside its images, such as depth or position.
        scans: what it was read from, in the order of reading.
        seconds: to read and augment it, once its scans are prepared.
        foreground: of each label map, the share of its voxels that are of an organ.
        views: its images; none where it is counted only.
    """

    batch: int
    fields: Mapping[str, Any]
    scans: tuple[SourceScan, ...]
    seconds: float
    foreground: tuple[float, ...] = ()
    views: tuple[View, ...] = ()


@dataclass(frozen=True)
class Preview:
    """What the first iterations of a run get.

    Attributes:
        bundle: its name.
        config: the files.
        overrides: of the config.
        seed: of the run.
        samples: of all batches that were made, in their order.
        targets: names of what the loss takes of a batch.
        organs: data set -> label id -> name.
        classes: class of a patient -> name.
        batch_size: of the run.
        sample_bytes, batch_bytes: of a sample as it comes from the loader, and of a batch as the network gets it.
        batch_seconds: to make a batch of its samples, on the device.
        prepared, prepared_seconds: how many scans were prepared for this, and how long that took.
        store: where.
        notes: what the run would log.
    """

    bundle: str
    config: tuple[str, ...]
    overrides: Mapping[str, Any]
    seed: int
    samples: tuple[PreviewedSample, ...]
    targets: tuple[str, ...]
    organs: Mapping[str, Mapping[int, str]]
    classes: Mapping[str, str]
    batch_size: int
    sample_bytes: int
    batch_bytes: int
    batch_seconds: float
    prepared: int
    prepared_seconds: float
    store: str
    notes: tuple[str, ...] = field(default=())
