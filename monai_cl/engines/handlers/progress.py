"""A progress bar with the loss in it, for long work."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ignite.engine import Engine
from ignite.handlers.tqdm_logger import ProgressBar
from torch import Tensor

from monai_cl.compat import close_bar
from monai_cl.engines.handlers.attaching import on_exception
from monai_cl.processes import writes


class LossProgress:
    """Handler: Ignite's tqdm bar per epoch, with rate, remaining time and, for a trainer, the running loss.

    Args:
        what: text in front of the bar, such as ``pre-training``.
        show_loss: False for evaluators.
        is_writer: whether this process draws; by default rank 0 does.
    """

    def __init__(self, what: str, *, show_loss: bool = True, is_writer: bool | None = None) -> None:
        self.what, self.show_loss, self.is_writer = what, show_loss, writes(is_writer)

    def attach(self, engine: Engine) -> None:
        """Attach the bar to an engine."""
        if not self.is_writer:
            return
        bar = ProgressBar(desc=self.what, persist=False, mininterval=1.0, dynamic_ncols=True)
        bar.attach(engine, output_transform=partial(_loss, engine) if self.show_loss else None)
        # or the report of a failure would be printed at the end of the bar's line
        on_exception(engine, lambda engine, error: close_bar(bar))


def _loss(engine: Engine, output: Mapping[str, Tensor] | list[Mapping[str, Tensor]]) -> dict[str, float]:
    checked = getattr(engine.state, "checked_loss", None)
    if checked is not None:  # by `StepGuard`: not to wait for the device again
        return {"loss": checked}
    first = output[0] if isinstance(output, list) else output
    return {"loss": float(first["loss"].detach())}
