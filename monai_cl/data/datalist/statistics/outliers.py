"""Scans that differ from the others of their data set, each with the reason; the rules are in docs/data_lists.md."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from monai_cl.data.datalist.statistics.quantities import HU, quantities

FEWEST = 5  # values without which nothing is said to differ
REACH = 3.5  # robust standard deviations; Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993
_MAD_TO_SD, _IQR_TO_SD = 1.4826, 1 / 1.349  # of a normal distribution
_OBLIQUE = 1.0  # degrees
_CLIPPED = 0.005  # share of voxels with the same extreme value
_BONE_HU, _AIR_HU = 1000, -900  # a CT reaches from below the one to above the other
_MOST = 0.8  # of the labelled scans


def robust_limits(values: Sequence[float], *, least: float) -> tuple[float, float, float]:
    """Median, and the limits beyond which a value is an outlier: `REACH` robust standard deviations from it.

    The standard deviation is the larger of that from the median absolute deviation and that from the quartiles: where
    most values are equal the first is 0, and a second group of a quarter of the scans is no outlier.

    Args:
        values: two or more.
        least: distance from the median that is never an outlier.
    """
    middle = median(values)
    first, _, third = quantiles(values, n=4, method="inclusive")
    deviation = max(_MAD_TO_SD * median(abs(value - middle) for value in values), _IQR_TO_SD * (third - first))
    reach = max(REACH * deviation, least)
    return middle, middle - reach, middle + reach


def find_outliers(scans: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What differs: a number beyond `robust_limits` of its data set, a label that most have, and what is odd by itself.

    Scans are compared within data set and modality, or with all of the modality where that has fewer than `FEWEST`.

    Args:
        scans: of `measure_scan`.

    Returns:
        ``id``, ``dataset``, ``what`` (such as ``spacing_s``) and ``reason`` in words, in the order of the scans.
    """
    found = [(scan, what, reason) for scan in scans for what, reason in _by_itself(scan)]
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for scan in scans:
        groups.setdefault((scan["dataset"], scan["modality"]), []).append(scan)
    for (_, modality), own in groups.items():
        peers = own if len(own) >= FEWEST else [scan for scan in scans if scan["modality"] == modality]
        found += _among(own, peers)
    order = {id(scan): number for number, scan in enumerate(scans)}
    found.sort(key=lambda one: order[id(one[0])])
    return [
        {"id": scan["id"], "dataset": scan["dataset"], "what": what, "reason": reason} for scan, what, reason in found
    ]


def _by_itself(scan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if scan["fault"]:
        yield "intensity", scan["fault"]
    if scan["oblique"] > _OBLIQUE:
        yield "affine", f"rotated: an axis {scan['oblique']:g} degrees off the nearest of R, A and S"
    if scan["unit"] != HU:
        return
    lowest, highest = scan["intensity"]["0"], scan["intensity"]["100"]
    if lowest > _AIR_HU and (share := scan["clipped"]["low"]) > _CLIPPED:
        yield "intensity", f"clipped: {share:.1%} of the voxels have its lowest value, {lowest:g} HU"
    if highest < _BONE_HU and (share := scan["clipped"]["high"]) > _CLIPPED:
        yield "intensity", f"clipped: {share:.1%} of the body has its highest value, {highest:g} HU"


def _among(
    own: Sequence[Mapping[str, Any]], peers: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], str, str]]:
    values: dict[str, list[float]] = {}
    for peer in peers:
        for name, value in quantities(peer).items():
            values.setdefault(name, []).append(value)
    rules = {name: rule for name in values if len(values[name]) >= FEWEST and (rule := _rule(name, peers))}
    limits = {name: rule.limits(values[name]) for name, rule in rules.items()}
    labelled = [peer["labels"] for peer in peers if peer["labels"] is not None]
    counts = Counter(name for labels in labelled for name in labels)
    for scan in own:
        for name, value in quantities(scan).items():
            if name not in rules or limits[name][1] <= value <= limits[name][2]:
                continue
            unit = rules[name].unit
            middle, low, high = (f"{one:.4g}" for one in limits[name])
            cut = (scan["labels"] or {}).get(name.rpartition(" ")[0], {}).get("cut")
            found = f"{value:.4g} {unit}{', cut by the edge of the scan' if cut else ''}"
            yield scan, name, f"{found}; median of {len(values[name])} scans {middle}, expected {low} to {high} {unit}"
        if scan["labels"] is None or len(labelled) < FEWEST:
            continue
        for label, count in counts.items():
            if label not in scan["labels"] and count >= _MOST * len(labelled):
                yield scan, f"{label} ml", f"no {label}, which {count} of {len(labelled)} labelled scans have"


@dataclass(frozen=True)
class _Rule:
    """How a quantity is compared: its unit, the distance that never counts, and whether of logarithms."""

    unit: str
    least: float
    logarithm: bool = True

    def limits(self, values: Sequence[float]) -> tuple[float, float, float]:
        if not self.logarithm:
            return robust_limits(values, least=self.least)
        middle, low, high = robust_limits([math.log(value) for value in values], least=math.log(self.least))
        return math.exp(middle), math.exp(low), math.exp(high)


def _rule(name: str, peers: Sequence[Mapping[str, Any]]) -> _Rule | None:
    if name.startswith(("spacing_", "extent_")):
        return _Rule("mm", 1.1)
    if name.endswith(" ml"):
        return _Rule("ml", 1.5)
    in_hu = all(peer["unit"] == HU for peer in peers)
    return _Rule(HU, 20.0, False) if in_hu and (name.endswith(" mean") or name in ("body_50", "body_99.5")) else None
