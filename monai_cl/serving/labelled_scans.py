"""The labels that were submitted to a MONAI Label server, as a data list of this project."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl.data.io.label_values import whole_values
from monai_cl.data.io.modality import header_modality
from monai_cl.data.io.nifti_output import write_volume
from monai_cl.data.io.reading import Volume, read_volume
from monai_cl.errors import UserError
from monai_cl.files import write_atomically
from monai_cl.serving.segment_values import organ_values


def labelled_scan(
    name: str,
    image: str | Path,
    label: str | Path,
    *,
    label_info: Sequence[Mapping[str, Any]] | None,
    organs: Sequence[str],
    folder: str | Path,
) -> dict[str, str]:
    """An item whose label has the organs' ids: the file itself if it has, else a copy in ``folder``.

    Args:
        name: of the scan in the data store.
        label_info: see `organ_values`.

    Raises:
        UserError: see `organ_values`; a label that `read_volume` cannot read, or with values that are not integers.
    """
    volume = read_volume(label)
    values = volume.array
    if values.dtype.kind == "f":
        values, bad = whole_values(values)
        if bad.any():
            raise UserError(
                label,
                expected="integer label values",
                found=f"{float(volume.array[bad][0]):g}",
                remedy="give the label map, not a probability",
            )
    mapped = organ_values(label_info, organs, np.unique(values), source=str(label))
    if all(value == organ for value, organ in mapped.items()):
        return {"id": name, "image": str(image), "label": str(label)}
    renumbered = np.zeros(values.shape, np.uint8)
    for value, organ in mapped.items():
        renumbered[values == value] = organ
    file = Path(folder) / f"{name}.nii.gz"
    write_volume(file, Volume(renumbered, volume.affine))
    return {"id": name, "image": str(image), "label": str(file)}


def write_list(
    file: str | Path,
    training: Sequence[Mapping[str, str]],
    validation: Sequence[Mapping[str, str]],
    *,
    organs: Sequence[str],
    modality: str | None = None,
) -> Path:
    """Write a data list of items with absolute paths; returns the data root that its paths start from.

    Args:
        file: the list.
        training: of `labelled_scan`.
        validation: likewise.
        organs: of the model.
        modality: of scans whose DICOM header does not state it; None: CT.
    """
    files = [item[key] for item in (*training, *validation) for key in ("image", "label")]
    root = Path(os.path.commonpath([Path(path).parent for path in files]))

    def relative(item: Mapping[str, str]) -> dict[str, str]:
        paths = {key: Path(item[key]).relative_to(root).as_posix() for key in ("image", "label")}
        word = header_modality(item["image"]) or modality
        return {"id": item["id"], **paths, **({"modality": word} if word else {})}

    document = {
        "name": "submitted labels",
        "labels": {str(number): organ for number, organ in enumerate(["background", *organs])},
        "training": [relative(item) for item in training],
        **({"validation": [relative(item) for item in validation]} if validation else {}),
    }
    write_atomically(file, (json.dumps(document, indent=1) + "\n").encode("utf-8"))
    return root
