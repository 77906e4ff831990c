"""Tables of embeddings: a vector and named values in each row; as Parquet, CSV or .npz."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl.data.records.embedding_formats import (
    feature_arrays,
    kind_of,
    pyarrow_modules,
    read_csv,
    read_npz,
    read_parquet,
    table_csv,
    write_npz,
    write_parquet,
)
from monai_cl.errors import UserError
from monai_cl.files import reported, write_atomically

ENDINGS = (".parquet", ".csv", ".npz")


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

    def as_features(self) -> dict[str, np.ndarray]:
        """The arrays that `monai_cl.data.read_features` takes, with all columns as JSON under ``columns``."""
        return feature_arrays(self.vectors, self.columns, self.about)


def check_place(path: str | os.PathLike) -> Path:
    """The path of a table that is to be written, before anything is computed for it.

    Args:
        path: ends in ``.parquet``, ``.csv`` or ``.npz``.

    Raises:
        UserError: another ending, Parquet without pyarrow; a folder; a CSV whose ``.json`` would replace another file.
    """
    path = _checked_name(path)
    if path.is_dir():
        raise UserError(path, expected="a file", found="a folder", remedy="choose another name")
    beside = path.with_suffix(".json")
    if path.suffix == ".csv" and beside.exists() and not _is_of_a_csv(beside):
        raise UserError(
            beside,
            expected=f"no other file than the one that says what made {path.name}",
            found="another one, which would be lost",
            remedy="choose another name",
        )
    return path


def _is_of_a_csv(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and isinstance(content.get("columns"), dict)


def _checked_name(path: str | os.PathLike) -> Path:
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise UserError(path, expected=f"a name ending in {', '.join(ENDINGS)}", remedy="choose one of these formats")
    if path.suffix == ".parquet":
        pyarrow_modules(path)
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
        UserError: see `check_place`; a place that cannot be written to.
    """
    path = check_place(path)
    about = json.dumps(dict(table.about), ensure_ascii=False, default=str)
    with reported(path):
        if path.suffix == ".parquet":
            write_parquet(path, table.vectors, table.columns, about)
        elif path.suffix == ".npz":
            write_npz(path, table.vectors, table.columns, about)
        else:
            kinds = {name: kind_of(values) for name, values in table.columns.items()}
            beside = {**dict(table.about), "columns": kinds}
            text = json.dumps(beside, indent=1, ensure_ascii=False, default=str)
            write_atomically(path.with_suffix(".json"), text.encode("utf-8", "surrogateescape"))
            write_atomically(path, table_csv(table.vectors, table.columns).encode("utf-8", "surrogateescape"))
    return path


def read_embeddings(path: str | os.PathLike) -> EmbeddingTable:
    """Read what `write_embeddings` wrote.

    Args:
        path: a ``.parquet``, ``.csv`` (with its ``.json`` beside it) or ``.npz`` file.

    Raises:
        UserError: no such file, another content, Parquet without pyarrow.
    """
    path = _checked_name(path)
    if not path.is_file():
        raise UserError(path, expected="a table of embeddings", found="no such file", remedy="correct the path")
    read = {".parquet": read_parquet, ".npz": read_npz, ".csv": read_csv}[path.suffix]
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
