"""Findings of an item: which a scan shows, and which of its slices show any; each 1, 0 or not known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from monai_cl.data.datalist.problems import Problem

if TYPE_CHECKING:
    from monai_cl.data.datalist.model import DataSet
    from monai_cl.data.grid import Grid


def item_findings(raw: Mapping[str, Any]) -> dict[str, Any]:
    """``findings`` and ``slice_findings`` of an item as the list writes it, without those of which nothing is known.

    Args:
        raw: the item.

    Returns:
        ``findings``: name -> 0 or 1, those that are known; ``slice_findings``: 0, 1 or None of each slice.
    """
    known = {str(name): int(value) for name, value in (raw.get("findings") or {}).items() if value is not None}
    slices = [None if value is None else int(value) for value in raw.get("slice_findings") or ()]
    found: dict[str, Any] = {"findings": known} if known else {}
    return found | ({"slice_findings": slices} if any(value is not None for value in slices) else {})


def finding_problems(dataset: DataSet) -> Iterator[Problem]:
    """Findings without ``finding_names``, or with other names; a name that is there twice."""
    names = dataset.document.get("finding_names")
    if isinstance(names, list) and (twice := next((name for name in names if names.count(name) > 1), None)):
        yield dataset.problem("repeated name", dataset.at("finding_names"), "every finding once", f'"{twice}" twice')
    for _, item_place, item in dataset.entries():
        for name in item.get("findings", ()):
            if not isinstance(names, list):
                expected, found = 'the key "finding_names": items have findings', f'"{name}" here'
                remedy = "write the names of all findings there, in the order of a network's outputs"
                yield dataset.problem("missing key", dataset.place, expected, found, remedy)
                return
            if name not in names:
                where, expected = f"{item_place}.findings", f"one of the findings {', '.join(map(str, names))}"
                remedy = 'correct it, or add it to "finding_names"'
                yield dataset.problem("finding", where, expected, f'"{name}"', remedy, file=item["image"])


def slice_count_fault(item: Mapping[str, Any], grid: Grid) -> tuple[str, str, str] | None:
    """What is wrong with the number of an item's ``slice_findings``: expected, found, remedy; None if nothing is.

    Args:
        item: of a data list.
        grid: of its image.
    """
    given, slices = item.get("slice_findings"), grid.to_ras().shape[2]
    if given is None or len(given) == slices:
        return None
    return (
        f"slice_findings of {slices} values, one for each slice across the body",
        str(len(given)),
        "give each slice of the file its value, null where it is not known",
    )
