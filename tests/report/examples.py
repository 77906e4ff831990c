"""Made-up runs for the tests of the report; the numbers mean nothing."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl.data import run_record, write_results
from monai_cl.report import overlay_figure

LABELS = {0: "background", 1: "spleen", 2: "liver"}


def segmentation(
    dice: Mapping[str, Mapping[str, float | None]],
    *,
    seed: int = 0,
    fold: int | None = 0,
    initialisation: str | None = None,
    fraction: float = 0.15,
    name: str = "run",
    patients: Mapping[str, str] | None = None,
    data: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A segmentation run's record; ``dice`` is case -> organ -> Dice."""
    data_list = {
        "path": "lists/organs.json",
        "name": "organs",
        "sha256": "0" * 64,
        "fold": fold,
        "label_fraction": fraction,
        "training_cases": ["train_a", "train_b"],
    }
    per_case = [
        {"id": case, "patient": (patients or {}).get(case, case), "dice": dict(values)} for case, values in dice.items()
    ]
    return run_record(
        kind="segmentation",
        bundle="spleen_unetr_segmentation",
        name=name,
        seed=seed,
        initialisation=initialisation,
        data_list={**data_list, **(data or {})},
        **{"config": {"lr": 1e-4}, "curves": {"loss": [[1, 1.0], [2, 0.5]]}, "metrics": {"per_case": per_case}, **more},
    )


def pretraining(**more: Any) -> dict[str, Any]:
    """A pre-training run's record."""
    curves = {"loss": [[1, 9.0], [2, None], [3, 4.0]], "loss/label": [[1, 2.0], [3, 1.0]]}
    return run_record(
        **{
            "kind": "pretraining",
            "name": "pretraining",
            "seed": 0,
            "data_list": {"name": "several"},
            "curves": curves,
            **more,
        }
    )


def put(folder: Path, record: Mapping[str, Any]) -> Path:
    """Write the record as a run's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_results(folder, record)
    return folder


def volumes(shape: tuple[int, int, int] = (24, 20, 12)) -> tuple[np.ndarray, np.ndarray]:
    """Image in HU and truth with two organs: label 1 small, on the patient's left; label 2 large, on the right."""
    image = np.random.default_rng(0).normal(40, 20, shape)
    truth = np.zeros(shape, np.uint8)
    truth[3:7, 8:12, 5:8] = 1
    truth[13:22, 6:15, 3:10] = 2
    return image, truth


@functools.cache
def overlay() -> bytes:
    image, truth = volumes()
    return overlay_figure(image, truth, np.roll(truth, 1, axis=0), labels=LABELS)
