"""Collapse of a contrastive run: mean cosine and effective rank of its embeddings logged, and a warning, once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from ignite.engine import Engine, Events
from torch import Tensor

from monai_cl.engines.handlers.attaching import Turn, keep_state, take_turn
from monai_cl.engines.handlers.measures import effective_rank
from monai_cl.engines.handlers.recorder import RunRecorder
from monai_cl.engines.handlers.unread import stack_scalars
from monai_cl.engines.workflow_types import state_of

logger = logging.getLogger(__name__)


def mean_cosine(embeddings: Tensor) -> Tensor:
    """Mean cosine over the pairs of different rows of (n, F): 1 when all are parallel, about 0 when spread out.

    A scalar on their device, from the length of the sum of the unit vectors, ``(‖Σ ẑ‖² − n) / (n (n − 1))``, in
    float64: without the n² pairs.

    Raises:
        ValueError: not (n, F) with n >= 2.
    """
    if embeddings.ndim != 2 or len(embeddings) < 2:
        raise ValueError(f"embeddings must be (n, F) with n >= 2, got {tuple(embeddings.shape)}")
    unit = torch.nn.functional.normalize(embeddings.detach().double(), dim=1)
    n = len(unit)
    return (unit.sum(0).square().sum() - unit.square().sum()) / (n * (n - 1))


class CollapseWatch:
    """Handler: logs mean cosine and effective rank of a run's embeddings and warns, once, when they have collapsed.

    The curves are ``mean_cosine/<key>`` and ``effective_rank/<key>``. An untrained TinyNet starts collapsed (cosine
    ≈ 1.000), so only a cosine above 0.99 in five measurements in a row, after 200 iterations, counts: a single batch
    may come close and the run go on learning. The effective rank is not a criterion: two well separated classes have
    rank 1.

    Args:
        recorder: the run's recorder, or None to warn only.
        keys: entries of ``engine.state.output["pred"]``, (…, F); the first one is watched.
        every: iterations between two measurements.

    Raises:
        ValueError: an option out of its range.
    """

    limit, grace, lasting = 0.99, 200, 5

    def __init__(
        self,
        *,
        recorder: RunRecorder | None = None,
        keys: Sequence[str] = ("embedding", "representation"),
        every: int = 10,
    ) -> None:
        if every < 1:
            raise ValueError(f"every must be >= 1, got {every}")
        if not keys:
            raise ValueError("keys must name at least one output of the network")
        self.recorder, self.keys = recorder, tuple(keys)
        self.every = int(every)
        self.warned, self._in_a_row = False, 0

    def state_dict(self) -> dict[str, int]:
        """Whether it has warned, for a resumed run does not warn again, and how often in a row it could have."""
        return {"warned": self.warned, "in_a_row": self._in_a_row}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore it; a checkpoint of an earlier version counts from 0."""
        self.warned, self._in_a_row = bool(state["warned"]), state.get("in_a_row", 0)

    def attach(self, engine: Engine) -> None:
        """Register on a trainer, before the recorder."""
        take_turn(engine, self, Turn.STEP)
        keep_state(engine, "collapse_watch", self)
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self._measure)

    def _measure(self, engine: Engine) -> None:
        outputs: dict[str, Any] = state_of(engine).output["pred"]
        rows = [rearrange(outputs[key].detach(), "... f -> (...) f") for key in self.keys]
        # read together: each read waits for the device
        values = [value for r in rows for value in (mean_cosine(r), effective_rank(r))]
        measured = stack_scalars(values, values[0].device).tolist()
        for key, cosine, rank in zip(self.keys, measured[::2], measured[1::2], strict=True):
            if self.recorder is not None:
                self.recorder.add(f"mean_cosine/{key}", engine.state.iteration, cosine)
                self.recorder.add(f"effective_rank/{key}", engine.state.iteration, rank)
            if key == self.keys[0]:
                self._judge(engine.state.iteration, cosine, rank)

    def _judge(self, iteration: int, cosine: float, rank: float) -> None:
        self._in_a_row = self._in_a_row + 1 if iteration > self.grace and cosine > self.limit else 0
        if self.warned or self._in_a_row < self.lasting:
            return
        self.warned = True
        logger.warning(
            "the embeddings have collapsed: at iteration %d their mean cosine is %.4f (above %.2f), their effective "
            "rank %.1f. Where the cosine had fallen before, try a lower learning rate, else a higher one; a longer "
            "warm-up, float32 (amp off), standardised input",
            iteration,
            cosine,
            self.limit,
            rank,
        )
