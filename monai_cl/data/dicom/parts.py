"""Several acquisitions under one Series Instance UID: distinguished by their headers, never mixed."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from monai_cl.errors import UserError

# what may tell slices apart, and where it stands in the header of a slice; the first that does is used
TAGS = {
    "AcquisitionNumber": "0020|0012",
    "TemporalPositionIdentifier": "0020|0100",
    "NominalPercentageOfCardiacPhase": "0020|9241",
    "EchoNumbers": "0018|0086",
    "ConvolutionKernel": "0018|1210",
    "TriggerTime": "0018|1060",
    "EchoTime": "0018|0081",
    "KVP": "0018|0060",
    "ImageType": "0008|0008",
    "AcquisitionTime": "0008|0032",
    "ContentTime": "0008|0033",
    "AcquisitionDateTime": "0008|002a",
    "AcquisitionDate": "0008|0022",
    "SeriesNumber": "0020|0011",
    "SeriesDescription": "0008|103e",
    "ProtocolName": "0018|1030",
    "ContrastBolusAgent": "0018|0010",
    "FilterType": "0018|1160",
    "ScanOptions": "0018|0022",
    "ScanningSequence": "0018|0020",
    "SequenceName": "0018|0024",
    "DiffusionBValue": "0018|9087",
    "FlipAngle": "0018|1314",
    "InversionTime": "0018|0082",
    "RepetitionTime": "0018|0080",
    "SliceThickness": "0018|0050",
    "ImageComments": "0020|4000",
}
# the same in the functional groups of a frame
FRAME_KEYWORDS = (
    *("FrameAcquisitionNumber", "TemporalPositionIndex", "EffectiveEchoTime", "StackID"),
    *(name for name in TAGS if not name.endswith("Time")),
    *("ContrastBolusAgentAdministered", "ContrastBolusAgentPhase"),
    *("FrameType", "TriggerTime", "EchoTime", "AcquisitionTime", "FrameAcquisitionDateTime"),
)
# ordered: several values in a row may belong to one acquisition, whose rotations are counted
_ORDERED = (
    *("AcquisitionNumber", "FrameAcquisitionNumber", "AcquisitionTime", "ContentTime", "AcquisitionDateTime"),
    "FrameAcquisitionDateTime",
)
# these name an acquisition even where its slices lie between those of another one
_NAMING = (
    *("AcquisitionNumber", "FrameAcquisitionNumber", "TemporalPositionIdentifier", "TemporalPositionIndex"),
    *("NominalPercentageOfCardiacPhase", "EchoNumbers", "EffectiveEchoTime", "ConvolutionKernel"),
)
_SAME_MM = 1e-3
_SHOWN = 6


def choose_part(
    path: Path,
    tags: Sequence[Mapping[str, str]],
    positions: np.ndarray,
    series_part: str | None,
    *,
    what: str = "slices",
) -> np.ndarray:
    """Numbers of the slices that form one acquisition.

    Args:
        path: of the series.
        tags: of each slice, keyword -> text of its header.
        positions: (n,), mm along the normal, in any order.
        series_part: the acquisition to take where there are several, such as ``"AcquisitionNumber=2"``.
        what: the word for slices in a message.

    Raises:
        UserError: several acquisitions and none chosen, or one that is not there; names them with their counts.
    """
    names = part_names(tags, positions)
    if series_part is None:
        if names is None:
            return np.arange(len(tags))
    else:
        chosen = [number for number, name in enumerate(names or ()) if name == series_part.strip()]
        chosen = chosen or [number for number, tag in enumerate(tags) if _fits(tag, series_part)]
        if not chosen:
            tag = _listed(names, what) if names else "one part only, in which no slice has it"
            raise UserError(
                path,
                expected=f"{what} with series_part {series_part}",
                found=tag,
                remedy="correct it or leave it out",
            )
        names = part_names([tags[number] for number in chosen], positions[chosen])
        if names is None:
            return np.array(chosen)
    raise UserError(
        path,
        expected="one acquisition in the series",
        found=f"{len(set(names))}: {_listed(names, what)}",
        remedy=(
            f'choose one, by "series_part": {json.dumps(min(names))} in its item of the data list, or by --series_part '
            f"{shlex.quote(min(names))} for inference, convert and dicom_seg"
        ),
    )


def part_names(tags: Sequence[Mapping[str, str]], positions: np.ndarray) -> list[str] | None:
    """What tells the acquisitions apart, such as ``"AcquisitionNumber=2"``, a slice; None where all are one."""
    names = [""] * len(tags)
    for keyword in dict.fromkeys((*TAGS, *FRAME_KEYWORDS)):
        values = [tag.get(keyword, "") for tag in tags]
        finer = list(names)
        for name in set(names):
            here = [number for number, known in enumerate(names) if known == name]
            labels = _divide(keyword, [values[number] for number in here], positions[here])
            for number, label in zip(here, labels, strict=True):
                finer[number] = ",".join(filter(None, (name, label)))
        names = finer
    return names if len(set(names)) > 1 else None


def _divide(keyword: str, values: list[str], positions: np.ndarray) -> list[str]:
    """A label a slice; all are empty where the values do not tell acquisitions apart."""
    whole = [""] * len(values)
    if len(set(values)) < 2:
        return whole
    if keyword in _ORDERED:
        passes = _passes(values, positions)
        if passes is not None:
            return [f"{keyword}={name}" for name in passes]
        if keyword.endswith("Time"):  # slices may be acquired in any order
            return whole
    if 2 * len(set(values)) > len(values):
        return whole  # it differs from slice to slice
    groups = [positions[[other == value for other in values]] for value in dict.fromkeys(values)]
    if not any(_mixed(group, two, keyword) for k, group in enumerate(groups) for two in groups[:k]):
        return whole
    return [f"{keyword}={value or 'none'}" for value in values]


def _mixed(one: np.ndarray, two: np.ndarray, keyword: str) -> bool:
    """Whether slices of two groups lie at one place, or between each other."""
    if keyword in _NAMING:
        return max(one.min(), two.min()) <= min(one.max(), two.max()) + _SAME_MM
    return bool((np.abs(one[:, None] - two) <= _SAME_MM).any()) or _in_turn(one, two)


def _in_turn(one: np.ndarray, two: np.ndarray) -> bool:
    """Whether the slices of two groups follow each other in turn, as two stacks of half the slices would."""
    fewer, more = sorted((len(one), len(two)))
    first = np.repeat([True, False], [len(one), len(two)])[np.argsort(np.concatenate([one, two]), kind="stable")]
    return fewer > 1 and 2 * more <= 3 * fewer and int(np.count_nonzero(first[1:] != first[:-1])) > more


def _passes(values: list[str], positions: np.ndarray) -> list[str] | None:
    """One name per slice for passes over the stack in turn, all values of one before those of the next."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return None
    ranks = [0] * len(values)
    order = np.lexsort((np.array(numbers), positions.round(3)))
    for before, after in pairwise(order):
        if abs(positions[after] - positions[before]) <= _SAME_MM:
            ranks[after] = ranks[before] + 1
    names, end = [], -np.inf
    for rank in range(max(ranks) + 1):
        inside = [number for number, known in enumerate(ranks) if known == rank]
        inside.sort(key=numbers.__getitem__)
        first, last = values[inside[0]], values[inside[-1]]
        if len(inside) < 2 or float(first) <= end:
            return None
        end = float(last)
        names.append(first if first == last else f"{first}..{last}")
    return [names[rank] for rank in ranks] if len(names) > 1 else None


def _fits(found: Mapping[str, str], part: str) -> bool:
    pairs = [clause.partition("=") for clause in part.split(",")]
    return all(found.get(keyword.strip()) == value.strip() for keyword, _, value in pairs)


def _listed(names: Sequence[str], what: str) -> str:
    counts = sorted(Counter(names).items())
    text = ", ".join(f"{name} ({count} {what})" for name, count in counts[:_SHOWN])
    return text if len(counts) <= _SHOWN else f"{text} and {len(counts) - _SHOWN} more"
