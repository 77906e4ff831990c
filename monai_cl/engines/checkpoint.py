"""Checkpoints a run can go on from: complete, written atomically, the last two and the best kept."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from ignite.engine import Engine, Events
from torch import nn

from monai_cl.data import PositionSampler
from monai_cl.engines.agreement import require_same
from monai_cl.errors import UserError

logger = logging.getLogger(__name__)
_NAME = re.compile(r"checkpoint_iteration=(\d+)\.pt$")


class Stateful(Protocol):
    """Anything with PyTorch's state protocol."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


def save_atomically(content: Mapping[str, Any], path: Path) -> None:
    """``torch.save`` through a temporary file, fsync and rename: a kill leaves the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            torch.save(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoint files of a folder, newest iteration first."""
    found = [
        (int(match[1]), path) for path in folder.glob("checkpoint_iteration=*.pt") if (match := _NAME.search(path.name))
    ]
    return [path for _, path in sorted(found, reverse=True)]


class Checkpoints:
    """Handler: saves a run's state at the end of epochs, keeps two and the best, and resumes from the newest good one.

    Files in ``output_dir``: ``checkpoint_iteration=N.pt`` (everything a resumed run needs), ``model.pt`` (the
    network's state dict alone: of the best validation if there is an ``evaluator``, otherwise of the end).

    Args:
        save: name -> network, optimiser, schedule, recorder, …; must hold ``network``.
        output_dir: folder of the run, made on start.
        resume: ``auto`` (the newest checkpoint in ``output_dir``, a fresh start without one), a file, or None to
            start afresh; starting afresh where checkpoints already lie is refused, so that none is lost.
        evaluator: the validation engine whose best metric decides ``model.pt``.
        sampler: its ``start`` is moved to the resumed iteration, so that the samples go on where they stopped.
        interval: epochs between two checkpoints.
        keep: number of checkpoints kept.
        is_writer: whether this process writes (rank 0).
    """

    def __init__(
        self,
        *,
        save: Mapping[str, Stateful],
        output_dir: str | Path,
        resume: str | None = "auto",
        evaluator: Engine | None = None,
        sampler: PositionSampler | None = None,
        interval: int = 1,
        keep: int = 2,
        is_writer: bool = True,
    ) -> None:
        if "network" not in save:
            raise ValueError(f"save must hold 'network', got {sorted(save)}")
        if interval < 1 or keep < 1:
            raise ValueError(f"interval and keep must be >= 1, got {interval} and {keep}")
        self.save, self.output_dir, self.resume = dict(save), Path(output_dir), resume
        self.evaluator, self.sampler = evaluator, sampler
        self.interval, self.keep, self.is_writer = interval, keep, is_writer
        self._best_saved: float | None = None

    def attach(self, engine: Engine) -> None:
        """Register on start, on the end of epochs and on completion. Attach it after the validation handler."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write_best)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.write)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def start(self, engine: Engine) -> None:
        """Resume, or make sure that a fresh start overwrites nothing."""
        existing = checkpoints_in(self.output_dir)
        if self.resume in (None, "", "none", "None"):
            if existing:
                raise UserError(
                    f"{existing[0]}: a run lies in {self.output_dir} already; "
                    "go on with --resume auto, or choose another --output_dir"
                )
        elif self.resume == "auto":
            self._resume_newest(engine, existing)
        else:
            self._restore(engine, self._read(Path(self.resume)), Path(self.resume))
        require_same(
            {"iteration to go on from": engine.state.iteration},
            remedy="every machine must see the same checkpoints: put output_dir on a file system they share",
        )
        if self.is_writer:
            try:
                self.output_dir.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"{self.output_dir}: cannot be made ({error}); choose another --output_dir") from error

    def _resume_newest(self, engine: Engine, existing: list[Path]) -> None:
        for path in existing:
            try:
                content = self._read(path)
            except UserError as error:
                logger.warning("%s; trying the checkpoint before it", error)
                continue
            self._restore(engine, content, path)
            return
        if existing:
            raise UserError(f"{self.output_dir}: none of its {len(existing)} checkpoints can be read; move them away")

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        if not path.is_file():
            raise UserError(f"{path}: no such checkpoint to resume from")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(f"{path}: damaged, or no checkpoint of a run ({reason})") from error
        if not isinstance(content, dict) or not {"network", "iteration", "epoch"} <= content.keys():
            raise UserError(
                f"{path}: expected a run's checkpoint with network, iteration and epoch; found another file"
            )
        return content

    def _restore(self, engine: Engine, content: dict[str, Any], path: Path) -> None:
        epoch_length = engine.state.epoch_length
        if epoch_length and content["iteration"] != content["epoch"] * epoch_length:
            raise UserError(
                f"{path}: written after {content['iteration']} iterations in {content['epoch']} epochs, which is not "
                f"epoch_length={epoch_length}; resume with the epoch_length it was started with"
            )
        for name, target in self.save.items():
            if name not in content:
                raise UserError(f"{path}: holds no {name!r}; it was written by another kind of run")
            try:
                _bare(target).load_state_dict(content[name])
            except (RuntimeError, ValueError, KeyError) as error:
                detail = " ".join(str(error).split())[:300]
                raise UserError(f"{path}: its {name} does not fit this run's {name}: {detail}") from error
        scaler = getattr(engine, "scaler", None)
        if scaler is not None and content.get("scaler"):
            scaler.load_state_dict(content["scaler"])
        engine.state.iteration, engine.state.epoch = content["iteration"], content["epoch"]
        if self.sampler is not None:
            self.sampler.start = content["iteration"]
        if self.evaluator is not None and content.get("best_metric") is not None:
            self.evaluator.state.best_metric = self._best_saved = content["best_metric"]
            self.evaluator.state.best_metric_epoch = content["best_metric_epoch"]
        logger.info("resumed %s at iteration %d", path, content["iteration"])

    def _best(self) -> tuple[float | None, int | None]:
        """The best metric so far and its epoch; None where nothing has been validated."""
        if self.evaluator is None or self.evaluator.state.best_metric_epoch == -1:
            return None, None
        return float(self.evaluator.state.best_metric), int(self.evaluator.state.best_metric_epoch)

    def write_best(self, engine: Engine) -> None:
        """Write ``model.pt`` if this epoch's validation is the best so far."""
        best, _ = self._best()
        if self.is_writer and best is not None and best != self._best_saved:
            save_atomically(_bare(self.save["network"]).state_dict(), self.output_dir / "model.pt")
            self._best_saved = best

    def write(self, engine: Engine) -> None:
        """Write the checkpoint of this epoch, then remove the oldest."""
        if not self.is_writer:
            return
        best, best_epoch = self._best()
        scaler = getattr(engine, "scaler", None)
        content = {
            "iteration": engine.state.iteration,
            "epoch": engine.state.epoch,
            "best_metric": best,
            "best_metric_epoch": best_epoch,
            "scaler": scaler.state_dict() if scaler is not None else None,
            **{name: _bare(source).state_dict() for name, source in self.save.items()},
        }
        path = self.output_dir / f"checkpoint_iteration={engine.state.iteration}.pt"
        save_atomically(content, path)
        for old in checkpoints_in(self.output_dir)[self.keep :]:
            old.unlink()

    def finish(self, engine: Engine) -> None:
        """At the end: ``model.pt`` where no validation chose one, and a checkpoint if the interval left it out."""
        if not self.is_writer:
            return
        newest = next(iter(checkpoints_in(self.output_dir)), None)
        if newest is None or newest.name != f"checkpoint_iteration={engine.state.iteration}.pt":
            self.write(engine)
        if self._best_saved is None:
            save_atomically(_bare(self.save["network"]).state_dict(), self.output_dir / "model.pt")


def _bare(target: Stateful) -> Stateful:
    return target.module if isinstance(target, nn.parallel.DistributedDataParallel) else target
