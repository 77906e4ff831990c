"""A tiny synthetic cohort of heads, and runs of the bundle for head CT on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from monai_cl.data import write_head_ct_cohort
from tests.bundles.workflow import run_workflow

HEAD = "head_ct_classification"
BOX = [4, 32, 32]


@pytest.fixture(scope="session")
def heads(tmp_path_factory) -> Path:
    """Six patients to pre-train on, six to train, five for validation and five for the test."""
    folder = tmp_path_factory.mktemp("heads") / "cohort"
    sizes = {"unlabelled": 6, "patients": 6, "validation": 5, "test": 5}
    write_head_ct_cohort(folder, **sizes, size="quarter", progress=False)
    return folder


@pytest.fixture(scope="session")
def head_options(heads) -> dict[str, object]:
    """What makes a training tiny."""
    small = {"box_size": BOX, "iterations": 4, "epoch_length": 2, "batch_size": 4}
    work = {"store_dir": str(heads.parent / "store"), "num_workers": 0, "prepare_workers": 1, "device": "cpu"}
    return {"dataset_dir": str(heads), **work, **small}


@pytest.fixture(scope="session")
def head_run(head_options) -> Callable[..., ConfigWorkflow]:
    """``head_run("train", …, output_dir=…)``: a workflow run in this process, in one thread."""

    def start(*names: str, **more: object) -> ConfigWorkflow:
        given = head_options if names[0] == "train" else {}
        return run_workflow(HEAD, *names, **{**given, **more})

    return start


@pytest.fixture(scope="session")
def head_trained(head_run, tmp_path_factory) -> Path:
    """A finished training. Look, do not touch."""
    folder = tmp_path_factory.mktemp("runs") / "head"
    head_run("train", output_dir=str(folder))
    return folder


@pytest.fixture(scope="session")
def head_pretrained(head_run, tmp_path_factory) -> Path:
    """A finished pre-training by clustering, with a queue. Look, do not touch."""
    folder = tmp_path_factory.mktemp("runs") / "pretrained"
    head_run("train", "pretrain", output_dir=str(folder), **CLUSTERING)
    return folder


CLUSTERING = {"prototypes": 4, "embedding": 8, "queue_length": 4, "queue_start": 1, "freeze_iterations": 1}
