"""Tables of embeddings: a vector and named values in each row; as Parquet, CSV or .npz."""

from __future__ import annotations

import csv
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from monai_cl.data.records.csv_rows import csv_text
from monai_cl.errors import UserError
from monai_cl.files import new_file, reported, write_atomically

ENDINGS = (".parquet", ".csv", ".npz")
_ABOUT = "monai_cl"  # key of the metadata of a Parquet file
_VECTOR = "vector"
_FEATURE = "v"  # of a CSV: v0, v1, …


@dataclass(frozen=True)
class EmbeddingTable:
    """Vectors of scans, slices or patches.

    Attributes:
        vectors: (n, F) float32.
        columns: name -> n values: text, numbers, or None where a value is not known. ``id``, ``patient`` and ``image``
            are always there; of slices ``slice``, ``depth``, ``z_mm``, of patches ``x_mm``, ``y_mm``, ``z_mm`` of their
            middle (RAS).
        about: what made the vectors: ``encoder``, ``options``, ``preprocessing``, ``scans``.
        source: the file it was read from, for messages.
    """

    vectors: np.ndarray
    columns: Mapping[str, Sequence[Any]]
    about: Mapping[str, Any] = field(default_factory=dict)
    source: str = "embeddings"

    def __post_init__(self) -> None:
        vectors = np.ascontiguousarray(self.vectors, dtype=np.float32)
        if vectors.ndim != 2 or 0 in vectors.shape:
            raise UserError(self.source, expected="vectors (rows, F)", found=vectors.shape)
        for name, values in self.columns.items():
            if len(values) != len(vectors):
                raise UserError(f"{self.source}: {name}", expected=f"{len(vectors)} values", found=len(values))
        bad = ~np.isfinite(vectors).all(1)
        if bad.any():
            raise UserError(
                f"{self.source}: {self.columns['id'][int(bad.argmax())]}",
                expected="finite vectors",
                found=f"nan or infinity in {int(bad.sum())} of {len(vectors)}",
                remedy="did the encoder diverge?",
            )
        object.__setattr__(self, "vectors", vectors)
        object.__setattr__(self, "columns", {name: list(values) for name, values in self.columns.items()})

    def __len__(self) -> int:
        return len(self.vectors)

    def column(self, name: str) -> list[Any]:
        """The values of a column.

        Args:
            name: of the column.

        Raises:
            UserError: there is no such column; names those that are there.
        """
        if name not in self.columns:
            raise UserError(
                self.source, expected=f"a column {name!r}", found=", ".join(self.columns), remedy="name one of these"
            )
        return list(self.columns[name])


def check_table_name(path: str | os.PathLike) -> Path:
    """The path of a table that is to be written, before anything is computed for it.

    Args:
        path: ends in ``.parquet``, ``.csv`` or ``.npz``.

    Raises:
        UserError: another ending, or Parquet without pyarrow.
    """
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise UserError(path, expected=f"a name ending in {', '.join(ENDINGS)}", remedy="choose one of these formats")
    if path.suffix == ".parquet":
        _pyarrow(path)
    return path


def write_embeddings(path: str | os.PathLike, table: EmbeddingTable) -> Path:
    """Write a table, whole or not at all.

    Parquet: the columns and ``vector``, a list of F float32; what made it is in the file's metadata under
    ``monai_cl``. CSV: the columns and ``v0`` … ; what made it lies beside it as ``.json``. ``.npz``: ``features``,
    ``patient``, ``slice``, ``label`` and ``depth`` as ``python -m monai_cl probe`` takes them, and ``columns``.

    Args:
        path: the ending says the format.
        table: what to write.

    Raises:
        UserError: another ending, Parquet without pyarrow, or a place that cannot be written to.
    """
    path = check_table_name(path)
    about = json.dumps(dict(table.about), ensure_ascii=False, default=str)
    with reported(path):
        if path.suffix == ".parquet":
            _write_parquet(path, table, about)
        elif path.suffix == ".npz":
            _write_npz(path, table, about)
        else:
            kinds = {name: _kind(values) for name, values in table.columns.items()}
            beside = {**dict(table.about), "columns": kinds}
            text = json.dumps(beside, indent=1, ensure_ascii=False, default=str)
            write_atomically(path.with_suffix(".json"), text.encode("utf-8", "surrogateescape"))
            write_atomically(path, _csv(table).encode("utf-8", "surrogateescape"))
    return path


def read_embeddings(path: str | os.PathLike) -> EmbeddingTable:
    """Read what `write_embeddings` wrote.

    Args:
        path: a ``.parquet``, ``.csv`` (with its ``.json`` beside it) or ``.npz`` file.

    Raises:
        UserError: no such file, another content, Parquet without pyarrow.
    """
    path = check_table_name(path)
    if not path.is_file():
        raise UserError(path, expected="a table of embeddings", found="no such file", remedy="correct the path")
    read = {".parquet": _read_parquet, ".npz": _read_npz, ".csv": _read_csv}[path.suffix]
    try:
        vectors, columns, about = read(path)
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            path,
            expected="a table as `python -m monai_cl embed` writes it",
            found=f"something else ({error})",
            remedy="embed the scans again",
        ) from error
    return EmbeddingTable(vectors, columns, about, str(path))


def _pyarrow(path: Path) -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(
            path,
            expected="the package pyarrow",
            found="none",
            remedy="pip install pyarrow, or name a .csv or .npz file",
        ) from error
    return pyarrow, pyarrow.parquet


def _write_parquet(path: Path, table: EmbeddingTable, about: str) -> None:
    arrow, parquet = _pyarrow(path)
    arrays = {name: arrow.array(_plain(values)) for name, values in table.columns.items()}
    flat = arrow.array(table.vectors.ravel(), type=arrow.float32())
    arrays[_VECTOR] = arrow.FixedSizeListArray.from_arrays(flat, table.vectors.shape[1])
    content = arrow.table(arrays).replace_schema_metadata({_ABOUT: about.encode("utf-8", "surrogateescape")})
    with new_file(path) as temporary:
        parquet.write_table(content, temporary)


def _read_parquet(path: Path) -> tuple[np.ndarray, dict[str, list], dict[str, Any]]:
    arrow, parquet = _pyarrow(path)
    try:
        content = parquet.read_table(path, memory_map=False)
    except arrow.ArrowException as error:
        raise ValueError(str(error)) from error
    about = json.loads((content.schema.metadata or {})[_ABOUT.encode()].decode("utf-8"))
    lists = content.column(_VECTOR).combine_chunks()
    size = lists.type.list_size
    vectors = lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    columns = {name: content.column(name).to_pylist() for name in content.column_names if name != _VECTOR}
    return vectors, columns, about


def _write_npz(path: Path, table: EmbeddingTable, about: str) -> None:
    rows, columns = range(len(table)), table.columns
    ids, numbers = columns["id"], columns.get("slice", [None] * len(table))
    # a row's own name: of several rows of one scan with their number
    repeated = len(set(ids)) < len(table)
    names = [
        f"{ids[row]}:{row if numbers[row] is None else numbers[row]}" if repeated else str(ids[row]) for row in rows
    ]
    targets = columns.get("target", [None] * len(table))
    depths = columns.get("depth", [None] * len(table))
    with new_file(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            features=table.vectors,
            patient=np.array([str(name) for name in columns["patient"]]),
            slice=np.array(names),
            label=np.array([-1 if target is None else int(target) for target in targets], np.int64),
            depth=np.array([np.nan if depth is None else depth for depth in depths], np.float32),
            columns=np.array(json.dumps({name: _plain(values) for name, values in columns.items()})),
            about=np.array(json.dumps(_as_features(table.about))),
            embedding=np.array(about),
        )


def _as_features(about: Mapping[str, Any]) -> dict[str, Any]:
    """What `SliceFeatures` says of itself, where results of a probe name the encoder by its file."""
    encoder = about.get("encoder") or {}
    return {key: value for key, value in (("method", about.get("method")), ("encoder", encoder.get("file"))) if value}


def _read_npz(path: Path) -> tuple[np.ndarray, dict[str, list], dict[str, Any]]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return arrays["features"], json.loads(str(arrays["columns"])), json.loads(str(arrays["embedding"]))


def _csv(table: EmbeddingTable) -> str:
    names = [f"{_FEATURE}{number}" for number in range(table.vectors.shape[1])]
    # %.9g gives back every float32
    rows = (
        {
            **{name: "" if values[row] is None else values[row] for name, values in table.columns.items()},
            **{name: f"{value:.9g}" for name, value in zip(names, table.vectors[row].tolist())},
        }
        for row in range(len(table))
    )
    return csv_text([*table.columns, *names], rows)


def _read_csv(path: Path) -> tuple[np.ndarray, dict[str, list], dict[str, Any]]:
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    kinds = about.pop("columns")
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        rows = list(reader)
    count = len(kinds)
    if header[:count] != list(kinds):
        raise ValueError(f"its columns are not those of {path.with_suffix('.json').name}")
    vectors = np.array([[float(value) for value in row[count:]] for row in rows], np.float32)
    columns = {name: [_value(row[place], kind) for row in rows] for place, (name, kind) in enumerate(kinds.items())}
    return vectors, columns, about


def _plain(values: Sequence[Any]) -> list[Any]:
    """Values of one type, as Arrow needs them: numbers beside text become text."""
    if _kind(values) == "text":
        return [None if value is None else str(value) for value in values]
    return list(values)


def _kind(values: Sequence[Any]) -> str:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return "bool"
    if known and all(isinstance(value, int) and not isinstance(value, bool) for value in known):
        return "int"
    if known and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return "float"
    return "text"


def _value(cell: str, kind: str) -> Any:
    if cell == "":
        return None
    if kind == "text":
        return cell[1:] if cell.startswith("'") and cell[1:2] in ("=", "+", "-", "@", "\t", "\r") else cell
    if kind == "bool":
        return cell == "True"
    return int(cell) if kind == "int" else float(cell)
