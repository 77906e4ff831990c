"""What features and codes know of a field: nearest neighbours, a linear classifier, normalised mutual information."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

_NEIGHBOUR_TEMPERATURE = 0.07


def normalised_mutual_information(codes: Sequence[Hashable] | np.ndarray, field: Sequence[Hashable]) -> float | None:
    """NMI of codes with a field, in [0, 1]: mutual information over the arithmetic mean of both entropies.

    Args:
        codes: (n,) such as the prototype with the largest score of each image.
        field: (n,) such as its modality or class; images with -1 or None are left out.

    Returns:
        None where fewer than two values of the field are left: nothing can be said then.

    Raises:
        ValueError: other lengths.
    """
    from sklearn.metrics import normalized_mutual_info_score

    codes, values = list(np.asarray(codes).tolist()), list(field)
    if len(codes) != len(values):
        raise ValueError(f"codes and field must be of one length, got {len(codes)} and {len(values)}")
    known = [(code, str(value)) for code, value in zip(codes, values) if value is not None and value != -1]
    if len({value for _, value in known}) < 2:
        return None
    chosen, truth = zip(*known)
    return float(normalized_mutual_info_score(truth, chosen))


def neighbour_accuracy(
    features: np.ndarray, labels: np.ndarray, others: np.ndarray, truth: np.ndarray, *, neighbours: int = 20
) -> float:
    """Part of the images whose class the nearest ones name: by cosine, weighted with exp(cosine / .07).

    As Wu et al. (CVPR 2018) weight their neighbours.

    Args:
        features: (n, F) of images whose class is known.
        labels: (n,) their classes.
        others: (m, F) of the images to classify; of other patients.
        truth: (m,) their classes.
        neighbours: at most so many are asked.
    """
    model = neighbour_model(min(neighbours, len(features)))
    return float(model.fit(features, labels).score(others, truth))


def neighbour_model(count: int, *, numbers: bool = False) -> Any:
    """scikit-learn's nearest neighbours by cosine, weighted with exp(cosine / .07).

    Args:
        count: neighbours that are asked.
        numbers: for a regression in place of classes.
    """
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    kind = KNeighborsRegressor if numbers else KNeighborsClassifier
    return kind(count, metric="cosine", algorithm="brute", weights=_neighbour_weights)


def _neighbour_weights(distance: np.ndarray) -> np.ndarray:
    return np.exp(-distance / _NEIGHBOUR_TEMPERATURE)


def linear_accuracy(features: np.ndarray, labels: np.ndarray, others: np.ndarray, truth: np.ndarray) -> float:
    """Part of the images whose class a logistic regression on standardised features names; classes weigh the same.

    Args:
        features: (n, F) of images whose class is known.
        labels: (n,) their classes, two or more.
        others: (m, F) of the images to classify; of other patients.
        truth: (m,) their classes.
    """
    return float(linear_model().fit(features, labels).score(others, truth))


def linear_model() -> Any:
    """scikit-learn's logistic regression on standardised features; classes weigh the same."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # a strong penalty: there are often more features than patients
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000))


def half_of_patients(patients: Sequence[str], labels: Sequence[int], *, seed: int = 0) -> np.ndarray:
    """Which images are for learning: those of half of the patients of each class, by a hash of (seed, patient).

    Args:
        patients: (n,) patient of every image.
        labels: (n,) class of every image; the first one counts for its patient.
        seed: of the hash.

    Returns:
        (n,) bool; of an odd number of patients the larger part learns.
    """
    classes: dict[int, dict[str, None]] = {}
    first = {patient: label for patient, label in reversed(list(zip(patients, labels)))}
    for patient, label in first.items():
        classes.setdefault(int(label), {})[patient] = None
    learning: set[str] = set()
    for members in classes.values():
        order = sorted(members, key=lambda patient: hashlib.sha256(f"{seed}/{patient}".encode()).digest())
        learning |= set(order[: (len(order) + 1) // 2])
    return np.array([patient in learning for patient in patients])
