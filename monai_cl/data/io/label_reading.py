"""The label map of an image, on the image's own grid and in the ids of the data list.

Everything that sets a label beside its image reads it here: preparation, validation, evaluation, masks.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from monai_cl.data.dicom.kinds import is_segmentation
from monai_cl.data.grid import Grid
from monai_cl.data.io.formats import DICOM, format_named, is_series
from monai_cl.data.io.label_values import whole_values
from monai_cl.data.io.reading import Volume, read_volume
from monai_cl.errors import UserError
from monai_cl.transforms.label_table import IGNORED, look_up


def read_label(
    path: str | os.PathLike,
    *,
    image: str | os.PathLike,
    grid: Grid,
    label_map: Mapping[int, int] | None = None,
    ignore: int | None = None,
    uneven_slices: str = "error",
    series_part: str | None = None,
) -> Volume:
    """Read a label map and turn its axes to those of its image.

    A label may be stored with other axis directions than its image. No voxel moves in the world, none is resampled.

    Args:
        path: of the label.
        image: file of the image, for messages.
        grid: of the image as its array stands.
        label_map: file value -> id of the list, others 0; None keeps the values.
        ignore: file value of voxels that were not annotated; they become `IGNORED`. None: there are none.
        uneven_slices: see :func:`read_volume`.
        series_part: the acquisition that was taken of the image.

    Returns:
        the label, uint8 or int16 (X, Y, Z), with the shape and affine of ``grid``.

    Raises:
        UserError: as :func:`read_volume`; a label on another grid, with values that are not integers, are negative or
            do not fit int16.
    """
    label = read_label_file(path, image=image, uneven_slices=uneven_slices, series_part=series_part)
    _check_same_grid(label, image, grid)
    label = label.turned(label.grid.turn_to(grid))
    values = _integers(label)
    ids = look_up(values, label_map) if label_map is not None else _not_negative(values, label)
    ids = _narrow(ids, label)
    if ignore is not None and (ignored := values == ignore).any():
        ids = np.where(ignored, np.int16(IGNORED), ids)
    return Volume(ids, grid.affine, label.path)


def read_label_file(
    path: str | os.PathLike,
    *,
    image: str | os.PathLike,
    uneven_slices: str = "error",
    series_part: str | None = None,
) -> Volume:
    """Read a label map as it is stored; of a DICOM SEG the numbers of its segments, on the grid of its image.

    Args:
        path: of the label.
        image: of its image; for a DICOM SEG the series that it refers to.
        uneven_slices: see :func:`read_volume`.
        series_part: the acquisition that was taken of the image.

    Raises:
        UserError: as :func:`read_volume`; for a DICOM SEG as :func:`read_dicom_seg`, or an image that is no series.
    """
    path = Path(path)
    if format_named(path.name) is not DICOM or not is_segmentation(path):
        return read_volume(path, uneven_slices=uneven_slices)
    if not is_series(os.fspath(image)):
        raise UserError(
            path,
            expected="the DICOM series that this DICOM SEG refers to as its image",
            found=image,
            remedy="name the folder of that series as image",
        )
    from monai_cl.data.dicom.seg_reader import read_dicom_seg

    labels, affine, _ = read_dicom_seg(path, source=image, series_part=series_part)
    return Volume(labels, affine, path)


def _check_same_grid(label: Volume, image: str | os.PathLike, grid: Grid) -> None:
    if grid.same_as(label.grid):
        return
    expected, found = grid.to_ras(), label.grid.to_ras()
    if expected.shape != found.shape:
        raise UserError(
            label.path,
            expected=f"the grid of {image}, shape {expected.shape} (RAS)",
            found=f"shape {found.shape}",
            remedy=grid_remedy(label.path, image, drawn_on_it=False),
        )
    raise UserError(
        label.path,
        expected=f"the grid of {image} to within {grid.tolerance:.3f} mm",
        found=f"corners {expected.corner_distance(found):.3f} mm apart (other affine)",
        remedy=grid_remedy(label.path, image),
    )


def grid_remedy(label: str | os.PathLike | None, image: str | os.PathLike, *, drawn_on_it: bool = True) -> str:
    """What to do about a label on another grid than its image: which of its voxels and its header is right decides.

    Args:
        label, image: their files.
        drawn_on_it: whether it may have been drawn on the image's voxels, which takes equal shapes.
    """
    command = f"python -m monai_cl convert {shlex.quote(f'{label}')} NEW.nii.gz --like {shlex.quote(f'{image}')}"
    if not drawn_on_it:
        return f"resample the label to its image, if it is a label of this scan: {command}"
    return (
        f"resample the label to its image, if its header is right: {command}; give it the header of the image only if "
        "it was drawn on the voxels of this image"
    )


def label_on_grid(label: Volume, image: str | os.PathLike, grid: Grid) -> tuple[Volume, int]:
    """A label map on the grid of an image: in each voxel the value of the label's nearest voxel, 0 outside the label.

    Args:
        label: the label map, anywhere in the world.
        image: file of the image, for messages.
        grid: of the image.

    Returns:
        the label, and the number of its labelled voxels that lie outside the image.

    Raises:
        UserError: values that are not integers or beyond int16; no labelled voxel lies in the image.
    """
    values = _narrow(_integers(label), label)
    back = np.linalg.solve(label.affine, grid.affine)  # voxel of the image -> voxel of the label
    columns = np.indices(grid.shape[:2])
    array = np.zeros(grid.shape, values.dtype)
    for z in range(grid.shape[2]):  # a plane at a time: indices take eight times the memory of the voxels
        place = np.tensordot(back[:3, :2], columns, 1) + (back[:3, 2] * z + back[:3, 3])[:, None, None]
        place = np.rint(place).astype(np.int64)
        inside = ((place >= 0) & (place < np.reshape(values.shape, (3, 1, 1)))).all(axis=0)
        array[..., z][inside] = values[tuple(place[:, inside])]
    labelled = np.argwhere(values)
    if len(labelled) and not array.any():
        raise UserError(
            label.path,
            expected=f"a label of {image}",
            found=f"none of its {len(labelled)} labelled voxels in it",
            remedy="give the label of this scan",
        )
    place = np.rint(np.linalg.solve(grid.affine, label.affine)[:3] @ np.c_[labelled, np.ones(len(labelled))].T)
    outside = int(((place < 0) | (place >= np.reshape(grid.shape, (3, 1)))).any(axis=0).sum())
    return Volume(array, grid.affine, label.path), outside


def _integers(label: Volume) -> np.ndarray:
    array = label.array
    if array.dtype.kind != "f":
        return array
    rounded, bad = whole_values(array)
    if bad.any():
        raise UserError(
            label.path,
            expected="integer label values",
            found=f"{float(array[bad][0]):g} and {int(bad.sum()) - 1} more",
            remedy="give the label map, not a probability or an interpolated one",
        )
    return rounded


def _not_negative(values: np.ndarray, label: Volume) -> np.ndarray:
    if values.size and values.min() < 0:
        raise UserError(
            label.path,
            expected="label values of 0 and more",
            found=int(values.min()),
            remedy="give the label map, not the image, or say under label_map what each value is (others become 0)",
        )
    return values


def _narrow(values: np.ndarray, label: Volume) -> np.ndarray:
    low, high = int(values.min()), int(values.max())
    for dtype in (np.uint8, np.int16):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return values.astype(dtype)
    raise UserError(
        label.path,
        expected="label values of at most 32767",
        found=high,
        remedy="name the wanted ones in label_map, others become 0",
    )
