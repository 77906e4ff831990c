"""AUC and depth of frozen features, and the difference of two methods with its interval."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl.data.slices.features import SliceFeatures, read_features
from monai_cl.engines.probe.depth import probe_depth
from monai_cl.engines.probe.linear import fit_linear_probe
from monai_cl.engines.probe.metrics import auc
from monai_cl.engines.probe.patients import probe_patients
from wsp.study import Job

PROTOCOL = 100  # patients of P100; the others are P400


def judge(features: SliceFeatures) -> dict[str, Any]:
    """AUC by the three protocols, balanced accuracy, R^2 of depth, and the patients' probabilities behind them."""
    few = features.patient < f"p{PROTOCOL:04d}"
    parts = {"P100": features.select(few), "P400": features.select(~few)}
    found: dict[str, Any] = {}
    for name, part in parts.items():
        result = probe_patients(part, seed=0)
        metrics = result.metrics()
        found[name] = {key: metrics[key] for key in ("auc", "auc_std", "auc_pooled", "balanced_accuracy")}
        found[name] |= {"labels": result.labels.tolist(), "probability": result.probability.round(6).tolist()}
        found[name]["depth_r2"] = probe_depth(part, folds=result.folds, seed=0).mean
    fitted = fit_linear_probe(parts["P100"].features, parts["P100"].patient, parts["P100"].label)
    _, probability, _ = fitted.patient_probability(parts["P400"].features, parts["P400"].patient)
    labels = found["P400"]["labels"]
    found["100to400"] = {"auc": auc(np.array(labels), probability), "labels": labels}
    found["100to400"]["probability"] = probability.round(6).tolist()
    return found


def judged(folder: Path) -> dict[Job, dict[str, Any]]:
    """Every job's judgement, kept in ``judged.jsonl``."""
    path = folder / "judged.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    found = {Job(**row["job"]): row["found"] for row in rows}
    for file in sorted((folder / "features").glob("*.npz")):
        features = read_features(file)
        job = Job(**{key: features.about[key] for key in ("method", "seed", "sigma", "temperature")})
        if job not in found:
            found[job] = judge(features)
            with open(path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps({"job": asdict(job), "found": found[job]}) + "\n")
    return found


def difference(one: list[dict], other: list[dict], *, resamples: int = 4000) -> tuple[float, float, float]:
    """Mean AUC difference ``one - other`` of paired seeds, with a 95 % interval: seeds and patients are resampled."""
    labels = np.array(one[0]["labels"])
    scores = np.array([[a["probability"], b["probability"]] for a, b in zip(one, other, strict=True)])
    positive, negative = (np.flatnonzero(labels == value) for value in (1, 0))
    # share of pairs (positive, negative) in the right order, of each seed and side
    wins = np.sign(scores[..., positive, None] - scores[..., None, negative]) / 2 + 0.5
    gain = wins[:, 0] - wins[:, 1]
    rng, means = np.random.default_rng(0), np.empty(resamples)
    for i in range(resamples):
        seeds = gain[rng.integers(len(gain), size=len(gain))].mean(axis=0)
        p, n = (np.bincount(rng.integers(size, size=size), minlength=size) for size in seeds.shape)
        means[i] = p @ seeds @ n / (p.sum() * n.sum())
    return float(gain.mean()), *(float(q) for q in np.quantile(means, (0.025, 0.975)))
