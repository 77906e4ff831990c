"""What a classifier learns of a patient: the classes of a data list, or a grade of it from a value on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from monai_cl.errors import UserError

TARGET = "target"


@dataclass(frozen=True)
class Grade:
    """A field of the items of a data list, and which of its values are positive.

    Attributes:
        field: name of the field; ``target``: the class that the list itself gives.
        positive_from: patients with this value or a larger one are of class 1, all others of class 0; None: the values
            are the classes.

    Raises:
        UserError: a field that is not a name, a value that is not a number.
    """

    field: str = TARGET
    positive_from: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.field, str) or not self.field.strip():
            raise UserError(
                "target_field",
                expected="the name of a field of the items, such as fibrosis",
                found=repr(self.field),
                remedy="leave it out to learn their target",
            )
        value = self.positive_from
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)
        ):
            raise UserError(
                "positive_from",
                expected="the value from which on a patient is positive, such as 3",
                found=repr(value),
                remedy="leave it out where the values are the classes 0 and 1",
            )

    def __str__(self) -> str:
        return self.field if self.positive_from is None else f"{self.field} >= {self.positive_from:.10g}"

    def class_of(self, value: Any) -> int | None:
        """The class of a value; None where it is not known.

        Args:
            value: a number, or text that is one. None, nan, and text such as an empty cell or NA: not known.

        Raises:
            ValueError: anything else; without ``positive_from`` also a number that is not a class.
        """
        number = _number(value)
        if number is None:
            return None
        if self.positive_from is not None:
            return int(number >= self.positive_from)
        if number < 0 or not number.is_integer():
            raise ValueError(f"{value!r} is not a class")
        return int(number)

    def class_names(self, targets: Mapping[str, str]) -> dict[str, str]:
        """What the classes are called.

        Args:
            targets: target -> its name, of the list.
        """
        if self.positive_from is None:
            return dict(targets) if self.field == TARGET else {str(c): f"{self.field} {c}" for c in (0, 1)}
        if self.field == TARGET and targets:
            sides: dict[int, list[str]] = {0: [], 1: []}
            for target, name in sorted(targets.items(), key=lambda pair: int(pair[0])):
                sides[int(int(target) >= self.positive_from)].append(name)
            if all(sides.values()):
                return {str(side): ", ".join(names) for side, names in sides.items()}
        return {"0": f"{self.field} < {self.positive_from:.10g}", "1": str(self)}

    def record(self) -> dict[str, Any]:
        """The entry ``target`` of a data list in ``results.json`` and in files of weights; see `recorded_grade`."""
        return asdict(self)


OWN_CLASSES = Grade()
"""The classes that a data list gives its items itself."""


def recorded_grade(data_list: Mapping[str, Any]) -> Grade:
    """The grade in a record; the list's own classes where the record names none.

    Args:
        data_list: the entry of a data list in ``results.json`` or in a file of weights.
    """
    target = data_list.get("target")
    return (
        Grade(target.get("field", TARGET), target.get("positive_from")) if isinstance(target, Mapping) else OWN_CLASSES
    )


def _number(value: Any) -> float | None:
    if value is None or (isinstance(value, str) and is_unknown(value)):
        return None
    if not isinstance(value, str | int | float):
        raise ValueError(f"{value!r:.60} is not a number")
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"{value!r:.60} is not a number") from None
    if math.isinf(number):
        raise ValueError(f"{value!r} is not finite")
    return None if math.isnan(number) else number


_UNKNOWN = {"", "na", "n/a", "nan", "none", "null", "unknown", "not available", "not applicable"}


def is_unknown(cell: str) -> bool:
    """Whether a cell says that its value is not known: empty, NA, unknown and the like, or in square brackets.

    Args:
        cell: of a table.
    """
    plain = cell.strip().casefold()
    return plain in _UNKNOWN or (plain.startswith("[") and plain.endswith("]"))
