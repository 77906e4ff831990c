"""Write the synthetic cirrhosis cohort: NIfTI with liver masks, a list with grades and a list with histology."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_cl.data.datalist.folds import split_folds
from monai_cl.data.datalist.json_files import format_json
from monai_cl.data.phantom.cohort_folder import (
    cohort_folder,
    require_whole_numbers,
    write_synthetic_case,
)
from monai_cl.errors import UserError
from monai_cl.jobs import for_each

_FOLDERS = {"grades": "synthetic_cirrhosis_grades", "histology": "synthetic_cirrhosis_histology"}
_LISTS = {"grades": "cirrhosis_grades.json", "histology": "cirrhosis_histology.json"}
_LEAST = {"patients": 1, "biopsies": 1, "seed": 0, "size": 16, "workers": 1}
_DESCRIPTIONS = {
    "grades": "Synthetic. Many patients with a radiological grade 0-3, a noisy reading of the true stage (in meta).",
    "histology": "Synthetic. Few patients with histology: F3-F4 against F0-F2; the true stage is in meta.",
}


def write_cirrhosis_cohort(
    output: str | Path,
    *,
    patients: int = 300,
    biopsies: int = 100,
    seed: int = 0,
    size: int = 176,
    signs: str = "everywhere",
    workers: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Path]:
    """Write a synthetic cirrhosis cohort: abdominal CT slices with weak grades for many patients, histology for few.

    Example:
        python -m monai_cl cirrhosis --output /data/synthetic_cirrhosis --patients 300 --biopsies 100

    Args:
        output: folder to create; it appears complete or not at all.
        patients: patients with a radiological grade, for pre-training; patient i is the same in any number.
        biopsies: other patients with histology, for the probe; in 5 folds (fewer when there are fewer of a class).
        seed: of the whole cohort.
        size: pixels per side of the axial slices.
        signs: "everywhere": the stage shows in every slice of the liver; "local": in the caudate lobe, the spleen and
            the umbilical vein, so that what a slice says depends on its height.
        workers: processes; the files do not depend on it.
        overwrite: replace a cohort that is there (other files of the folder stay).
        progress: show a progress bar.

    Returns:
        "grades" -> ``cirrhosis_grades.json``, whose targets are the grades; "histology" ->
        ``cirrhosis_histology.json``, whose targets are 0 (F0-F2) and 1 (F3-F4).

    Raises:
        UserError: the folder is not empty (without ``overwrite``) or an option is out of range.
    """
    from monai_cl.data.phantom.cirrhosis.shape import SIGNS

    numbers = {"patients": patients, "biopsies": biopsies, "seed": seed, "size": size, "workers": workers}
    require_whole_numbers(_LEAST, numbers)
    if signs not in SIGNS:
        raise UserError(f"signs must be one of {', '.join(SIGNS)}, got {signs!r}")
    output = Path(output).expanduser().absolute()
    counts = {"grades": patients, "histology": biopsies}
    with cohort_folder(output, lists=_LISTS, overwrite=overwrite) as building:
        jobs = [
            (building, cohort, index, seed, size, signs) for cohort, count in counts.items() for index in range(count)
        ]
        bar: dict[str, Any] = {"what": "synthetic cirrhosis" if progress else None, "unit": "patient", "leave": True}
        items: dict[str, list[dict[str, Any]]] = {"grades": [], "histology": []}
        for (_, cohort, *_), item in zip(jobs, for_each(_write_patient, jobs, workers=workers, **bar)):
            items[cohort].append(item)
        for cohort, cohort_items in items.items():
            document = _data_list(cohort, cohort_items, seed, signs)
            (building / _LISTS[cohort]).write_text(format_json(document), encoding="utf-8")
    return {cohort: output / name for cohort, name in _LISTS.items()}


def _write_patient(root: Path, cohort: str, index: int, seed: int, size: int, signs: str) -> dict[str, Any]:
    from monai_cl.data.phantom.cirrhosis.case import cirrhosis_case

    case = cirrhosis_case(seed, index, cohort=cohort, size=size, signs=signs)
    name = f"{cohort}_{index:04d}"
    made_by = f"monai_cl cirrhosis seed {seed}"
    return {
        **write_synthetic_case(root / _FOLDERS[cohort], name, case.image, case.label, case.affine, made_by=made_by),
        "patient": name,
        "target": case.grade if case.histology is None else case.histology,
        "meta": {"synthetic": True, "stage": case.stage},
    }


def _data_list(cohort: str, items: list[dict[str, Any]], seed: int, signs: str) -> dict[str, Any]:
    from monai_cl.data.phantom.cirrhosis.shape import GRADES, HISTOLOGY, SIGNS
    from monai_cl.data.phantom.cirrhosis.structure import LABELS

    classes = {"grades": GRADES, "histology": HISTOLOGY}[cohort]
    if cohort == "histology":
        targets = [item["target"] for item in items]
        folds = min(5, *(targets.count(target) for target in HISTOLOGY))
        if folds >= 2:
            patients = [item["patient"] for item in items]
            assigned = split_folds(patients, folds=folds, seed=seed, strata=targets)
            items = [item | {"fold": fold} for item, fold in zip(items, assigned)]
    return {
        "name": _FOLDERS[cohort],
        "description": _DESCRIPTIONS[cohort],
        "source": f"synthetic, monai_cl cirrhosis seed {seed}" + ("" if signs == SIGNS[0] else f", {signs} signs"),
        "licence": "Apache-2.0",
        "modality": "CT",
        "labels": {str(label): organ for label, organ in LABELS.items()},
        "targets": {str(target): name for target, name in classes.items()},
        "root": _FOLDERS[cohort],
        "training": items,
    }
