"""Lists of 2D images that lie in a folder for each class, as MedNIST's do."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from monai_cl.data.datalist.items import modality_word
from monai_cl.data.io.formats import DICOM, format_named
from monai_cl.errors import UserError

LAYOUT = "mednist"
PATTERN = "{class}/*"
# of MedNIST's own classes
_MODALITIES = {"AbdomenCT": "CT", "BreastMRI": "MR", "CXR": "XR", "ChestCT": "CT", "Hand": "XR", "HeadCT": "CT"}


def class_folders(
    folder: Path, paths: Sequence[str], *, modality: str | None = None, without: Container[str] = ()
) -> dict[str, Any]:
    """``targets``, ``modality`` and ``training`` of a list: each image has the class of its folder as its target.

    Args:
        folder: for messages.
        paths: relative ones of what lies below it.
        modality: of all images; None: that of MedNIST's classes. Where there are several, each item has its own.
        without: images to pass over.

    Raises:
        UserError: no image in a folder of its own, or a class whose modality is not known.
    """
    images = [path for path in paths if _is_image(path) and path not in without]
    classes = sorted({PurePosixPath(path).parts[0] for path in images})
    if not images:
        some = ", ".join(path for path in paths if format_named(path) is not None) or "no image"
        raise UserError(
            folder,
            expected="folders of .png, .jpeg or .dcm files, one for each class",
            found=some[:80],
            remedy="give the folder above those of the classes, or leave out --layout",
        )
    words = {name: modality_word(modality) if modality else _MODALITIES.get(name) for name in classes}
    if unknown := [name for name in classes if words[name] is None]:
        raise UserError(
            folder,
            expected=f"the classes of MedNIST ({', '.join(_MODALITIES)}), whose modality is known",
            found=unknown[0],
            remedy="name the modality of all images, such as --modality XR",
        )
    one = len(set(words.values())) == 1
    number = {name: index for index, name in enumerate(classes)}
    items: list[dict[str, Any]] = []
    for path in images:
        name = PurePosixPath(path).parts[0]
        items.append({"image": path, "target": number[name]} | ({} if one else {"modality": words[name]}))
    head = {"modality": words[classes[0]]} if one else {}
    return head | {"targets": {str(index): name for name, index in number.items()}, "training": items}


def _is_image(path: str) -> bool:
    kind = format_named(path)
    return kind is not None and (kind.is_picture or kind is DICOM) and len(PurePosixPath(path).parts) == 2
