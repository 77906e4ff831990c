"""What an anatomy consists of: coats of paint in order, regions that confine them, and the ids of the organs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from monai_cl.data.phantom.shapes import CosineSum, Part, Shape

ORGANS: dict[int, str] = {
    1: "spleen",
    2: "right kidney",
    3: "left kidney",
    4: "liver",
    5: "stomach",
    6: "aorta",
    7: "pancreas",
}
LESIONS: dict[int, str] = {8: "liver tumour", 9: "kidney tumour"}


@dataclass(frozen=True)
class Structure:
    """One coat of paint: where, which HU (+ texture), which label; later coats cover earlier ones.

    Attributes:
        name: for people.
        shape: where.
        hu: mean HU.
        label: id written where the coat covers more than half of a voxel; None leaves the label underneath (a coat
            within an organ, such as the stomach's gas), 0 clears it.
        texture: HU field added inside.
        region: name of an ``Anatomy.regions`` entry the shape is confined to, at least ``gap`` mm from its edge.
        overlay: paint only where this label is underneath (vessels stay within the liver).
    """

    name: str
    shape: Shape
    hu: float
    label: int | None = 0
    texture: CosineSum | None = None
    region: str | None = None
    gap: float = 0.0
    overlay: int | None = None


@dataclass(frozen=True)
class Anatomy:
    """A patient in world RAS mm.

    Attributes:
        structures: in painting order.
        regions: parts of the body that confine structures.
        warp: three fields (mm) that bend everything.
        phase: contrast phase.
        scale: body size, 1 is average.
        low, high: (3,) corners of a box around the upper abdomen, mm.
    """

    structures: tuple[Structure, ...]
    regions: Mapping[str, Part]
    warp: tuple[CosineSum, ...]
    phase: str
    scale: float
    low: np.ndarray
    high: np.ndarray
