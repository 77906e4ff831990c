"""A data list from a folder: image and label files paired by the part of their names that a pattern leaves open."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.json_files import read_json
from monai_cl.data.io.label_values import label_values
from monai_cl.errors import UserError

# (images, labels): how public data sets lay out their files; the pair that matches most scans is taken
LAYOUTS = (
    ("imagesTr/{case}.nii.gz", "labelsTr/{case}.nii.gz"),  # Medical Segmentation Decathlon
    ("imagesTr/{case}_0000.nii.gz", "labelsTr/{case}.nii.gz"),  # nnU-Net
    ("imagesTr/img{case}.nii.gz", "labelsTr/label{case}.nii.gz"),  # BTCV in Decathlon folders
    ("img/img{case}.nii.gz", "label/label{case}.nii.gz"),  # BTCV as downloaded
    ("{case}/imaging.nii.gz", "{case}/segmentation.nii.gz"),  # KiTS
    ("{case}/ct.nii.gz", "{case}/labels.nii.gz"),
    ("Pancreas-CT/PANCREAS_{case}", "TCIA_pancreas_labels-02-05-2017/label{case}.nii.gz"),  # NIH Pancreas-CT
    ("images/{case}.nii.gz", "labels/{case}.nii.gz"),
    ("{case}_ct.nii.gz", "{case}_structures.nii.gz"),
    ("{case}_ct.nii.gz", "{case}_label.nii.gz"),
    ("{case}_image.nii.gz", "{case}_label.nii.gz"),
)


@dataclass(frozen=True)
class FoundList:
    """What :func:`create_data_list` found.

    Attributes:
        document: the list.
        images, labels: the patterns that were used.
        unlabelled: image files without a label file; they are listed without ``label``.
        orphans: label files without an image; they are not listed.
        named: False where no organ names were known and the ids are used as names.
    """

    document: dict[str, Any]
    images: str
    labels: str | None
    unlabelled: tuple[str, ...]
    orphans: tuple[str, ...]
    named: bool


def create_data_list(
    folder: str | Path,
    *,
    name: str | None = None,
    images: str | None = None,
    labels: str | None = None,
    organs: Mapping[Any, str] | None = None,
    patient: str | None = None,
) -> FoundList:
    """Look through a folder and pair images with labels.

    Args:
        folder: the root that paths are relative to.
        name: name of the data set; default: the name of the folder.
        images: pattern such as ``"imagesTr/img{case}.nii.gz"``. ``{case}`` is the part shared with the label file,
            ``{patient}`` a part that names the patient, ``*`` anything within one name. It may match folders (DICOM).
            Default: the known layout that matches most files.
        labels: pattern of the label files, with ``{case}`` (or ``{patient}``) as in ``images``.
        organs: label id -> organ name. Default: the ``labels`` of a ``dataset.json`` in the folder; else the ids that
            occur in the label files, under the names ``label 1``, ``label 2``, ...
        patient: regular expression searched in the image's path; its first group, or the whole match, is the patient.

    Raises:
        UserError: no folder, nothing matches, two images for one case, a pattern or an expression that is wrong.
    """
    folder = Path(os.path.abspath(Path(folder).expanduser()))
    if not folder.is_dir():
        raise UserError(folder, expected="the folder of the data set", found="nothing there or a file")
    expression = _patient_expression(patient)
    paths = _paths(folder)
    if labels is not None and images is None:
        raise UserError(f"labels={labels!r} needs a pattern for images too, e.g. images='imagesTr/{{case}}.nii.gz'")
    if images is None:
        images, labels = _best_layout(folder, paths)
    found = _matches(folder, paths, images)
    if not found:
        raise UserError(
            folder,
            expected=f"images named {images!r}",
            found=f"none among {len(paths)} files",
            remedy="correct the pattern",
        )
    label_files = _matches(folder, paths, labels) if labels else {}
    items, unlabelled = [], []
    for case, (image, patient_name) in found.items():
        item = {"image": image}
        if case in label_files:
            item["label"] = label_files[case][0]
        elif labels:
            unlabelled.append(image)
        named = expression.search(image) if expression else None
        if expression and named is None:
            raise UserError(
                image, found=f"the expression {patient!r} for the patient does not match", remedy="correct it"
            )
        if named is not None:
            patient_name = named.group(1 if expression.groups else 0)
        items.append(item | ({"patient": patient_name} if patient_name else {}))
    organ_names, known = _organs(folder, organs, [item["label"] for item in items if "label" in item])
    document = {"name": name or folder.name, "modality": "CT", "labels": organ_names, "training": items}
    orphans = tuple(file for case, (file, _) in label_files.items() if case not in found)
    return FoundList(document, images, labels, tuple(unlabelled), orphans, known)


def _patient_expression(patient: str | None) -> re.Pattern | None:
    try:
        return None if patient is None else re.compile(str(patient))
    except re.error as error:
        raise UserError(f"patient must be a regular expression, got {patient!r} ({error})") from None


def _paths(folder: Path) -> list[str]:
    """Files and folders below ``folder``, relative, in natural order (2 before 10), without hidden ones."""
    found = []
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names = [*folders, *(name for name in files if not name.startswith("."))]
        found += [Path(os.path.relpath(os.path.join(base, name), folder)).as_posix() for name in names]
    return sorted(found, key=_natural)


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", text)]


def _best_layout(folder: Path, paths: list[str]) -> tuple[str, str]:
    counted = []
    for images, labels in LAYOUTS:
        try:
            both = _matches(folder, paths, images).keys() & _matches(folder, paths, labels).keys()
        except UserError:
            continue
        counted.append((len(both), images, labels))
    most, images, labels = max(counted, key=lambda entry: entry[0], default=(0, "", ""))
    if most == 0:
        some = ", ".join([path for path in paths if not (folder / path).is_dir()][:3]) or "no file"
        raise UserError(
            folder,
            expected="one of the known layouts (Decathlon, nnU-Net, BTCV, KiTS, ...)",
            found=some,
            remedy="name the files: --images 'imagesTr/{case}.nii.gz' --labels 'labelsTr/{case}.nii.gz'",
        )
    return images, labels


def _matches(folder: Path, paths: list[str], pattern: str) -> dict[str, tuple[str, str | None]]:
    """Case -> (path, patient or None) of every path that ``pattern`` matches."""
    expression = _expression(pattern)
    found: dict[str, tuple[str, str | None]] = {}
    for path in paths:
        match = expression.fullmatch(path)
        if match is None:
            continue
        parts = match.groupdict()
        case = "\n".join(parts[key] for key in ("patient", "case") if key in parts)
        if case in found:
            raise UserError(
                folder,
                found=f"the pattern {pattern!r} matches both {found[case][0]} and {path} for one case",
                remedy="make it narrower",
            )
        found[case] = (path, parts.get("patient"))
    return found


def _expression(pattern: str) -> re.Pattern:
    text, seen = "", set()
    for part in re.split(r"(\{[^}]*\}|\*)", pattern.removeprefix("./")):
        if part == "*":
            text += "[^/]*"
        elif part.startswith("{"):
            key = part[1:-1]
            if key not in ("case", "patient"):
                raise UserError(f"pattern {pattern!r}", expected="{case}, {patient} or *", found=part)
            text += f"(?P={key})" if key in seen else f"(?P<{key}>[^/]+?)"
            seen.add(key)
        else:
            text += re.escape(part)
    if not seen:
        raise UserError(
            f"pattern {pattern!r}", expected="{case} where the names differ, e.g. imagesTr/img{case}.nii.gz"
        )
    return re.compile(text)


def _organs(folder: Path, organs: Mapping[Any, str] | None, label_files: list[str]) -> tuple[dict[str, str], bool]:
    if organs is not None:
        return {"0": "background"} | _names_of_ids(organs, "organs"), True
    published = folder / "dataset.json"
    if published.is_file():
        content = read_json(published, what="description")
        if not isinstance(content, dict):
            raise UserError(
                published,
                expected="an object",
                found=type(content).__name__,
                remedy="pass --organs, and move this file away",
            )
        if "labels" in content:
            return _names_of_ids(content["labels"], str(published)), True
    from monai_cl.data.io.reading import read_volume

    values: set[int] = set()
    for file in label_files:
        try:
            values |= label_values(read_volume(folder / file).array).keys()
        except UserError:
            raise
        except ValueError as error:
            raise UserError(folder / file, expected="label ids", found=error) from None
    if min(values, default=0) < 0:
        raise UserError(
            folder, expected="label ids of 0 or more", found=min(values), remedy="is the label pattern right?"
        )
    return {"0": "background"} | {str(value): f"label {value}" for value in sorted(values - {0})}, not label_files


def organ_names(text: Any) -> dict[str, str] | None:
    """Organ names from the command line: a mapping, its JSON text, or a JSON file that holds one (or a list with
    ``labels``).

    Raises:
        UserError: anything else.
    """
    if isinstance(text, str) and not text.lstrip().startswith("{"):
        names = read_json(text, what="organ names")
        return _names_of_ids(names.get("labels", names) if isinstance(names, dict) else names, text)
    if isinstance(text, str):
        try:
            text = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(
                "organs", expected='JSON such as {"1": "spleen"}', found=f"{text!r} ({error.msg})"
            ) from None
    return None if text is None else _names_of_ids(text, "organs")


def _names_of_ids(labels: Any, where: str) -> dict[str, str]:
    """Label id -> organ name, out of that or of nnU-Net's organ -> id; nnU-Net's regions of several ids are refused."""
    if not isinstance(labels, Mapping):
        raise UserError(where, expected='id -> name such as {"1": "spleen"}', found=f"{labels!r}")
    if labels and all(isinstance(label, int) and not isinstance(label, bool) for label in labels.values()):
        inverted = {str(label): str(organ) for organ, label in labels.items()}
        if len(inverted) < len(labels):
            twice = next(label for label in inverted if list(map(str, labels.values())).count(label) > 1)
            raise UserError(
                where,
                expected="a name for each id",
                found=f"two names for {twice}",
                remedy="pass the ids with --organs",
            )
        labels = inverted
    for label, organ in labels.items():
        if not (str(label).isdecimal() and isinstance(organ, str)):
            odd = next(((a, b) for a, b in labels.items() if isinstance(b, list | tuple)), (label, organ))  # a region
            raise UserError(
                where,
                expected='id -> name such as {"1": "spleen"}',
                found=f"{odd[0]!r}: {odd[1]!r}",
                remedy="name each id that occurs in the label files, with --organs",
            )
    return {str(label): organ for label, organ in labels.items()}
