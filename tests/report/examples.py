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
    taken = None if initialisation is None else {"file": initialisation, "tensors": {"vit": 161}}
    return run_record(
        kind="segmentation",
        bundle="spleen_unetr_segmentation",
        name=name,
        seed=seed,
        initialisation=initialisation,
        data_list={**data_list, **(data or {})},
        **{
            "encoder": taken,
            "config": {"lr": 1e-4},
            "curves": {"loss": [[1, 1.0], [2, 0.5]]},
            "metrics": {"per_case": per_case},
            **more,
        },
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


def classification(
    predictions: Mapping[str, tuple[int, float]],
    *,
    method: str = "wsp",
    cohort: str = "D1",
    backbone: str | None = "tinynet",
    sigma: float | None = None,
    temperature: float | None = None,
    seed: int = 0,
    auc: float = 0.8,
    folds_sha256: str = "f",
    metrics: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A probe's record; ``predictions`` is patient -> (class, probability)."""
    rows = [
        {"patient": patient, "fold": number % 2, "label": label, "probability": probability, "n_slices": 3}
        for number, (patient, (label, probability)) in enumerate(predictions.items())
    ]
    found = {
        "auc": auc,
        "auc_std": 0.05,
        "auc_pooled": 0.79,
        "auc_interval": [0.7, 0.88],
        "confidence": 0.95,
        "balanced_accuracy": 0.75,
        "balanced_accuracy_std": 0.04,
        "depth_r2": 0.5,
        "depth_r2_std": 0.1,
        "patients": len(rows),
        "positive": sum(row["label"] for row in rows),
        "folds_sha256": folds_sha256,
        "folds": [{"fold": 0, "auc": auc, "balanced_accuracy": 0.75}],
        "per_patient": rows,
        **(metrics or {}),
    }
    record = run_record(
        **{
            "kind": "classification",
            "name": f"{method}, {cohort}",
            "seed": seed,
            "data_list": {"name": cohort},
            "metrics": found,
            **more,
        }
    )
    described = {"method": method, "cohort": cohort, "backbone": backbone, "sigma": sigma, "temperature": temperature}
    return {**record, **described}


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
