"""Write the synthetic cohort: NIfTI files in one folder per data set, and the JSON data lists beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monai_cl.data.phantom.abdomen.case import phantom_case
from monai_cl.data.phantom.abdomen.kinds import KINDS, PRETRAINING
from monai_cl.data.phantom.cohort_folder import (
    cohort_folder,
    require_whole_numbers,
    write_synthetic_case,
)
from monai_cl.errors import UserError
from monai_cl.jobs import for_each

_LISTS = {name: f"{name}.json" for name in ("pretraining", "target", "kidneys", "spleen")}


def write_cohort(
    output: str | Path,
    *,
    cases: int = 6,
    seed: int = 0,
    spacing: float = 3.0,
    workers: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Path]:
    """Write ``cases`` synthetic cases of every data set, and four data lists.

    Args:
        output: folder to create. It appears complete or not at all; in an existing folder, the lists are written last,
            so that a list never names a missing file.
        cases: cases per data set. Case i is the same however many are asked for.
        seed: of the whole cohort.
        spacing: geometric mean voxel spacing in mm.
        workers: processes; the files do not depend on it.
        overwrite: replace a cohort that is there (other files of the folder stay).
        progress: show a progress bar.

    Returns:
        "pretraining" -> ``pretraining.json`` (liver, kidney, pancreas and abdomen data sets, each annotated for its
        own organs only), "target" -> ``target.json`` (every organ), "kidneys" -> ``kidneys.json`` (the same cases,
        both kidneys as one organ), "spleen" -> ``spleen.json``.

    Raises:
        UserError: the folder is not empty (without ``overwrite``) or an option is out of range.
    """
    require_whole_numbers({"cases": 1, "seed": 0, "workers": 1}, {"cases": cases, "seed": seed, "workers": workers})
    if not isinstance(spacing, (int, float)) or isinstance(spacing, bool):
        raise UserError(f"spacing must be a number of mm, got {spacing!r}")
    if not 0.5 <= spacing <= 12:
        raise UserError(f"spacing must be between 0.5 and 12 mm, got {spacing}")
    output = Path(output).expanduser().absolute()
    with cohort_folder(output, lists=_LISTS, overwrite=overwrite) as building:
        jobs = [(building, kind, index, seed, spacing) for kind in KINDS for index in range(cases)]
        bar: dict[str, Any] = {"what": "synthetic cohort" if progress else None, "unit": "case", "leave": True}
        for _ in for_each(_write_case, jobs, workers=workers, **bar):
            pass
        for name, content in _data_lists(cases, seed).items():
            (building / _LISTS[name]).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return {name: output / file for name, file in _LISTS.items()}


def _write_case(root: Path, kind: str, index: int, seed: int, spacing: float) -> None:
    case = phantom_case(seed, index, kind=kind, spacing=spacing, orientation=None)
    folder, made_by = root / KINDS[kind].folder, f"monai_cl phantom seed {seed}"
    write_synthetic_case(folder, _case_id(kind, index), case.image, case.label, case.affine, made_by=made_by)


def _data_lists(cases: int, seed: int) -> dict[str, dict]:
    """The four lists as JSON-ready dictionaries; paths are relative to each data set's root."""
    about = {"source": f"synthetic, monai_cl phantom seed {seed}", "licence": "Apache-2.0"}
    folds = min(5, cases)

    def data_set(kind: str) -> dict:
        names = [_case_id(kind, index) for index in range(cases)]
        return {
            "name": KINDS[kind].folder,
            **about,
            "modality": "CT",
            "labels": {"0": "background", **{str(k): name for k, name in KINDS[kind].labels.items()}},
            "root": KINDS[kind].folder,
            "training": [
                {
                    "image": f"images/{name}.nii.gz",
                    "label": f"labels/{name}.nii.gz",
                    "fold": index % folds,
                    "patient": name,
                }
                for index, name in enumerate(names)
            ],
        }

    pretraining = {"name": "synthetic_pretraining", **about, "datasets": [data_set(kind) for kind in PRETRAINING]}
    target = data_set("target")
    kidneys = {
        **target,
        "name": "synthetic_kidneys",
        "labels": {"0": "background", "1": "kidney"},
        "label_map": {value: int("kidney" in organ) for value, organ in target["labels"].items()},
    }
    return {"pretraining": pretraining, "target": target, "kidneys": kidneys, "spleen": data_set("spleen")}


def _case_id(kind: str, index: int) -> str:
    return f"{kind}_{index:04d}"
