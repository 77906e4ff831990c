"""Processor time of a function in units of another's: machines differ, and drift, by more than faults do."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median


def ratio(function: Callable[[], object], reference: Callable[[], object], *, laps: int = 5) -> float:
    """Median over laps that alternate between both, so that a slow moment is one of both."""
    found = []
    for _ in range(laps):
        times = []
        for one in (function, reference):
            begin = time.process_time()
            one()
            times.append(time.process_time() - begin)
        found.append(times[0] / times[1])
    return median(found)
