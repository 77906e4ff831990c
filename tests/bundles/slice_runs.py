"""A tiny synthetic cirrhosis cohort, and one run of every step of the slice bundles on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from monai_cl.data import write_cirrhosis_cohort
from tests.bundles.workflow import run_workflow

PRETRAINING, CLASSIFICATION = "wsp_ct_pretraining", "cirrhosis_classification"
SLICE_NETWORK = {"image_size": 160, "width": 0.125}
LISTS = {PRETRAINING: "cirrhosis_grades.json", CLASSIFICATION: "cirrhosis_histology.json"}

Run = Callable[..., ConfigWorkflow]


@pytest.fixture(scope="session")
def slice_cohort(tmp_path_factory) -> Path:
    """Ten patients with a grade, twelve with histology."""
    folder = tmp_path_factory.mktemp("synthetic") / "cohort"
    write_cirrhosis_cohort(folder, patients=10, biopsies=12, size=160, progress=False)
    return folder


@pytest.fixture(scope="session")
def slice_options(slice_cohort) -> Callable[[str], dict[str, object]]:
    """What makes a training of a bundle tiny."""

    def of(bundle: str) -> dict[str, object]:
        small = {"batch_size": 4, "iterations": 2, "epoch_length": 1, "learning_rate": 1e-3}
        data = {"dataset_dir": str(slice_cohort), "data_list": str(slice_cohort / LISTS[bundle])}
        more = {"fold_count": 2} if bundle == CLASSIFICATION else {}
        work = {"store_dir": str(slice_cohort.parent / "store"), "num_workers": 0, "prepare_workers": 1}
        return {**data, **work, **small, **SLICE_NETWORK, **more}

    return of


@pytest.fixture(scope="session")
def slice_run(slice_options) -> Run:
    """``slice_run(bundle, "train", …, output_dir=…)``: a workflow run in this process, in one thread."""

    def start(bundle: str, *names: str, run_id: str = "run", **more: object) -> ConfigWorkflow:
        given = slice_options(bundle) if names[0] == "train" else dict(SLICE_NETWORK)
        return run_workflow(bundle, *names, run_id=run_id, **{**given, **more})

    return start


@pytest.fixture(scope="session")
def wsp(slice_run, tmp_path_factory) -> Path:
    """A finished pre-training by WSP: four iterations in two epochs. Look, do not touch."""
    folder = tmp_path_factory.mktemp("runs") / "wsp"
    slice_run(PRETRAINING, "train", output_dir=str(folder), iterations=4, epoch_length=2)
    return folder


@pytest.fixture(scope="session")
def probe(slice_run, wsp) -> Path:
    """Its encoder probed."""
    slice_run(CLASSIFICATION, "train", output_dir=str(wsp.parent / "probe"), encoder=str(wsp / "model.pt"))
    return wsp.parent / "probe"


@pytest.fixture(scope="session")
def scans(slice_cohort) -> list[str]:
    """Two scans that are in no list."""
    return [str(slice_cohort / "synthetic_cirrhosis_histology" / "images" / f"histology_000{i}.nii.gz") for i in (0, 1)]
