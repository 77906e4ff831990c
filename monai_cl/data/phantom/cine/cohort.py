"""Write the synthetic cine cohort: NIfTI with ventricles and myocardium outlined, and one data list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_cl.data.datalist.json_files import format_json
from monai_cl.data.phantom.cohort_folder import (
    cohort_folder,
    require_whole_numbers,
    write_synthetic_case,
)
from monai_cl.errors import UserError
from monai_cl.jobs import for_each

_FOLDER = "synthetic_cine"
_LISTS = {"cine": "cine.json"}
_LEAST = {"patients": 1, "validation": 0, "test": 0, "seed": 0, "size": 16, "position_noise": 0, "workers": 1}


def write_cine_cohort(
    output: str | Path,
    *,
    patients: int = 40,
    validation: int = 5,
    test: int = 15,
    seed: int = 0,
    size: int = 96,
    position_noise: int = 1,
    workers: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Path]:
    """Write a synthetic cohort of short-axis cardiac MR, two scans of each patient: end-diastole and end-systole.

    Example:
        python -m monai_cl phantom cine --output /data/cine --patients 40

    Args:
        output: folder to create; it appears complete or not at all.
        patients: patients to learn from. Patient i is the same however many are asked for.
        validation: further patients, of that split.
        test: further patients, of that split.
        seed: of the whole cohort.
        size: pixels per side.
        position_noise: 0 for stacks that span the heart at end-diastole and nothing else, so that a slice's share of
            the stack is its place along the heart; 1 as they are recorded, with up to two slices beyond either end.
        workers: processes; the files do not depend on it.
        overwrite: replace a cohort that is there (other files of the folder stay).
        progress: show a progress bar.

    Returns:
        "cine" -> ``cine.json``; every scan has its labels, and ``phase`` and ``kind`` of the heart in ``meta``.

    Raises:
        UserError: the folder is not empty (without ``overwrite``) or an option is out of range.
    """
    from monai_cl.data.phantom.cine.case import LABELS

    counts = {"training": patients, "validation": validation, "test": test}
    require_whole_numbers(
        _LEAST,
        {
            **{"patients": patients, "validation": validation, "test": test, "seed": seed, "size": size},
            **{"position_noise": position_noise, "workers": workers},
        },
    )
    if position_noise > 1:
        raise UserError(f"position_noise must be 0 or 1, got {position_noise}")
    output = Path(output).expanduser().absolute()
    with cohort_folder(output, lists=_LISTS, overwrite=overwrite) as building:
        # each split has its own seeds, so that its patients do not depend on the number of the others
        jobs = [
            (building, split, number, seed, size, position_noise)
            for split, count in counts.items()
            for number in range(count)
        ]
        bar: dict[str, Any] = {"what": "synthetic cine" if progress else None, "unit": "patient", "leave": True}
        items: dict[str, list[dict[str, Any]]] = {split: [] for split in counts}
        for (_, split, *_), scans in zip(jobs, for_each(_write_patient, jobs, workers=workers, **bar)):
            items[split] += scans
        document = {
            "name": _FOLDER,
            "description": "Synthetic. Short-axis cardiac MR at end-diastole and end-systole, ventricles outlined.",
            "source": f"synthetic, monai_cl phantom cine seed {seed}",
            "licence": "Apache-2.0",
            "modality": "MR",
            "labels": {"0": "background", **{str(label): name for label, name in LABELS.items()}},
            "root": _FOLDER,
            **{split: own for split, own in items.items() if own or split == "training"},
        }
        (building / _LISTS["cine"]).write_text(format_json(document), encoding="utf-8")
    return {name: output / file for name, file in _LISTS.items()}


def patient_index(split: str, number: int) -> int:
    """Index by which `cine_patient` makes a patient of a cohort, so that a split does not depend on the others' sizes.

    Args:
        split: training, validation or test.
        number: of the patient in it.
    """
    return number + 100_000 * ("training", "validation", "test").index(split)


def _write_patient(
    root: Path, split: str, number: int, seed: int, size: int, position_noise: int
) -> list[dict[str, Any]]:
    from monai_cl.data.phantom.cine.case import cine_patient

    patient, scans = cine_patient(seed, patient_index(split, number), size=size, position_noise=position_noise)
    name, made_by = f"{split}_{number:03d}", f"monai_cl phantom cine seed {seed}"
    return [
        {
            **write_synthetic_case(
                root / _FOLDER, f"{name}_{phase}", scan.image, scan.label, scan.affine, made_by=made_by
            ),
            "patient": name,
            "meta": {"synthetic": True, "phase": phase, "kind": patient.kind},
        }
        for phase, scan in scans.items()
    ]
