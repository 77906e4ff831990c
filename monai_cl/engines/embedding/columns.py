"""Columns of a table of embeddings from a table of the user's: what is known of patients or scans."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from monai_cl.data.datalist.tables import read_table, typed_cells
from monai_cl.data.records.embeddings import EmbeddingTable
from monai_cl.errors import UserError

_KEYS = ("id", "patient")


def join_table(table: EmbeddingTable, path: str | Path) -> EmbeddingTable:
    """A table of embeddings with the columns of a CSV or TSV file.

    Args:
        table: of embeddings.
        path: its column ``id`` names the scan that a row is of, or else ``patient`` the patient. A cell that is empty,
            NA, unknown and the like is None.

    Raises:
        UserError: a file without such a column, two rows of one scan or patient that differ, or none of these rows.
    """
    content = read_table(path)
    key = next((name for name in _KEYS if name in content.columns), None)
    if key is None:
        raise UserError(
            path,
            expected="a column id (of the scan) or patient",
            found=", ".join(content.columns[:8]),
            remedy="rename the column that says of whom a row is",
        )
    place = content.column(key)
    rows: dict[str, tuple[str, ...]] = {}
    for line, cells in content.rows:
        if rows.setdefault(cells[place], cells) != cells:
            raise UserError(
                f"{path}: line {line}",
                expected=f"one row of {key} {cells[place]}",
                found="another one above it",
                remedy="leave one of them",
            )
    names = table.column(key)
    if not set(rows) & set(names):
        raise UserError(
            path,
            expected=f"rows of the {key}s of the table of embeddings, such as {names[0]}",
            found=f"others, such as {next(iter(rows))}",
            remedy=f"write its column {key} as the embeddings have it",
        )
    columns = {
        name: typed_cells([rows[own][number] if own in rows else "" for own in names])
        for number, name in enumerate(content.columns)
        if name not in (*_KEYS, "")
    }
    return replace(table, columns={**table.columns, **columns})
