"""The trainings that are soaked: every bundle, tiny, on synthetic CT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_cl.data import write_cirrhosis_cohort, write_cohort
from tests.bundles.conftest import ORGANS, PRETRAINING, SPLEEN, TINY, config_files, words

SLICES, CLASSIFICATION = "wsp_ct_pretraining", "cirrhosis_classification"


@dataclass(frozen=True)
class Case:
    """A training: what follows ``python -m monai.bundle run``, but for ``output_dir`` and ``num_workers``."""

    name: str
    bundle: str
    options: dict[str, Any]
    run_id: str = "run"
    more: Sequence[str] = field(default=())

    def arguments(self, output_dir: Path, *, num_workers: int = 0) -> list[str]:
        """The command line's words."""
        files = "['" + "','".join(config_files(self.bundle, "train")) + "']"
        chosen = {**self.options, "output_dir": str(output_dir), "num_workers": num_workers}
        return ["run", "--run_id", self.run_id, "--config_file", files, *words(chosen)]


def make_cases(folder: Path, *, iterations: int = 12, epoch_length: int = 2) -> list[Case]:
    """Write the cohorts into ``folder``, unless they are there, and name the trainings on them."""
    if not (folder / "written").exists():
        write_cohort(folder / "ct", cases=5, spacing=8, progress=False)
        write_cirrhosis_cohort(folder / "cirrhosis", patients=10, biopsies=12, size=160, progress=False)
        (folder / "written").touch()
    length = {"iterations": iterations, "epoch_length": epoch_length, "prepare_workers": 1}

    def volumes(data_list: str, **more: Any) -> dict[str, Any]:
        place = {"dataset_dir": str(folder / "ct"), "store_dir": str(folder / "volumes")}
        return {**place, "data_list": str(folder / "ct" / data_list), **TINY, **length, **more}

    def slices(data_list: str, **more: Any) -> dict[str, Any]:
        place = {"dataset_dir": str(folder / "cirrhosis"), "store_dir": str(folder / "slices")}
        network = {"image_size": 160, "width": 0.125, "batch_size": 4, "learning_rate": 0.001}
        return {**place, "data_list": str(folder / "cirrhosis" / data_list), **network, **length, **more}

    return [
        Case("mixcl", PRETRAINING, volumes("pretraining.json", preset="hybrid")),
        Case("spleen", SPLEEN, volumes("spleen.json", fold=1, learning_rate=0.003)),
        Case("organs", ORGANS, volumes("target.json", fold=0, learning_rate=0.003)),
        Case("wsp", SLICES, slices("cirrhosis_grades.json", method="wsp")),
        Case("byol", SLICES, slices("cirrhosis_grades.json", method="byol")),
        Case("classifier", CLASSIFICATION, slices("cirrhosis_histology.json", fold_count=2), run_id="finetune"),
    ]
