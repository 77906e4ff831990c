"""Options of a loss as a config gives them, asked before a scan is prepared: numbers, and what meta-labels take."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, NoReturn

from monai_cl.errors import UserError


def check_number(name: str, value: Any, *, zero: bool = False) -> float:
    """A finite number above 0, or from 0; a text, null or a truth value is none.

    Args:
        name: of the option.
        value: as given.
        zero: 0 is allowed too.

    Raises:
        UserError: anything else.
    """
    if not (_is_number(value) and (value > 0 or (zero and value == 0))):
        _refuse(name, f"a number {'from' if zero else 'above'} 0", value)
    return float(value)


def check_meta_labels(meta_labels: object, *, targets: Sequence[str] = ()) -> None:
    """Refuse a key or a value that no meta-label takes.

    Args:
        meta_labels: name -> entry, see `MetaLabelLoss` and `monai_cl.data.meta_labels_of`.
        targets: what the loss takes of a batch, ``label_<name>`` among others.

    Raises:
        UserError: names the key, what it takes and what it got; a name that ``targets`` ask for and is not there.
    """
    if not isinstance(meta_labels, Mapping):
        _refuse("meta_labels", "name: its options, such as {position: {parts: 3}, patient: {weight: 0.1}}", meta_labels)
    for name, entry in meta_labels.items():
        where = f"meta_labels.{name}"
        if not isinstance(name, str) or not name:
            _refuse("meta_labels", "names that are texts", name)
        if not isinstance(entry, Mapping):
            _refuse(where, "its options, such as {weight: 0.1}, or {} for none", entry)
        for key, value in entry.items():
            if key not in _KEYS:
                near = difflib.get_close_matches(str(key), _KEYS, n=1)
                remedy = f"did you mean {near[0]}?" if near else "leave it out"
                raise UserError(where, expected=f"of {', '.join(_KEYS)}", found=f"{key!r}", remedy=remedy)
            expected, fits = _KEYS[key]
            if not fits(value):
                _refuse(f"{where}.{key}", expected, value)
    for name in (target.removeprefix("label_") for target in targets if target.startswith("label_")):
        if name not in meta_labels:
            there = ", ".join(meta_labels) or "none"
            raise UserError("meta_labels", expected=f"{name}, which the method takes, among them", found=there)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_pace(value: Any) -> bool:
    if value is None:
        return True
    pair = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    return pair and all(map(_is_number, value)) and 0 < value[0] <= value[1]


def _refuse(where: str, expected: str, found: object) -> NoReturn:
    remedy = None
    for value in found if isinstance(found, (list, tuple)) else [found]:
        try:
            remedy = remedy or (f"{value!r} is a text here: write {float(value)}" if isinstance(value, str) else None)
        except ValueError:
            continue
    raise UserError(where, expected=expected, found=f"{found!r}", remedy=remedy)


# key of an entry -> what it takes
_KEYS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "weight": ("a number from 0", lambda value: _is_number(value) and value >= 0),
    "gamma": ("two finite numbers above 0, the second not below the first, or null for no pace", _is_pace),
    "parts": ("a whole number from 1", lambda value: _is_number(value) and value >= 1 and value == int(value)),
    "field": ("a key of the items or of their meta, or null", lambda value: value is None or isinstance(value, str)),
    "shuffled": ("a share from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1),
}
