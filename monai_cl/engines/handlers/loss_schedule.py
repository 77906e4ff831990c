"""Weights of a loss's terms that change in the course of a training, such as the ramp of a mean teacher."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from ignite.engine import Engine, Events
from torch import nn

from monai_cl.engines.handlers.attaching import Turn, take_turn
from monai_cl.engines.handlers.recorder import RunRecorder
from monai_cl.errors import UserError

_POINTS = "points [iteration, factor], iterations ascending from 0, factors of at least 0"


class LossSchedule:
    """Handler: multiplies weights of a loss by factors that depend on the iteration, and logs them.

    Between the points a factor is linear, before the first and behind the last it stays. It is derived from the number
    of completed iterations, so that a resumed run continues where it was. A term whose factor is 0 is still computed.

    Args:
        loss: of the trainer; it, or a part of it, has ``factors``, by term.
        schedule: term -> points ``[[iteration, factor], …]``: ``{"unlabelled": [[0, 0.0], [500, 1.0]]}``. Empty: no
            weight changes.
        recorder: the run's recorder; the curves are ``factor/<term>``.

    Raises:
        UserError: a term that this loss does not have, or whose weight is 0; points that are none.
    """

    def __init__(
        self,
        *,
        loss: nn.Module,
        schedule: Mapping[str, Sequence[Sequence[float]]] | None,
        recorder: RunRecorder | None = None,
    ) -> None:
        self.recorder = recorder
        parts = (getattr(part, "factors", None) for part in loss.modules())
        self.factors: dict[str, float] = next((its for its in parts if isinstance(its, dict)), {})
        self.points = {name: _points(name, given) for name, given in (schedule or {}).items()}
        if unknown := [name for name in self.points if name not in self.factors]:
            terms = ", ".join(self.factors) or "none: this method has one term alone"
            remedy = "a term has one when its weight is above 0; leave it out of loss_schedule, or give it a weight"
            raise UserError("loss_schedule", expected=f"terms of this loss ({terms})", found=unknown[0], remedy=remedy)

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        take_turn(engine, self, Turn.STEP)
        if self.points:
            engine.add_event_handler(Events.ITERATION_STARTED, self._set)

    def _set(self, engine: Engine) -> None:
        for name, (iterations, factors) in self.points.items():
            self.factors[name] = float(np.interp(engine.state.iteration - 1, iterations, factors))
            if self.recorder is not None:
                self.recorder.add_to_mean(f"factor/{name}", self.factors[name])


def _points(name: str, given: object) -> tuple[list[float], list[float]]:
    where = f"loss_schedule: {name}"
    try:
        iterations, factors = zip(*((float(at), float(factor)) for at, factor in given))  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise UserError(where, expected=_POINTS, found=given, remedy="such as [[0, 0.0], [500, 1.0]]") from error
    ascending = all(one < other for one, other in pairwise(iterations))
    if iterations[0] < 0 or not ascending or not all(f >= 0 and math.isfinite(f) for f in factors):
        raise UserError(where, expected=_POINTS, found=given, remedy="such as [[0, 0.0], [500, 1.0]]")
    return list(iterations), list(factors)
