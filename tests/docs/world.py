"""A folder that looks like a user's: scans and lists where the documentation says they are, bundles of small size."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_cl.data import (
    read_volume,
    write_cine_cohort,
    write_cirrhosis_cohort,
    write_cohort,
    write_head_ct_cohort,
)
from tests.data.datalist.test_idc_series import HEADER
from tests.data.volume_files import write_dicom
from tests.docs.commands import ROOT
from tests.docs.shell import Shell

MIXCL, SPLEEN, ORGANS = "mixcl_ct_pretraining", "spleen_unetr_segmentation", "btcv_unetr_segmentation"
WSP, CIRRHOSIS = "wsp_ct_pretraining", "cirrhosis_classification"
PACED, FEW = "meta_label_pretraining", "semi_supervised_segmentation"
CLUSTERS, HEADS = "clustering_pretraining", "head_ct_classification"
_UNETR: dict[str, Any] = {
    "spacing": [8.0, 8.0, 8.0],
    "patch_size": [32, 32, 32],
    "feature_size": 4,
    "hidden_size": 24,
    "mlp_dim": 48,
    "num_heads": 2,
    "iterations": 2,
    "epoch_length": 2,
    "overlay_cases": 1,
}
_SLICES: dict[str, Any] = {
    "image_size": 160,
    "width": 0.125,
    "batch_size": 4,
    "iterations": 2,
    "epoch_length": 1,
    "fold_count": 2,
}
_CINE: dict[str, Any] = {
    "features": [4, 4, 8, 8, 16, 4],
    "image_size": 32,
    "scans_per_batch": 2,
    "overlay_cases": 1,
    "iterations": 2,
    "epoch_length": 1,
}
_CLUSTERS: dict[str, Any] = {
    "batch_size": 4,
    "iterations": 2,
    "epoch_length": 1,
    "backbone": "resnet18",
    "image_size": 32,
    "crops": {"count": [2, 1], "size": [32, 16]},
    "rescale": {"size": [24, 36], "scale": [0.5, 1.2]},
    "prototypes": 2,
    "queue_length": 0,
}
_HEADS: dict[str, Any] = {
    "find_head": False,
    "batch_size": 2,
    "iterations": 2,
    "epoch_length": 1,
}
_LISTS = {
    MIXCL: "pretraining.json",
    SPLEEN: "spleen.json",
    ORGANS: "target.json",
    WSP: "weak_labels.json",
    CIRRHOSIS: "histology.json",
}


class World:
    """The content of ``/data`` and of the working folder of the commands.

    Args:
        folder: to build it in.
        shell: that runs the trainings whose results the commands refer to.
    """

    def __init__(self, folder: Path, shell: Shell) -> None:
        self.folder, self.shell = folder, shell
        self.data, self._home = folder / "data", folder / "home"
        self._scans()
        self._home.mkdir()
        shutil.copytree(ROOT / "data_lists", self._home / "data_lists")
        shutil.copytree(ROOT / "docs", self._home / "docs")
        organs = list(json.loads((self.data / "target.json").read_text(encoding="utf-8"))["labels"].values())[1:]
        for bundle in (*_LISTS, PACED, FEW, CLUSTERS, HEADS):
            self._bundle(bundle, organs)
        self._trained()
        self._tables()

    def home(self) -> Path:
        """A working folder of its own for a page's commands."""
        number = len(list(self.folder.glob("page*")))
        return Path(shutil.copytree(self._home, self.folder / f"page{number}"))

    def placed(self, command: str) -> str:
        """The command with /data and /scratch within this world."""
        return re.sub(r"(?<![\w.}])/(data|scratch)\b", lambda found: str(self.folder / found[1]), command)

    def _scans(self) -> None:
        write_cohort(self.data, cases=5, spacing=8, progress=False)
        write_cirrhosis_cohort(self.folder / "cirrhosis", patients=10, biopsies=12, size=160, progress=False)
        write_cirrhosis_cohort(self.data / "others", patients=10, biopsies=12, seed=1, size=160, progress=False)
        write_cine_cohort(self.data / "cine", patients=4, validation=2, test=1, size=32, progress=False)
        for path in (self.folder / "cirrhosis").iterdir():
            shutil.move(path, self.data / path.name)
        for old, new in (("cirrhosis_grades", "weak_labels"), ("cirrhosis_histology", "histology")):
            shutil.copy(self.data / f"{old}.json", self.data / f"{new}.json")
        for name in ("Task09_Spleen", "BTCV"):
            (self.data / name).mkdir()
            for part in ("synthetic_spleen", "synthetic_target"):
                shutil.copytree(self.data / part, self.data / name / part)
        self._pictures()
        heads = {"unlabelled": 4, "patients": 6, "validation": 5, "test": 5}
        write_head_ct_cohort(self.data / "head_ct", **heads, size="quarter", progress=False)
        one_organ = sorted((self.data / "synthetic_spleen" / "images").iterdir())
        for kind, name in (("ct", "images"), ("seg", "labels")):
            for folder in ("mine", "my_liver", "liver"):
                target = self.data / folder / kind
                target.mkdir(parents=True)
                for path in sorted((self.data / "synthetic_spleen" / name).iterdir()):
                    shutil.copy(path, target / path.name)
            (self.data / "mr").mkdir(exist_ok=True)
            shutil.copytree(self.data / "mine" / kind, self.data / "mr" / {"ct": "mr"}.get(kind, kind))
        (self.data / "new").mkdir()
        for name in ("scan", "a", "b", "mr"):
            shutil.copy(one_organ[0], self.data / "new" / f"{name}.nii.gz")
        array = (np.asarray(read_volume(one_organ[1]).array) // 2 * 2).astype(np.int16)
        series = write_dicom(self.folder / "series", array, 8.0 * np.arange(array.shape[2]), spacing=(8.0, 8.0))
        shutil.move(series, self.data / "new" / "scan")

    def _pictures(self) -> None:
        """Images of two modalities, in a list to train on and one of other patients."""
        rng = np.random.default_rng(0)
        for name, first in (("images", 0), ("unseen_images", 64)):
            items = []
            for number in range(first, first + 64):
                file = f"{number}.png"
                Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).save(self.data / file)
                modality = "US" if number % 2 else "XR"
                items.append({"image": file, "patient": f"p{number}", "modality": modality, "target": number // 2 % 2})
            held_out = {"training": items[:48], "validation": items[48:56], "test": items[56:]}
            parts = held_out if name == "images" else {"training": items}
            content = {"name": name, "modality": "XR", **parts}
            (self.data / f"{name}.json").write_text(json.dumps(content))
        shutil.copy(self.data / "0.png", self.data / "image.png")

    def _bundle(self, bundle: str, organs: list[str]) -> None:
        """A copy whose defaults are small, so that a command runs as it is printed."""
        shutil.copytree(
            ROOT / "bundles" / bundle,
            self._home / "bundles" / bundle,
            ignore=shutil.ignore_patterns("models", "eval", "store"),
        )
        small = _SLICES if bundle in (WSP, CIRRHOSIS) else _UNETR
        small = _CINE if bundle in (PACED, FEW) else small
        small = {CLUSTERS: _CLUSTERS, HEADS: _HEADS}.get(bundle, small)
        small = {**small, "num_workers": 0, "prepare_workers": 1}
        if bundle in _LISTS:  # the commands of the others write the data they need
            small["data_list"] = str(self.data / _LISTS[bundle])
        small |= {"organs": organs} if bundle == ORGANS else {}
        # what an encoder says of itself stays
        asked = {key: small.pop(key) for key in ("image_size", "width")} if bundle == CIRRHOSIS else {}
        for file in (self._home / "bundles" / bundle / "configs").glob("*.yaml"):
            text = file.read_text(encoding="utf-8").replace("[40, 224, 192]", "[8, 32, 32]")  # where a model says none
            for key, value in asked.items():
                text = re.sub(rf'^({key}: .*"{key}", )[\d.]+\)', rf"\g<1>{value})", text, flags=re.M)
            for key, value in small.items():
                if key != "organs" or file.name == "inference.yaml":
                    text = re.sub(rf"^{key}: .*$", lambda _, k=key, v=value: f"{k}: {json.dumps(v)}", text, flags=re.M)
            file.write_text(text, encoding="utf-8")

    def _trained(self) -> None:
        """What earlier runs of a user have left: encoders, and a model in every bundle's ``models``."""
        run = "python -m monai.bundle run --config_file bundles"
        mixcl = f"{run}/{MIXCL}/configs/train.yaml --preset hybrid"
        script = f"""
            {mixcl} --dataset_dir {self.data} --output_dir ../made/mixcl || exit 1
            python -m monai_cl export_encoder ../made/mixcl/model.pt --output encoder.pt || exit 1
            {run}/{SPLEEN}/configs/train.yaml --dataset_dir {self.data} --output_dir ../made/spleen || exit 1
            {run}/{ORGANS}/configs/train.yaml --dataset_dir {self.data} --output_dir ../made/organs || exit 1
            {run}/{WSP}/configs/train.yaml --dataset_dir {self.data} --output_dir ../made/wsp || exit 1
            {run}/{CIRRHOSIS}/configs/train.yaml --dataset_dir {self.data} --output_dir ../made/probe || exit 1
            python -m monai_cl prepare {self.data}/spleen.json --store {self.data}/store || exit 1
        """
        self.shell.run(script, cwd=self._home).check()
        made = self.folder / "made"
        for bundle, name in (
            (MIXCL, "mixcl"),
            (SPLEEN, "spleen"),
            (ORGANS, "organs"),
            (WSP, "wsp"),
            (CIRRHOSIS, "probe"),
        ):
            # the model alone: a checkpoint would be gone on from
            target = self._home / "bundles" / bundle / "models"
            target.mkdir()
            shutil.copy(made / name / "model.pt", target)
        for name in ("wsp", "spleen", "pretraining"):
            source = made / ("mixcl" if name == "pretraining" else name)
            (self._home / "runs" / name).mkdir(parents=True)
            for part in ("model.pt", "results.json"):
                shutil.copy(source / part, self._home / "runs" / name)
        shutil.copy(made / "wsp" / "model.pt", self._home / "model.pt")
        for bundle in _LISTS:
            shutil.rmtree(self._home / "bundles" / bundle / "store", ignore_errors=True)

    def _tables(self) -> None:
        """Lists and tables that commands name in the working folder."""
        home = self._home
        for name, source in (
            ("weak.json", "weak_labels.json"),
            ("unseen.json", "histology.json"),
            ("histology.json", "histology.json"),
        ):
            shutil.copy(self.data / source, home / name)
        # patients that neither encoder nor probe has seen
        other = json.loads((self.data / "others" / "cirrhosis_grades.json").read_text(encoding="utf-8"))
        other |= {"name": "other", "root": f"others/{other['root']}", "targets": {"0": "no", "1": "yes"}}
        for item in other["training"]:
            item["target"] = min(item["target"], 1)
            item["patient"] = f"other {item['patient']}"
        (home / "other.json").write_text(json.dumps(other))
        scans = [{"image": f"{i}.nii.gz", "patient": f"P{i}"} for i in range(15)]
        (home / "my_ct.json").write_text(json.dumps({"name": "scans", "training": scans}))
        graded = json.loads((self.data / "histology.json").read_text(encoding="utf-8"))["training"]
        rows = [f"{item['patient']},{item['meta']['stage']},{number % 3}" for number, item in enumerate(graded)]
        (home / "grades.csv").write_text("\n".join(["id,fibrosis,steatosis", *rows]) + "\n")
        (home / "stages.csv").write_text("id,stage\n" + "".join(f"P{i},{i % 2}\n" for i in range(20)))
        patients = [f"TCGA-DD-{i:04d}" for i in range(20)]
        columns = [
            "bcr_patient_uuid",
            "bcr_patient_barcode",
            "ishak_fibrosis_score",
            "liver_fibrosis_ishak_score_category",
        ]
        scores = ["0", "1,2", "3,4", "5", "6"]
        rows = [[f"u{i}", name, scores[i % 5], scores[i % 5]] for i, name in enumerate(patients)]
        (home / "clinical_patient_lihc.txt").write_text(
            "\n".join("\t".join(row) for row in [columns] * 3 + rows) + "\n"
        )
        series = [f"tcga_lihc,{name},1.2.{i},1.3.{i},2001-01-01,CT,portal venous,80" for i, name in enumerate(patients)]
        (home / "idc_series.csv").write_text("\n".join([HEADER, *series]) + "\n")
