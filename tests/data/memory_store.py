"""A store in memory with the methods that patches use, on small volumes whose content says where it came from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from monai_cl.data import VolumeStore


@dataclass(frozen=True)
class MemoryEntry:
    """As `StoreEntry`, as far as patches look at it."""

    id: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    classes: tuple[int, ...]
    voxels: dict[int, np.ndarray]
    has_label: bool = True
    preparation: dict[str, str] = field(default_factory=dict)
    key: str = ""
    patient: str = ""

    def coordinates(self, class_id: int) -> np.ndarray:
        return self.voxels.get(class_id, np.zeros((0, 3), np.int32))


class MemoryStore:
    """Volumes given as (image, label or None), keyed by name; reads outside a volume give the fill value."""

    def __init__(
        self,
        volumes: dict[str, tuple[np.ndarray, np.ndarray | None]],
        spacing: tuple[float, float, float] = (1.5, 1.5, 2.0),
    ) -> None:
        self.volumes = volumes
        self.entries = {}
        for key, (image, label) in volumes.items():
            classes = () if label is None else tuple(int(c) for c in np.unique(label) if c)
            voxels = {c: np.argwhere(label == c).astype(np.int32) for c in classes}
            voxels[-1] = np.argwhere(image > -500).astype(np.int32)
            self.entries[key] = MemoryEntry(
                f"id of {key}", image.shape, spacing, classes, voxels, label is not None, key=key, patient=key
            )

    label_ids = VolumeStore.label_ids

    def entry(self, key: str) -> MemoryEntry:
        return self.entries[key]

    def read_patch(self, key, start, size, *, kind, fill):
        source = self.volumes[key][0 if kind == "image" else 1]
        patch = np.full(size, fill, source.dtype)
        low = np.maximum(start, 0)
        high = np.minimum(np.add(start, size), source.shape)
        if (high > low).all():
            inside = tuple(slice(a, b) for a, b in zip(low, high))
            patch[tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start))] = source[inside]
        return patch


def small_case(seed: int, shape: tuple[int, int, int] = (40, 36, 30), classes: tuple[int, ...] = (1, 2, 3)):
    """Noise of body density inside a shell of air, with one box of each class."""
    rng = np.random.default_rng(seed)
    image = np.full(shape, -1000, np.int16)
    label = np.zeros(shape, np.uint8)
    inner = tuple(slice(2, s - 2) for s in shape)
    image[inner] = rng.integers(-100, 200, image[inner].shape)
    for number in classes:
        corner = [int(rng.integers(3, max(s - 9, 4))) for s in shape]
        label[tuple(slice(c, c + 6) for c in corner)] = number
    return image, label
