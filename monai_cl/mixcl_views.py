"""The three views of MixCL in one stacked batch: the one place that says which rows belong to which view.

A step is one forward of B pairs of patches (P1, P2): two views of P1, which differ in intensity only and stay aligned
voxel by voxel, and one of P2. Batch, network and loss take the order from here.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class PairViews(NamedTuple):
    """Something of each view; in this order ``torch.cat`` stacks them."""

    v1: Any
    """View of P1."""
    v1_prime: Any
    """V1', another view of P1."""
    v2: Any = None
    """View of P2; None where its rows are left out."""

    @classmethod
    def of_patches(cls, patch1: Any, patch2: Any) -> PairViews:
        """The patch that each view shows."""
        return cls(patch1, patch1, patch2)


COUNT = len(PairViews._fields)
NAMES = "V1, V1', V2"


def unstack(stacked: Any, pairs: int) -> PairViews:
    """The views of a stacked tensor of B ``pairs``, (3B, …) or, where the rows of V2 are left out, (2B, …).

    Split, not sliced: the gradient is then put together once, instead of a whole tensor of zeros for each slice.
    """
    return PairViews(*stacked.split(pairs))


def without_v2(stacked: Any) -> Any:
    """The rows of V1 and V1', (2B, …), of a stacked tensor (3B, …)."""
    return stacked[: stacked.shape[0] // COUNT * 2]
