"""What pre-training saves: epochs to a share of the best, beside those of a training from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from monai_cl.data.records.convergence import epochs_to

LEARNED = 0.6  # AUC below which a run has learned nothing, and "converges" at once


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
