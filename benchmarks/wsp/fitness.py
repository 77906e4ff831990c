"""Is the cohort fit for the comparison? How well the true shape, a thumbnail and scalars predict the stage."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
from einops import rearrange
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monai_cl.data import cirrhosis_case
from monai_cl.engines.probe.metrics import auc
from wsp.study import Study, cohort


def check(folder: Path, study: Study) -> str:
    """How well the true shape, a thumbnail and scalars predict the stage: what makes the comparison meaningful."""
    slices = cohort(folder, study, "histology")
    patients, first, counts = np.unique(slices.patients, return_index=True, return_counts=True)
    truth, grade = slices.histology[first], slices.grades[first]
    unit = slices.images.astype(np.float32) / 255
    side = study.size // 8
    small = rearrange(unit[:, : 8 * side, : 8 * side], "n (h a) (w b) -> n h w a b", a=side, b=side).mean(axis=(3, 4))
    thumbnail = np.array([small[slices.patients == patient].mean(axis=0).ravel() for patient in patients])
    means = np.array([unit[slices.patients == patient].mean() for patient in patients])
    shapes = np.array(
        [astuple(cirrhosis_case(study.cohort_seed, int(p), cohort="histology", size=16).shape) for p in patients]
    )

    def cross_validated(features: np.ndarray) -> float:
        model = [
            make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=2000)) for C in (1e-3, 1e-2, 0.1, 1.0)
        ]
        scores = [cross_val_predict(m, features, truth, cv=5, method="decision_function") for m in model]
        return max(auc(truth, score) for score in scores)

    return "\n".join(
        f"{name:24s} AUC {value:.3f}"
        for name, value in {
            "true shape": cross_validated(shapes),
            "radiological grade": auc(truth, grade.astype(float)),
            "thumbnail 8 x 8": cross_validated(thumbnail),
            "mean intensity": auc(truth, means),
            "slices kept": auc(truth, counts.astype(float)),
        }.items()
    )
