"""The curves of a training as a run of Weights & Biases, offline unless told otherwise: ``--tracking wandb.yaml``."""

from __future__ import annotations

import hashlib
import importlib
import os
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from monai_cl.engines.handlers.attaching import Turn, on_exception, take_turn
from monai_cl.engines.handlers.recorder import RunRecorder
from monai_cl.errors import UserError


class WandbRun:
    """Handler: logs each point of the recorder's curves when it is there, and at the end the scores.

    Nothing more is read from the device than for ``results.json``. A resumed run gets the same id, so that
    ``wandb sync`` joins its parts. Neither code, console, a description of the machine nor patients go into the run.

    Args:
        recorder: of the training; its curves, config and scores.
        project: of Weights & Biases.
        mode: ``offline`` writes into ``output_dir/wandb``, for ``wandb sync``; ``online`` needs an account.

    Raises:
        UserError: another mode, or the package wandb is absent.
    """

    def __init__(self, *, recorder: RunRecorder, project: str, mode: str = "offline") -> None:
        if mode not in ("offline", "online"):
            raise UserError("wandb: mode", expected="offline or online", found=repr(mode))
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            self._wandb: Any = importlib.import_module("wandb")
        except ImportError:
            raise UserError(
                "--tracking", expected="the package wandb", found="none", remedy='pip install "monai-cl[wandb]"'
            ) from None
        self.recorder, self.project, self.mode = recorder, str(project), mode
        self._run: Any = None
        self._logged: dict[str, int] = {}

    def attach(self, engine: Engine) -> None:
        """Register on a trainer, as its last handler."""
        take_turn(engine, self, Turn.OUTPUT)
        if self.recorder.is_writer:
            engine.add_event_handler(Events.STARTED, self._start)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._log)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._log)
            engine.add_event_handler(Events.COMPLETED, self._finish)
            on_exception(engine, lambda engine, error: self._close(1))

    def _start(self, engine: Engine) -> None:
        folder: Path = self.recorder.output_dir.resolve()
        quiet = {"console": "off", "silent": True, "save_code": False, "disable_code": True, "disable_git": True}
        self._run = self._wandb.init(
            project=self.project,
            name=self.recorder.name,
            id=hashlib.sha256(str(folder).encode()).hexdigest()[:16],
            dir=str(folder),
            mode=self.mode,
            config=self.recorder.results(engine)["config"],
            settings=self._wandb.Settings(**quiet, x_disable_stats=True, x_disable_meta=True),
            **({"resume": "allow"} if self.mode == "online" else {}),
        )
        self._run.define_metric("iteration")
        self._run.define_metric("*", step_metric="iteration")
        # a resumed run has logged them
        self._logged = {name: len(points) for name, points in self.recorder.curves.items()}

    def _log(self, engine: Engine) -> None:
        rows: dict[int, dict[str, float]] = {}
        for name, points in self.recorder.curves.items():
            for iteration, value in points[self._logged.get(name, 0) :]:
                rows.setdefault(int(iteration), {})[name] = value
            self._logged[name] = len(points)
        for iteration, row in sorted(rows.items()):
            self._run.log({"iteration": iteration, **row})

    def _finish(self, engine: Engine) -> None:
        self._log(engine)
        metrics = self.recorder.metrics or {}
        self._run.summary.update({name: value for name, value in metrics.items() if isinstance(value, (int, float))})
        self._close(0)

    def _close(self, status: int) -> None:
        if self._run is not None:
            self._run.finish(exit_code=status)
            self._run = None
