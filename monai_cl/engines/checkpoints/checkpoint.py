"""Checkpoints a run can continue from: complete, written atomically, the newest and the best kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from monai_cl.data import PositionSampler
from monai_cl.engines.checkpoints.checkpoint_file import (
    check_writable,
    checkpoint_name,
    checkpoints_in,
    read_checkpoint,
    remove_left_overs,
    save_atomically,
    set_aside,
)
from monai_cl.engines.checkpoints.named_resume import MODEL, bring_best_model, require_no_other_run
from monai_cl.engines.checkpoints.run_lock import RunLock
from monai_cl.engines.checkpoints.termination import Preempted, Termination, log_no_stop_as_error
from monai_cl.engines.distributed.agreement import check_equal_on_all_ranks
from monai_cl.engines.distributed.collectives import any_process, on_rank_zero, world_size
from monai_cl.engines.distributed.wrapping import unwrap_ddp
from monai_cl.engines.handlers.attaching import Stateful, Turn, kept_states, on_exception, take_turn
from monai_cl.engines.handlers.randomness import random_states, set_random_states
from monai_cl.engines.model_input import check_model
from monai_cl.engines.training_options import check_training_options
from monai_cl.engines.workflow_types import state_of
from monai_cl.errors import UserError
from monai_cl.networks import deployed_state
from monai_cl.processes import writes

logger = logging.getLogger(__name__)


class Checkpoints:
    """Handler: saves a run's state at the end of epochs, keeps the newest, and resumes from the newest good one.

    Files in ``output_dir``: ``checkpoint_iteration=N.pt`` (everything a resumed run needs), ``model.pt`` (the
    network's state dict alone: of the best validation if there is an ``evaluator``, otherwise of the end). Both carry
    the record of the model (`monai_cl.networks.read_about`) where a recorder is among what is saved.

    A checkpoint holds what ``save`` names, iteration and epoch, best metric and its epoch, AMP's scaler, buffers of the
    engine's loss function (a queue), the state of handlers (`keep_state`), and the states of the global random
    generators (rank 0's; what a step draws is addressed, see `AddressedRandomness`). A damaged one is reported, set
    aside as ``….pt.damaged``, and the one before it is used.

    On SIGTERM or Ctrl-C the run ends at the next iteration, of the training or of a validation, saves itself and exits
    with status `EXIT_SAVED`; an interrupted validation is run again on resuming. Several processes stop at the same
    step.

    Args:
        save: name -> network, optimiser, schedule, recorder, …; must hold ``network``.
        output_dir: folder of the run, created on start.
        resume: ``auto`` (the newest checkpoint in ``output_dir``, a fresh start without one), a file, or None to
            start afresh. Where checkpoints already exist, starting afresh is refused, so that none is lost, and so is
            continuing from a file of another folder or from one before the newest.
        evaluator: the validation engine whose best metric decides ``model.pt``.
        sampler: its ``start`` is moved to the resumed iteration, so that the samples continue where they stopped.
        interval: epochs between two checkpoints.
        keep: number of checkpoints kept, the newest; ``model.pt`` stays beside them.
        deployed: the network of ``model.pt``; by default that of ``save``. See `WeightAverage`.
        is_writer: whether this process writes; by default rank 0 does.
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
        deployed: nn.Module | None = None,
        is_writer: bool | None = None,
    ) -> None:
        if "network" not in save:
            raise ValueError(f"save must hold 'network', got {sorted(save)}")
        if interval < 1:
            raise ValueError(f"interval must be >= 1, got {interval}")
        check_training_options(keep_checkpoints=keep)
        self.save, self.output_dir, self.resume = dict(save), Path(output_dir), resume
        self.evaluator, self.sampler = evaluator, sampler
        self.interval, self.keep, self.is_writer = interval, keep, writes(is_writer)
        self.deployed = self.save["network"] if deployed is None else deployed
        self._best_saved: float | None = None
        self._lock, self._termination = RunLock(self.output_dir), Termination()
        self._read: dict[str, Any] | None = None
        self._whole = False  # between two iterations, when no step is in progress
        self._epoch_done = 0  # the last iteration after which the handlers of an epoch's end have run

    def attach(self, engine: Engine) -> None:
        """Register on start, iterations, epochs, completion and failure. Attach it after the validation handler."""
        take_turn(engine, self, Turn.SAVE)
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_STARTED, self._begin_iteration)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._end_iteration)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write_best)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)
        engine.add_event_handler(Events.COMPLETED, self.finish)
        on_exception(engine, self._fail)
        log_no_stop_as_error(engine)
        if self.evaluator is not None:
            log_no_stop_as_error(self.evaluator)
            self.evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._leave_validation)

    # -- start ---------------------------------------------------------------------------------------------------
    def start(self, engine: Engine) -> None:
        """Resume, or make sure that a fresh start overwrites nothing."""
        existing = checkpoints_in(self.output_dir)
        if self.resume in (None, "", "none", "None") and existing:
            raise UserError(
                existing[0],
                found=f"{self.output_dir} already holds a run",
                remedy="continue with --resume auto, or choose another --output_dir",
            )
        named = Path(self.resume) if self.resume and self.resume not in ("none", "None", "auto") else None
        content = None
        if named is not None:
            content = read_checkpoint(named)
            require_no_other_run(named, content["iteration"], self.output_dir)
        if self.is_writer:
            check_writable(self.output_dir)
            self._lock.acquire()
            remove_left_overs(self.output_dir)
        newest = on_rank_zero(self._newest) if self.resume == "auto" else None
        path = Path(newest) if newest is not None else named
        if content is None and path is not None and path.is_file():  # rank 0 has read it already
            content, self._read = self._read or read_checkpoint(path), None
        check_equal_on_all_ranks(
            {"iteration to continue from": content["iteration"] if content else 0},
            remedy="every machine must see the same checkpoints: put output_dir on a file system they share",
        )
        pending = content is not None and path is not None and self._restore(engine, content, path)
        self._whole = True
        self._termination.watch()
        if pending:
            engine.fire_event(Events.EPOCH_COMPLETED)

    def _newest(self) -> str | None:
        """The newest checkpoint that can be read; those that cannot are set aside."""
        existing = checkpoints_in(self.output_dir)
        damaged: list[Path] = []
        for path in existing:
            try:
                self._read = read_checkpoint(path)
            except UserError as error:
                logger.warning("%s: %s; trying the checkpoint before it", path, error.found)
                damaged.append(path)
                continue
            if self.is_writer:
                for other in damaged:
                    logger.warning("%s: set aside as %s", other, set_aside(other).name)
            return str(path)
        if existing:
            raise UserError(
                self.output_dir,
                found=f"none of its {len(existing)} checkpoints can be read",
                remedy="move them away to start afresh",
            )
        return None

    def _restore(self, engine: Engine, content: dict[str, Any], path: Path) -> bool:
        """Load a checkpoint; returns whether the validation of its epoch has still to be run."""
        iteration = content["iteration"]
        self._check_fits(engine, content, path)
        self._load_states(engine, content, path)
        engine.state.iteration, engine.state.epoch = iteration, content["epoch"]
        if self.sampler is not None:
            self.sampler.start = iteration
        samples, saved_samples = self._samples_a_step(), content.get("samples_a_step")
        if self.is_writer and None not in (samples, saved_samples) and samples != saved_samples:
            logger.warning(
                "%s: written by a run of %d samples per step (processes x batch_size), this one takes %d: it "
                "continues with other samples than that one would have",
                path,
                saved_samples,
                samples,
            )
        if self.evaluator is not None and content.get("best_metric") is not None:
            self._restore_best(self.evaluator, content, path)
        pending = bool(content.get("pending"))
        self._epoch_done = 0 if pending else iteration
        logger.info("resumed %s at iteration %d", path, iteration)
        return pending

    def _check_fits(self, engine: Engine, content: dict[str, Any], path: Path) -> None:
        """Raise UserError for a checkpoint of other epochs or another model than this run's."""
        iteration, epoch, saved_length = content["iteration"], content["epoch"], content["epoch_length"]
        epoch_length = engine.state.epoch_length
        if epoch_length and saved_length != epoch_length:
            raise UserError(
                path,
                found=(
                    f"written after {iteration} iterations in {epoch} epochs of {saved_length}, which is not "
                    f"epoch_length={epoch_length}"
                ),
                remedy="resume with the epoch_length it was started with",
            )
        if own := self._about(engine):
            about = check_model(path, own, remedy="resume with the settings it was started with")
            for source in self.save.values():
                if about is not None and hasattr(source, "continue_record"):
                    source.continue_record(about)

    def _load_states(self, engine: Engine, content: dict[str, Any], path: Path) -> None:
        """Load what has a state, the scaler, the handlers' counts and the random generators."""
        for name, target in self._sources(engine).items():
            if name not in content:
                raise UserError(
                    path,
                    found=f"has no {name!r}, it was written by another kind of run",
                    remedy="resume a checkpoint of this bundle, or choose another --output_dir to start afresh",
                )
            try:
                unwrap_ddp(target).load_state_dict(_fitted(content[name], target))
            except (RuntimeError, ValueError, KeyError) as error:
                detail = " ".join(str(error).split())[:300]
                raise UserError(
                    path,
                    found=f"its {name} does not fit this run's {name}: {detail}",
                    remedy="resume with the settings it was started with, or start afresh in another --output_dir",
                ) from error
        scaler = getattr(engine, "scaler", None)
        if scaler is not None and content.get("scaler"):
            scaler.load_state_dict(content["scaler"])
        kept, saved = kept_states(engine), content.get("handlers", {})
        for name in kept.keys() & saved.keys():  # not in those written before they were kept
            kept[name].load_state_dict(saved[name])
        if self.is_writer and (left := sorted(saved.keys() - kept.keys())):
            logger.warning(
                "%s: its %s is not continued: this run is without it, unlike the one that wrote the file",
                path, ", ".join(left),
            )  # fmt: skip
        if content.get("random"):
            set_random_states(content["random"])

    def _restore_best(self, evaluator: Engine, content: dict[str, Any], path: Path) -> None:
        """The best metric so far is worth keeping only with its model."""
        evaluation = state_of(evaluator)
        best, epoch = content["best_metric"], content["best_metric_epoch"]
        if bring_best_model(path, content["iteration"], self.output_dir, write=self.is_writer):
            evaluation.best_metric, evaluation.best_metric_epoch = best, epoch
            self._best_saved = best
            return
        logger.warning(
            "%s: the best model so far (%s, of epoch %s) is not beside it; the best is chosen among the remaining "
            "epochs",
            path, best, epoch,
        )  # fmt: skip
        evaluation.best_metric = evaluation.best_metric_epoch = -1
        for source in self.save.values():
            if hasattr(source, "forget_best"):  # the recorder
                source.forget_best()

    # -- what is saved -------------------------------------------------------------------------------------------
    def _sources(self, engine: Engine) -> dict[str, Stateful]:
        """By name, everything that has a state; the loss function where it keeps something between steps."""
        loss = getattr(engine, "loss_function", None)
        if isinstance(loss, nn.Module) and "loss" not in self.save and len(loss.state_dict()) > 0:
            return {**self.save, "loss": loss}
        return dict(self.save)

    def _samples_a_step(self) -> int | None:
        """Of all processes together."""
        return None if self.sampler is None else self.sampler.batch_size * self.sampler.world_size

    def _best(self) -> tuple[float | None, int | None]:
        """The best metric so far and its epoch; None where nothing has been validated."""
        evaluation = None if self.evaluator is None else state_of(self.evaluator)
        if evaluation is None or evaluation.best_metric_epoch == -1:
            return None, None
        return float(evaluation.best_metric), int(evaluation.best_metric_epoch)

    def write_best(self, engine: Engine) -> None:
        """Write ``model.pt`` if this epoch's validation is the best so far."""
        best, _ = self._best()
        if self.is_writer and best is not None and best != self._best_saved:
            self._write_model(engine)
            self._best_saved = best

    def _write_model(self, engine: Engine) -> None:
        state = deployed_state(unwrap_ddp(self.deployed))
        save_atomically(state, self.output_dir / MODEL, self._about(engine))

    def _about(self, engine: Engine) -> dict[str, Any] | None:
        """The record of the model at this iteration, where the run has a recorder that makes one."""
        for source in self.save.values():
            if hasattr(source, "model_record"):
                return source.model_record(engine.state.iteration)
        return None

    def write(self, engine: Engine) -> None:
        """Write the checkpoint of this iteration, then remove the oldest."""
        if not self.is_writer:
            return
        iteration, epoch_length = engine.state.iteration, state_of(engine).epoch_length
        best, best_epoch = self._best()
        scaler = getattr(engine, "scaler", None)
        content = {
            "iteration": iteration,
            "epoch": iteration // epoch_length,
            "epoch_length": epoch_length,
            "samples_a_step": self._samples_a_step(),
            "pending": iteration % epoch_length == 0 and self._epoch_done != iteration,
            "best_metric": best,
            "best_metric_epoch": best_epoch,
            "scaler": scaler.state_dict() if scaler is not None else None,
            "handlers": {name: counter.state_dict() for name, counter in kept_states(engine).items()},
            "random": random_states(),
            **{name: unwrap_ddp(source).state_dict() for name, source in self._sources(engine).items()},
        }
        save_atomically(content, self.output_dir / checkpoint_name(iteration), self._about(engine))
        for old in checkpoints_in(self.output_dir)[self.keep :]:
            old.unlink()

    # -- while it runs -------------------------------------------------------------------------------------------
    def _begin_iteration(self, engine: Engine) -> None:
        self._whole = False

    def _end_iteration(self, engine: Engine) -> None:
        self._whole = True
        at_epoch_end = engine.state.iteration % state_of(engine).epoch_length == 0
        if at_epoch_end and world_size() > 1 and self.evaluator is not None:
            # a process that waits in the validation for one that SIGTERM stopped may not reach the saving
            self.write(engine)
        if any_process(self._termination.requested, getattr(engine.state, "device", None)) and not at_epoch_end:
            self._termination.requested = True
            raise Preempted

    def _end_epoch(self, engine: Engine) -> None:
        self._epoch_done = engine.state.iteration
        if engine.state.epoch % self.interval == 0:
            self.write(engine)
        over = engine.state.epoch >= (engine.state.max_epochs or 0)
        if any_process(self._termination.requested, getattr(engine.state, "device", None)) and not over:
            self._termination.requested = True
            raise Preempted

    def _leave_validation(self, evaluator: Engine) -> None:
        # not agreed on: processes validate different numbers of cases. Slurm and torchrun signal all of them
        if self._termination.requested:
            raise Preempted

    def _fail(self, engine: Engine, error: BaseException) -> None:
        """Save on SIGTERM or Ctrl-C, whatever else it made fail, and release the lock and the signal handler."""
        preempted = self._termination.requested and self._whole and engine.state.iteration > 0
        try:
            if preempted:
                if self._newest_name() != checkpoint_name(engine.state.iteration):
                    self.write(engine)
                if self._newest_name() == checkpoint_name(engine.state.iteration):  # rank 0 may still be doing it
                    logger.warning(
                        "%s: saved at iteration %d; the same command with --resume auto continues from there",
                        self._termination.reason,
                        engine.state.iteration,
                    )
        finally:
            self._termination.release()
            self._termination.requested = False
            self._lock.release()
        if preempted and not isinstance(error, Preempted):
            raise Preempted from error

    def finish(self, engine: Engine) -> None:
        """At the end: ``model.pt`` where no validation chose one, and a checkpoint if the interval left it out."""
        if self.is_writer:
            if self._newest_name() != checkpoint_name(engine.state.iteration):
                self.write(engine)
            if self._best_saved is None:
                self._write_model(engine)
        self._termination.release()
        self._lock.release()

    def _newest_name(self) -> str | None:
        newest = next(iter(checkpoints_in(self.output_dir)), None)
        return None if newest is None else newest.name


def _fitted(state: Any, target: Stateful) -> Any:
    """What was saved, but with this run's choice of an optimiser's kernels: a CPU does not have a GPU's fused one."""
    if not isinstance(target, torch.optim.Optimizer):
        return state
    groups = [
        {**saved, **{key: group[key] for key in ("fused", "foreach") if key in group}}
        for saved, group in zip(state["param_groups"], target.param_groups)
    ]
    return {**state, "param_groups": groups + state["param_groups"][len(groups) :]}
