"""What the values of an uploaded label mean: viewers number segments by their place in the scene."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monai_cl.errors import UserError


def organ_values(
    label_info: Sequence[Mapping[str, Any]] | None, organs: Sequence[str], present: Iterable[int], *, source: str
) -> dict[int, int]:
    """Value in a label file -> id of the organ, for the values above 0 that occur.

    3D Slicer sends with a label the names of its segments as ``label_info``, ``[{"name": "spleen", "idx": 1}, …]``. It
    counts segments that it does not export in ``idx``, but numbers those in the file without gaps. So ``idx`` is used
    where it names every value in the file; otherwise the place in the list is used.

    Args:
        label_info: names of the segments; None or empty: the values are the model's own ids.
        organs: the model's organs, 1, 2, …
        present: values in the file.
        source: the file, for messages.

    Returns:
        the map; a value with a name unknown to the model becomes 0, background.

    Raises:
        UserError: a value without a name, an organ twice, or no organ of the model.
    """
    values = sorted({int(value) for value in present} - {0})
    if not label_info:
        unknown = [value for value in values if not 1 <= value <= len(organs)]
        if unknown:
            raise UserError(
                source,
                expected=f"the values 0 to {len(organs)} ({', '.join(organs)})",
                found=unknown[0],
                remedy="send the names of the segments with the label, or give it the model's values",
            )
        return {value: value for value in values}
    names = [str(entry.get("name", "")).strip().lower() for entry in label_info]
    by_index = {int(entry.get("idx", entry.get("id", 0))): name for entry, name in zip(label_info, names)}
    by_place = dict(enumerate(names, start=1))
    named = by_index if set(values) <= set(by_index) else by_place
    without = [value for value in values if value not in named]
    if without:
        raise UserError(
            source,
            expected="a name for every value",
            found=f"none for {without[0]}",
            remedy=f"the label came with {', '.join(names)}",
        )
    ids = {organ.strip().lower(): number for number, organ in enumerate(organs, start=1)}
    mapped = {value: ids.get(named[value], 0) for value in values}
    known = [organ for organ in mapped.values() if organ]
    if values and not known:
        raise UserError(
            source,
            expected=f"segments among {', '.join(organs)}",
            found=", ".join(named[v] for v in values),
            remedy="rename the segments",
        )
    if len(set(known)) < len(known):
        raise UserError(source, found="two segments have the name of one organ", remedy="merge them")
    return mapped
