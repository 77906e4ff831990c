"""A view of a sample as a picture: its middle slices, labels in colours, weights as heat, sampled voxels as dots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from monai_cl.data.records.previewed import PATCH, STACK, View
from monai_cl.report.overlays import PALETTE
from monai_cl.report.page.panels import Panel, webp_panel
from monai_cl.report.slices import PLANE_AXIS, busiest_slice, radiological_slice

# pixels of the width of a picture
_LEAST, _MOST = 192, 320
_PAINT = 0.35
NEAR = 4
"""Voxels from a slice within which sampled voxels are drawn on it."""
# from weight 0 to the largest
_HEAT = np.array([[20, 10, 60], [190, 50, 90], [255, 230, 120]], dtype=np.float32)


def organ_colour(label: int) -> str:
    """The colour of a label, the same in all pictures."""
    return PALETTE[(label - 1) % len(PALETTE)]


def view_panels(
    view: View, spacing: Sequence[float], guide: np.ndarray | None = None, *, apart: bool = False
) -> list[Panel]:
    """The picture of a view; and one of its weights where it has some.

    Args:
        view: to draw.
        spacing: mm along X, Y, Z of a patch, for the shape of its pixels.
        guide: label map of which a patch shows the slices with most of the organs; None: the middle ones.
        apart: the slices of a patch as pictures of their own, not one above the other.
    """
    planes = _planes(view, spacing, guide)
    drawn = [_drawn(*plane) for plane in planes]
    if apart and view.axes == PATCH:
        panels = [webp_panel(f"{view.name}, {plane}", [one]) for plane, one in zip(PLANE_AXIS, drawn)]
    else:
        panels = [webp_panel(view.name, drawn)]
    if view.weights is not None:
        heat = [_scaled(Image.fromarray(_heat(plane[3])), plane[4]) for plane in planes if plane[3] is not None]
        panels.append(webp_panel(f"weights of {view.name}", heat))
    return panels


Plane = tuple[np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray | None, tuple[int, int]]


def _planes(view: View, spacing: Sequence[float], guide: np.ndarray | None) -> list[Plane]:
    """Image, label, points (as a mask) and weights of each slice that is shown, and its size in pixels."""
    image = view.image[len(view.image) // 2]
    if view.axes != PATCH:
        if view.axes == STACK:
            image = np.concatenate([image[round(place * (len(image) - 1))] for place in (0.25, 0.5, 0.75)], axis=1)
        return [
            (image, view.label, None, None, _size(image.shape, (1, 1), most=_MOST * (3 if view.axes == STACK else 1)))
        ]
    found: list[Plane] = []
    for plane, axis in PLANE_AXIS.items():
        index = busiest_slice(guide, axis=axis, size=image.shape[axis])
        points = None
        if view.points is not None:
            near = view.points[abs(view.points[:, axis] - index) <= NEAR]
            points = np.zeros(image.shape, bool)
            points[tuple(index if number == axis else near[:, number] for number in range(3))] = True
        maps = [
            None if m is None else radiological_slice(m, plane, index)
            for m in (image, view.label, points, view.weights)
        ]
        height = spacing[1] if plane == "axial" else spacing[2]
        found.append((*maps, _size(maps[0].shape, (height, spacing[0]), most=_MOST)))  # type: ignore[arg-type, union-attr]
    return found


def _size(shape: Sequence[int], pixel: Sequence[float], *, most: int) -> tuple[int, int]:
    """(Width, height) of a picture of an array of rows and columns whose pixels are so high and wide."""
    width = min(max(shape[1], _LEAST), most)
    return width, max(1, round(width * shape[0] * pixel[0] / (shape[1] * pixel[1])))


def _drawn(
    image: np.ndarray, label: np.ndarray | None, points: np.ndarray | None, _: np.ndarray | None, size: tuple[int, int]
) -> Image.Image:
    grey = np.nan_to_num(np.clip(image, 0, 1) * 255).astype(np.uint8)
    picture = np.asarray(_scaled(Image.fromarray(grey), size).convert("RGB")).astype(np.float32)
    if label is not None:
        ids = np.asarray(
            _scaled(Image.fromarray(np.maximum(label, 0).astype(np.int32)), size, Image.Resampling.NEAREST)
        )
        for value in np.unique(ids[ids > 0]):
            mask, colour = ids == value, np.array(_rgb(organ_colour(int(value))), np.float32)
            picture[mask] += (colour - picture[mask]) * _PAINT
            picture[mask & ~_inner(mask)] = colour
    result = Image.fromarray(picture.round().astype(np.uint8))
    if points is not None:
        rows, columns = np.nonzero(points)
        for row, column in zip(rows, columns):
            y, x = (int((place + 0.5) * length / count) for place, length, count in
                    ((row, size[1], points.shape[0]), (column, size[0], points.shape[1])))  # fmt: skip
            result.paste((255, 255, 255), (x - 1, y - 1, x + 1, y + 1))
    return result


def _inner(mask: np.ndarray) -> np.ndarray:
    """Pixels whose four neighbours are in the mask too."""
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return inner


def _heat(weights: np.ndarray) -> np.ndarray:
    share = np.clip(weights / max(float(weights.max()), 1e-6), 0, 1) * (len(_HEAT) - 1)
    colours = [np.interp(share, range(len(_HEAT)), channel) for channel in _HEAT.T]
    return np.stack(colours, axis=-1).astype(np.uint8)


def _scaled(
    picture: Image.Image, size: tuple[int, int], how: Image.Resampling = Image.Resampling.BILINEAR
) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, how)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
