"""Scores of scans while an evaluator goes over them: AUC per patient, of every finding, of the slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ignite.engine import Engine
from sklearn.metrics import roc_auc_score

from monai_cl.engines.classification.patient_auc import PatientAUC
from monai_cl.engines.distributed.collectives import gather
from monai_cl.engines.probe.metrics import sound_interval
from monai_cl.engines.workflow_types import state_of

SLICE_THRESHOLD = 0.6  # of the paper's accuracy, Table III
_RESAMPLES = 500


class ScanScores(PatientAUC):
    """`PatientAUC` of whole scans, which keeps what is said of findings and slices.

    Args:
        finding_names: in the order of the network's outputs.
        source: the data list, for messages.

    Attributes:
        scans: after an evaluation the scans of all processes, in their order: ``patient``, and for each of
            ``findings`` and ``slice_findings`` that the network gives a pair of lists, truth (-1: not known) and
            probability.
    """

    def __init__(self, *, finding_names: Sequence[str] = (), source: str = "data list") -> None:
        self.finding_names = list(finding_names)
        self.scans: list[dict[str, Any]] = []
        super().__init__(source=source)

    def reset(self) -> None:
        """Start without patients."""
        super().reset()
        self._labels: dict[int, dict[str, Any]] = {}

    def iteration_completed(self, engine: Engine) -> None:
        """Add a batch of one scan."""
        batch, logits = state_of(engine).batch, state_of(engine).output["pred"]
        probability = {name: value.detach().double().sigmoid()[0].cpu().numpy() for name, value in logits.items()}
        number, patient = int(batch["number"][0]), batch["patient"][0]
        # a scan counts once in its patient's mean, however many slices it has
        self.update((number, patient, int(batch["label"][0]), probability["target"]))
        self._labels[number] = {"patient": patient} | {
            name: (batch[name][0].tolist(), probability[name].tolist())
            for name in ("findings", "slice_findings")
            if name in probability
        }

    def compute(self) -> float:
        """The AUC of the class over patients."""
        value = super().compute()
        self.scans = [scan for _, scan in sorted(dict(gather(list(self._labels.items()))).items())]
        return value

    def more_metrics(self, *, seed: int = 0, intervals: bool = True) -> dict[str, Any]:
        """``types`` and ``slices`` of ``results.json``, as far as the network gives them.

        Args:
            seed: of the intervals.
            intervals: of the slices' scores; they take seconds.
        """
        found: dict[str, Any] = {}
        if self.scans and "findings" in self.scans[0]:
            found["types"] = type_scores(self.scans, self.finding_names, seed=seed)
        if self.scans and "slice_findings" in self.scans[0]:
            found["slices"] = slice_scores(self.scans, seed=seed, intervals=intervals)
        return found


def type_scores(scans: Sequence[Mapping[str, Any]], names: Sequence[str], *, seed: int = 0) -> dict[str, Any]:
    """AUC of every finding over patients: a patient shows it if any of their scans does.

    Args:
        scans: of `ScanScores`.
        names: of the findings.
        seed: of the intervals.

    Returns:
        name -> ``auc``, ``interval``, ``interval_note``, ``patients``, ``positive``; ``auc`` None where all or none of
        the patients show it.
    """
    result = {}
    for column, name in enumerate(names):
        truth: dict[str, float] = {}
        probability: dict[str, float] = {}
        for scan in scans:
            label, value = (values[column] for values in scan["findings"])
            if label >= 0:
                truth[scan["patient"]] = max(truth.get(scan["patient"], 0.0), label)
                probability[scan["patient"]] = max(probability.get(scan["patient"], 0.0), value)
        labels, values = (np.array([of[patient] for patient in sorted(of)]) for of in (truth, probability))
        positive = int(labels.sum())
        scores: dict[str, Any] = {"auc": None, "interval": None, "interval_note": None}
        if 0 < positive < len(labels):
            interval, note = sound_interval(labels.astype(int), values, seed=seed)
            scores = {
                "auc": float(roc_auc_score(labels, values)),
                "interval": None if interval is None else list(interval),
                "interval_note": note,
            }
        result[name] = {**scores, "patients": len(labels), "positive": positive}
    return result


def slice_scores(scans: Sequence[Mapping[str, Any]], *, seed: int = 0, intervals: bool = True) -> dict[str, Any] | None:
    """AUC, average precision and accuracy over slices whose finding is known, with 95 % intervals over patients.

    Beside them ``auc_of_position``: what the number of a slice alone predicts, by the share of the slices of that
    number which show a finding among these patients themselves, so that it is on the high side.

    Args:
        scans: of `ScanScores`.
        seed: of the intervals.
        intervals: whether to work them out.

    Returns:
        ``auc``, ``ap``, ``accuracy``, each with ``<name>_interval``, ``auc_of_position``, ``slices``, ``positive``,
        ``patients``; None where not both kinds of slices are known.
    """
    rows = [
        (scan["patient"], place, label, value)
        for scan in scans
        for place, (label, value) in enumerate(zip(*scan["slice_findings"]))
        if label >= 0
    ]
    patients, places, labels, values = (np.array(column) for column in zip(*rows)) if rows else [np.empty(0)] * 4
    if len(set(labels.tolist())) < 2:
        return None
    names, patient = np.unique(patients, return_inverse=True)
    scores = {name: float(score[0]) for name, score in _scores(labels, values, np.ones((1, len(labels)))).items()}
    if intervals:
        # patients with replacement: how often each was drawn weighs its slices
        count = len(names)
        drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
        resampled = _scores(labels, values, drawn[:, patient].astype(float))
        scores |= {
            f"{name}_interval": np.nanquantile(score, [0.025, 0.975]).tolist() for name, score in resampled.items()
        }
    return {
        **scores,
        "auc_of_position": _auc_of_position(labels, places.astype(int)),
        "slices": len(labels),
        "positive": int(labels.sum()),
        "patients": len(names),
    }


def _scores(labels: np.ndarray, values: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """AUC, average precision and accuracy of slices under each of R weightings (R, n), (R,); nan without one kind."""
    thresholds, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(thresholds)))
    positive, negative = (np.add.reduceat((weights * (labels == label))[:, order], starts, axis=1) for label in (1, 0))
    above_positive, above_negative = (np.cumsum(part[:, ::-1], axis=1)[:, ::-1] for part in (positive, negative))
    with np.errstate(invalid="ignore", divide="ignore"):
        total = above_positive[:, 0]
        wins = positive * (above_negative[:, :1] - above_negative + negative / 2)
        above = above_positive + above_negative
        precision = np.where(above > 0, above_positive / above, 0)
        right = weights * ((values >= SLICE_THRESHOLD) == (labels > 0.5))
        return {
            "auc": wins.sum(1) / (total * above_negative[:, 0]),
            "ap": (positive * precision).sum(1) / total,
            "accuracy": right.sum(1) / weights.sum(1),
        }


def _auc_of_position(labels: np.ndarray, places: np.ndarray) -> float:
    shown = np.bincount(places, weights=labels) / np.maximum(np.bincount(places), 1)
    return float(roc_auc_score(labels, shown[places]))
