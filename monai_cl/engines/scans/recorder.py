"""The record of a classifier of whole scans: that of a classifier, with findings and slices."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine

from monai_cl.engines.classification.recorder import ClassifierRecorder
from monai_cl.engines.scans.robustness import ScanRobustness
from monai_cl.engines.scans.scores import ScanScores
from monai_cl.files import write_atomically


class ScanRecorder(ClassifierRecorder):
    """`ClassifierRecorder` whose metrics also have ``types`` and ``slices``, see `ScanScores`.

    Args:
        robustness: of an evaluation: adds ``robustness`` to the metrics, and a figure of that name.
        **options: of `ClassifierRecorder`; ``metric`` is a `ScanScores`.
    """

    metric: ScanScores

    def __init__(self, *, robustness: ScanRobustness | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.robustness = robustness

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
        measured = None if self.robustness is None else self.robustness.measure()
        if measured is not None:
            self.metrics = {**(self.metrics or {}), "robustness": measured[0]}
            write_atomically(self.output_dir / "robustness.png", measured[1])
        results = super().results(engine)
        return results if measured is None else {**results, "overlays": [*results["overlays"], "robustness.png"]}
