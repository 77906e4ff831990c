"""The record of a run: curves while it runs, ``results.json`` at its end."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from monai_cl.data.records.grade import recorded_grade
from monai_cl.data.records.model_record import model_record
from monai_cl.data.records.results import run_record, write_results
from monai_cl.engines.distributed.agreement import check_equal_on_all_ranks
from monai_cl.engines.distributed.collectives import gather, mean_over_processes
from monai_cl.engines.handlers.attaching import Turn, on_exception, take_turn
from monai_cl.engines.handlers.run_folder import describe_end, write_readme
from monai_cl.engines.handlers.unread import UnreadScalars, stack_scalars
from monai_cl.engines.launch.command_line import invocation
from monai_cl.engines.model_input import continued, settings_of
from monai_cl.engines.pretrained import Start, without_path
from monai_cl.engines.workflow_types import parts_of, state_of
from monai_cl.errors import UserError, echo
from monai_cl.networks import describe_network
from monai_cl.processes import writes

logger = logging.getLogger(__name__)


class Pictures(Protocol):
    """Something that writes pictures of a validation."""

    files: list[Path]


class RunRecorder:
    """Handler: collects scalar curves, mirrors them to TensorBoard, and writes ``results.json`` beside the checkpoints.

    Its curves are part of the checkpoint (`state_dict`), so a resumed run's record is complete.

    Args:
        kind: ``pretraining`` or ``segmentation``.
        bundle: name of the bundle.
        output_dir: the run's folder.
        seed: the run's seed.
        data_list: what the run was trained on: path, sha256, fold, label_fraction, training_cases.
        training_scans: of the model's record, see `monai_cl.engines.training_scans`; None: the ids in ``data_list``.
        model: of the model's record: ``network``, the network itself; ``preprocessing``, what its input is; ``preset``,
            how it is trained. None: no record is written into the files of weights.
        initialisation: ``scratch`` or the encoder file; None: that of ``start``.
        start: of `monai_cl.engines.start_from`: the pre-trained encoder is recorded, and the network that is trained
            must be the one that got it.
        encoder: the encoder of a model that is evaluated, see `monai_cl.engines.encoder_of`.
        optimizer: its learning rate is recorded.
        evaluator: validation engine, whose metric ``val_mean_dice`` and per-case details are recorded.
        pictures: the evaluator's `OverlayPictures`, whose files are recorded.
        organs: names of the foreground classes in the order of the metric's columns.
        name: the run's name in tables; None: that of the output folder.
        interval: iterations between two points of the training curves; a point is the mean since the last one. Until
            then scalars stay on the device; they are read together, and where a checkpoint is written.
        tensorboard: whether to write TensorBoard events.
        is_writer: whether this process writes; by default rank 0 does.
    """

    def __init__(
        self,
        *,
        kind: str,
        bundle: str,
        output_dir: str | Path,
        seed: int,
        data_list: Mapping[str, Any],
        training_scans: Sequence[Mapping[str, Any]] | None = None,
        model: Mapping[str, Any] | None = None,
        initialisation: str | None = None,
        start: Start | None = None,
        encoder: Mapping[str, Any] | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        evaluator: Engine | None = None,
        pictures: Pictures | None = None,
        organs: Sequence[str] = (),
        name: str | None = None,
        interval: int = 10,
        tensorboard: bool = True,
        is_writer: bool | None = None,
    ) -> None:
        if interval < 1:
            raise ValueError(f"interval must be >= 1, got {interval}")
        self.kind, self.bundle, self.output_dir = kind, bundle, Path(output_dir)
        self.name = name or self.output_dir.resolve().name
        self.seed, self.data_list = int(seed), dict(data_list)
        self.start, self.encoder = start, encoder if start is None else start.encoder
        self.initialisation = initialisation or (start and start.file) or "scratch"
        self.training_scans, self.model = training_scans, model
        self._rate: float | None = None
        self.optimizer, self.evaluator, self.pictures, self.organs = optimizer, evaluator, pictures, list(organs)
        self.interval, self.is_writer = int(interval), writes(is_writer)
        self._use_tensorboard = tensorboard and self.is_writer
        self._trains = True
        self._writer: SummaryWriter | None = None
        self._iteration_now = 0
        self._resumed: int | None = None  # the iteration a resumed run continues from
        self._now: dict[str, list[float | Tensor]] = {}
        self._unread = UnreadScalars()
        self._sums: dict[str, list[float]] = {}
        self.curves: dict[str, list[list[float]]] = {}
        self.metrics: dict[str, Any] | None = None
        self.best: dict[str, Any] | None = None
        self.overlays: list[str] = []
        self._described = False
        self._before: Mapping[str, Any] = {}
        self._seconds_before = self._started = 0.0
        self._validating_since = self._validation_seconds = 0.0

    # -- state, for checkpoints ---------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """Plain numbers and strings only; what is still on the device is read."""
        self._unread.read()
        return {
            "curves": {name: [list(point) for point in points] for name, points in self.curves.items()},
            "sums": {name: list(values) for name, values in self._sums.items()},
            "rate": self._rate,
            "metrics": self.metrics,
            "best": self.best,
            "overlays": list(self.overlays),
            "iteration": self._iteration_now,
            "seed": self.seed,
            "data_list": self.data_list.get("sha256"),
            **({"target": self.data_list["target"]} if "target" in self.data_list else {}),
            "seconds": self._seconds_before + (time.monotonic() - self._started if self._started else 0.0),
            "validation_seconds": self._validation_seconds,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the record of an interrupted run; warns if the seed or data list differs.

        Raises:
            UserError: it learned another grade of the patients.
        """
        started, own = recorded_grade(state), recorded_grade(self.data_list)
        if started != own:
            raise UserError(
                self.output_dir,
                expected=f"the target that the run was started with, {started}",
                found=str(own),
                remedy="use another output_dir, or leave target_field and positive_from as they were",
            )
        for what, current in (("seed", self.seed), ("data_list", self.data_list.get("sha256"))):
            if self.is_writer and state.get(what) is not None and current is not None and state[what] != current:
                logger.warning(
                    "%s: resumed with another %s (%s, but it was started with %s): the rest will differ from the "
                    "uninterrupted run",
                    self.output_dir, what, current, state[what],
                )  # fmt: skip
        self._resumed = self._iteration_now = int(state.get("iteration", 0))
        self.curves = {name: [list(point) for point in points] for name, points in state["curves"].items()}
        self._sums = {name: list(values) for name, values in state.get("sums", {}).items()}
        self._rate = state.get("rate")
        self.metrics, self.best = state["metrics"], state["best"]
        self.overlays = list(state["overlays"])
        self._seconds_before = state["seconds"]
        self._validation_seconds = state.get("validation_seconds", 0.0)

    def continue_record(self, about: Mapping[str, Any]) -> None:
        """Keep what the weights have learned from so far, where the run goes on with another data list.

        Args:
            about: record of the checkpoint that is resumed.
        """
        self._before = about

    def forget_best(self) -> None:
        """For a run that continues without its best model: the best is chosen again."""
        self.best = None

    # -- record of the model, for its files ------------------------------------------------------------------------
    def model_record(self, iteration: int) -> dict[str, Any] | None:
        """What the files of weights carry, see `monai_cl.data.model_record`; None where ``model`` was not given.

        Args:
            iteration: steps behind the weights.
        """
        if self.model is None:
            return None
        record = model_record(
            kind=self.kind,
            bundle=self.bundle,
            method=self.model.get("preset"),
            network=describe_network(self.model["network"]),
            preprocessing=self.model.get("preprocessing"),
            organs=self.organs,
            data_list=self.data_list,
            scans=self.training_scans,
            iterations=iteration,
            seed=self.seed,
            encoder=without_path(self.encoder),
        )
        return continued(record, self._before) if self._before else record

    def _config(self, config: dict[str, Any]) -> dict[str, Any]:
        """The config with the values that were taken from a file of weights in place of the expressions for them."""
        record = self.model_record(0)
        settings = {} if record is None else settings_of(record)
        return {key: settings.get(key, value) if _is_expression(value) else value for key, value in config.items()}

    # -- events --------------------------------------------------------------------------------------------------
    def attach(self, engine: Engine) -> None:
        """Register on a trainer (and on the evaluator it was given), before the checkpoints."""
        take_turn(engine, self, Turn.RECORD)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_STARTED, self._note_rate)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration)
        engine.add_event_handler(Events.COMPLETED, self._finish)
        on_exception(engine, lambda engine, error: self.close())
        if self.evaluator is not None:
            self._follow(self.evaluator, engine)

    def attach_evaluation(self, evaluator: Engine) -> None:
        """Register on an evaluator that runs without a trainer."""
        self._started, self._use_tensorboard = time.monotonic(), False
        self._trains = False
        self._follow(evaluator, evaluator)

    def _follow(self, evaluator: Engine, trainer: Engine) -> None:
        evaluator.add_event_handler(Events.STARTED, self._start_clock)
        evaluator.add_event_handler(Events.STARTED, self._validation_start)
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._validation_iteration)
        evaluator.add_event_handler(Events.COMPLETED, self._validation_end, trainer)
        evaluator.add_event_handler(Events.COMPLETED, self._stop_clock)

    def _start_clock(self, evaluator: Engine) -> None:
        self._validating_since = time.monotonic()

    def _stop_clock(self, evaluator: Engine) -> None:
        self._validation_seconds += time.monotonic() - self._validating_since

    @property
    def writer(self) -> SummaryWriter | None:
        """TensorBoard's writer during the run (None on other ranks or when switched off)."""
        if self._writer is None and self._use_tensorboard and self._started:
            # a resumed run removes events of iterations that a killed run logged and that are now run again
            again = None if self._resumed is None else self._resumed + 1
            self._writer = SummaryWriter(str(self.output_dir / "tensorboard"), purge_step=again)
        return self._writer

    def add(self, name: str, iteration: int, value: float | Tensor) -> None:
        """Add one point to a curve; a scalar on the device is read with the means of the next point."""
        if isinstance(value, Tensor):
            self._unread.append([partial(self.add, name, iteration)], stack_scalars([value], value.device))
            return
        self.curves.setdefault(name, []).append([int(iteration), float(value)])
        if self.writer is not None:
            self.writer.add_scalar(name, value, iteration)

    def add_to_mean(self, name: str, value: float | Tensor) -> None:
        """Add to the mean, over iterations and processes, that becomes the curve's next point.

        Every process adds the same names, as often as any other; what comes more than once in an iteration, as of the
        parts of a batch, counts by its mean. Values that are nan or infinite in any of them, as in a skipped step, do
        not count. Scalars stay on their device until the point is made.
        """
        self._now.setdefault(name, []).append(value.detach() if isinstance(value, Tensor) else float(value))

    def _start(self, engine: Engine) -> None:
        self._started = time.monotonic()
        if self.start is not None and getattr(engine, "network", None) is not None:
            self.start.require_trained(parts_of(engine).network)
        check_equal_on_all_ranks(
            {"content of the data list (sha256)": self.data_list.get("sha256")},
            remedy="give every machine the same data list",
        )

    def _iteration(self, engine: Engine) -> None:
        self._iteration_now = engine.state.iteration
        output = state_of(engine).output
        first = output[0] if isinstance(output, list) else output
        self.add_to_mean("loss", first["loss"])
        device = first["loss"].device
        means = [own[0] if len(own) == 1 else stack_scalars(own, device).mean() for own in self._now.values()]
        values = stack_scalars(means, device)
        self._unread.append([partial(self._add_finite, name) for name in self._now], mean_over_processes(values))
        self._now.clear()
        if engine.state.iteration % self.interval == 0:
            self._add_means(engine.state.iteration)
        if self.is_writer and not self._described:  # not at the start, which may still refuse the folder
            self._described = True
            write_readme(self.output_dir, kind=self.kind, bundle=self.bundle, name=self.name)

    def _add_finite(self, name: str, value: float) -> None:
        if math.isfinite(value):
            self._sums.setdefault(name, []).append(value)

    def _note_rate(self, engine: Engine) -> None:
        """The rate of the next step: when it is recorded, the schedule may have advanced."""
        if self.optimizer is not None:
            self._rate = float(self.optimizer.param_groups[-1]["lr"])

    def _add_means(self, iteration: int) -> None:
        self._unread.read()
        for name, values in self._sums.items():
            self.add(name, iteration, sum(values) / len(values))
        self._sums.clear()
        if self._rate is not None:
            self.add("learning_rate", iteration, self._rate)

    def _validation_start(self, evaluator: Engine) -> None:
        self._cases: list[dict[str, Any]] = []

    def _validation_iteration(self, evaluator: Engine) -> None:
        batch = state_of(evaluator).batch
        for item in batch if isinstance(batch, list) else [batch]:
            self._cases.append({"id": str(item["id"]), "patient": str(item["patient"])})

    def _validation_end(self, evaluator: Engine, trainer: Engine) -> None:
        # the metric's details are of all processes by now, in the order of their ranks
        self.metrics = dice_metrics(
            state_of(evaluator).metric_details["val_mean_dice"], gather(self._cases), self.organs
        )
        iteration = trainer.state.iteration
        if self.metrics["mean_dice"] is not None:
            self.add("mean_dice", iteration, self.metrics["mean_dice"])
            for organ, value in self.metrics["dice"].items():
                if value is not None:
                    self.add(f"dice/{organ}", iteration, value)
            if self.best is None or self.metrics["mean_dice"] > self.best["mean_dice"]:
                self.best = {"iteration": iteration, "mean_dice": self.metrics["mean_dice"]}
        for file in self.pictures.files if self.pictures is not None else []:
            name = file.relative_to(self.output_dir).as_posix()
            if name not in self.overlays:
                self.overlays.append(name)
            if self.writer is not None:
                with Image.open(file) as picture:
                    self.writer.add_image(name, np.asarray(picture.convert("RGB")), iteration, dataformats="HWC")

    def _finish(self, engine: Engine) -> None:
        self._unread.read()
        if self._sums:  # iterations since the last point
            self._add_means(engine.state.iteration)
        if self.is_writer:
            results = self.results(engine)
            write_results(self.output_dir / "results.json", results)
            echo(describe_end(self.output_dir, results, validation_seconds=self._validation_seconds))
        self.close()

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def results(self, engine: Engine) -> dict[str, Any]:
        """The content of ``results.json``."""
        call = invocation()
        record = run_record(
            kind=self.kind,
            bundle=self.bundle,
            name=self.name,
            seed=self.seed,
            device=state_of(engine).device,
            data_list=self.data_list,
            initialisation=self.initialisation,
            encoder=self.encoder,
            config=self._config(call.merged_config() if call else {}),
            curves=self.curves if self._trains else {},
            metrics=self.metrics,
            overlays=self.overlays,
            wall_seconds=self.state_dict()["seconds"],
        )
        if self._trains:
            record.update(iterations=engine.state.iteration, best=self.best)
        return record


def _is_expression(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("$monai_cl.engines.from_model")


def dice_metrics(details: torch.Tensor, cases: Sequence[Mapping[str, str]], organs: Sequence[str]) -> dict[str, Any]:
    """Per-case, per-organ and mean Dice from a metric's details.

    Args:
        details: (cases, organs) Dice; nan where the organ is absent from the truth.
        cases: id and patient of each row; of a repeated case the first row counts.
        organs: name of each column.

    Returns:
        ``mean_dice`` as MONAI's `DiceMetric` reduces it: the mean over cases of the mean over the organs a case has;
        ``dice`` per organ over the cases that have it (None where none has); ``per_case``.
    """
    table = details.reshape(len(cases), -1).tolist()
    if table and len(table[0]) != len(organs):
        raise ValueError(f"expected a column for each of {list(organs)}, got {len(table[0])} columns")
    # with fewer cases than processes each measures all
    first = {case["id"]: number for number, case in reversed(list(enumerate(cases)))}
    kept = [number for number, case in enumerate(cases) if first[case["id"]] == number]
    cases, table = [cases[number] for number in kept], [table[number] for number in kept]
    per_case: list[dict[str, Any]] = [
        {**case, "dice": {o: None if math.isnan(v) else v for o, v in zip(organs, row)}}
        for case, row in zip(cases, table)
    ]
    dice: dict[str, float | None] = {}
    for organ in organs:
        values = [case["dice"][organ] for case in per_case if case["dice"][organ] is not None]
        dice[organ] = sum(values) / len(values) if values else None
    means = [sum(scores) / len(scores) for scores in ([v for v in row if not math.isnan(v)] for row in table) if scores]
    return {"mean_dice": sum(means) / len(means) if means else None, "dice": dice, "per_case": per_case}
