"""What a loss says of its last call, as curves."""

from __future__ import annotations

from ignite.engine import Engine
from monai.engines.utils import IterationEvents

from monai_cl.engines.handlers.attaching import Turn, take_turn
from monai_cl.engines.handlers.recorder import RunRecorder
from monai_cl.engines.workflow_types import parts_of


class LossDiagnostics:
    """Handler: logs the scalars in ``diagnostics`` of the trainer's loss, where it has some.

    Args:
        recorder: the run's recorder.
    """

    def __init__(self, *, recorder: RunRecorder) -> None:
        self.recorder = recorder

    def attach(self, engine: Engine) -> None:
        """Register on a trainer, before the recorder."""
        take_turn(engine, self, Turn.STEP)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._add)  # of each part of a batch in parts

    def _add(self, engine: Engine) -> None:
        for name, value in getattr(parts_of(engine).loss_function, "diagnostics", {}).items():
            self.recorder.add_to_mean(name, value)
