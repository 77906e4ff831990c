"""The record of a classifier's training or evaluation: AUC curve, and patients' probabilities at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ignite.engine import Engine

from monai_cl.data.records.convergence import epochs_to
from monai_cl.engines.classification.patient_auc import PatientAUC, patient_metrics
from monai_cl.engines.handlers.recorder import RunRecorder
from monai_cl.engines.prepared_lists import fold_of
from monai_cl.engines.probe.run import DESCRIPTION, patients_csv
from monai_cl.files import write_atomically


class ClassifierRecorder(RunRecorder):
    """`RunRecorder` of kind classification; beside ``results.json`` it writes ``patients.csv`` and the ROC curve.

    A training's record has ``epochs_to_98``: the first validation, from 1, with 98 % of the best AUC of all of them.

    Args:
        metric: the evaluator's key metric.
        about: ``method``, ``cohort``, ``backbone``, ``sigma``, ``temperature`` for tables, see `encoder_origin`.
        fold: the fold that is evaluated; None: all patients.
        draw_roc: `monai_cl.report.roc_figure`; handed in, so that engines do not depend on the report.
        options: of `RunRecorder`.
    """

    def __init__(
        self,
        *,
        metric: PatientAUC,
        about: Mapping[str, Any],
        fold: int | None = None,
        draw_roc: Callable[..., bytes] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(kind="classification", **options)
        self.metric, self.about, self.fold, self.draw_roc = metric, dict(about), fold_of(fold), draw_roc

    def _validation_start(self, evaluator: Engine) -> None:
        pass

    def _validation_iteration(self, evaluator: Engine) -> None:
        pass

    def _validation_end(self, evaluator: Engine, trainer: Engine) -> None:
        self.metrics = patient_metrics(self.metric.predictions, fold=self.fold, seed=self.seed)
        iteration = trainer.state.iteration
        for name in ("auc", "balanced_accuracy"):
            self.add(name, iteration, self.metrics[name])
        if self.best is None or self.metrics["auc"] > self.best["auc"]:
            self.best = {"iteration": iteration, "auc": self.metrics["auc"]}

    def results(self, engine: Engine) -> dict[str, Any]:
        """The content of ``results.json``; its companions are written first."""
        metrics = self.metrics
        assert metrics is not None  # an evaluation or a validation has come before
        write_atomically(self.output_dir / "patients.csv", patients_csv(metrics, self.data_list).encode("utf-8"))
        if self.draw_roc is not None:
            rows = metrics["per_patient"]
            columns = (np.array([row[key] for row in rows]) for key in ("label", "probability"))
            write_atomically(self.output_dir / "roc.png", self.draw_roc({str(self.about["method"]): tuple(columns)}))
            self.overlays = ["roc.png"]
        record = {**super().results(engine), **{key: self.about.get(key) for key in (*DESCRIPTION, "cohort")}}
        if points := record["curves"].get("auc"):  # of a training; an evaluation has no curves
            record["epochs_to_98"] = epochs_to([value for _, value in points])
        return record
