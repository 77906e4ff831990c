"""One array of the store on disk: blosc2, chunked for crops or for axial slices."""

from __future__ import annotations

import os
from pathlib import Path

import blosc2
import numpy as np

from monai_cl.data.store.remedies import damaged_error
from monai_cl.errors import UserError

# layout -> chunks and blocks in the order of the axes on disk: (x, y, z) for "volume", (z, y, x) for "slices"
_CHUNKS = {"volume": ((96, 96, 96), (32, 32, 32)), "slices": ((1, 512, 512), (1, 128, 512))}


class StoredArray:
    """An open array (X, Y, Z) of int16 or uint8, read by boxes.

    Args:
        path: a .b2nd file.
        layout: ``"volume"`` or ``"slices"``, as it was written.
        shape: (X, Y, Z) that it must have, where that is known.

    Raises:
        UserError: absent or damaged beyond opening, of another shape or type.
    """

    def __init__(self, path: Path, layout: str, shape: tuple[int, ...] | None = None) -> None:
        self._path = path
        try:
            # one thread: blosc2's own threads do not survive a fork; no mmap: it was slower
            self._array = blosc2.open(os.fspath(path), mode="r", dparams={"nthreads": 1})
            dtype, stored_shape = self._array.dtype, tuple(self._array.shape)
        except Exception as error:  # whatever blosc2 makes of damaged metadata
            raise self._damaged(error) from error
        self._reverse = layout == "slices"
        self.shape = stored_shape[::-1] if self._reverse else stored_shape
        if (
            dtype not in (np.int16, np.uint8)
            or len(stored_shape) != 3
            or (shape is not None and self.shape != tuple(shape))
        ):
            raise self._damaged(f"{dtype} of shape {self.shape}" + (f", not {tuple(shape)}" if shape else ""))

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        try:
            return self._array[box[::-1]].transpose(2, 1, 0) if self._reverse else self._array[box]
        except (OSError, RuntimeError, ValueError, MemoryError) as error:
            raise self._damaged(error) from error

    def _damaged(self, found: object) -> UserError:
        return damaged_error(self._path, expected="a stored array with readable voxels", cause=found)


def write_array(path: Path, array: np.ndarray, layout: str) -> None:
    """Write an array (X, Y, Z): LZ4HC level 5, bytes shuffled for int16 and untouched for uint8.

    On CT this is smaller than LZ4 with shuffled bits and read in two thirds of the time; only writing takes longer.
    """
    if layout == "slices":
        array = array.transpose(2, 1, 0)
    chunks, blocks = (tuple(map(min, sizes, array.shape)) for sizes in _CHUNKS[layout])
    wide = array.dtype.itemsize > 1
    blosc2.asarray(
        np.ascontiguousarray(array),
        urlpath=os.fspath(path),
        mode="w",
        chunks=chunks,
        blocks=blocks,
        cparams={
            "codec": blosc2.Codec.LZ4HC,
            "clevel": 5,
            "filters": [blosc2.Filter.SHUFFLE if wide else blosc2.Filter.NOFILTER],
            "nthreads": 1,
        },
    )
