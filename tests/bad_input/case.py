"""One row of the table of bad input: how it is made, where it occurs, what happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

GROUPS = {
    "bytes": "Files that are damaged, cut or something else",
    "geometry": "Where the voxels lie",
    "values": "What the voxels hold",
    "lists": "Data lists",
    "tables": "Patients, classes, folds and tables",
    "weights": "Checkpoints, encoders, features, results",
    "options": "Options and configs",
}


@dataclass(frozen=True)
class Case:
    """A row.

    Attributes:
        group: a key of `GROUPS`.
        name: the input, in words.
        doors: where it is met: names of `tests.bad_input.doors.DOORS`, or bundles' runs such as ``spleen train``.
        make: makes it out of sound data; gets the `World` (for a run: the fixture's options, and returns others).
        names: what the one error must say: the file or key first, what to do last.
        repair: what is done instead of an error, in words.
        check: proves the repair, given the `World` after the door.
        sound: makes what the repair must equal, wherever scans and labels are read (`tests.bad_input.test_repairs`);
            None where a repair concerns its doors alone.
        problems: how many complaints `datalist validate` has.
        real: it is made of a real file of ``odd_files``.
        slow: a run like others that are not, left to the slow tests.
    """

    group: str
    name: str
    doors: tuple[str, ...]
    make: Callable[[Any], Any]
    names: tuple[str, ...] = ()
    repair: str = ""
    check: Callable[[Any], None] | None = None
    sound: Callable[[Any], Any] | None = None
    problems: int = 1
    real: bool = False
    slow: bool = False

    def __post_init__(self) -> None:
        assert self.group in GROUPS, self.group
        assert self.doors, self.name
        assert bool(self.names) != bool(self.repair), f"{self.name}: refused or repaired, one of them"
        assert bool(self.repair) == bool(self.check), f"{self.name}: a repair is proved"

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"
