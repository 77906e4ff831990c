"""A tiny synthetic cine, and runs of the two bundles for few labels on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from monai_cl.data import write_cine_cohort
from tests.bundles.workflow import run_workflow

FEATURES = [4, 4, 8, 8, 16, 4]
NETWORK = {"features": FEATURES, "image_size": 32}


@pytest.fixture(scope="session")
def cine(tmp_path_factory) -> Path:
    """Six patients with two phases each, two for validation, one for the test."""
    folder = tmp_path_factory.mktemp("cine") / "cohort"
    write_cine_cohort(folder, patients=6, validation=2, test=1, size=32, progress=False)
    return folder


@pytest.fixture(scope="session")
def cine_options(cine) -> dict[str, object]:
    """What makes a training tiny."""
    small = {**NETWORK, "iterations": 4, "epoch_length": 2, "scans_per_batch": 3}
    work = {"store_dir": str(cine.parent / "store"), "num_workers": 0, "prepare_workers": 1, "device": "cpu"}
    return {"dataset_dir": str(cine), "data_list": str(cine / "cine.json"), **work, **small}


@pytest.fixture(scope="session")
def cine_run(cine_options) -> Callable[..., ConfigWorkflow]:
    """``cine_run(bundle, "train", …, output_dir=…)``: a workflow run in this process, in one thread."""

    def start(bundle: str, *names: str, **more: object) -> ConfigWorkflow:
        given = cine_options if names[0] == "train" else NETWORK
        return run_workflow(bundle, *names, **{**given, **more})

    return start
