"""How much embeddings know of a column: nearest neighbours and a linear model, tested on unseen patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_cl.data.records.embeddings import EmbeddingTable
from monai_cl.engines.embedding.question import column_question
from monai_cl.engines.probe.accuracies import linear_model, neighbour_model
from monai_cl.engines.probe.depth import ALPHA_GRID
from monai_cl.engines.probe.folds import PatientFolds
from monai_cl.engines.probe.metrics import CONFIDENCE, auc, sound_interval

MODELS = ("neighbours", "linear")
_NEIGHBOURS = 20  # by cosine; fewer where a training part has fewer rows


@dataclass(frozen=True)
class _Predictions:
    """Out-of-fold predictions of one model; one of each patient where the column has one value a patient.

    Attributes:
        truth: (n,) number of the class, or the value.
        scores: (n, K) probabilities, or (n,) values.
        patient: (n,) number of the patient.
    """

    truth: np.ndarray
    scores: np.ndarray
    patient: np.ndarray


def probe_column(
    table: EmbeddingTable, column: str, *, fold_count: int = 5, seed: int = 0, resamples: int = 2000
) -> dict[str, Any]:
    """Predict a column from the vectors, for patients that the model has not seen.

    Text, true and false, and whole numbers of up to ten values are classes; other numbers a regression. Where every
    patient has one value, the rows of a patient are averaged to one prediction; otherwise each row is one. Rows
    without a value are left out.

    Args:
        table: of embeddings.
        column: what is predicted.
        fold_count: folds of patients, stratified by the class where it is one of patients.
        seed: of the folds and of the bootstrap.
        resamples: of the bootstrap: patients are drawn with replacement.

    Returns:
        ``column``, ``kind`` (``"classes"`` or ``"numbers"``), ``unit`` (``"patient"`` or ``"row"``), ``rows``,
        ``patients``, ``unknown`` rows, ``classes`` (name -> rows), ``folds``, ``neighbours``, ``seed``,
        ``confidence``, and ``models``: of ``neighbours`` and ``linear`` the ``accuracy`` and
        ``balanced_accuracy``, of two classes of patients the ``auc``; of numbers ``r2`` and ``mean_error``. Each has an
        ``…_interval``, None where there is none.

    Raises:
        UserError: no such column, one value alone, or in the training part of a fold; fewer patients than folds.
    """
    asked = column_question(table, column, fold_count=fold_count, seed=seed)
    X, y, numbers, names = table.vectors[asked.known].astype(np.float64), asked.truth, asked.numbers, asked.names
    models: dict[str, dict[str, Any]] = {}
    for name in MODELS:
        found = _predicted(X, y, asked.patients, asked.folds, name, numbers=numbers, classes=len(names))
        found = _averaged(found) if asked.per_patient else found
        models[name] = _scored(found, numbers, resamples=resamples, seed=seed)
        if asked.per_patient and len(names) == 2:
            interval, note = sound_interval(found.truth, found.scores[:, 1], resamples=resamples, seed=seed)
            models[name] |= {"auc": auc(found.truth, found.scores[:, 1]), "auc_interval": interval, "auc_note": note}
    return {
        "column": column,
        "kind": "numbers" if numbers else "classes",
        "unit": "patient" if asked.per_patient else "row",
        "rows": len(y),
        "patients": len(asked.folds.fold),
        "unknown": int((~asked.known).sum()),
        "classes": {name: int((y == number).sum()) for number, name in enumerate(names)} or None,
        "folds": asked.folds.count,
        "neighbours": _NEIGHBOURS,
        "seed": seed,
        "confidence": CONFIDENCE,
        "models": models,
    }


def describe_column_probe(found: dict[str, Any]) -> str:
    """What `probe_column` found, in lines of text.

    Args:
        found: its result.
    """
    lines = [
        f"{found['column']}: {found['patients']} patients, {found['rows']} rows, {found['folds']} folds of patients"
        + (f"; {found['unknown']} rows without a value left out" if found["unknown"] else "")
    ]
    if found["classes"]:
        lines.append("rows of each class: " + ", ".join(f"{name} {count}" for name, count in found["classes"].items()))
    percent = f"{100 * found['confidence']:g} %"
    for model, scores in found["models"].items():
        title = f"{found['neighbours']} nearest neighbours" if model == "neighbours" else "linear model"
        parts = []
        for key, name in _NAMES.items():
            if key in scores:
                interval = scores[f"{key}_interval"]
                around = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
                parts.append(f"{name} {scores[key]:.3f}{around}")
        lines.append(f"{title}: {', '.join(parts)}")
    each = "patient, the mean of its rows" if found["unit"] == "patient" else "row"
    lines.append(
        f"one prediction for each {each}; patients unseen; in brackets {percent} intervals (bootstrap by patient)"
    )
    return "\n".join(lines)


_NAMES = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "r2": "R²",
    "mean_error": "mean absolute error",
}


def _predicted(
    X: np.ndarray, y: np.ndarray, patients: np.ndarray, folds: PatientFolds, name: str, *, numbers: bool, classes: int
) -> _Predictions:
    fold = folds.of(patients)
    scores = np.zeros(len(X)) if numbers else np.zeros((len(X), classes))
    for number in range(folds.count):
        train, test = fold != number, fold == number
        if name == "neighbours":
            model = neighbour_model(min(_NEIGHBOURS, int(train.sum())), numbers=numbers).fit(X[train], y[train])
        else:
            model = _ridge(X[train], y[train], patients[train]) if numbers else linear_model().fit(X[train], y[train])
        if numbers:
            scores[test] = model.predict(X[test])
        else:
            scores[np.ix_(test, model.classes_)] = model.predict_proba(X[test])
    return _Predictions(y, scores, np.unique(patients, return_inverse=True)[1])


def _ridge(X: np.ndarray, y: np.ndarray, patients: np.ndarray) -> Any:
    """Ridge regression on standardised vectors, its penalty chosen over patients of the training part."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    inner = GroupKFold(min(5, len(set(patients.tolist()))))
    model = make_pipeline(StandardScaler(), Ridge())
    search = GridSearchCV(model, {"ridge__alpha": ALPHA_GRID}, cv=inner, scoring="neg_mean_squared_error")
    return search.fit(X, y, groups=patients)


def _averaged(found: _Predictions) -> _Predictions:
    counts = np.bincount(found.patient)
    scores = np.zeros((len(counts), *found.scores.shape[1:]))
    np.add.at(scores, found.patient, found.scores)
    truth = np.zeros(len(counts), found.truth.dtype)
    truth[found.patient] = found.truth
    return _Predictions(truth, (scores.T / counts).T, np.arange(len(counts)))


def _scored(found: _Predictions, numbers: bool, *, resamples: int, seed: int) -> dict[str, float | list[float] | None]:
    """Measures with intervals: each is a function of sums over patients, which are drawn with replacement."""
    count = int(found.patient.max()) + 1
    if numbers:
        error = found.truth - found.scores
        rows = np.stack([np.ones(len(error)), found.truth, found.truth**2, error**2, np.abs(error)], axis=1)
        measures: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "r2": lambda s: 1 - s[:, 3] / (s[:, 2] - s[:, 1] ** 2 / s[:, 0]),
            "mean_error": lambda s: s[:, 4] / s[:, 0],
        }
    else:
        classes = found.scores.shape[1]
        right = found.scores.argmax(1) == found.truth
        one_hot = np.eye(classes)[found.truth]
        rows = np.concatenate([one_hot, one_hot * right[:, None]], axis=1)
        measures = {
            "accuracy": lambda s: s[:, classes:].sum(1) / s[:, :classes].sum(1),
            "balanced_accuracy": lambda s: _mean_of_present(s[:, classes:], s[:, :classes]),
        }
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, found.patient, rows)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples) @ sums
    tail = (1 - CONFIDENCE) / 2
    scores: dict[str, float | list[float] | None] = {}
    for name, measure in measures.items():
        scores[name] = float(measure(sums.sum(0)[None])[0])
        with np.errstate(divide="ignore", invalid="ignore"):  # a draw of one patient alone has no variance
            values = measure(drawn)
        values = values[np.isfinite(values)]
        interval = [float(edge) for edge in np.quantile(values, [tail, 1 - tail])] if len(values) else None
        scores[f"{name}_interval"] = interval
    return scores


def _mean_of_present(right: np.ndarray, all_: np.ndarray) -> np.ndarray:
    """Mean over the classes that a draw holds of the part of each that is right."""
    return (right / np.maximum(all_, 1)).sum(1) / (all_ > 0).sum(1)
