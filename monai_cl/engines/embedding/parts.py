"""Scans that are done: of an earlier table, or kept beside it one file a scan, for a run that was killed."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl.data.records.embeddings import read_embeddings
from monai_cl.errors import UserError
from monai_cl.files import new_file, reported

ROW_COLUMNS = ("slice", "depth", "x_mm", "y_mm", "z_mm")
"""Columns that lie in a scan; the others are of it."""


class DoneScans:
    """Scans that are done, by their keys; nothing is kept without a path.

    Args:
        path: of the table; None: it is not written.
        about: what makes the table; an earlier one that was made otherwise is refused.
        keys: of the scans.
        items: the scans.
        overwrite: an earlier table does not count, and is replaced.

    Raises:
        UserError: an earlier table of another encoder, of other options or other scans.
    """

    def __init__(
        self,
        path: Path | None,
        about: Mapping[str, Any],
        keys: Sequence[str],
        items: Sequence[Mapping[str, Any]],
        *,
        overwrite: bool,
    ) -> None:
        self.folder: Path | None = None
        self._done: dict[str, tuple[np.ndarray, dict[str, list]]] = {}
        if path is None:
            return
        self.folder = path.with_name(f"{path.name}.parts")
        if path.exists() and not overwrite:
            self._read_table(path, about, {item["id"] for item in items})
        if self.folder.is_dir():
            for key in keys:
                file = self.folder / f"{key}.npz"
                if file.is_file():
                    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                        self._done[key] = arrays["vectors"], json.loads(str(arrays["rows"]))

    def __contains__(self, key: str) -> bool:
        return key in self._done

    def __getitem__(self, key: str) -> tuple[np.ndarray, dict[str, list]]:
        return self._done[key]

    def add(self, key: str, vectors: np.ndarray, rows: dict[str, list]) -> None:
        """Keep a scan."""
        self._done[key] = vectors, rows
        if self.folder is None:
            return
        with (
            reported(self.folder, remedy="choose another --output"),
            new_file(self.folder / f"{key}.npz") as temporary,
            temporary.open("wb") as stream,
        ):
            np.savez(stream, vectors=vectors, rows=np.array(json.dumps(rows)))

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """In the ``with`` block scans are added; there is a folder for them before the first one is embedded."""
        if self.folder is None:
            yield
            return
        with reported(self.folder, remedy="choose another --output"):
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                self.folder.rmdir()  # where none was added

    def remove(self) -> None:
        """Once the table is written."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _read_table(self, path: Path, about: Mapping[str, Any], ids: set[str]) -> None:
        old = read_embeddings(path)
        remedy = "name another --output, or pass --overwrite to replace it"
        for key in ("encoder", "options", "preprocessing"):
            made, wanted = (json.loads(json.dumps(one.get(key), default=str)) for one in (old.about, about))
            if key == "encoder":
                made, wanted = ({"sha256": (one or {}).get("sha256")} for one in (made, wanted))
            if made != wanted:
                expected = f"no table, or one made with the same {key} {wanted}"
                raise UserError(path, expected=expected, found=f"one made with {made}", remedy=remedy)
        others = sorted(set(old.about.get("scans", {})) - ids)
        if others:
            raise UserError(
                path,
                expected="no table, or one of scans that are among those of this run",
                found=f"{len(others)} others, such as {others[0]}",
                remedy=remedy,
            )
        rows: dict[str, list[int]] = {}
        for number, name in enumerate(old.columns["id"]):
            rows.setdefault(name, []).append(number)
        for name, key in old.about.get("scans", {}).items():
            own = rows[name]
            inside = {column: [old.columns[column][n] for n in own] for column in ROW_COLUMNS if column in old.columns}
            self._done[key] = old.vectors[own], inside
