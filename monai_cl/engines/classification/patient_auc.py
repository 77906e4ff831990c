"""AUC per patient while an evaluator goes over scans: the mean probability of a patient's slices against its class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from ignite.metrics import Metric

from monai_cl.engines.distributed.collectives import gather
from monai_cl.engines.probe.metrics import (
    CONFIDENCE,
    auc,
    balanced_accuracy,
    check_binary,
    patient_means,
    sound_interval,
)
from monai_cl.engines.workflow_types import state_of
from monai_cl.errors import UserError


def slice_probabilities(logits: torch.Tensor) -> np.ndarray:
    """(S,) probabilities of class 1 from the logits (1, S, 1) of a series."""
    return torch.sigmoid(logits.detach().double().reshape(-1)).cpu().numpy()


class PatientAUC(Metric):
    """Metric of an evaluator over `SliceSeries`: area under the ROC curve over patients, whose scans count together.

    Where the scans are divided among processes, every process gets the AUC of all.

    Args:
        source: the data list, for messages.

    Attributes:
        predictions: one row per patient, sorted by id: ``patient``, ``label``, ``probability``, ``n_slices``.
    """

    def __init__(self, *, source: str = "data list") -> None:
        self.source = source
        self.predictions: list[dict[str, Any]] = []
        super().__init__()

    def reset(self) -> None:
        """Start without patients."""
        self._scans: dict[int, tuple[str, int, list[float]]] = {}

    def iteration_completed(self, engine: Engine) -> None:
        """Add a scan."""
        batch = state_of(engine).batch
        probabilities = slice_probabilities(state_of(engine).output["pred"])
        self.update((int(batch["number"][0]), batch["patient"][0], int(batch["label"][0]), probabilities))

    def update(self, output: tuple[int, str, int, np.ndarray]) -> None:
        """Add a scan's number, patient, class and slices' probabilities."""
        number, patient, label, values = output
        self._scans[number] = (patient, label, values.tolist())

    def compute(self) -> float:
        """The AUC.

        Raises:
            UserError: a class other than 0 and 1, or one class only.
        """
        # a scan measured by several processes is counted once; in their order, a sum over slices equals that of one
        # process
        scans = [scan for _, scan in sorted(dict(gather(list(self._scans.items()))).items())]
        labels = {patient: label for patient, label, _ in scans}
        check_binary(labels, source=self.source)
        if len(set(labels.values())) < 2:
            raise UserError(
                self.source,
                expected="patients of class 0 and 1 for an AUC",
                found=f"{len(labels)} of class {next(iter(labels.values()), 'none')} only",
                remedy="add patients of the other one",
            )
        values = np.array([value for _, _, scan_values in scans for value in scan_values])
        names, means, counts = patient_means(
            values, np.array([patient for patient, _, scan_values in scans for _ in scan_values])
        )
        self.predictions = [
            {"patient": name, "label": labels[name], "probability": mean, "n_slices": count}
            for name, mean, count in zip(names.tolist(), means.tolist(), counts.tolist())
        ]
        return auc(np.array([row["label"] for row in self.predictions]), means)


def patient_metrics(predictions: Sequence[Mapping[str, Any]], *, fold: int | None, seed: int = 0) -> dict[str, Any]:
    """What ``results.json`` holds of one group of patients: as `ProbeResult.metrics`, with one fold."""
    labels = np.array([row["label"] for row in predictions])
    probability = np.array([row["probability"] for row in predictions])
    number = 0 if fold is None else int(fold)
    scores = {"auc": auc(labels, probability), "balanced_accuracy": balanced_accuracy(labels, probability)}
    interval, note = sound_interval(labels, probability, seed=seed)
    return {
        **scores,
        "auc_pooled": scores["auc"],
        "auc_interval": None if interval is None else list(interval),
        "auc_interval_note": note,
        "confidence": CONFIDENCE,
        "patients": len(labels),
        "positive": int(labels.sum()),
        "slices": sum(row["n_slices"] for row in predictions),
        "folds": [{"fold": number, "patients": len(labels), "positive": int(labels.sum()), **scores}],
        "per_patient": [{**row, "fold": number} for row in predictions],
    }
