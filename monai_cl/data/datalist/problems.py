"""A problem of a data list: where it is, what was expected, what was found, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_cl.errors import UserError, message

MOST_SHOWN = 50


@dataclass(frozen=True)
class Problem:
    """One problem. ``str(problem)`` is one self-contained line.

    Attributes:
        kind: a short fixed word for programs, e.g. ``"missing file"`` or ``"label values"``.
        list: the data-list file.
        where: the place in that file, e.g. ``training[3].image``; "" for the whole file.
        expected, found: what should be there and what is.
        file: the file the item names, as written in the list, if one is concerned.
        remedy: what to do about it, if that is not obvious.
    """

    kind: str
    list: str
    where: str
    expected: str
    found: str
    file: str | None = None
    remedy: str | None = None

    def __str__(self) -> str:
        return f"{Path(self.list).name}: {self.text}"

    @property
    def text(self) -> str:
        """The line without the name of the list."""
        place = ": ".join(part for part in (self.where, self.file) if part)
        return message(place, expected=self.expected, found=self.found, remedy=self.remedy or None)


def raise_problems(path: str | Path, problems: Sequence[Problem]) -> None:
    """Raise one :class:`UserError` with all ``problems`` of the list ``path``; return if there are none."""
    if not problems:
        return
    if len(problems) == 1:
        only = problems[0]
        raise UserError(f"data list {path}: {only.text if only.list == str(path) else only}")
    lines = [f"data list {path} has {len(problems)} problems:"]
    lines += [f"  {problem}" for problem in problems[:MOST_SHOWN]]
    if len(problems) > MOST_SHOWN:
        lines.append(f"  ... and {len(problems) - MOST_SHOWN} more (`python -m monai_cl datalist validate` prints all)")
    raise UserError("\n".join(lines))
