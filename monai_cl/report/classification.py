"""The part of the report on classification runs: result, tables, ROC curves, patients, principal directions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from html import escape
from statistics import fmean
from typing import Any

import numpy as np

from monai_cl.data.records.classes import interval_fault
from monai_cl.report.method_tables import (
    MEASURES,
    cell,
    classification_runs,
    cohort_of,
    cohorts_of,
    method_runs,
    method_table,
    name_class,
    sigma_tables,
)
from monai_cl.report.page.pictures import file_pictures
from monai_cl.report.runs import Run
from monai_cl.report.tables import NOTHING, Table, fraction

# more rows would fill the page; the rest is in each run's patients.csv
MOST_PATIENTS = 100


def classification_tables(runs: Sequence[Run]) -> list[Table]:
    """Every table for which there are numbers: by method, then by σ.

    Args:
        runs: runs of all kinds; those of a classification are taken.
    """
    chosen = classification_runs(runs)
    measures = [name for name in MEASURES if any(run.results["metrics"].get(name) is not None for run in chosen)]
    tables = [method_table(chosen, measure=name) for name in measures] + [
        table for name in measures for table in sigma_tables(chosen, measure=name)
    ]
    return tables + [table for table in (_findings(chosen), _robustness(chosen)) if table.rows]


def _findings(runs: Sequence[Run]) -> Table:
    """AUC of every finding and of the slices, a row for each of every run that has scored them."""
    rows: list[tuple[str, ...]] = []
    for run in runs:
        metrics = run.results["metrics"]
        for name, scores in (metrics.get("types") or {}).items():
            counts = f"{scores['positive']} of {scores['patients']} patients"
            rows.append((run.name, name, counts, fraction(scores["auc"]), _interval(scores.get("interval"))))
        scores = metrics.get("slices")
        if isinstance(scores, Mapping):  # elsewhere it is the number of slices that were used
            counts = f"{scores['positive']} of {scores['slices']} slices"
            rows.append((run.name, "slices", counts, fraction(scores["auc"]), _interval(scores.get("auc_interval"))))
            rows.append(
                (run.name, "slices, by their place alone", counts, fraction(scores["auc_of_position"]), NOTHING)
            )
    header = ("run", "what", "positive", "AUC", "95 % interval")
    return Table(caption="Findings and slices", header=header, rows=tuple(rows), text_columns=3)


def _robustness(runs: Sequence[Run]) -> Table:
    """How far probabilities moved under variants of the scans, a row for each family of every run that measured it."""
    rows = [
        (
            run.name,
            family,
            f"{scores['images']} x {scores['variants']}",
            fraction(scores["median"]),
            _interval((scores["q1"], scores["q3"])),
            fraction(scores["auc"]),
            fraction(scores["delta_logit"]),
        )
        for run in runs
        for family, scores in (run.results["metrics"].get("robustness") or {}).items()
    ]
    return Table(
        caption="Robustness: relative deviation of the probability of a scan's variants",
        header=(
            "run",
            "variants",
            "scans x variants",
            "median",
            "quartiles",
            "AUC of the variants",
            "change of the logit",
        ),
        rows=tuple(rows),
        text_columns=3,
    )


def _interval(bounds: Sequence[float] | None) -> str:
    return NOTHING if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def robustness_html(runs: Sequence[Run], *, private: bool) -> str:
    """The box plots of relative deviations that evaluations have drawn (``robustness.png``), side by side.

    Args:
        runs: of all kinds.
        private: see `file_pictures`.
    """
    drawn = [(run, f"{run.name}, {cohort_of(run)}") for run in classification_runs(runs)]
    what = "relative deviation of the probability of variants, a box for each family"
    return file_pictures(drawn, "robustness.png", alt=what, private=private)


def classification_results(runs: Sequence[Run]) -> list[str]:
    """The result in one sentence per method and cohort, as HTML list items."""
    sentences = []
    for cohort in cohorts_of(runs):
        for group in method_runs(runs):
            results = group.of(cohort)
            if not results:
                continue
            text = f"AUC <b>{escape(cell(results, 'auc'))}</b>"
            metrics = results[0].results["metrics"]
            if len(results) == 1:
                text += f" ({escape(_pooled(metrics))})"
            text += f", balanced accuracy {escape(cell(results, 'balanced_accuracy'))}"
            runs_text = "" if len(results) == 1 else f" over {len(results)} runs"
            sentences.append(f"<li>{escape(cohort)}, {escape(group.name)}: {text}{runs_text}.</li>")
    return sentences


def _pooled(metrics: Mapping[str, Any]) -> str:
    """The AUC of all patients with its interval, or why there is none; also of results that have a misleading one."""
    labels = [row["label"] for row in metrics["per_patient"]]
    interval = metrics.get("auc_interval")
    text = f"all patients {metrics['auc_pooled']:.3f}"
    fault = interval_fault(negative=labels.count(0), positive=labels.count(1), interval=interval)
    if fault is not None:
        return f"{text}; no interval: {fault}"
    if interval is None:
        return text
    return f"{text}, {100 * (metrics.get('confidence') or 0.95):g} % interval {interval[0]:.3f} to {interval[1]:.3f}"


def roc_predictions(runs: Sequence[Run]) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """Cohort -> method -> labels and probabilities of the patients; of several seeds each patient's mean probability.

    Methods whose patients are all of one class have no curve; cohorts without a curve are left out.
    """
    predictions: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    for cohort in cohorts_of(runs):
        for group in method_runs(runs):
            labels, probability = _predictions(group.of(cohort))
            if set(labels.values()) == {0, 1}:
                curve = list(labels.values()), [probability[patient] for patient in labels]
                predictions.setdefault(cohort, {})[group.name] = curve
    return predictions


def roc_html(runs: Sequence[Run]) -> list[str]:
    """A chart per cohort, one curve per method, named with its AUC."""
    from sklearn.metrics import roc_auc_score, roc_curve

    from monai_cl.report.page.charts import line_chart

    charts = []
    for cohort, curves in roc_predictions(runs).items():
        lines = {}
        for name, (labels, probability) in curves.items():
            wrong, right, _ = roc_curve(labels, probability)
            lines[f"{name}: AUC {roc_auc_score(labels, probability):.3f}"] = [np.column_stack([wrong, right])]
        charts.append(
            line_chart(
                lines, title=f"ROC, {cohort}", x_label="1 − specificity", y_label="sensitivity", unit_square=True
            )
        )
    return charts


def patient_table(runs: Sequence[Run], cohort: str, *, name_case: Callable[[str], str] = str) -> Table:
    """Probability of every patient of a cohort, one column per method; sorted by the name shown.

    Args:
        runs: classification runs.
        cohort: which of their cohorts.
        name_case: how a patient id is shown (pseudonyms).

    Raises:
        ValueError: no run on that cohort.
    """
    groups = [group for group in method_runs(runs) if group.of(cohort)]
    if not groups:
        raise ValueError(f"cohort must be one of {', '.join(cohorts_of(runs))}, got {cohort!r}")
    predictions = [_predictions(group.of(cohort)) for group in groups]
    labels = {patient: label for part, _ in predictions for patient, label in part.items()}
    shown = sorted(labels, key=name_case)
    rows = [
        (
            name_case(patient),
            name_class(runs, cohort, labels[patient], short=True),
            *(fraction(part.get(patient)) for _, part in predictions),
        )
        for patient in shown[:MOST_PATIENTS]
    ]
    rest = len(shown) - len(rows)
    return Table(
        caption=f"Probability of {name_class(runs, cohort, 1)} by patient, {cohort}",
        header=("patient", "class", *(group.name for group in groups)),
        rows=tuple(rows),
        notes=(f"{rest} more patients are in patients.csv of each run.",) if rest else (),
    )


def pca_html(runs: Sequence[Run], *, private: bool) -> str:
    """The principal directions the runs have drawn (``pca.png``), methods side by side; of several seeds the first."""
    first = [
        (group.name, min(group.of(cohort), key=lambda run: run.seed))
        for cohort in cohorts_of(runs)
        for group in method_runs(runs)
        if group.of(cohort)
    ]
    return file_pictures(
        [(run, f"{name}, {cohort_of(run)}, seed {run.seed}") for name, run in first],
        "pca.png",
        alt="representations in their two principal directions, coloured by class and by depth",
        private=private,
    )


def _predictions(runs: Sequence[Run]) -> tuple[dict[str, int], dict[str, float]]:
    """Class, and mean probability over the runs, of every patient, sorted by id."""
    labels: dict[str, int] = {}
    values: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for row in run.results["metrics"]["per_patient"]:
            labels[row["patient"]] = row["label"]
            values[row["patient"]].append(row["probability"])
    return dict(sorted(labels.items())), {patient: fmean(probabilities) for patient, probabilities in values.items()}
