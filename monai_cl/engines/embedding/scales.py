"""As what an encoder takes a scan: its modality, and the scale of its voxels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_cl.data.io.formats import is_picture
from monai_cl.data.io.modality import CT, CT_PICTURE, known_word, modality_name, scales_of
from monai_cl.data.io.scan_intensity import require_known_picture
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
    # of a scan without a list nothing may be stated; a list says CT where it states nothing
    listed, known = "dataset" in item, [name for name in _known(preprocessing) if name != CT_PICTURE]
    if is_picture(str(item["image"])):
        return CT if listed and isinstance(preprocessing.get("modality"), Mapping) else None
    return known[0] if len(known) == 1 and not listed else CT


def scale_of(item: Mapping[str, Any], preprocessing: Mapping[str, Any]) -> str:
    """``hounsfield``, ``percentiles`` or ``zscore``, as the encoder was trained.

    Args:
        item: of the scan.
        preprocessing: of the encoder.

    Raises:
        UserError: a scan of another modality than those of the encoder's training.
    """
    if isinstance(preprocessing.get("modality"), Mapping):
        known, own = _known(preprocessing), taken_as(item, preprocessing)
        if is_picture(str(item["image"])):
            require_known_picture(str(item["image"]), known=known, stated=own)
            return "percentiles"
        if (word := known_word(own or "", known)) is not None:
            return known[word]
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


def _known(preprocessing: Mapping[str, Any]) -> dict[str, str]:
    return scales_of(preprocessing.get("modality") or CT)
