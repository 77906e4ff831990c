"""The rows nearest to one of a table of embeddings, and the pictures of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_cl.data.records.embeddings import EmbeddingTable
from monai_cl.engines.embedding.ahead import unit_of
from monai_cl.engines.embedding.encoder import BOXES, PATCHES, FrozenEncoder
from monai_cl.engines.embedding.inputs import ScanInputs, ScanLoader
from monai_cl.errors import UserError


def find_row(table: EmbeddingTable, name: str) -> int:
    """The row that a name stands for: ``scan``, or ``scan:slice``; of a scan with several rows its middle one.

    Args:
        table: of embeddings.
        name: the id of a scan; behind a colon the number of a slice, or of a patch of the scan, from 0.

    Raises:
        UserError: no such scan or row.
    """
    ids = table.column("id")
    scan, number = _scan_named(table, name)
    rows = [row for row, own in enumerate(ids) if own == scan]
    if number is None:
        return rows[len(rows) // 2]
    names = [str(row_number(table, row)) for row in rows]
    if number not in names:
        raise UserError(
            f"--nearest {name}", expected=f"a row of {scan}: {names[0]} to {names[-1]}", found=number, remedy="name one"
        )
    return rows[names.index(number)]


def check_nearest(table: EmbeddingTable, name: str, *, count: int) -> None:
    """Refuse before scans are embedded what cannot be searched afterwards.

    Args:
        table: of `expected_table`.
        name: see `find_row`.
        count: see `nearest_rows`.

    Raises:
        UserError: no such scan, or row where a scan is one; no other scan; a count below 1.
    """
    if count < 1:
        raise UserError("--neighbours", expected="1 or more", found=count)
    _scan_named(table, name)
    if unit_of(table) == "scan":
        find_row(table, name)
    if len(set(table.columns["id"])) < 2:
        raise UserError("--nearest", expected="scans beside that one", found="none", remedy="embed more scans")


def _scan_named(table: EmbeddingTable, name: str) -> tuple[str, str | None]:
    """The id of a scan, and the number behind it."""
    ids = table.column("id")
    if name in ids:
        return name, None
    scan, _, number = name.rpartition(":")
    if scan in ids:
        return scan, number
    known = ", ".join(dict.fromkeys(ids[:3]))
    raise UserError(
        f"--nearest {name}", expected=f"a scan of {table.source}", found="no such id", remedy=f"they are {known}, …"
    )


def row_number(table: EmbeddingTable, row: int) -> int:
    """Of a row its slice, or its place among the rows of its scan.

    Args:
        table: of embeddings.
        row: place in the table.
    """
    if "slice" in table.columns:
        return int(table.columns["slice"][row])
    ids = table.columns["id"]
    return row - ids.index(ids[row])


def nearest_rows(table: EmbeddingTable, row: int, *, count: int = 5) -> list[tuple[int, float]]:
    """The rows of other scans whose vectors have the smallest angle with that of a row.

    Args:
        table: of embeddings.
        row: place in the table.
        count: rows, at most.

    Returns:
        (row, cosine), the nearest first; of equal ones the first of the table.
    """
    vectors = table.vectors.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1)
    cosine = vectors @ vectors[row] / np.maximum(lengths * lengths[row], 1e-30)
    ids = np.array(table.column("id"))
    others = np.flatnonzero(ids != ids[row])
    order = others[np.argsort(-cosine[others], kind="stable")][:count]
    return [(int(place), float(cosine[place])) for place in order]


def row_pictures(
    encoder: FrozenEncoder,
    table: EmbeddingTable,
    rows: Sequence[int],
    items: Sequence[Mapping[str, Any]],
    *,
    find_head: bool = True,
) -> list[np.ndarray]:
    """What the encoder saw of rows: a slice (H, W) in [0, 1], front up, the patient's right on the left.

    Of a scan it is the slice with most of the body or the organ, of a patch its middle one.

    Args:
        encoder: of the table.
        table: of embeddings.
        rows: places in the table.
        items: of the scans, see `embedding_items`.
        find_head: see `embed`.

    Raises:
        UserError: a scan that is no longer there, or cannot be read.
    """
    known = {item["id"]: item for item in items}
    pooled = encoder.kind == PATCHES
    loader = ScanLoader(encoder, [known[table.columns["id"][row]] for row in rows], pooled=pooled, find_head=find_head)
    pictures = []
    for number, row in enumerate(rows):
        loaded = loader[number]
        if isinstance(loaded, UserError):
            raise loaded
        pictures.append(_picture(encoder.kind, loaded, table, row))
    return pictures


def _picture(kind: str, loaded: ScanInputs, table: EmbeddingTable, row: int) -> np.ndarray:
    unit = unit_of(table)
    if kind != PATCHES:
        images = loaded.images[0, 0] if kind == BOXES else loaded.images[:, loaded.images.shape[1] // 2]
        own = table.columns["slice"][row] if unit == "slice" else None
        numbers = list(range(len(images))) if kind == BOXES else list(loaded.rows["slice"])
        return images[len(images) // 2 if own is None else numbers.index(own)].numpy()
    volume, weights = loaded.images[0], loaded.weights
    assert weights is not None  # patches have them
    if unit == "patch":
        patches, _ = loaded.batch(row_number(table, row), 1)
        volume, layer = patches[0, 0], patches.shape[-1] // 2
    elif unit == "slice":
        layer = list(loaded.layers["slice"]).index(table.columns["slice"][row])
    else:
        layer = int(weights.sum((0, 1)).argmax())
    # as `radiological_slice` of the report
    return np.ascontiguousarray(volume[:, :, layer].numpy()[::-1, ::-1].T)
