"""Which values of label files a list uses: their ids, a label map where one is needed, files that cannot be used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.folders.description import OrganNames
from monai_cl.data.io.label_values import label_values
from monai_cl.data.io.reading import read_volume
from monai_cl.errors import UserError
from monai_cl.jobs import shown


@dataclass(frozen=True)
class UsedLabels:
    """How a list names the values of its label files.

    Attributes:
        document: ``labels``, ``label_map`` where the files hold other values than the ids, ``ignore`` where there is
            a value for voxels that were not annotated.
        files: number of label files.
        left_out: label files that hold no organ.
        foreign: values without a name.
    """

    document: dict[str, Any]
    files: int
    left_out: tuple[str, ...]
    foreign: tuple[int, ...]


def used_labels(
    folder: Path,
    files: Sequence[str],
    names: OrganNames | None,
    *,
    partial: bool,
    known: Set[int],
    read_voxels: bool,
    progress: bool,
) -> UsedLabels:
    """Number the organs 1, 2, … and say which value of a file is which, if that is not the same.

    A file that holds none of the organs is left out: as a label it would be refused as empty.

    Args:
        folder: that the names of files start from.
        files: the label files.
        names: of the values; None: every value is an organ without a name.
        partial: ``names`` may leave out values, which then become background.
        known: values that occur, as far as they are known without reading.
        read_voxels: whether files are read where ``names`` suffice without.
        progress: show a progress bar.

    Raises:
        UserError: a file that cannot be read or holds no label ids, values without names, no file left to use.
    """
    held: dict[str, dict[int, int]] = {}
    if read_voxels or names is None:
        held = {file: _values(folder / file) for file in shown(files, "labels" if progress and files else None)}
    present = {value for values in held.values() for value in values}
    ignore = None if names is None else names.ignore
    organs = {value: f"label {value}" for value in sorted(present - {0})} if names is None else names.organs
    foreign = present - set(organs) - {0, ignore}
    if foreign and not partial:
        file = next(file for file, values in held.items() if foreign & set(values))
        raise UserError(
            folder / file,
            expected=f"values that dataset.json names ({', '.join(map(str, sorted(organs)))})",
            found=", ".join(map(str, sorted(foreign))),
            remedy="name the organs to use with --organs; other values then become background",
        )
    left_out = tuple(file for file, values in held.items() if not set(organs) & set(values))
    if files and len(left_out) == len(files):
        raise UserError(
            folder / left_out[0],
            expected=f"voxels of an organ ({', '.join(map(str, sorted(organs))) or 'any value but 0'})",
            found=f"only {', '.join(map(str, held[left_out[0]]))}, and no organ in any of the {len(files)} label files",
            remedy="name other values with --organs, or list the scans alone: --images without --labels",
        )
    ids = _ids(organs.values())
    mapping = {value: ids[organ.casefold()] for value, organ in organs.items()}
    document: dict[str, Any] = {"labels": {"0": "background"}}
    for value, organ in organs.items():
        document["labels"].setdefault(str(mapping[value]), organ)
    if (
        foreign
        or (partial and known - set(organs) - {0, ignore})
        or any(value != label for value, label in mapping.items())
    ):
        document["label_map"] = {str(value): label for value, label in mapping.items()}
    if ignore is not None:
        document["ignore"] = ignore
    return UsedLabels(document, len(files), left_out, tuple(sorted(foreign)))


def _ids(organs: Iterable[str]) -> dict[str, int]:
    return {organ: number for number, organ in enumerate(dict.fromkeys(o.casefold() for o in organs), start=1)}


def _values(file: Path) -> dict[int, int]:
    try:
        values = label_values(read_volume(file).array)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(file, expected="label ids", found=error) from None
    if min(values, default=0) < 0:
        raise UserError(
            file, expected="label ids of 0 or more", found=min(values), remedy="is the label pattern right?"
        )
    return values
