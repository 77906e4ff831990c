"""Whole scans of any modality on the scale that their network was trained on, in MONAI's pipelines."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from monai_cl.data.io.modality import (
    CT,
    CT_PICTURE,
    HOUNSFIELD,
    header_modality,
    known_word,
    modality_fault,
    modality_name,
    scales_of,
)
from monai_cl.errors import UserError
from monai_cl.transforms.check_hounsfield import CheckHounsfieldd
from monai_cl.transforms.hounsfield import refuse
from monai_cl.transforms.scan_scale import SCALE, scale_range, scaled


class ScanIntensityd(MapTransform):
    """Check a CT for HU; bring any other scan onto the window, so that the steps after this one are those of CT.

    To be placed after loading. An item of a data list has its scale from the list (``intensity``, see
    `monai_cl.engines.read_list`). Without ``known`` an item that states none is CT. With it, for items that are paths
    alone, the modality decides: that of the DICOM header, else ``modality``, else the only one that is known.
    ``window`` of its metadata says afterwards which of its intensities became the ends of the window.

    Args:
        keys: of the images, (X, Y, Z) with metadata.
        window: (lower, upper) HU that a later step scales to [0, 1].
        known: modality -> scale, or ``"CT"``: what the network was trained on, as its file of weights says.
        modality: of scans whose header does not state one; ``known`` again says nothing.
        allow_missing_keys: skip absent keys.

    Raises:
        UserError: when called: a modality that the network does not know, that the DICOM header contradicts, or that
            nothing states; what is no CT in HU.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        window: Sequence[float],
        known: str | Mapping[str, str] | None = None,
        modality: str | Mapping[str, str] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.window, self.known = (float(window[0]), float(window[1])), None if known is None else scales_of(known)
        self.modality = None if modality is None or modality == known else str(modality)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its images checked or scaled."""
        item = dict(data)
        for key in self.key_iterator(item):
            image: MetaTensor = item[key]
            file = str(image.meta.get("filename_or_obj", key))
            intensity = item.get("intensity") or self._known(file)
            if intensity == HOUNSFIELD:
                CheckHounsfieldd([key])(item)
                continue
            array = np.asarray(image).astype(np.float32)
            limits, (low, high) = scale_range(array, intensity, where=file), self.window
            image[...] = torch.from_numpy(scaled(array, limits) / np.float32(SCALE[1]) * (high - low) + low)
            image.meta["window"] = [float(limit) for limit in limits]
        return item

    def _known(self, file: str) -> str:
        if self.known is None:
            return HOUNSFIELD
        return self.known[known_modality(file, known=self.known, stated=self.modality)]


def known_modality(file: str, *, known: Mapping[str, str], stated: str | None = None) -> str:
    """The modality of a scan among those that a network was trained on.

    Args:
        file: the scan; a DICOM header says what it is.
        known: modality -> scale, see `scales_of`.
        stated: by the user; None: nothing is.

    Raises:
        UserError: a modality that the network does not know, that the DICOM header contradicts, or that nothing states.
    """
    header, volumes = header_modality(file), [name for name in known if name != CT_PICTURE]
    refuse(modality_fault(stated, header) if stated else None, file)
    own = modality_name(stated or header or (volumes[0] if len(volumes) == 1 else ""))
    if (word := known_word(own, known)) is not None:
        return word
    words = [name for name in volumes if header and modality_fault(name, header) is None] if not stated else []
    remedy = f"name it: --modality {' or --modality '.join(words or volumes)}"
    if not volumes:
        remedy = "give it PNG or JPEG of CT, or use a network that was trained on volumes"
    elif own and not words:
        remedy = f'train on scans of {own} too: a data list with "modality": "{own}"'
    raise UserError(
        file,
        expected=f"a scan of {' or '.join(known)}, which the network was trained on",
        found=f"modality {own}" if own else "a file that does not state its modality",
        remedy=remedy,
    )


def require_known_picture(file: str, *, known: Mapping[str, str], stated: str | None = None) -> None:
    """Refuse a PNG or JPEG that a network was not trained on: one of volumes of CT takes HU, not grey values.

    Args:
        file: the picture.
        known: modality -> scale, see `scales_of`.
        stated: its modality, by a list or the user; None, or CT: any that is not in HU will do.

    Raises:
        UserError: a network that knows HU alone, or a modality that it does not know.
    """
    own = modality_name(stated) if stated else None
    grey = [name for name, scale in known.items() if scale != HOUNSFIELD]
    # lists and commands say CT where they say nothing
    if grey and (own in (None, CT) or known_word(own, known) in grey):
        return
    raise UserError(
        file,
        expected=f"a scan of {' or '.join(known)}, which the network was trained on",
        found=f"a picture of {own}" if own else "a picture, which holds grey values",
        remedy="train on such pictures too"
        + ("" if grey else ", or give it the CT itself (DICOM, NIfTI), which is in HU"),
    )
