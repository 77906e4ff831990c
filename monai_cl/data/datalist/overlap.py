"""Scans of one data list that another list holds too, or weights were trained on: by content, and by patient."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.items import reading_options
from monai_cl.data.datalist.loading import load_data_list
from monai_cl.data.datalist.model import DataSet
from monai_cl.data.datalist.problems import Problem
from monai_cl.data.io.fingerprint import scan_fingerprint
from monai_cl.data.io.reading import read_grid, read_volume
from monai_cl.data.records.training_scans import ScanIdentity, find_matches, patient_keys
from monai_cl.errors import UserError
from monai_cl.jobs import for_each

Task = tuple[DataSet, str, dict[str, Any]]  # a data set, the place of an item in the list, the item


def scan_identity(
    dataset: DataSet, item: Mapping[str, Any], fingerprint: str | None, *, used: str = "", name: str = ""
) -> ScanIdentity:
    """By what an item of a data set is recognised in another list.

    Args:
        dataset: that the item is of; it says whether the list states the item's patient.
        item: of the data set.
        fingerprint: of its image, where that is known.
        used: what a training took of it, see `ScanIdentity`.
        name: how a message names it; default: its id.
    """
    keys = patient_keys(item["patient"], dataset=dataset.name, stated=item["patient"] in dataset.stated_patients)
    return ScanIdentity(fingerprint, keys, used, name or str(item["id"]))


def overlap_problems(
    tasks: Sequence[Task],
    fingerprints: Mapping[int, str],
    *,
    lists: Sequence[str | Path] = (),
    lists_root: str | Path | None = None,
    weights: Mapping[str, Sequence[ScanIdentity]] | None = None,
    allow_outside: bool = False,
    workers: int = 1,
    progress: bool = False,
) -> Iterator[Problem]:
    """The items that others hold too: the same scan, or another scan of the same patient.

    Args:
        tasks: the items.
        fingerprints: number of an item -> fingerprint of its image, of those that could be read.
        lists: data lists. Of their scans those are read that have the shape of one of the items, and DICOM series.
        lists_root: as ``data_root`` of :func:`load_data_list`, for the lists.
        weights: file of weights -> the scans it was trained on.
        allow_outside: as for :func:`load_data_list`.
        workers: processes that read.
        progress: show a progress bar.
    """
    own = [
        scan_identity(dataset, item, fingerprints.get(number), name=str(number))
        for number, (dataset, _, item) in enumerate(tasks)
    ]
    shapes = {fingerprint.partition(":")[0] for fingerprint in fingerprints.values()}
    others = {name: (list(scans), "a scan it was trained on") for name, scans in (weights or {}).items()}
    for path in lists:
        scans, problems = _scans_of(
            path, lists_root, shapes, allow_outside=allow_outside, workers=workers, progress=progress
        )
        yield from problems
        others[str(path)] = scans, "one of its scans"
    for name, (seen, unnamed) in others.items():
        for match in find_matches(own, seen):
            dataset, place, item = tasks[int(match.scan.name)]
            which = match.seen.name or unnamed
            if match.same_scan:
                kind, expected = "same scan", f"a scan that {name} does not hold"
                found = f"the voxels of {which} again"
            else:
                kind, expected = "same patient", f"a patient of whom {name} holds no scan"
                found = f'patient "{item["patient"]}", of whom it holds {which}'
            remedy = "take it out of one of the two"
            yield dataset.problem(kind, f"{place}.image", expected, found, remedy, file=item["image"])


def _scans_of(
    path: str | Path,
    root: str | Path | None,
    shapes: Collection[str],
    *,
    allow_outside: bool,
    workers: int,
    progress: bool,
) -> tuple[list[ScanIdentity], list[Problem]]:
    """The scans of a list with their names in it, and those that cannot be compared by content."""
    data_list = load_data_list(path, data_root=root, allow_outside=allow_outside)
    tasks = [(dataset, place, item) for dataset in data_list.datasets for _, place, item in dataset.entries()]
    jobs = [(item, frozenset(shapes)) for _, _, item in tasks]
    found = for_each(_fingerprint_among, jobs, workers=workers, what=f"read {Path(path).name}" if progress else None)
    scans, problems = [], []
    for (dataset, place, item), (fingerprint, fault) in zip(tasks, found, strict=True):
        name = f"{place} ({dataset.relative(item['image'])})"
        scans.append(scan_identity(dataset, item, fingerprint, name=name))
        if fault is not None:
            expected = "a scan to compare this list's with"
            remedy = "correct the file, or pass --against_root, the folder that the other list's paths start from"
            where = f"{place}.image"
            problems.append(dataset.problem("not compared", where, expected, fault, remedy, file=item["image"]))
    return scans, problems


def _fingerprint_among(item: Mapping[str, Any], shapes: Collection[str]) -> tuple[str | None, str | None]:
    """Fingerprint of an item's image, None where its header says another shape; and what went wrong."""
    try:
        grid = read_grid(item["image"])
        if grid is not None and "x".join(map(str, grid.to_ras().shape)) not in shapes:
            return None, None
        return scan_fingerprint(read_volume(item["image"], **reading_options(item))), None
    except (UserError, OSError, MemoryError) as error:
        return None, str(error).replace("\n", " ")
