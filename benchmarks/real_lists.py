"""Data lists for a folder of real CT: three differently labelled sets to pre-train on, three BTCV cases as the target.

The folder holds ``ct_organs`` (a chest CT of LIDC-IDRI and an abdominal one with TotalSegmentator's structures, three
BTCV cases) and ``soft_tissue_sarcoma`` (six patients of TCIA's Soft-tissue-Sarcoma). Nothing in it is copied.

    python benchmarks/real_lists.py /data/real_ct --output runs/real/lists
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from monai_cl.engines import shipped_list

# organ -> value in TotalSegmentator's label files; 1-9 are the same in both files at hand, and 52 and 63 are where the
# aorta and the inferior vena cava must be
STRUCTURES = {
    "spleen": 1,
    "right kidney": 2,
    "left kidney": 3,
    "gallbladder": 4,
    "liver": 5,
    "stomach": 6,
    "pancreas": 7,
    "right adrenal gland": 8,
    "left adrenal gland": 9,
    "aorta": 52,
    "inferior vena cava": 63,
}
LIDC_ORGANS = ("spleen", "right kidney", "left kidney", "liver", "pancreas")
TOTALSEG_ORGANS = (
    "gallbladder",
    "stomach",
    "aorta",
    "inferior vena cava",
    "right adrenal gland",
    "left adrenal gland",
)
SARCOMA_PATIENTS = ("008", "019", "024", "025", "035", "042")
BTCV_CASES = ("0035", "0036", "0037")


def pretraining_list() -> dict[str, Any]:
    """Three data sets with three label sets: nobody has annotated all organs anywhere."""
    sarcoma = {
        "name": "sarcoma",
        "source": "TCIA Soft-tissue-Sarcoma, six crops around the tumour",
        "licence": "CC BY 3.0",
        "modality": "CT",
        "root": "soft_tissue_sarcoma",
        "labels": {"0": "background", "1": "soft-tissue sarcoma"},
        "training": [
            {"image": f"STS_{p}_CT_image.nii.gz", "label": f"STS_{p}_CT_mask.nii.gz", "patient": f"STS_{p}"}
            for p in SARCOMA_PATIENTS
        ],
    }
    lidc = structures_set("lidc", "lidc0001", LIDC_ORGANS, "LIDC-IDRI-0001, structures predicted by TotalSegmentator")
    totalseg = structures_set("totalseg", "totalseg", TOTALSEG_ORGANS, "test case of TotalSegmentator, its predictions")
    return {"name": "real_pretraining", "datasets": [lidc, totalseg, sarcoma]}


def structures_set(name: str, stem: str, organs: tuple[str, ...], source: str) -> dict[str, Any]:
    """A data set of one case, of which only ``organs`` count as annotated; their ids are 1 … n in that order."""
    ids = {organ: number for number, organ in enumerate(organs, start=1)}
    return {
        "name": name,
        "source": source,
        "modality": "CT",
        "root": "ct_organs",
        "labels": {"0": "background"} | {str(number): organ for organ, number in ids.items()},
        "label_map": {str(STRUCTURES[organ]): number for organ, number in ids.items()},
        "training": [{"image": f"{stem}_ct.nii.gz", "label": f"{stem}_structures.nii.gz", "patient": stem}],
    }


def target_list(training: str = "0035") -> dict[str, Any]:
    """BTCV's 13 organs under BTCV's own ids; fold 0 trains on the case ``training`` and validates on the other two."""
    shipped = json.loads(Path(shipped_list("btcv")).read_text(encoding="utf-8"))
    return {
        "name": "real_btcv",
        "source": "three BTCV cases, rebuilt from 8-bit pictures with a window of -175 to 250 HU",
        "licence": "CC BY 4.0 as stated by secondary sources",
        "modality": "CT",
        "root": "ct_organs",
        "labels": shipped["labels"],
        "training": [
            {
                "image": f"btcv_img{case}.nii.gz",
                "label": f"btcv_label{case}.nii.gz",
                "patient": f"img{case}",
                "fold": int(case == training),
            }
            for case in BTCV_CASES
        ],
    }


def write_lists(folder: str | Path) -> dict[str, Path]:
    """Write ``pretraining.json``, ``target.json``, and ``target_0036.json`` and ``target_0037.json``, of other cases.

    Their paths start from the folder of real CT (``data_root``).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    contents = {"pretraining": pretraining_list(), "target": target_list()}
    for name, content in {**contents, **{f"target_{case}": target_list(case) for case in BTCV_CASES[1:]}}.items():
        paths[name] = folder / f"{name}.json"
        paths[name].write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return paths


def main() -> None:
    """Command line: write the lists and validate them against the folder."""
    from monai_cl.data import validate_data_list

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of real CT")
    parser.add_argument("--output", type=Path, required=True, help="where the lists go")
    options = parser.parse_args()
    for path in write_lists(options.output).values():
        problems = validate_data_list(path, data_root=options.data)
        print(path, "is sound" if not problems else "\n" + "\n".join(map(str, problems)))


if __name__ == "__main__":
    main()
