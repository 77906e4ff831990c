"""Validate a data list: its shape and rules, then every file it names; all problems are reported at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_cl.data.datalist.duplicates import duplicate_files
from monai_cl.data.datalist.findings import slice_count_fault
from monai_cl.data.datalist.items import holds_hounsfield, reading_options, scan_of
from monai_cl.data.datalist.loading import check_data_list
from monai_cl.data.datalist.model import DataList, DataSet
from monai_cl.data.datalist.overlap import Task, overlap_problems
from monai_cl.data.datalist.problems import Problem
from monai_cl.data.datalist.rules import remove_one
from monai_cl.data.grid import Grid
from monai_cl.data.io.fingerprint import scan_fingerprint
from monai_cl.data.io.label_reading import grid_remedy, read_label_file
from monai_cl.data.io.modality import header_modality, modality_fault
from monai_cl.data.io.reading import read_grid, read_volume
from monai_cl.data.io.segment_names import segment_fault
from monai_cl.data.records.training_scans import ScanIdentity
from monai_cl.errors import UserError
from monai_cl.jobs import for_each

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Problem", "validate_data_list"]

_Fault = tuple[str, str, str, str | None]  # kind, expected, found, remedy


def validate_data_list(
    path: str | Path,
    *,
    data_root: str | Path | None = None,
    read_voxels: bool = True,
    allow_outside: bool = False,
    uneven_slices: str = "error",
    workers: int = 1,
    progress: bool = False,
    against: Sequence[str | Path] = (),
    against_root: str | Path | None = None,
    against_weights: Mapping[str, Sequence[ScanIdentity]] | None = None,
) -> list[Problem]:
    """Everything that is wrong with a data list and its files.

    Checked are the list itself (shape, keys, ids, paths, a patient in one fold only), that files exist, that image and
    label have readable headers and lie on the same grid, that segments named in a file (.seg.nrrd) have the names of
    the list, and that no content appears under two names. With ``read_voxels`` also that files are whole (checksum),
    that CT is finite and not constant, that label values are integers among the declared ids, that no label map is
    empty, and that no scan occurs twice in whatever format (:func:`scan_fingerprint`).

    Args:
        path: the list file.
        data_root: as for :func:`monai_cl.data.load_data_list`.
        read_voxels: False looks at headers only (DICOM: that the folder holds files) and takes milliseconds per scan.
        allow_outside: accept paths and links that leave the root.
        uneven_slices: as for :func:`monai_cl.data.load_data_list`.
        workers: processes that read; -1 for one per processor.
        progress: show a progress bar.
        against: other lists, none of whose scans, nor another scan of their patients, may be in this one; voxels are
            then read whatever ``read_voxels`` says.
        against_root: as ``data_root``, for those lists.
        against_weights: file of weights -> the scans it was trained on, likewise.

    Returns:
        The problems: those of the list, those of its files item by item, duplicates, those found ``against`` others.
        Empty if all is well.

    Raises:
        UserError: the list is missing or not JSON.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers == 0:
        raise UserError(f"workers must be an integer of at least 1, or -1 for one per processor, got {workers!r}")
    data_list, problems = check_data_list(
        path, data_root=data_root, allow_outside=allow_outside, uneven_slices=uneven_slices
    )
    if data_list is None:
        return problems
    _listing.cache_clear()
    tasks: list[Task] = []
    for dataset in data_list.datasets:
        if dataset.root.is_dir():
            tasks += [(dataset, place, item) for _, place, item in dataset.entries()]
        else:
            problems.append(_missing_root(dataset))
    compare = bool(against or against_weights)
    jobs = [(*task, read_voxels or compare) for task in tasks]
    checked = for_each(_check_item, jobs, workers=workers, what="validate" if progress else None)
    fingerprints: dict[int, str] = {}
    for number, (result, fingerprint) in enumerate(checked):
        problems += result
        if fingerprint is not None:
            fingerprints[number] = fingerprint
    problems += _duplicates(data_list, tasks, fingerprints)
    problems += overlap_problems(
        tasks,
        fingerprints,
        lists=against,
        lists_root=against_root,
        weights=against_weights,
        allow_outside=allow_outside,
        workers=workers,
        progress=progress,
    )
    return problems


def _missing_root(dataset: DataSet) -> Problem:
    _, where, item = next(dataset.entries(), ("", dataset.place, None))
    count = sum(map(len, dataset.splits.values()))
    expected = f"the folder {dataset.root} of data set {dataset.name}"
    remedy = f"set data_root, or `root` in the list; none of its {count} items is checked"
    file = item["image"] if item else None
    return dataset.problem("missing folder", where, expected, "no such folder", remedy, file=file)


@dataclass
class _ReadFiles:
    """What was read of an item's files: grids by key, and the fingerprint of the image where voxels are read."""

    grids: dict[str, Grid] = field(default_factory=dict)
    fingerprint: str | None = None


def _check_item(
    dataset: DataSet, where: str, item: dict[str, Any], read_voxels: bool
) -> tuple[list[Problem], str | None]:
    """The problems of an item's files, and the fingerprint of its image where voxels are read."""
    read = _ReadFiles()
    faults = [
        (key, fault)
        for key in ("image", "label")
        if key in item
        for fault in _file_faults(dataset, item, key, read_voxels, read)
    ]
    if fault := _grid_fault(dataset, item, read.grids):
        faults.append(("label", fault))
    problems = [dataset.problem(fault[0], f"{where}.{key}", *fault[1:], file=item[key]) for key, fault in faults]
    return problems, read.fingerprint


def _file_faults(
    dataset: DataSet, item: dict[str, Any], key: str, read_voxels: bool, read: _ReadFiles
) -> Iterator[_Fault]:
    """What is wrong with the image or the label of an item; what is read of it goes into ``read``."""
    path = item[key]
    if not os.path.exists(path):
        yield "missing file", "a file", f"nothing at {path}", _near(path, dataset)
        return
    try:
        wrong = modality_fault(item.get("modality"), header_modality(path)) if key == "image" else None
        if wrong:
            yield wrong
        if read_voxels:
            yield from _voxel_faults(dataset, item, key, read, look=not wrong)
        elif (grid := read_grid(path)) is not None:
            read.grids[key] = grid
        if key == "image" and key in read.grids and (miscounted := slice_count_fault(item, read.grids[key])):
            yield "slice findings", *miscounted
        names = dataset.labels if key == "label" else {}
        if contradiction := segment_fault(path, names, dataset.label_map):
            yield "segment names", *contradiction
    except (UserError, OSError, MemoryError) as error:
        yield "unreadable file", *_reason(error, path)


def _voxel_faults(
    dataset: DataSet, item: dict[str, Any], key: str, read: _ReadFiles, *, look: bool
) -> Iterator[_Fault]:
    options = reading_options(item)
    if key == "image":
        volume = read_volume(item[key], **options)
        read.grids[key], read.fingerprint = volume.grid, scan_fingerprint(volume)
        yield from _image_faults(volume.array, holds_hounsfield(item)) if look else ()
    else:
        volume = read_label_file(item[key], image=item["image"], **options)
        read.grids[key] = volume.grid
        yield from _label_faults(volume.array, dataset)


def _grid_fault(dataset: DataSet, item: dict[str, Any], grids: Mapping[str, Grid]) -> _Fault | None:
    if len(grids) < 2 or grids["image"].same_as(grids["label"]):
        return None
    expected = f"the grid of {dataset.relative(item['image'])} ({grids['image']})"
    shapes = {grid.to_ras().shape for grid in grids.values()}
    remedy = grid_remedy(item["label"], item["image"], drawn_on_it=len(shapes) == 1)
    return "different grid", expected, str(grids["label"]), remedy


def _image_faults(array: np.ndarray, hounsfield: bool) -> Iterator[_Fault]:
    from monai_cl.transforms.hounsfield import flat_fault, hounsfield_fault, not_finite

    fault = hounsfield_fault(array) if hounsfield else not_finite(array) or flat_fault(array)
    if fault is not None:
        yield fault


def _label_faults(array: np.ndarray, dataset: DataSet) -> Iterator[_Fault]:
    from monai_cl.data.io.label_values import UNDECLARED, label_values, present_labels, voxels

    declared = ", ".join(map(str, sorted(dataset.labels)))
    try:
        values = label_values(array)
    except ValueError as error:
        yield (
            "label values",
            f"integers among the declared ids {declared}",
            str(error),
            "give the label map, not a probability or an interpolated one",
        )
        return
    if "labels" not in dataset.document or not dataset.labels:
        return  # the list's own problem is reported first
    if dataset.label_map is None and (
        unknown := [value for value in values if value not in dataset.labels and value != dataset.ignore]
    ):
        some = ", ".join(f"{value} ({voxels(values[value])})" for value in unknown[:8])
        found = some + (f" and {len(unknown) - 8} values more" if len(unknown) > 8 else "")
        yield (
            "label values",
            f"values among the declared ids {declared}",
            found,
            UNDECLARED,
        )
    if not present_labels(values, dataset.label_map, dataset.ignore):
        held = "" if len(values) < 2 else f" (the file's values {', '.join(map(str, values))} mean no organ)"
        yield (
            "empty label",
            "at least one labelled voxel",
            f"background only{held}",
            'name the right file; where the scan has none of these organs, take "label" out of the item, which is then '
            "neither learnt from nor evaluated",
        )


def _reason(error: Exception, file: str) -> tuple[str, str, str | None]:
    """Expected, found and remedy of what a reader raised for ``file``."""
    if not isinstance(error, UserError) or error.expected is None:
        text = (str(error) or type(error).__name__).removeprefix(f"{file}: ")
        return "a readable volume", text.replace("\n", " "), None
    found = (error.found or error.cause or "").replace("\n", " ")
    other = "" if error.where == file else f" ({Path(error.where).name})"
    return error.expected, found + other, error.remedy


def _near(file: str, dataset: DataSet) -> str:
    folder, name = os.path.split(file)
    names = _listing(folder)
    if names is None:
        return f"the folder {folder} does not exist either; is data_root right?"
    near = get_close_matches(name, names, n=1, cutoff=0.8)
    return f"did you mean {near[0]}?" if near else f"correct the path, or data_root; paths start from {dataset.root}"


@lru_cache(maxsize=4)
def _listing(folder: str) -> tuple[str, ...] | None:
    try:
        return tuple(os.listdir(folder))
    except OSError:
        return None


def _duplicates(data_list: DataList, tasks: list[Task], fingerprints: Mapping[int, str]) -> Iterator[Problem]:
    for key in ("image", "label"):
        owners: dict[str, list[tuple[DataSet, str]]] = {}
        seen: set[tuple[str, str]] = set()
        for dataset, where, item in tasks:
            again = scan_of(item) in seen  # the list's rules have reported it, for its label too
            seen.add(scan_of(item))
            if key in item and not (again and key == "label"):
                owners.setdefault(item[key], []).append((dataset, f"{where}.{key}"))
        groups = duplicate_files(owners)
        if key == "image":  # the same scan in other files
            groups += _same_scans(tasks, fingerprints, {file for group in groups for file in group[1:]})
        if key == "label":  # one label file under two items; an image under two items is reported by the list's rules
            alike = {file for group in groups for file in group}
            groups += [[file] for file in owners if file not in alike and len(owners[file]) > 1]
        for same in groups:
            places = [(file, *owner) for file in same for owner in owners[file]]
            first_file, first_dataset, first_where = places[0]
            for file, dataset, where in places[1:]:
                if key == "image" and file == first_file:
                    continue  # another acquisition of one series, or reported by the list's rules
                found = f"the content of {first_where} ({first_dataset.relative(first_file)}) again"
                if first_dataset is not dataset:
                    found += f", of data set {first_dataset.name}"
                remedy = remove_one(where, first_where) if key == "image" else "name the label's own file"
                yield dataset.problem("duplicate content", where, f"every {key} once", found, remedy, file=file)


def _same_scans(tasks: list[Task], fingerprints: Mapping[int, str], known: set[str]) -> list[list[str]]:
    """Groups of two or more images with the same voxels; those ``known`` to repeat another are left out."""
    files: dict[str, dict[str, None]] = {}
    for number, fingerprint in fingerprints.items():
        if (file := tasks[number][2]["image"]) not in known:
            files.setdefault(fingerprint, {})[file] = None
    return [list(same) for same in files.values() if len(same) > 1]
