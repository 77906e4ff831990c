"""Nothing simple tells a synthetic head with haemorrhage from one without."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, binary_fill_holes
from scipy.stats import ks_2samp
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from monai_cl.data.phantom.head_ct.case import HeadCase, head_case

pytestmark = pytest.mark.slow
CASES = 400


def inside_skull(image: np.ndarray) -> np.ndarray:
    bone = image > 300
    filled = np.stack([binary_fill_holes(bone[..., z]) for z in range(image.shape[2])], -1) & ~bone
    return binary_erosion(filled, np.ones((3, 3, 1)), iterations=2)


def features(case: HeadCase) -> dict[str, float]:
    image = case.image.astype(np.float32)
    brain = image[inside_skull(image)]
    return {
        "mean": image.mean(),
        "standard deviation": image.std(),
        "99th percentile": np.percentile(image, 99),
        "gradient energy": float(sum(np.square(np.diff(image.clip(-45, 155), axis=a)).mean() for a in range(3))),
        "size of the cavity": brain.size,
        "voxels of 50-85 HU": np.count_nonzero((image > 50) & (image < 85)),
        "voxels of 50-85 HU in the cavity": np.count_nonzero((brain > 50) & (brain < 85)),
        "share above 45 HU in the cavity": (brain > 45).mean(),
        "95th percentile in the cavity": np.percentile(brain, 95),
        "volume": sum(case.volumes.values()),
    }


@pytest.fixture(scope="module")
def cohort() -> list[HeadCase]:
    return [head_case(0, index) for index in range(CASES)]


def auc_either_way(labels: np.ndarray, values: np.ndarray) -> float:
    auc = roc_auc_score(labels, values)
    return max(auc, 1 - auc)


def test_no_simple_feature_tells_the_class(cohort):
    labels = np.array([case.target for case in cohort])
    assert 0.42 < labels.mean() < 0.58
    rows = [features(case) for case in cohort]
    aucs = {name: auc_either_way(labels, np.array([row[name] for row in rows])) for name in rows[0]}
    assert aucs.pop("volume") == 1  # the truth itself does
    thumbnails = np.array([thumbnail(case) for case in cohort])
    ridge = RidgeClassifierCV(np.logspace(0, 5, 11))
    aucs["ridge on a thumbnail"] = roc_auc_score(
        labels, cross_val_predict(ridge, thumbnails, labels, cv=5, method="decision_function")
    )
    print({name: round(float(auc), 3) for name, auc in aucs.items()})
    assert max(aucs.values()) <= 0.72, aucs
    # the same measure on labels that mean nothing
    shuffled = np.random.default_rng(0).permutation(labels)
    share = np.array([row["share above 45 HU in the cavity"] for row in rows])
    assert roc_auc_score(shuffled, share) == pytest.approx(0.5, abs=0.06)


def thumbnail(case: HeadCase) -> np.ndarray:
    x, y, z = case.image.shape
    image = case.image.clip(-45, 155).astype(np.float32)
    return image.reshape(8, x // 8, 8, y // 8, 4, z // 4).mean((1, 3, 5)).ravel()


def test_what_else_is_drawn_does_not_depend_on_the_class(cohort):
    labels = np.array([case.target for case in cohort], bool)
    names = list(cohort[0].parameters)
    p = {}
    for name in names:
        values = np.array([case.parameters[name] for case in cohort])
        p[name] = ks_2samp(values[labels], values[~labels]).pvalue
    assert min(p.values()) > 0.01 / len(names), p


def test_every_kind_occurs_in_a_sensible_amount(cohort):
    positive = [case for case in cohort if case.target]
    for kind in positive[0].volumes:
        own = [case.volumes[kind] for case in positive if case.findings[kind]]
        print(kind, len(own), round(float(np.median(own)), 1))
        assert len(own) > 0.05 * len(positive)
        assert 3 < np.median(own) < 80
    # a label of a slice is not that of a case: most slices of a patient show nothing
    assert 4 < np.mean([sum(case.slice_findings) for case in positive]) < 13
    assert all(any(case.findings.values()) for case in positive)
