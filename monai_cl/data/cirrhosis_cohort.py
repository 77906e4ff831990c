"""Write the synthetic cirrhosis cohort: NIfTI with liver masks, a list with grades and a list with histology."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import nibabel as nib

from monai_cl.data.cirrhosis_phantom import LABELS, cirrhosis_case
from monai_cl.data.cirrhosis_shape import GRADES, HISTOLOGY
from monai_cl.data.folds import split_folds
from monai_cl.data.list_json import format_json
from monai_cl.errors import UserError

_FOLDERS = {"grades": "synthetic_cirrhosis_grades", "histology": "synthetic_cirrhosis_histology"}
_LISTS = {"grades": "cirrhosis_grades.json", "histology": "cirrhosis_histology.json"}
_TARGETS = {"grades": GRADES, "histology": HISTOLOGY}
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
    workers: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Path]:
    """Write ``patients`` with a grade and ``biopsies`` others with histology.

    Args:
        output: folder to make; it appears complete or not at all.
        patients: of the weak-label cohort. Patient i is the same however many are asked for.
        biopsies: of the probe cohort, of other patients; in 5 folds (fewer when there are fewer of a class).
        seed: of the whole cohort.
        size: pixels a side of the axial slices.
        workers: processes; the files do not depend on it.
        overwrite: replace a cohort that is there (other files of the folder stay).
        progress: show a progress bar.

    Returns:
        "grades" -> ``cirrhosis_grades.json``, whose targets are the grades; "histology" ->
        ``cirrhosis_histology.json``, whose targets are 0 (F0-F2) and 1 (F3-F4).

    Raises:
        UserError: the folder is not empty (without ``overwrite``) or an option is out of range.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    output = Path(output).expanduser().absolute()
    counts = {"grades": patients, "histology": biopsies}
    _check(output, patients=patients, biopsies=biopsies, seed=seed, size=size, workers=workers, overwrite=overwrite)
    output.parent.mkdir(parents=True, exist_ok=True)
    # built beside the final place, so that the last step is a rename on one file system
    building = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        jobs = [(cohort, index) for cohort, count in counts.items() for index in range(count)]
        done = Parallel(n_jobs=workers, return_as="generator")(
            delayed(_write_patient)(building, cohort, index, seed, size) for cohort, index in jobs
        )
        bar = tqdm(done, total=len(jobs), desc="synthetic cirrhosis", unit="patient", disable=not progress)
        items: dict[str, list[dict[str, Any]]] = {"grades": [], "histology": []}
        for (cohort, _), item in zip(jobs, bar, strict=True):
            items[cohort].append(item)
        for cohort, found in items.items():
            document = _data_list(cohort, found, seed)
            (building / _LISTS[cohort]).write_text(format_json(document), encoding="utf-8")
        building.chmod(0o755)  # mkdtemp makes it private
        _publish(building, output)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return {cohort: output / name for cohort, name in _LISTS.items()}


def _write_patient(root: Path, cohort: str, index: int, seed: int, size: int) -> dict[str, Any]:
    case = cirrhosis_case(seed, index, cohort=cohort, size=size)
    name = f"{cohort}_{index:04d}"
    for folder, array in (("images", case.image), ("labels", case.label)):
        path = root / _FOLDERS[cohort] / folder / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(array, case.affine)
        image.header.set_xyzt_units("mm")
        image.set_sform(case.affine, code="scanner")
        image.set_qform(case.affine, code="scanner")
        image.header["descrip"] = f"synthetic, monai_cl cirrhosis seed {seed}".encode()
        nib.save(image, path)
    return {
        "image": f"images/{name}.nii.gz",
        "label": f"labels/{name}.nii.gz",
        "patient": name,
        "target": case.grade if case.histology is None else case.histology,
        "meta": {"synthetic": True, "stage": case.stage},
    }


def _data_list(cohort: str, items: list[dict[str, Any]], seed: int) -> dict[str, Any]:
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
        "source": f"synthetic, monai_cl cirrhosis seed {seed}",
        "licence": "Apache-2.0",
        "modality": "CT",
        "labels": {str(label): organ for label, organ in LABELS.items()},
        "targets": {str(target): name for target, name in _TARGETS[cohort].items()},
        "root": _FOLDERS[cohort],
        "training": items,
    }


def _check(output: Path, *, overwrite: bool, **numbers: int) -> None:
    least = {"patients": 1, "biopsies": 1, "seed": 0, "size": 16, "workers": 1}
    for name, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise UserError(f"{name} must be a whole number, got {value!r}")
        if value < least[name]:
            raise UserError(f"{name} must be >= {least[name]}, got {value}")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output}: expected a folder to write the cohort to, found a file; give another name")
    if output.is_dir() and any(output.iterdir()) and not overwrite:
        raise UserError(
            f"{output}: expected a new or empty folder, found files in it; give another folder, or overwrite to "
            "replace the cohort there"
        )


def _publish(building: Path, output: Path) -> None:
    """Move the finished cohort into place; in a folder that is there, replace only what the cohort consists of."""
    if not output.exists():
        building.rename(output)
        return
    for name in _LISTS.values():
        (output / name).unlink(missing_ok=True)
    # folders first: a list never names a file that is missing
    for new in sorted(building.iterdir(), key=Path.is_file):
        old = output / new.name
        if old.is_dir():
            shutil.rmtree(old)
        new.rename(old)
