"""How soon a training comes near its best: epochs to a share of it."""

from __future__ import annotations

from collections.abc import Sequence


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
