"""A probe from features to files: ``results.json``, ``patients.csv``, ``folds.json``, ``probe.npz`` and pictures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monai_cl.data.records.classes import class_name
from monai_cl.data.records.csv_rows import csv_text
from monai_cl.data.records.results import run_record, write_results
from monai_cl.data.slices.features import UNKNOWN, SliceFeatures
from monai_cl.engines.probe.depth import probe_depth
from monai_cl.engines.probe.folds import PatientFolds, write_folds
from monai_cl.engines.probe.linear import fit_linear_probe
from monai_cl.engines.probe.patients import ProbeResult, probe_patients
from monai_cl.errors import UserError
from monai_cl.files import write_atomically

# used for tables of several probes; taken from the features' own description
DESCRIPTION = ("method", "backbone", "sigma", "temperature", "cohort")


def run_probe(
    features: SliceFeatures,
    output: str | os.PathLike,
    *,
    folds: PatientFolds | None = None,
    fold_count: int = 5,
    seed: int = 0,
    bundle: str | None = None,
    description: Mapping[str, Any] | None = None,
    draw_roc: Callable[..., bytes] | None = None,
    draw_pca: Callable[..., bytes] | None = None,
    config: Mapping[str, Any] | None = None,
    encoder: Mapping[str, Any] | None = None,
    **options: Any,
) -> ProbeResult:
    """Probe features and write everything a reader needs into ``output``.

    The depth probe is run where depths are known, on the same folds. ``probe.npz`` is a probe fitted on all labelled
    patients, for new scans; its quality is estimated by the folds.

    Args:
        features: see `SliceFeatures`; their ``about`` names method and cohort.
        output: folder, created if absent.
        folds: folds of the patients; None makes them, see `probe_patients`. Those used are written to ``folds.json``.
        fold_count: number of the folds that are made where ``folds`` is None.
        seed: of the folds that are made, of the inner folds and of the bootstrap.
        bundle: the bundle that ran.
        description: replaces entries of ``about``: ``method``, ``backbone``, ``sigma``, ``temperature``, ``cohort``.
        draw_roc: `monai_cl.report.roc_figure`, handed in so that engines do not depend on the report; None: no ROC
            picture.
        draw_pca: `monai_cl.report.pca_figure`, handed in likewise; None: no picture of the features.
        config: the merged configuration of the run.
        encoder: what the encoder of the features is, for ``results.json``, see `monai_cl.data.run_record`.
        **options: further options of `probe_patients`.

    Returns:
        The out-of-fold predictions.

    Raises:
        UserError: what `probe_patients` refuses, or a folder that cannot be written to.
    """
    started, output = time.monotonic(), Path(output)
    about = {**features.about, **{key: value for key, value in (description or {}).items() if value is not None}}
    listed = about.get("data_list")
    listed = dict(listed) if isinstance(listed, Mapping) else {}
    about.setdefault("method", Path(features.source).stem)
    about.setdefault("cohort", listed.get("name") or "cohort")
    result = probe_patients(features, folds=folds, fold_count=fold_count, seed=seed, **options)
    metrics = result.metrics()
    metrics |= _depth(features, result, seed)
    fit_options = {key: value for key, value in options.items() if key != "resamples"}
    known = features.select(features.label != UNKNOWN)
    final = fit_linear_probe(known.features, known.patient, known.label, seed=seed, **fit_options)

    write_folds(output / "folds.json", result.folds)
    write_atomically(output / "patients.csv", patients_csv(metrics, listed).encode("utf-8"))
    final.save(output / "probe.npz")
    pictures = []
    if draw_roc is not None:
        write_atomically(output / "roc.png", draw_roc({str(about["method"]): (result.labels, result.probability)}))
        pictures.append("roc.png")
    if draw_pca is not None:
        names = {label: class_name(listed, label) for label in (0, 1)}
        picture = draw_pca(features.features, features.label, features.depth, classes=names, seed=seed)
        write_atomically(output / "pca.png", picture)
        pictures.append("pca.png")
    record = run_record(
        kind="classification",
        name=f"{about['method']}, {about['cohort']}",
        # of the encoder where it is known: the probe's own seed is the same for all that are compared
        seed=_integer(about.get("seed"), seed),
        bundle=bundle,
        data_list={**listed, "name": listed.get("name") or about["cohort"]},
        initialisation=about.get("encoder"),
        encoder=encoder,
        config={**(config or {}), "features": {"file": features.source, **about}, "probe": {"seed": seed, **options}},
        metrics=metrics,
        overlays=pictures,
        wall_seconds=time.monotonic() - started,
    )
    record.update({key: about.get(key) for key in DESCRIPTION})
    write_results(output / "results.json", record)
    return result


def patients_csv(metrics: Mapping[str, Any], data_list: Mapping[str, Any] | None = None) -> str:
    """The predictions as CSV: patient, fold, label, probability, n_slices; with a grade also class, its name.

    Probabilities are written in full: rounded ones tie, and another AUC would follow from them.

    Args:
        metrics: of ``results.json``.
        data_list: the entry of the list there.
    """
    data_list = data_list or {}
    columns = ["patient", "fold", "label", "probability", "n_slices", *(["class"] if "target" in data_list else [])]
    rows = (
        {**row, "probability": float(row["probability"]), "class": class_name(data_list, row["label"])}
        for row in metrics["per_patient"]
    )
    return csv_text(columns, ({column: row[column] for column in columns} for row in rows))


def describe_probe(metrics: Mapping[str, Any], data_list: Mapping[str, Any] | None = None) -> str:
    """The result in lines of text, for a terminal.

    Args:
        metrics: the metrics of the probe's ``results.json``.
        data_list: the entry of the list there, for the names of its classes.
    """
    positive = class_name(data_list or {}, 1)
    lines = [
        f"{metrics['patients']} patients ({metrics['positive']} of {positive}), {metrics['slices']} slices, "
        f"{len(metrics['folds'])} folds",
    ]
    if metrics["unlabelled_patients"]:
        n = metrics["unlabelled_patients"]
        lines.append(f"{n} patient{'' if n == 1 else 's'} left out: the class is not known")
    width = max(len("class 1"), len(positive))
    lines.append(f"fold  patients  {positive:>{width}}    AUC  balanced accuracy         C")
    for entry in metrics["folds"]:
        lines.append(
            f"{entry['fold']:>4}  {entry['patients']:>8}  {entry['positive']:>{width}}  {entry['auc']:.3f}  "
            f"{entry['balanced_accuracy']:>17.3f}  {entry['C']:>8.2g}"
        )
    lines.append(
        f"AUC {metrics['auc']:.3f} ± {metrics['auc_std']:.3f}, balanced accuracy {metrics['balanced_accuracy']:.3f} ± "
        f"{metrics['balanced_accuracy_std']:.3f} (mean ± standard deviation over folds)"
    )
    pooled = f"AUC of all patients {metrics['auc_pooled']:.3f}, "
    if metrics["auc_interval"] is None:
        lines.append(f"{pooled}no interval: {metrics['auc_interval_note']}")
    else:
        low, high = metrics["auc_interval"]
        percent = f"{100 * metrics['confidence']:g} %"
        lines.append(f"{pooled}{percent} interval {low:.3f} to {high:.3f} (bootstrap by patient)")
    if metrics.get("depth_r2") is not None:
        lines.append(f"depth: R² {metrics['depth_r2']:.3f} ± {metrics['depth_r2_std']:.3f}")
    return "\n".join(lines)


def _depth(features: SliceFeatures, result: ProbeResult, seed: int) -> dict[str, Any]:
    """R² on the classification's folds; None, with the reason, where depths are not known or do not differ."""
    inside = features.select(features.label != UNKNOWN)
    try:
        depth = probe_depth(inside, folds=result.folds, seed=seed)
    except UserError as error:
        return {"depth_r2": None, "depth_r2_std": None, "depth_note": str(error)}
    return {"depth_r2": depth.mean, "depth_r2_std": depth.std, "depth_r2_folds": list(depth.r2)}


def _integer(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
