"""How soon a training comes near its best: epochs to a share of it, and what pre-training saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

LEARNED = 0.6  # AUC below which a run has learned nothing, and "converges" at once


def epochs_to(scores: Sequence[float], *, share: float = 0.98, reference: float | None = None) -> int | None:
    """The first epoch, from 1, whose score is at least ``share`` of the best.

    Args:
        scores: one per epoch.
        share: in (0, 1].
        reference: the score that counts as best; None: the run's own best.

    Returns:
        None where no epoch reaches it.

    Raises:
        ValueError: no score, or a share outside (0, 1].

    Source: Ghesu et al., arXiv 2201.01283, section 5 (the run's own best).
    """
    if not scores or not 0 < share <= 1:
        raise ValueError(f"expected scores and a share in (0, 1], got {len(scores)} scores and {share}")
    least = share * (max(scores) if reference is None else reference)
    return next((epoch for epoch, score in enumerate(scores, start=1) if score >= least), None)


@dataclass(frozen=True)
class SpeedUp:
    """What pre-training saves, over seeds.

    Attributes:
        own: 1 − e_pre / e_scratch of each seed, each run against its own best.
        common: likewise, both against the best of scratch; None where the pre-trained run never reaches it.
        left_out: seeds of which a run has learned nothing.
    """

    own: dict[int, float]
    common: dict[int, float | None]
    left_out: tuple[int, ...]

    def summary(self) -> dict[str, float | int | None]:
        """``mean`` and ``deviation`` over seeds of both, ``seeds``, and ``never``, how many never got there."""
        reached = [value for value in self.common.values() if value is not None]
        return {
            "mean": fmean(self.own.values()) if self.own else None,
            "deviation": stdev(self.own.values()) if len(self.own) > 1 else None,
            "common_mean": fmean(reached) if reached else None,
            "common_deviation": stdev(reached) if len(reached) > 1 else None,
            "seeds": len(self.own),
            "never": len(self.common) - len(reached),
        }


def speed_up(scratch: Mapping[int, Sequence[float]], pretrained: Mapping[int, Sequence[float]]) -> SpeedUp:
    """Compare the validation curves of runs from scratch and from pre-trained weights.

    Args:
        scratch: seed -> AUC of each epoch.
        pretrained: likewise; seeds that only one of them has are passed over.

    Raises:
        ValueError: no seed in common, or as `epochs_to`.
    """
    seeds = sorted(scratch.keys() & pretrained.keys())
    if not seeds:
        raise ValueError(f"expected a seed in common, got {sorted(scratch)} and {sorted(pretrained)}")
    weak = tuple(seed for seed in seeds if min(max(scratch[seed]), max(pretrained[seed])) < LEARNED)
    own: dict[int, float] = {}
    common: dict[int, float | None] = {}
    for seed in seeds:
        if seed in weak:
            continue
        first, second = (epochs_to(runs[seed]) for runs in (scratch, pretrained))
        reached = epochs_to(pretrained[seed], reference=max(scratch[seed]))
        assert first is not None  # a run reaches its own best
        assert second is not None
        own[seed] = 1 - second / first
        common[seed] = None if reached is None else 1 - reached / first
    return SpeedUp(own, common, weak)
