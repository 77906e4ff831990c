"""The bytes of tables of embeddings: Parquet, CSV and .npz."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from monai_cl.data.records.csv_rows import csv_text
from monai_cl.errors import UserError
from monai_cl.files import new_file

_ABOUT = "monai_cl"  # key of the metadata of a Parquet file
_VECTOR = "vector"
_FEATURE = "v"  # of a CSV: v0, v1, …


Columns = Mapping[str, Sequence[Any]]


def pyarrow_modules(path: Path) -> tuple[ModuleType, ModuleType]:
    """pyarrow and its Parquet; a `UserError` with the line to install it, where it is missing.

    Args:
        path: of the file, for the message.
    """
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


def write_parquet(path: Path, vectors: np.ndarray, columns: Columns, about: str) -> None:
    """Columns, and ``vector``; what made it in the file's metadata.

    Args:
        path: to write.
        vectors: (n, F) float32.
        columns: name -> n values.
        about: JSON.
    """
    arrow, parquet = pyarrow_modules(path)
    arrays = {name: arrow.array(_plain(values)) for name, values in columns.items()}
    flat = arrow.array(vectors.ravel(), type=arrow.float32())
    arrays[_VECTOR] = arrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    content = arrow.table(arrays).replace_schema_metadata({_ABOUT: about.encode("utf-8", "surrogateescape")})
    with new_file(path) as temporary:
        parquet.write_table(content, temporary)


def read_parquet(path: Path) -> tuple[np.ndarray, dict[str, list], dict[str, Any]]:
    """Vectors, columns and what made them.

    Args:
        path: to read.
    """
    arrow, parquet = pyarrow_modules(path)
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


def write_npz(path: Path, vectors: np.ndarray, columns: Columns, about: str) -> None:
    """The arrays of `feature_arrays`, and what made them.

    Args:
        path: to write.
        vectors: (n, F) float32.
        columns: name -> n values.
        about: JSON.
    """
    with new_file(path) as temporary, temporary.open("wb") as file:
        arrays: dict[str, Any] = {**feature_arrays(vectors, columns, json.loads(about)), "embedding": np.array(about)}
        np.savez(file, **arrays)


def feature_arrays(vectors: np.ndarray, columns: Columns, about: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Embeddings as the arrays of a file of features, see `monai_cl.data.read_features`.

    Args:
        vectors: (n, F) float32.
        columns: name -> n values.
        about: what made them.

    Returns:
        ``features``, ``patient``, ``slice``, ``label``, ``depth``; ``columns`` and ``about`` as JSON.
    """
    rows = range(len(vectors))
    ids, numbers = columns["id"], columns.get("slice", [None] * len(rows))
    # a row's own name: of several rows of one scan with their number
    repeated = len(set(ids)) < len(rows)
    names = [
        f"{ids[row]}:{row if numbers[row] is None else numbers[row]}" if repeated else str(ids[row]) for row in rows
    ]
    targets = columns.get("target", [None] * len(rows))
    depths = columns.get("depth", [None] * len(rows))
    return {
        "features": vectors,
        "patient": np.array([str(name) for name in columns["patient"]]),
        "slice": np.array(names),
        "label": np.array([-1 if target is None else int(target) for target in targets], np.int64),
        "depth": np.array([np.nan if depth is None else depth for depth in depths], np.float32),
        "columns": np.array(json.dumps({name: _plain(values) for name, values in columns.items()})),
        "about": np.array(json.dumps(_as_features(about))),
    }


def _as_features(about: Mapping[str, Any]) -> dict[str, Any]:
    """What `SliceFeatures` says of itself, where results of a probe name the encoder by its file."""
    encoder = about.get("encoder") or {}
    return {key: value for key, value in (("method", about.get("method")), ("encoder", encoder.get("file"))) if value}


def read_npz(path: Path) -> tuple[np.ndarray, dict[str, list], dict[str, Any]]:
    """Vectors, columns and what made them.

    Args:
        path: to read.
    """
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return arrays["features"], json.loads(str(arrays["columns"])), json.loads(str(arrays["embedding"]))


def table_csv(vectors: np.ndarray, columns: Columns) -> str:
    """The text of a CSV.

    Args:
        vectors: (n, F) float32.
        columns: name -> n values.
    """
    names = [f"{_FEATURE}{number}" for number in range(vectors.shape[1])]
    # %.9g gives back every float32
    rows = (
        {
            **{name: "" if values[row] is None else values[row] for name, values in columns.items()},
            **{name: f"{value:.9g}" for name, value in zip(names, vectors[row].tolist())},
        }
        for row in range(len(vectors))
    )
    return csv_text([*columns, *names], rows)


def read_csv(path: Path) -> tuple[np.ndarray, dict[str, list], dict[str, Any]]:
    """Vectors, columns and what made them.

    Args:
        path: to read, its ``.json`` beside it.
    """
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
    if kind_of(values) == "text":
        return [None if value is None else str(value) for value in values]
    return list(values)


def kind_of(values: Sequence[Any]) -> str:
    """``bool``, ``int``, ``float`` or ``text``, as all known values of a column are.

    Args:
        values: None where one is not known.
    """
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
