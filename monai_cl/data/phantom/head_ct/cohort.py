"""Write the synthetic head CT: NIfTI with haemorrhage outlined, lists with and without labels."""

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

_FOLDER = "synthetic_head_ct"
_LISTS = {
    "head_ct": "head_ct.json",
    "pretraining": "head_ct_pretraining.json",
    "pretraining_labelled": "head_ct_pretraining_labelled.json",
}
_DESCRIPTIONS = {
    "head_ct": "Synthetic. Head CT with and without haemorrhage of five kinds, its slices and its outlines.",
    "pretraining": "Synthetic. Head CT without labels, of other patients than head_ct.json.",
    "pretraining_labelled": "Synthetic. The scans of head_ct_pretraining.json with their labels.",
}


def write_head_ct_cohort(
    output: str | Path,
    *,
    unlabelled: int = 600,
    patients: int = 400,
    validation: int = 100,
    test: int = 200,
    seed: int = 0,
    size: str = "half",
    workers: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Path]:
    """Write a synthetic cohort of head CT, half of it with haemorrhage of five kinds, in lists with and without labels.

    Example:
        python -m monai_cl phantom head_ct --output /data/head_ct --size quarter

    Args:
        output: folder to create; it appears complete or not at all.
        unlabelled: patients to pre-train on; 0: none.
        patients: labelled ones to learn from. Patient i is the same however many are asked for.
        validation: further patients, of that split.
        test: further patients, of that split.
        seed: of the whole cohort.
        size: full (40 slices of 224 x 192 pixels), half (20 of 112 x 96) or quarter (20 of 56 x 48).
        workers: processes; the files do not depend on it.
        overwrite: replace a cohort that is there (other files of the folder stay).
        progress: show a progress bar.

    Returns:
        "head_ct" -> ``head_ct.json`` with training, validation and test; "pretraining" ->
        ``head_ct_pretraining.json``; "pretraining_labelled" -> the same scans with their labels. Labels are
        ``target``, ``findings`` and ``slice_findings``.

    Raises:
        UserError: the folder is not empty (without ``overwrite``) or an option is out of range.
    """
    from monai_cl.data.phantom.head_ct.case import PARTS, SIZES

    counts = dict(zip(PARTS, (unlabelled, patients, validation, test)))
    least = {"unlabelled": 0, "patients": 1, "validation": 0, "test": 0, "seed": 0, "workers": 1}
    require_whole_numbers(least, dict(zip(least, (unlabelled, patients, validation, test, seed, workers))))
    if size not in SIZES:
        raise UserError(f"size must be one of {', '.join(SIZES)}, got {size!r}")
    output = Path(output).expanduser().absolute()
    # without unlabelled patients their lists would be empty
    lists = {name: file for name, file in _LISTS.items() if unlabelled or name == "head_ct"}
    with cohort_folder(output, lists=_LISTS, overwrite=overwrite) as building:
        jobs = [(building, part, index, seed, size) for part, count in counts.items() for index in range(count)]
        bar: dict[str, Any] = {"what": "synthetic head CT" if progress else None, "unit": "patient", "leave": True}
        items: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS}
        for (_, part, *_), item in zip(jobs, for_each(_write_patient, jobs, workers=workers, **bar)):
            items[part].append(item)
        pretraining = items.pop("pretraining")
        bare = [{key: item[key] for key in ("image", "patient", "meta")} for item in pretraining]
        splits = {
            "head_ct": {part: own for part, own in items.items() if own or part == "training"},
            "pretraining": {"training": bare},
            "pretraining_labelled": {"training": pretraining},
        }
        for name, file in lists.items():
            document = _data_list(name, splits[name], seed)
            (building / file).write_text(format_json(document), encoding="utf-8")
    return {name: output / file for name, file in lists.items()}


def _write_patient(root: Path, part: str, index: int, seed: int, size: str) -> dict[str, Any]:
    from monai_cl.data.phantom.head_ct.case import head_case

    case = head_case(seed, index, part=part, size=size)
    name, made_by = f"{part}_{index:04d}", f"monai_cl phantom head_ct seed {seed}"
    return {
        **write_synthetic_case(root / _FOLDER, name, case.image, case.blood, case.affine, made_by=made_by),
        "patient": name,
        "target": case.target,
        "findings": case.findings,
        "slice_findings": case.slice_findings,
        "meta": {"synthetic": True, "millilitres": round(sum(case.volumes.values()), 2)},
    }


def _data_list(name: str, splits: dict[str, list[dict[str, Any]]], seed: int) -> dict[str, Any]:
    from monai_cl.data.phantom.head_ct.case import FINDINGS

    labelled = name != "pretraining"
    return {
        "name": _FOLDER if name == "head_ct" else f"{_FOLDER}_{name}",
        "description": _DESCRIPTIONS[name],
        "source": f"synthetic, monai_cl phantom head_ct seed {seed}",
        "licence": "Apache-2.0",
        "modality": "CT",
        **(
            {
                "labels": {"0": "background", **{str(i): kind for i, kind in enumerate(FINDINGS, 1)}},
                "targets": {"0": "no haemorrhage", "1": "haemorrhage"},
                "finding_names": list(FINDINGS),
            }
            if labelled
            else {}
        ),
        "root": _FOLDER,
        **splits,
    }
