"""As what an encoder takes a scan: its modality, and the scale of its voxels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_cl.data.io.formats import is_picture
from monai_cl.data.io.modality import CT, modality_name
from monai_cl.data.store.conversion import item_intensity
from monai_cl.errors import UserError

_BY_MODALITY = "by_modality"


def taken_as(item: Mapping[str, Any], preprocessing: Mapping[str, Any]) -> str | None:
    """The modality that a scan is taken for; None of a picture of which nothing is said.

    Args:
        item: of the scan.
        preprocessing: of the encoder.
    """
    if item.get("modality"):
        return modality_name(str(item["modality"]))
    known = preprocessing.get("modality")
    picture = is_picture(str(item["image"]))
    if not isinstance(known, Mapping):
        return None if picture else CT
    if picture and len(known) > 1 and "dataset" not in item:
        return None
    # of a scan without a list nothing may be stated; a list says CT where it states nothing
    return next(iter(known)) if len(known) == 1 and "dataset" not in item else CT


def scale_of(item: Mapping[str, Any], preprocessing: Mapping[str, Any]) -> str:
    """``hounsfield``, ``percentiles`` or ``zscore``, as the encoder was trained.

    Args:
        item: of the scan.
        preprocessing: of the encoder.

    Raises:
        UserError: a scan of another modality than those of the encoder's training.
    """
    if isinstance(known := preprocessing.get("modality"), Mapping):
        own = taken_as(item, preprocessing)
        if own is None or (own in known and is_picture(str(item["image"]))):
            return "percentiles"  # of CT too: a picture holds grey values
        if own in known:
            return str(known[own])
        raise UserError(
            item["image"],
            expected=f"a scan of {' or '.join(known)}, which the encoder was trained on",
            found=own,
            remedy="say what it is: the modality of the data list, or --modality",
        )
    trained, scale = preprocessing.get("intensity") or "hounsfield", item_intensity(item)
    if trained == _BY_MODALITY:
        return scale
    if trained == "hounsfield" and scale != trained:
        raise UserError(
            item["image"],
            expected="a CT: the encoder was trained on HU",
            found=f"{item.get('modality') or 'a picture'}",
            remedy="use an encoder of that modality",
        )
    return str(trained)
