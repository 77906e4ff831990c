"""What a view does to a slice: flips, crop-resize, translation and rotation, as one affine map of pixels.

Every operation is a 3 × 3 matrix that says where a pixel (x, y, 1) of the slice goes, x along W and y along H. Pixel
centres are integers, so that the slice covers [−½, W − ½] × [−½, H − ½] and its centre is ((W − 1)/2, (H − 1)/2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SliceView:
    """What is done to one slice, in this order; the fields' defaults leave the operations out.

    Everything is in fractions of the slice's sides, so that a view does not depend on the resolution.

    Attributes:
        horizontal_flip: mirror along W.
        vertical_flip: mirror along H.
        crop: left, top, width, height of the box that is enlarged to the whole slice; None for all of it.
        shift: by how much content moves along W and along H.
        angle: degrees it turns about the centre, counter-clockwise where H is displayed downwards.
    """

    horizontal_flip: bool = False
    vertical_flip: bool = False
    crop: tuple[float, float, float, float] | None = None
    shift: tuple[float, float] | None = None
    angle: float | None = None

    @property
    def is_identity(self) -> bool:
        """Whether no operation is left."""
        return self == SliceView()


def draw_slice_view(
    rng: np.random.Generator,
    *,
    probability: float = 0.5,
    flip: float | None = None,
    crop_area: float | tuple[float, float] = 0.7,
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
    shift: float = 0.2,
    angle: float = 30.0,
) -> SliceView:
    """Draw a view of one slice.

    Args:
        rng: where every draw comes from.
        probability: of each of the five operations, independently.
        flip: of either mirroring, if not the same; 0 where sides differ, as the organs of an abdomen do.
        crop_area: share of the slice's area that a crop keeps, or a range it is uniform in.
        crop_ratio: range of the crop's width over its height, relative to the slice's own, the logarithm uniform; a
            side that would come out longer than the slice's is cut to it.
        shift: content moves by up to this fraction of the side, uniform in ±shift, along both axes.
        angle: degrees; the rotation is uniform in ±angle.

    Raises:
        ValueError: if an option is out of its range.
    """
    areas = (crop_area, crop_area) if isinstance(crop_area, (int, float)) else tuple(crop_area)
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must be in [0, 1], got {probability}")
    mirrored = probability if flip is None else flip
    if not 0 <= mirrored <= 1:
        raise ValueError(f"flip must be in [0, 1], got {flip}")
    if len(areas) != 2 or not 0 < areas[0] <= areas[1] <= 1:
        raise ValueError(f"crop_area must be in (0, 1], a number or a range, got {crop_area}")
    if len(crop_ratio) != 2 or not 0 < crop_ratio[0] <= crop_ratio[1]:
        raise ValueError(f"crop_ratio must be a range of numbers > 0, got {crop_ratio}")
    if not 0 <= shift < 1:
        raise ValueError(f"shift must be in [0, 1), got {shift}")
    if not 0 <= angle <= 180:
        raise ValueError(f"angle must be in [0, 180] degrees, got {angle}")
    # All draws are always made: leaving one operation out does not change another.
    applied = rng.random(5) < np.array([mirrored] * 2 + [probability] * 3)
    area, ratio = rng.uniform(*areas), math.exp(rng.uniform(*np.log(crop_ratio)))
    width, height = min(math.sqrt(area * ratio), 1.0), min(math.sqrt(area / ratio), 1.0)
    left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
    shifts = tuple(rng.uniform(-shift, shift, 2).tolist())
    turn = rng.uniform(-angle, angle)
    return SliceView(
        horizontal_flip=bool(applied[0]),
        vertical_flip=bool(applied[1]),
        crop=(left, top, width, height) if applied[2] else None,
        shift=shifts if applied[3] else None,
        angle=turn if applied[4] else None,
    )


def view_matrix(view: SliceView, *, height: int, width: int) -> np.ndarray:
    """Where a view takes the pixels of a slice (height, width): 3 × 3 float64, all operations in one."""
    matrix = np.eye(3)
    if view.horizontal_flip:
        matrix = np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1.0]]) @ matrix
    if view.vertical_flip:
        matrix = np.array([[1, 0, 0], [0, -1, height - 1], [0, 0, 1.0]]) @ matrix
    if view.crop is not None:
        left, top, w, h = view.crop
        # The box's first edge goes to the slice's first edge, at −½.
        matrix = np.array([[1 / w, 0, _first(left, w, width)], [0, 1 / h, _first(top, h, height)], [0, 0, 1]]) @ matrix
    if view.shift is not None:
        matrix = np.array([[1, 0, view.shift[0] * width], [0, 1, view.shift[1] * height], [0, 0, 1]]) @ matrix
    if view.angle is not None:
        cos, sin = math.cos(math.radians(view.angle)), math.sin(math.radians(view.angle))
        x, y = (width - 1) / 2, (height - 1) / 2
        matrix = np.array([[cos, sin, x - cos * x - sin * y], [-sin, cos, y + sin * x - cos * y], [0, 0, 1]]) @ matrix
    return matrix


def _first(start: float, share: float, side: int) -> float:
    return (0.5 - start * side) / share - 0.5
