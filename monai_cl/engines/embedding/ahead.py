"""What a table of embeddings will hold, before a scan is read: its columns, for what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl.data.records.embeddings import EmbeddingTable
from monai_cl.engines.embedding.encoder import FrozenEncoder
from monai_cl.engines.embedding.scales import taken_as
from monai_cl.engines.embedding.scans import item_columns

_IN_SCANS = {"scan": (), "slice": ("slice", "depth", "z_mm"), "patch": ("x_mm", "y_mm", "z_mm")}


def expected_table(
    encoder: FrozenEncoder, items: Sequence[Mapping[str, Any]], *, unit: str = "scan", source: str | Path = "embeddings"
) -> EmbeddingTable:
    """The table of scans with one row each and no vectors; columns that the scans alone can tell are of None.

    Args:
        encoder: of the vectors.
        items: of `embedding_items`.
        unit: ``"scan"``, ``"slice"`` or ``"patch"``.
        source: its name in messages.
    """
    scans = [item_columns({**item, "modality": taken_as(item, encoder.preprocessing)}) for item in items]
    names = [*dict.fromkeys(name for own in scans for name in own), *_IN_SCANS[unit]]
    columns = {name: [own.get(name) for own in scans] for name in names}
    return EmbeddingTable(np.zeros((len(scans), 1)), columns, {"options": {"unit": unit}}, str(source))


def told_by_scans(table: EmbeddingTable, column: str) -> bool:
    """Whether a column's values are not known yet, in an `expected_table`.

    Args:
        table: the expected one.
        column: that it has.
    """
    return column in _IN_SCANS[unit_of(table)] and not any(value is not None for value in table.column(column))


def unit_of(table: EmbeddingTable) -> str:
    """What has a row of a table: ``scan``, ``slice`` or ``patch``.

    Args:
        table: of embeddings.
    """
    return str((table.about.get("options") or {}).get("unit", "scan"))
