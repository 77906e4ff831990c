"""What kind of scan a list, a user or a DICOM header says an image is, and on which scale a network takes it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from monai_cl.data.io.formats import format_of

CT, HOUNSFIELD = "CT", "hounsfield"
CT_PICTURE = "CT picture"
"""What a record calls PNG and JPEG of CT: they hold grey values, and are scaled as other modalities are."""
# what DICOM calls a modality that a list may name in another way, by the beginning of the word
_NAMES = {"CT": "CT", "MR": "MR", "PT": "PT", "PET": "PT", "US": "US", "NM": "NM"}


def modality_name(word: str) -> str:
    """A modality as DICOM writes it, where the word stands for one: "CTA" is CT, "MRI" is MR; others in capitals.

    Args:
        word: of a data list, a command line or a DICOM header.
    """
    word = word.strip().upper()
    return next((name for start, name in _NAMES.items() if word.startswith(start)), word)


def scales_of(modality: str | Mapping[str, str]) -> dict[str, str]:
    """Modality -> ``hounsfield``, ``percentiles`` or ``zscore``, from the ``modality`` that a file of weights states.

    Args:
        modality: such a mapping, or the word ``"CT"``.
    """
    if not isinstance(modality, Mapping):
        return {modality_name(modality): HOUNSFIELD}
    # CT that is not in HU was pictures, whatever an earlier version called it
    return {CT_PICTURE if name == CT and scale != HOUNSFIELD else name: scale for name, scale in modality.items()}


def known_word(own: str, known: Mapping[str, str]) -> str | None:
    """What a network calls a modality: by its name, or by the only word, such as T1, that says no more than "not CT".

    Args:
        own: of `modality_name`.
        known: of `scales_of`.

    Returns:
        One of ``known``; None: it knows no such scan, or several words may stand for it.
    """
    if own in known:
        return own
    words = [name for name in known if name not in (*_NAMES.values(), CT_PICTURE)]
    return words[0] if len(words) == 1 and own != CT and own in _NAMES.values() else None


def header_modality(path: str | os.PathLike) -> str:
    """What a DICOM header states: CT, MR, PT, US or NM; "" for what it says else, and for other formats.

    Args:
        path: as for :func:`monai_cl.data.read_volume`; one image of a series is opened.
    """
    if not format_of(Path(path)).is_series:
        return ""
    from monai_cl.data.dicom.slice_headers import series_modality  # other formats do without SimpleITK

    name = modality_name(series_modality(Path(path)))
    return name if name in _NAMES.values() else ""


def modality_fault(stated: str | None, header: str) -> tuple[str, str, str, str] | None:
    """How a DICOM header contradicts a modality, in the form of `monai_cl.transforms.hounsfield.hounsfield_fault`.

    A word that is none of DICOM's, such as T1, says only that the scan is not CT.

    Args:
        stated: by a list or a user; None: nothing is, which means CT.
        header: of `header_modality`.
    """
    own = modality_name(stated or CT)
    if header in ("", own) or (header != CT and own not in _NAMES.values()):
        return None
    said = f"{stated}, as the list or the command says" if stated else "CT, for nothing says another modality"
    remedy = f'state what the header does, {header} ("modality" in a data list)'
    return "modality", said, f"{header} in the DICOM header", remedy


def intensity_fault(intensity: str, stated: str | None, header: str) -> tuple[str, str, str, str] | None:
    """How a DICOM header contradicts the scale on which a network takes a scan, in the form of `modality_fault`.

    Args:
        intensity: ``hounsfield``, or a scale of scans that are no CT.
        stated: modality of the scan by a list or a user; None: nothing says one.
        header: of `header_modality`.
    """
    if stated or intensity == HOUNSFIELD:
        return modality_fault(stated, header)
    if header != CT:
        return None
    remedy = "use a network that was trained on CT"
    return (
        "modality",
        "a scan that is no CT, as those that the network was trained on",
        "CT in the DICOM header",
        remedy,
    )
