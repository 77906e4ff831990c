"""The record of a classifier's training: how soon its AUC is near its best."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events

from monai_cl.data import read_results, write_results
from monai_cl.engines import ClassifierRecorder, PatientAUC, ScanRecorder, ScanScores
from monai_cl.errors import UserError

AUCS = [0.5, 0.97, 0.98, 1.0, 0.6]


class Training:
    """A training whose validations find the AUC that they are told, over a hundred patients of class 1 and one of 0."""

    def __init__(self, folder: Path, recorder: type[ClassifierRecorder], metric: PatientAUC) -> None:
        self.validation = Engine(lambda engine, batch: None)
        self.metric = metric
        options = {"bundle": "b", "output_dir": folder, "seed": 0, "data_list": {"path": "l.json"}}
        about = {"method": "scratch", "cohort": "c"}
        self.recorder = recorder(metric=metric, about=about, evaluator=self.validation, tensorboard=False, **options)

    def run(self, aucs: list[float], *, before: int = 0) -> None:
        """Epochs of one step and one validation each, after those of an earlier sitting."""
        engine = Engine(lambda engine, batch: {"loss": torch.zeros(())})
        engine.state.device = torch.device("cpu")

        @engine.on(Events.STARTED)
        def resume(engine: Engine) -> None:
            engine.state.iteration, engine.state.epoch = before, before

        self.recorder.attach(engine)
        # ahead of the recorder's own, as a metric is
        found = iter(aucs)

        @self.validation.on(Events.ITERATION_COMPLETED)
        def measure() -> None:
            right = round(100 * next(found))
            self.metric.predictions = [{"patient": "n", "label": 0, "probability": 0.5, "n_slices": 1}] + [
                {"patient": f"p{n}", "label": 1, "probability": 0.9 if n < right else 0.1, "n_slices": 1}
                for n in range(100)
            ]

        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: self.validation.run([0]))
        engine.run([0], max_epochs=before + len(aucs), epoch_length=1)


KINDS = pytest.mark.parametrize(("recorder", "metric"), [(ClassifierRecorder, PatientAUC), (ScanRecorder, ScanScores)])


@KINDS
def test_a_training_says_which_validation_first_had_98_percent_of_the_best(tmp_path, recorder, metric):
    Training(tmp_path, recorder, metric()).run(AUCS)
    results = read_results(tmp_path)
    assert [value for _, value in results["curves"]["auc"]] == pytest.approx(AUCS)
    assert results["epochs_to_98"] == 3


@KINDS
@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_a_resumed_run_says_the_same(tmp_path, recorder, metric, cut):
    first = Training(tmp_path / "first", recorder, metric())
    first.run(AUCS[:cut])
    second = Training(tmp_path / "second", recorder, metric())
    second.recorder.load_state_dict(first.recorder.state_dict())
    second.run(AUCS[cut:], before=cut)
    assert read_results(tmp_path / "second")["epochs_to_98"] == 3
    assert read_results(tmp_path / "first")["epochs_to_98"] == [1, 2, 2, 3][cut - 1]  # of what it has seen


def test_an_evaluation_has_no_epochs(tmp_path):
    evaluation = Training(tmp_path, ClassifierRecorder, PatientAUC())
    evaluation.run([0.75])
    evaluation.recorder.attach_evaluation(evaluation.validation)
    evaluation.validation.state.device = torch.device("cpu")
    assert "epochs_to_98" not in evaluation.recorder.results(evaluation.validation)


@pytest.mark.parametrize(("value", "allowed"), [(1, True), (None, True), (0, False), (2.5, False), ("3", False)])
def test_the_number_of_a_validation_is_checked_where_results_are_written(tmp_path, value, allowed):
    Training(tmp_path, ClassifierRecorder, PatientAUC()).run([0.75])
    results = {**read_results(tmp_path), "epochs_to_98": value}
    if allowed:
        write_results(tmp_path, results)
        return
    with pytest.raises(UserError, match=r"epochs_to_98: expected the number of a validation, from 1, or null"):
        write_results(tmp_path, results)
