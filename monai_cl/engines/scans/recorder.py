"""The record of a classifier of whole scans: that of a classifier, with findings and slices."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine

from monai_cl.engines.classification.recorder import ClassifierRecorder
from monai_cl.engines.scans.scores import ScanScores


class ScanRecorder(ClassifierRecorder):
    """`ClassifierRecorder` whose metrics also have ``types`` and ``slices``, see `ScanScores`.

    Args:
        **options: of `ClassifierRecorder`; ``metric`` is a `ScanScores`.
    """

    metric: ScanScores

    def _validation_end(self, evaluator: Engine, trainer: Engine) -> None:
        super()._validation_end(evaluator, trainer)
        more = self.metric.more_metrics(seed=self.seed, intervals=False)
        self.metrics = {**(self.metrics or {}), **more}
        iteration = trainer.state.iteration
        for name, scores in more.get("types", {}).items():
            if scores["auc"] is not None:
                self.add(f"auc/{name}", iteration, scores["auc"])
        if more.get("slices"):
            self.add("slice_auc", iteration, more["slices"]["auc"])

    def results(self, engine: Engine) -> dict[str, Any]:
        """The content of ``results.json``, with the intervals of the last validation."""
        if self.metric.scans:  # none where a finished run is started again
            self.metrics = {**(self.metrics or {}), **self.metric.more_metrics(seed=self.seed)}
        return super().results(engine)
