"""Patient labels from a CSV or TSV table: a patient column, a value column, and what each value means."""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from monai_cl.data.records.grade import is_unknown
from monai_cl.errors import UserError

_MOST_SHOWN = 12


@dataclass(frozen=True)
class Table:
    """A text table: ``columns``, and rows as (line of the file, cells); ``sha256`` of the file."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    sha256: str

    def column(self, name: str) -> int:
        """The place of a column; a :class:`UserError` suggests the nearest name where there is none."""
        places = [place for place, column in enumerate(self.columns) if column == name]
        if len(places) == 1:
            return places[0]
        if places:
            raise UserError(
                f"table {self.path}", expected=f"one column {name!r}", found=len(places), remedy="rename the others"
            )
        shown = ", ".join(self.columns[:_MOST_SHOWN]) + (", ..." if len(self.columns) > _MOST_SHOWN else "")
        near = _nearest(name, self.columns)
        hint = f"; did you mean {near!r}?" if near else "; is the first line the header?"
        raise UserError(f"table {self.path}", expected=f"a column {name!r}", found=f"{shown}{hint}")


@dataclass(frozen=True)
class TableLabels:
    """The labels of a table of patients.

    Attributes:
        path, sha256: of the file.
        targets: patient -> class, for those with a known one.
        cells: patient -> the cell as written in the table, of every patient.
        unknown: cell -> number of patients whose class is not known for it.
    """

    path: Path
    sha256: str
    targets: dict[str, int]
    cells: dict[str, str]
    unknown: Counter[str] = field(default_factory=Counter)

    def summary(self) -> str:
        """A line of counts."""
        classes = Counter(self.targets.values())
        parts = [f"class {target}: {classes[target]}" for target in sorted(classes)]
        parts += [f"{cell or 'empty'}: {count}" for cell, count in self.unknown.most_common()]
        return f"{self.path}: {len(self.cells)} patients ({', '.join(parts)})"


def read_table(path: str | Path, *, skip_rows: int = 0) -> Table:
    """Read a table separated by tabs, semicolons or commas, whichever its first line has most of.

    Args:
        path: a UTF-8 text file whose first line names the columns.
        skip_rows: lines below the first that are not patients (2 in TCGA's clinical tables).

    Raises:
        UserError: no such file, not text, no rows, or a row with another number of cells.
    """
    path = Path(path)
    if path.exists() and not path.is_dir() and not path.is_file():
        raise UserError(
            f"table {path}", expected="a file", found="a pipe or device", remedy="save its content to a file"
        )
    if isinstance(skip_rows, bool) or not isinstance(skip_rows, int) or skip_rows < 0:
        raise UserError(f"skip_rows must be an integer of at least 0, got {skip_rows!r}")
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"table {path}", found="no such file") from None
    except UnicodeDecodeError:
        raise UserError(
            f"table {path}", expected="UTF-8 text", found="other bytes", remedy="export it as UTF-8 CSV"
        ) from None
    except OSError as error:
        raise UserError(f"table {path}", found=f"cannot be read ({error.strerror})") from None
    lines = text.splitlines()
    first = lines[0] if lines else ""
    delimiter = max("\t;,", key=first.count)
    reader = csv.reader(lines, delimiter=delimiter)
    rows = [(reader.line_num, tuple(cell.strip() for cell in row)) for row in reader if any(map(str.strip, row))]
    if not rows:
        raise UserError(f"table {path}", expected="a header line and rows", found="an empty file")
    columns, body = rows[0][1], rows[1 + skip_rows :]
    for line, cells in body:
        if len(cells) != len(columns):
            raise UserError(
                f"table {path}: line {line}",
                expected=f"{len(columns)} cells as in the header",
                found=len(cells),
                remedy="put cells that contain the separator in double quotes",
            )
    if not body:
        raise UserError(f"table {path}", expected="rows below the header", found="none")
    return Table(path, columns, tuple(body), hashlib.sha256(raw).hexdigest())


def read_label_table(
    path: str | Path,
    *,
    patient: str,
    value: str,
    mapping: Mapping[Any, int | None] | None = None,
    skip_rows: int = 0,
) -> TableLabels:
    """Read the class of every patient.

    Args:
        path: see :func:`read_table`.
        patient: name of the column with the patients.
        value: name of the column with the values.
        mapping: value -> class, or None for "not known". A key stands for cells that equal it, in capitals or not,
            for the same number, and for cells that continue with " - ": ``"5"`` also for
            ``"5 - Incomplete Cirrhosis"``. Without a mapping, cells are classes: 0, 1, 2, ...
        skip_rows: see :func:`read_table`.

    An empty cell, NA, unknown and the like, and anything in square brackets ("[Not Available]") is not known. A patient
    may have several rows, if they do not contradict each other.

    Raises:
        UserError: no such column (the nearest is suggested), a value the mapping does not name, a patient with two
            different classes; says the line.
    """
    classes = _check_mapping(mapping)
    table = read_table(path, skip_rows=skip_rows)
    patients, values = table.column(patient), table.column(value)
    seen: dict[str, tuple[int, int]] = {}
    cells: dict[str, str] = {}
    strange: dict[str, list[tuple[int, str]]] = {}
    for line, row in table.rows:
        name, cell = row[patients], row[values]
        if not name:
            raise UserError(
                f"table {path}: line {line}", expected=f"a patient in column {patient!r}", found="an empty cell"
            )
        known, target = _target(cell, classes)
        if not known:
            strange.setdefault(cell, []).append((line, name))
            continue
        if target is None:
            cells.setdefault(name, cell)
            continue
        first, first_line = seen.setdefault(name, (target, line))
        if first != target:
            raise UserError(
                f"table {path}: patient {name}",
                expected="one label",
                found=f"{first} in line {first_line} and {target} in line {line} (column {value!r})",
                remedy="correct the table",
            )
        cells[name] = cell
    if strange:
        raise UserError(_strange_values(path, value, strange, mapping))
    targets = {name: target for name, (target, _) in seen.items()}
    unknown = Counter(cell for name, cell in cells.items() if name not in targets)
    return TableLabels(Path(path), table.sha256, targets, cells, unknown)


def typed_cells(cells: Sequence[str]) -> list[Any]:
    """The cells of a column: integers where all are, else finite numbers, else text; None where it is not known.

    Args:
        cells: as the table has them.
    """
    known = [cell for cell in cells if not is_unknown(cell)]
    for kind in (int, float):
        try:
            sound = all(math.isfinite(kind(cell)) for cell in known)
        except (ValueError, OverflowError):
            continue
        if not sound:
            continue
        return [None if is_unknown(cell) else kind(cell) for cell in cells]
    return [None if is_unknown(cell) else cell for cell in cells]


def read_columns(
    path: str | Path, *, patient: str, columns: Sequence[str], skip_rows: int = 0
) -> dict[str, dict[str, Any]]:
    """What a table knows of its patients.

    Args:
        path: see :func:`read_table`.
        patient: name of the column with the patients.
        columns: names of those that are read, see :func:`typed_cells`.
        skip_rows: see :func:`read_table`.

    Returns:
        patient -> column -> value; without the values that are not known.

    Raises:
        UserError: no such column (the nearest is suggested), a row without a patient, a patient with two values; says
            the line.
    """
    table = read_table(path, skip_rows=skip_rows)
    names = table.column(patient)
    found: dict[str, dict[str, Any]] = {}
    for line, row in table.rows:
        if not row[names]:
            raise UserError(
                f"table {path}: line {line}", expected=f"a patient in column {patient!r}", found="an empty cell"
            )
        found[row[names]] = {}
    for column in columns:
        place = table.column(column)
        first_line: dict[str, int] = {}
        for (line, row), value in zip(table.rows, typed_cells([row[place] for _, row in table.rows]), strict=True):
            if value is None:
                continue
            first = found[row[names]].setdefault(column, value)
            if first != value:
                raise UserError(
                    f"table {path}: patient {row[names]}",
                    expected=f"one {column}",
                    found=f"{first} in line {first_line[row[names]]} and {value} in line {line}",
                    remedy="correct the table",
                )
            first_line.setdefault(row[names], line)
    return found


def _check_mapping(mapping: Mapping[Any, int | None] | None) -> dict[str, int | None] | None:
    if mapping is None:
        return None
    if not isinstance(mapping, Mapping) or not mapping:
        raise UserError(f'mapping must be value -> class such as {{"0": 0, "5": 1}}, got {mapping!r}')
    for key, target in mapping.items():
        if target is not None and (isinstance(target, bool) or not isinstance(target, int) or target < 0):
            raise UserError("mapping", expected=f"a class of 0, 1, 2, ... or null for {key!r}", found=f"{target!r}")
    return {str(key).strip().casefold(): target for key, target in mapping.items()}


def _target(cell: str, classes: dict[str, int | None] | None) -> tuple[bool, int | None]:
    """Whether the cell has a meaning, and its class (None: not known)."""
    plain = cell.casefold()
    if classes is not None:
        for key in (plain, plain.split(" - ")[0].strip()):
            if key in classes:
                return True, classes[key]
        number = _number(plain)
        if number is not None:
            for key, target in classes.items():
                if _number(key) == number:
                    return True, target
    if is_unknown(plain):
        return True, None
    if classes is None:
        number = _number(plain)
        if number is not None and number >= 0 and number.is_integer():
            return True, int(number)
    return False, None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _strange_values(
    path: str | Path, value: str, strange: dict[str, list[tuple[int, str]]], mapping: Mapping[Any, Any] | None
) -> str:
    expected = "integers" if mapping is None else f"values of the mapping ({', '.join(map(str, mapping))})"
    found = ", ".join(
        f"{cell!r} (patient {places[0][1]}, line {places[0][0]}"
        + (f", and {len(places) - 1} more)" if len(places) > 1 else ")")
        for cell, places in list(strange.items())[:_MOST_SHOWN]
    )
    remedy = "name them in the mapping (null: not known), or leave out header lines with skip_rows"
    return f"table {path}: column {value!r}: expected {expected}, found {found}; {remedy}"


def _nearest(name: str, columns: tuple[str, ...]) -> str | None:
    lower = {column.casefold(): column for column in columns}
    near = get_close_matches(name.casefold(), list(lower), n=1)
    if near:
        return lower[near[0]]
    within = [column for key, column in lower.items() if key and (name.casefold() in key or key in name.casefold())]
    return within[0] if within else None
