"""What a folder says of its label values: the ``dataset.json`` of Decathlon and nnU-Net, or names given by the user."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.json_files import read_json
from monai_cl.errors import UserError

IGNORE = "ignore"
"""nnU-Net's reserved word: voxels of this value were not annotated and take no part."""

_EXPECTED = 'id -> name such as {"1": "spleen"}'


@dataclass(frozen=True)
class OrganNames:
    """The values of label files.

    Attributes:
        organs: value -> organ, without the background; several values may be one organ.
        ignore: the value of voxels that were not annotated, if there is one.
    """

    organs: dict[int, str]
    ignore: int | None = None


def names_of(labels: Any, where: str) -> OrganNames:
    """Value -> organ, from that or from nnU-Net's organ -> value or organ -> values (a region).

    Args:
        labels: the mapping as it was read.
        where: for messages.

    Raises:
        UserError: not such a mapping, two names for one value (regions that overlap: one label per voxel cannot say
            them), a name for the value 0.
    """
    if not isinstance(labels, Mapping):
        raise UserError(where, expected=_EXPECTED, found=f"{labels!r}")
    by_name = bool(labels) and all(_values(values) is not None for values in labels.values())
    found: dict[int, str] = {}
    for key, entry in labels.items():
        values, name = (_values(entry), key) if by_name else (_values(key), entry)
        if values is None or not isinstance(name, str) or not name.strip():
            raise UserError(
                where,
                expected=_EXPECTED,
                found=f"{key!r}: {entry!r}",
                remedy="name each id that occurs in the label files, with --organs",
            )
        for value in values:
            if value in found:
                raise _two_names(where, found[value], name, value)
            found[value] = name
    if found.pop(0, "background").casefold() != "background":
        raise UserError(where, expected="the background as 0", found=f"{labels!r}", remedy="organs have ids from 1 on")
    ignored = [value for value, name in found.items() if name.strip().casefold() == IGNORE]
    if len(ignored) > 1:
        raise UserError(where, expected=f'one value for "{IGNORE}"', found=ignored)
    return OrganNames({v: found[v] for v in sorted(found) if v not in ignored}, ignored[0] if ignored else None)


def _values(entry: Any) -> list[int] | None:
    """The label values that an entry is; None where it is something else."""
    entries = entry if isinstance(entry, list | tuple) and entry else [entry]
    texts = [None if isinstance(one, bool) else str(one) for one in entries]
    if not all(text is not None and text.isascii() and text.isdecimal() for text in texts):
        return None
    return [int(str(text)) for text in texts]


def _two_names(where: str, first: str, second: str, value: int) -> UserError:
    return UserError(
        where,
        expected="one organ for each value, since a label map here has one id per voxel",
        found=f"{first!r} and {second!r}, two names for {value}",
        remedy="name the values as parts that do not overlap, with --organs, "
        """e.g. '{"1": "edema", "2": "necrosis", "3": "enhancing tumor"}'""",
    )


def description_of(folder: Path) -> dict[str, Any]:
    """The ``dataset.json`` in a folder; {} where there is none.

    Raises:
        UserError: it is not a JSON object.
    """
    published = folder / "dataset.json"
    if not published.is_file():
        return {}
    content = read_json(published, what="description")
    if not isinstance(content, dict):
        raise UserError(
            published,
            expected="an object",
            found=type(content).__name__,
            remedy="pass --organs, and move this file away",
        )
    return content


def described_values(description: Mapping[str, Any]) -> tuple[set[int], int | None]:
    """The label values that a ``dataset.json`` names in any way, and the one that is ``ignore``."""
    labels = description.get("labels")
    values: set[int] = set()
    ignore = None
    for key, entry in labels.items() if isinstance(labels, dict) else ():
        named, name = (_values(key), entry) if isinstance(entry, str) else (_values(entry), key)
        values.update(named or ())
        if named and str(name).strip().casefold() == IGNORE:
            ignore = named[0]
    return values, ignore


def channels_of(description: Mapping[str, Any]) -> dict[str, str]:
    """Channel -> modality, from nnU-Net's ``channel_names`` or the Decathlon's ``modality``; {} without either."""
    channels = description.get("channel_names", description.get("modality"))
    return {str(key): str(value) for key, value in channels.items()} if isinstance(channels, dict) else {}


def listed_files(description: Mapping[str, Any], split: str) -> dict[str, str | None]:
    """Image -> label or None, of the files that a ``dataset.json`` names in a split (``testing`` is ``test``)."""
    names = ("test", "testing") if split == "test" else (split,)
    entries = [entry for name in names for entry in description.get(name) or [] if isinstance(entry, str | dict)]
    found = {}
    for entry in entries:
        image, label = (entry.get("image"), entry.get("label")) if isinstance(entry, dict) else (entry, None)
        if isinstance(image, str):
            found[image.removeprefix("./")] = label.removeprefix("./") if isinstance(label, str) else None
    return found


def cross_validation(path: str | Path) -> dict[str, int]:
    """Case -> the fold in which it validates, from nnU-Net's ``splits_final.json``.

    Raises:
        UserError: not such a file, or a case that validates twice: then it is no cross-validation.
    """
    content = read_json(path, what="splits")
    if not (
        isinstance(content, list) and content and all(isinstance(s, dict) and _names(s.get("val")) for s in content)
    ):
        raise UserError(path, expected='a list of {"train": [...], "val": [...]}', found=type(content).__name__)
    folds: dict[str, int] = {}
    for fold, split in enumerate(content):
        for case in split["val"]:
            if case in folds:
                raise UserError(
                    path,
                    expected="every case in the validation part of one fold",
                    found=f"{case} in those of {folds[case]} and {fold}",
                    remedy="make folds with `datalist split`",
                )
            folds[case] = fold
    return folds


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def organ_names(text: Any) -> dict[str, Any] | None:
    """Organ names from the command line: a mapping, its JSON text, or a JSON file that holds one (or a list with
    ``labels``).

    Raises:
        UserError: anything else.
    """
    where = "organs"
    if isinstance(text, str) and not text.lstrip().startswith("{"):
        where, names = text, read_json(text, what="organ names")
        text = names.get("labels", names) if isinstance(names, dict) else names
    elif isinstance(text, str):
        try:
            text = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(where, expected='JSON such as {"1": "spleen"}', found=f"{text!r} ({error.msg})") from None
    if text is None:
        return None
    names_of(text, where)
    return {str(key): value for key, value in text.items()}
