"""Protects the weights from a bad sample: a check of loss and gradients before every step."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from torch import Tensor, nn

from monai_cl.engines.distributed.collectives import gather, largest_of_processes
from monai_cl.engines.handlers.attaching import Turn, keep_state, take_turn
from monai_cl.engines.handlers.recorder import RunRecorder
from monai_cl.engines.handlers.unread import stack_scalars
from monai_cl.engines.training_options import check_training_options
from monai_cl.engines.workflow_types import parts_of, state_of
from monai_cl.errors import UserError
from monai_cl.processes import writes

logger = logging.getLogger(__name__)
FILE = "non_finite.jsonl"
_MOST = 10  # consecutive skipped steps after which a single sample is no longer the likely cause
_TOLD = ("id", "id1", "id2", "patient", "slice", "dataset", "position")


class StepGuard:
    """Handler: a loss or a gradient that is nan or infinite never reaches the weights; gradients may be clipped.

    Between backward and the optimiser's step it looks at the loss and at the norm of all gradients that the step takes,
    without those that `AfterStep` drops. If either is not finite, in any process, the samples of the iteration (of all
    processes) are appended to ``non_finite.jsonl`` in ``output_dir``, with the names of the parameters concerned. Then
    the run stops, or skips this step: weights, optimiser and the network's buffers (running statistics) stay as they
    were before the iteration. After ten consecutive skipped steps the run stops in any case; a resumed run continues
    the count.

    This is the one read of a step that waits for the device: loss and norm together, before the optimiser's step.

    ``engine.state.step_skipped`` says whether the step of this iteration was skipped: a momentum target does not move
    then (`AfterStep`). The learning-rate schedule advances, since it counts the iterations of the run.

    With float16 and AMP's loss scaling a gradient that overflows while the loss is finite is handled by the scaler: it
    skips the step and lowers the scale; the run stops after ten of those in a row. With bfloat16 the loss is not
    scaled.

    Args:
        network: the trainer's network, whose gradients and buffers are watched.
        optimizer: the trainer's optimiser, whose step may be left out.
        output_dir: of the run.
        non_finite: ``stop`` or ``skip``.
        gradient_clip: largest norm of all these gradients together; None: as they are.
        recorder: gets the curves ``gradient_norm`` (before clipping) and, where steps are skipped, ``skipped_steps``.
        is_writer: whether this process writes; by default rank 0 does.

    Raises:
        UserError: an unknown action, a clip that is not > 0.
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        output_dir: str | Path,
        non_finite: str = "stop",
        gradient_clip: float | None = None,
        recorder: RunRecorder | None = None,
        is_writer: bool | None = None,
    ) -> None:
        check_training_options(non_finite=non_finite, gradient_clip=gradient_clip)
        self.network, self.optimizer, self.recorder = network, optimizer, recorder
        self.file, self.is_writer = Path(output_dir) / FILE, writes(is_writer)
        self.non_finite, self.gradient_clip = non_finite, gradient_clip
        self.skipped = 0
        self._in_a_row = 0
        self._buffers: dict[str, Tensor] = {}

    def attach(self, engine: Engine) -> None:
        """Register before the forward and between backward and step; before the recorder."""
        take_turn(engine, self, Turn.STEP)
        keep_state(engine, "step_guard", self)
        engine.add_event_handler(Events.STARTED, disable_scaler_for_bf16)
        engine.add_event_handler(Events.STARTED, self._look_last)
        engine.add_event_handler(Events.ITERATION_STARTED, self._remember)

    def _look_last(self, engine: Engine) -> None:
        """Look behind all that changes gradients, in whatever order handlers were attached: `AfterStep` drops some."""
        if not engine.has_event_handler(self._check, IterationEvents.BACKWARD_COMPLETED):
            engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self._check)

    def state_dict(self) -> dict[str, int]:
        """Steps skipped so far, and those skipped in a row up to now."""
        return {"skipped": self.skipped, "in_a_row": self._in_a_row}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue the count from there."""
        self.skipped, self._in_a_row = state["skipped"], state["in_a_row"]

    def _remember(self, engine: Engine) -> None:
        state_of(engine).step_skipped = False
        if self.non_finite == "skip":
            self._buffers = {name: buffer.clone() for name, buffer in self.network.named_buffers()}

    def _check(self, engine: Engine) -> None:
        value = state_of(engine).output["loss"].detach()
        bad = largest_of_processes((~torch.isfinite(value)).double().reshape(1))
        gradients = [p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        scaler = getattr(engine, "scaler", None)
        scaler = scaler if scaler is not None and scaler.is_enabled() else None
        if scaler is not None:
            if gradients:  # or the scaler would step where the gradients are finite nevertheless
                gradients[0].masked_fill_(bad > 0, math.inf)
            scaler.unscale_(self.optimizer)
        total = torch.nn.utils.get_total_norm(gradients).to(value.device)
        bad = torch.cat([bad, largest_of_processes((~torch.isfinite(total)).double().reshape(1))])
        # the only number of the device that a step waits for
        loss, norm, bad_loss, bad_norm = stack_scalars([value, total, *bad], value.device).tolist()
        state_of(engine).checked_loss = loss
        if not (bad_loss or bad_norm):
            self._in_a_row = 0
            if self.gradient_clip is not None:
                parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
                torch.nn.utils.clip_grads_with_norm_(parameters, self.gradient_clip, total)
            if self.recorder is not None:
                self.recorder.add_to_mean("gradient_norm", norm)
            return
        self._in_a_row += 1
        overflow = scaler is not None and not bad_loss
        if self._in_a_row >= _MOST or (self.non_finite == "stop" and not overflow):
            samples = self._write(engine, loss, norm, "stopped")
            raise UserError(self._message(engine, loss, norm, samples))
        if not overflow:
            self._write(engine, loss, norm, "skipped")
        self._leave_out(engine, scaled=scaler is not None)

    def _leave_out(self, engine: Engine, *, scaled: bool) -> None:
        """The optimiser skips parameters without a gradient; the scaler detects by itself what is wrong."""
        for name, buffer in self.network.named_buffers():
            if name in self._buffers:
                buffer.copy_(self._buffers[name])
        if not scaled:
            for group in self.optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None
        state_of(engine).step_skipped = True
        self.skipped += 1
        if self.recorder is not None:
            self.recorder.add("skipped_steps", engine.state.iteration, self.skipped)

    def _write(self, engine: Engine, loss: float, norm: float, action: str) -> list[dict[str, Any]]:
        samples = gather(batch_samples(state_of(engine).batch))
        wrong = [
            name
            for name, parameter in self.network.named_parameters()
            if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all())
        ]
        record = {
            "iteration": engine.state.iteration,
            "action": action,
            "loss": _readable(loss),
            "gradient_norm": _readable(norm),
            "samples": samples,
            "parameters": wrong,
        }
        if self.is_writer:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")
            logger.warning(
                "iteration %d: loss %s, gradient norm %s; the step was %s, its samples are in %s",
                engine.state.iteration, loss, norm, action, self.file,
            )  # fmt: skip
        return samples

    def _message(self, engine: Engine, loss: float, norm: float, samples: list[dict[str, Any]]) -> str:
        found = f"loss {loss}" if not math.isfinite(loss) else f"a gradient of norm {norm}"
        ids = list(dict.fromkeys(str(v) for sample in samples for k, v in sample.items() if k in ("id", "id1", "id2")))
        row = f", after {self._in_a_row} such steps in a row" if self._in_a_row > 1 else ""
        return (
            f"{self.file}: iteration {engine.state.iteration} gave {found}{row}; it came from "
            f"{', '.join(ids[:8])}{', …' if len(ids) > 8 else ''}. The weights were not changed. Check these scans; "
            "if they are intact, lower --learning_rate, set --gradient_clip 1 or --amp False; or skip such steps with "
            "--non_finite skip"
        )


def disable_scaler_for_bf16(engine: Engine) -> None:
    """Switch off the loss scaler that MONAI's trainers make for bfloat16 too, which has float32's range.

    It would take every non-finite gradient for an overflow of its own, and silently skip it.
    """
    if getattr(engine, "scaler", None) is not None and parts_of(engine).amp_kwargs.get("dtype") == torch.bfloat16:
        parts_of(engine).scaler = torch.amp.GradScaler(enabled=False)


def batch_samples(batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The samples of a batch: ids, position and whether the images are finite.

    Args:
        batch: collated, as MONAI's trainer has it in ``state_of(engine).batch``.
    """
    if not isinstance(batch, Mapping):
        return []
    columns = {key: batch[key] for key in _TOLD if key in batch}
    images = {key: value for key, value in batch.items() if key.startswith("image") and isinstance(value, Tensor)}
    size = max((len(values) for values in [*columns.values(), *images.values()]), default=0)
    samples = []
    for row in range(size):
        sample = {key: _plain(values[row]) for key, values in columns.items()}
        sample["finite"] = all(bool(torch.isfinite(image[row]).all()) for image in images.values())
        samples.append(sample)
    return samples


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _readable(number: float) -> float | str:
    return number if math.isfinite(number) else str(number)  # JSON has no nan
