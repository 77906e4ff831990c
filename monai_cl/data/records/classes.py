"""Classes of whole scans in a run's record: what they are called, and of how few patients an interval says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MINIMUM_PER_CLASS = 6
"""As for Dice: with fewer, a bootstrap has too few values to draw from to print its percentiles as "95 %"."""


def class_name(data_list: Mapping[str, Any], label: int) -> str:
    """The name of a class, or ``class 1`` where the list gives it none.

    Args:
        data_list: of a run's record, whose ``classes`` are the list's ``targets``.
        label: the class.
    """
    names = data_list.get("classes")
    name = names.get(str(label)) if isinstance(names, Mapping) else None
    return str(name or f"class {label}")


def interval_fault(*, negative: int, positive: int, interval: Sequence[float] | None = None) -> str | None:
    """Why an interval of an AUC would mislead; None where it does not.

    Args:
        negative, positive: patients of class 0 and of class 1.
        interval: lower and upper end, where they are known.
    """
    if min(negative, positive) < MINIMUM_PER_CLASS:
        return (
            f"{negative} and {positive} patients of the two classes: too few for an interval "
            f"({MINIMUM_PER_CLASS} of each needed)"
        )
    if interval is not None and interval[0] == interval[1]:
        return "the AUC is the same in every resample: an interval of no width would say that it is certain"
    return None
