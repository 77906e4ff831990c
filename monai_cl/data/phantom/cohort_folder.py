"""The folder of a synthetic cohort: built beside its place, and there complete or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from monai_cl.errors import UserError
from monai_cl.files import temporary_name

if TYPE_CHECKING:
    import numpy as np


def require_whole_numbers(least: Mapping[str, int], numbers: Mapping[str, object]) -> None:
    """Refuse an option that is not an integer or below its minimum, with a `UserError`."""
    for name, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise UserError(f"{name} must be an integer, got {value!r}")
        if value < least[name]:
            raise UserError(f"{name} must be >= {least[name]}, got {value}")


@contextmanager
def cohort_folder(output: Path, *, lists: Mapping[str, str], overwrite: bool) -> Iterator[Path]:
    """A private folder to build a cohort in; at the end of the block it takes the place of ``output``.

    In an existing folder the lists are written last, so that a list never names a missing file; other files in it stay.
    After an exception nothing has changed.

    Args:
        output: absolute path of the cohort.
        lists: key -> file name of its data lists.
        overwrite: replace a cohort that is there.

    Raises:
        UserError: ``output`` is a file, or a folder with files in it and ``overwrite`` is not given.
    """
    if output.exists() and not output.is_dir():
        raise UserError(output, expected="a folder to write the cohort to", found="a file", remedy="give another name")
    if output.is_dir() and any(output.iterdir()) and not overwrite:
        remedy = "give another folder"
        if all((output / name).is_file() for name in lists.values()):
            remedy += ", or --overwrite True to replace the cohort there"
        raise UserError(output, expected="a new or empty folder", found="files in it", remedy=remedy)
    # built beside the final place, so that the last step is a rename on one file system
    building = temporary_name(output)
    building.mkdir(parents=True)
    try:
        yield building
        _publish(building, output, lists)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def write_synthetic_case(
    folder: Path, name: str, image: np.ndarray, label: np.ndarray, affine: np.ndarray, *, made_by: str
) -> dict[str, str]:
    """Write an image and its label as NIfTI, marked as synthetic.

    Args:
        folder: of the data set.
        name: of the case.
        image, label: (X, Y, Z).
        affine: (4, 4), mm.
        made_by: what made it, and its seed; at most 60 characters.

    Returns:
        "image" and "label" -> path relative to ``folder``.
    """
    from monai_cl.data.io.nifti_output import write_volume
    from monai_cl.data.io.reading import Volume

    paths = {kind: f"{kind}s/{name}.nii.gz" for kind in ("image", "label")}
    for kind, array in (("image", image), ("label", label)):
        path = folder / paths[kind]
        write_volume(path, Volume(array, affine), description=f"synthetic, {made_by}")
    return paths


def _publish(building: Path, output: Path, lists: Mapping[str, str]) -> None:
    """Move the finished cohort into place; in an existing folder, replace only what the cohort consists of."""
    if not output.exists():
        building.rename(output)
        return
    for name in lists.values():
        (output / name).unlink(missing_ok=True)
    for new in sorted(building.iterdir(), key=Path.is_file):
        old = output / new.name
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
        new.rename(old)
