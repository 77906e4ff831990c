"""Made-up features of slices for the tests of the probes."""

from __future__ import annotations

from typing import Any

import numpy as np

from monai_cl.data import SliceFeatures


def feature_cohort(
    *,
    patients: int = 30,
    slices: int = 4,
    size: int = 6,
    signal: float = 2.0,
    positive: float = 0.5,
    seed: int = 0,
    **more: Any,
) -> SliceFeatures:
    """Feature 0 carries the class (``signal`` standard deviations apart), feature 1 the depth, the others nothing."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(patients) < round(positive * patients)).astype(int)
    depth = np.tile((np.arange(slices) + 0.5) / slices, (patients, 1))
    features = 0.5 * rng.normal(size=(patients, 1, size)) + rng.normal(size=(patients, slices, size))
    features[..., 0] += signal * labels[:, None]
    features[..., 1] += 5 * depth
    return SliceFeatures(
        features.reshape(-1, size),
        np.repeat([f"p{number:03d}" for number in range(patients)], slices),
        np.repeat(labels, slices),
        depth.ravel(),
        **{"about": {"method": "wsp", "cohort": "made up", "seed": 3}, **more},
    )
