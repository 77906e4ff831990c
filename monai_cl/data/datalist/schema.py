"""Check the shape of a data list against ``schema.json`` and report in plain words what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_cl.data.datalist.model import SPLITS
from monai_cl.data.datalist.problems import Problem
from monai_cl.data.records.json_schema import expectation, missing_key, schema_validator, shown, where

if TYPE_CHECKING:
    from jsonschema import ValidationError

SCHEMA_FILE = Path(__file__).with_name("schema.json")


def schema_problems(document: Any, list_file: str | Path) -> list[Problem]:
    """All violations of the schema in ``document`` (parsed JSON), in the order of the list."""
    problems: dict[tuple[str, str, str], Problem] = {}
    for error in schema_validator(SCHEMA_FILE).iter_errors(document):
        if _is_told_already(document, error):
            continue
        file = _file_of(document, list(error.absolute_path))
        for problem in _translate(error, str(list_file), file):
            problems.setdefault((problem.where, problem.expected, problem.found), problem)
    return list(problems.values())


def _is_told_already(document: Any, error: ValidationError) -> bool:
    """Labels given as name -> id violate several rules; one problem that says they are reversed is enough."""
    path = list(error.absolute_path)
    if "labels" not in path or error.validator == "required":
        return False
    for part in path[: path.index("labels") + 1]:
        document = document[part]
    return isinstance(document, dict) and "0" not in document and _swap_hint(document) is not None


def _file_of(document: Any, path: list[str | int]) -> str | None:
    """The image of the item that a problem is about."""
    for depth, part in enumerate(path):
        if isinstance(part, int) and path[depth - 1] in SPLITS:
            item = document[part]
            image = item.get("image") if isinstance(item, dict) else item
            return image if isinstance(image, str) and image.strip() else None
        document = document[part]
    return None


def _translate(error: ValidationError, list_file: str, file: str | None) -> Iterator[Problem]:
    path, value = list(error.absolute_path), error.instance

    def problem(kind: str, parts: list[str | int], expected: str, found: str, remedy: str | None = None) -> Problem:
        return Problem(kind, list_file, where(*parts), expected, found, file=file, remedy=remedy)

    in_names = "propertyNames" in error.absolute_schema_path
    if in_names:  # the keys of labels, label_map, targets
        yield problem(
            "label id", path, "label ids that are integers in quotes, 0 or more", shown(value), _ids_hint(path)
        )
    elif error.validator == "required":
        yield from _missing(problem, path, missing_key(error), value)
    elif error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        for key in value:
            if key not in known:
                near = get_close_matches(key, known, n=1, cutoff=0.75)
                remedy = f'did you mean "{near[0]}"?' if near else "remove it"
                if not near and "meta" in known:
                    remedy = 'remove it, or keep it under "meta"'
                yield problem("unknown key", path, f"one of the keys {', '.join(known)}", f'"{key}"', remedy)
    elif error.validator == "type":
        yield problem("wrong type", path, expectation(error), shown(value), _type_hint(path, value))
    else:
        expected = expectation(error)
        if error.validator == "pattern":
            expected = "a name without slashes" if path[-1:] == ["id"] else "a text that is not empty"
        yield problem("wrong value", path, expected, "none" if error.validator == "minItems" else shown(value))


def _missing(problem: Any, path: list[str | int], key: str, value: dict) -> Iterator[Problem]:
    if path[-1:] == ["labels"] and key == "0":
        yield problem(
            "no background",
            path,
            'an entry "0": "background"',
            f"the ids {', '.join(value) or 'none'}",
            _swap_hint(value),
        )
        return
    near = [other for other in get_close_matches(key, list(value), n=1, cutoff=0.75)]
    remedy = f'is "{near[0]}" meant?' if near else None
    if key == "training" and not near:
        remedy = 'a list of {"image": ..., "label": ...}; a list of several data sets has "datasets" instead'
    found = f"only the keys {', '.join(value)}" if value else "an empty object"
    yield problem("missing key", path, f'the key "{key}"', found, remedy)


def _swap_hint(value: dict) -> str | None:
    if value and all(isinstance(v, int) and not isinstance(v, bool) for v in value.values()):
        return "this is name -> id (as nnU-Net writes it); here it is id -> name: swap them"
    return None


def _ids_hint(path: list[str | int]) -> str | None:
    return 'write {"0": "background", "1": "spleen"}' if path[-1:] == ["labels"] else None


def _type_hint(path: list[str | int], value: Any) -> str | None:
    if path[-1:] == ["labels"] and isinstance(value, list):
        return 'write {"0": "background", "1": "spleen"}'
    if path[-1:] == ["fold"] and isinstance(value, str) and value.isdigit():
        return "leave out the quotes"
    if path[-1:] == ["patient"] and isinstance(value, int):
        return "put it in quotes"
    if path[-1:] == ["image"] and isinstance(value, list):
        return "one image file per item; write an item for each"
    if path[-1:] == ["label"] and isinstance(value, dict | list):
        return "one label map per item; `datalist merge_masks` makes it of one mask file per organ"
    if len(path) >= 2 and path[-2] in ("training", "validation") and isinstance(value, str):
        return 'write {"image": "..."}'
    return None
