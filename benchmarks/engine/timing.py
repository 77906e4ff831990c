"""Interleaved timing: every contestant runs in every round, so that a busy machine is busy for all of them.

Wall time says what a user waits; processor time (of this process, all its threads) says what the work costs when others
share the machine. Ratios are taken round by round, then the median over rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Contestants = Mapping[str, Callable[[int], Any]]


def interleave(
    contestants: Contestants, *, rounds: int, warmup: int = 1, every: Mapping[str, int] | None = None
) -> dict[str, dict]:
    """Time contestants round by round; a contestant is called with the number of the round.

    Args:
        contestants: name -> function of the round. The same round means the same work for all of them.
        rounds: measured rounds.
        warmup: rounds before those, not counted.
        every: name -> take part in every n-th round only (for contestants that take minutes).

    Returns:
        name -> ``wall_ms`` and ``processor_ms``, each with median, lower and upper quartile, least and n; and the
        ``samples`` by round, which :func:`ratio` pairs.
    """
    samples: dict[str, dict[int, tuple[float, float]]] = {name: {} for name in contestants}
    names = list(contestants)
    for number in range(-warmup, rounds):
        for place in range(len(names)):
            name = names[(place + number) % len(names)]  # nobody always runs after the same neighbour
            if number % (every or {}).get(name, 1):
                continue
            wall, processor = time.perf_counter(), time.process_time()
            contestants[name](number)
            spent = (time.perf_counter() - wall) * 1e3, (time.process_time() - processor) * 1e3
            if number >= 0:
                samples[name][number] = spent
    return {
        name: {
            "wall_ms": spread([wall for wall, _ in found.values()]),
            "processor_ms": spread([processor for _, processor in found.values()]),
            "samples": found,
        }
        for name, found in samples.items()
    }


def spread(values: list[float]) -> dict[str, float]:
    """Median, quartiles, least and number of values."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return {
        "median": round(float(middle), 4),
        "q25": round(float(low), 4),
        "q75": round(float(high), 4),
        "least": round(float(min(values)), 4),
        "n": len(values),
    }


def ratio(times: Mapping[str, dict], slow: str, fast: str) -> dict[str, float]:
    """How many times faster ``fast`` is than ``slow``.

    Returns:
        ``wall`` and ``processor``: median over the rounds in which both ran of slow's time over fast's;
        ``processor_q25`` and ``processor_q75``: its quartiles; ``processor_total``: the ratio of the sums, which counts
        where rounds do unequal work.
    """
    both = sorted(times[slow]["samples"].keys() & times[fast]["samples"].keys())
    pairs = [(times[slow]["samples"][n], times[fast]["samples"][n]) for n in both]
    processor = [s[1] / f[1] for s, f in pairs]
    return {
        "wall": round(float(np.median([s[0] / f[0] for s, f in pairs])), 2),
        "processor": round(float(np.median(processor)), 2),
        "processor_q25": round(float(np.percentile(processor, 25)), 2),
        "processor_q75": round(float(np.percentile(processor, 75)), 2),
        "processor_total": round(sum(s[1] for s, _ in pairs) / sum(f[1] for _, f in pairs), 2),
    }


def without_samples(times: Mapping[str, dict]) -> dict[str, dict]:
    """What goes into the results: the spread, not every round."""
    return {name: {k: v for k, v in found.items() if k != "samples"} for name, found in times.items()}
