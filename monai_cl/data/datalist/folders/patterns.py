"""Names of files as patterns: which files of a folder are images, and which label belongs to which."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from monai_cl.data.io.formats import FILE_ENDINGS
from monai_cl.errors import UserError

ENDING = ".nii.gz"

# (images, labels): how public data sets lay out their files; the pair that matches most scans is taken
LAYOUTS = (
    ("imagesTr/{case}.nii.gz", "labelsTr/{case}.nii.gz"),  # Medical Segmentation Decathlon
    ("imagesTr/{case}_0000.nii.gz", "labelsTr/{case}.nii.gz"),  # nnU-Net
    ("imagesTr/img{case}.nii.gz", "labelsTr/label{case}.nii.gz"),  # BTCV in Decathlon folders
    ("img/img{case}.nii.gz", "label/label{case}.nii.gz"),  # BTCV as downloaded
    ("{case}/imaging.nii.gz", "{case}/segmentation.nii.gz"),  # KiTS
    ("{case}/ct.nii.gz", "{case}/labels.nii.gz"),  # what merge_masks leaves
    ("Pancreas-CT/PANCREAS_{case}", "TCIA_pancreas_labels-02-05-2017/label{case}.nii.gz"),  # NIH Pancreas-CT
    ("images/{case}.nii.gz", "labels/{case}.nii.gz"),
    ("{case}_ct.nii.gz", "{case}_structures.nii.gz"),
    ("{case}_ct.nii.gz", "{case}_label.nii.gz"),
    ("{case}_image.nii.gz", "{case}_label.nii.gz"),
)

# (images, masks): one mask file per organ, which `merge_masks` makes one label map of
MASK_LAYOUTS = (
    ("{case}/ct.nii.gz", "{case}/segmentations/{organ}.nii.gz"),  # TotalSegmentator, AbdomenAtlas
    ("{case}/mri.nii.gz", "{case}/segmentations/{organ}.nii.gz"),  # TotalSegmentator MRI
)

# split -> what its folders are called where those of training end in Tr; AMOS has validation
SPLIT_FOLDERS = {"validation": "Va", "test": "Ts"}

_BIDS_SUFFIXES = ("ct", "T1w", "T2w", "FLAIR")
_BIDS_LABELS = ("dseg", "mask", "seg", "label")
_KEYS = ("case", "patient")


def paths_below(folder: Path) -> list[str]:
    """Files and folders below ``folder``, relative, in natural order (2 before 10), without hidden ones."""
    found = []
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names = [*folders, *(name for name in files if not name.startswith("."))]
        found += [Path(os.path.relpath(os.path.join(base, name), folder)).as_posix() for name in names]
    return sorted(found, key=_natural)


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", text)]


def best_layout(folder: Path, paths: Sequence[str]) -> tuple[str, str] | None:
    """The known layout, as patterns of images and labels, that pairs most scans; None where none fits.

    Args:
        folder: for messages.
        paths: what lies below it.

    Raises:
        UserError: there is one mask file per organ; it names the command that merges them.
    """
    counted = []
    for images, labels in _known(paths):
        try:
            both = matches(folder, paths, images).keys() & matches(folder, paths, labels).keys()
        except UserError:
            continue
        counted.append((len(both), images, labels))
    most, images, labels = max(counted, key=lambda entry: entry[0], default=(0, "", ""))
    if most:
        return images, labels
    for images, masks in MASK_LAYOUTS:
        organs = {match["organ"] for _, match in matched(paths, masks, keys=("case", "organ"))}
        if organs and matches(folder, paths, images):
            raise UserError(
                folder,
                expected="one label map per scan",
                found=f"one mask file per organ ({masks}, {len(organs)} organs)",
                remedy=f"python -m monai_cl datalist merge_masks {shlex.quote(str(folder))}",
            )
    return None


def _known(paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    # as they are written: .nii.gz, .NII.GZ
    endings = sorted({path[-len(e) :] for e in FILE_ENDINGS for path in paths if path.lower().endswith(e)})
    for ending in endings:
        for images, labels in LAYOUTS:
            yield images.replace(ENDING, ending), labels.replace(ENDING, ending)
    if any(path.startswith("sub-") for path in paths):
        for ending in endings:
            yield from _bids(paths, ending)


def _bids(paths: Sequence[str], ending: str) -> Iterator[tuple[str, str]]:
    """Images by their suffix, with or without sessions and other entities; labels in derivatives or beside them.

    A label has the entities of its scan (``ses-1``, ``acq-x``) and may have more after them.
    """
    suffixes, kinds = (
        [word for word in words if any(path.endswith(f"_{word}{ending}") for path in paths)]
        for words in (_BIDS_SUFFIXES, _BIDS_LABELS)
    )
    for suffix, folders, entities in product(suffixes, ("", "*/", "*/*/"), ("", "_{case}")):
        scan = f"sub-{{patient}}/{folders}sub-{{patient}}{entities}"
        for place, more, kind in product(("derivatives/*/", "derivatives/", ""), ("", "_*"), kinds):
            yield f"{scan}_{suffix}{ending}", f"{place}{scan}{more}_{kind}{ending}"


def modality_of(images: str) -> str:
    """``"CT"``, or ``"MR"`` where a BIDS suffix or a file's name says so."""
    name = images.rpartition("/")[2].partition(".")[0]
    return "MR" if name.endswith(tuple(f"_{suffix}" for suffix in _BIDS_SUFFIXES[1:])) or name == "mri" else "CT"


def split_pattern(pattern: str, split: str) -> str | None:
    """The pattern of another split's files, ``imagesTr/…`` -> ``imagesTs/…``; None where the layout has none.

    Args:
        pattern: of the training files.
        split: ``"validation"`` or ``"test"``.
    """
    other = re.sub(r"\b(images|labels)Tr/", rf"\1{SPLIT_FOLDERS[split]}/", pattern)
    return None if other == pattern else other


def matches(folder: Path, paths: Sequence[str], pattern: str) -> dict[str, tuple[str, str | None]]:
    """Case -> (path, patient or None) of every path that a pattern matches.

    Args:
        folder: for messages.
        paths: relative ones.
        pattern: with ``{case}``, ``{patient}`` and ``*``, or the name of one file.

    Raises:
        UserError: two paths for one case, a pattern that is none.
    """
    found: dict[str, tuple[str, str | None]] = {}
    for path, parts in matched(paths, pattern):
        case = "\n".join(parts[key] for key in ("patient", "case") if key in parts)
        if case in found:
            raise UserError(
                folder,
                found=f"the pattern {pattern!r} matches both {found[case][0]} and {path} for one case",
                remedy="make it narrower",
            )
        found[case] = (path, parts.get("patient"))
    return found


def matched(paths: Sequence[str], pattern: str, *, keys: Sequence[str] = _KEYS) -> Iterator[tuple[str, dict[str, str]]]:
    """Every path that a pattern matches, and what stands for its keys.

    Args:
        paths: relative ones.
        pattern: ``{key}`` is one or more characters of a name, the same ones at every place; ``*`` any number.
        keys: those that a pattern may have.

    Raises:
        UserError: another key, or ``*`` without any.
    """
    expression = _expression(pattern, keys)
    for path in paths:
        if match := expression.fullmatch(path):
            yield path, match.groupdict()


def _expression(pattern: str, keys: Sequence[str]) -> re.Pattern:
    text, seen = "", set()
    for part in re.split(r"(\{[^}]*\}|\*)", pattern.removeprefix("./")):
        if part == "*":
            text += "[^/]*"
        elif part.startswith("{"):
            key = part[1:-1]
            if key not in keys:
                raise UserError(
                    f"pattern {pattern!r}", expected=", ".join(f"{{{key}}}" for key in keys) + " or *", found=part
                )
            text += f"(?P={key})" if key in seen else f"(?P<{key}>[^/]+?)"
            seen.add(key)
        else:
            text += re.escape(part)
    if not seen and "*" in pattern:
        raise UserError(
            f"pattern {pattern!r}", expected="{case} where the names differ, e.g. imagesTr/img{case}.nii.gz"
        )
    return re.compile(text)
