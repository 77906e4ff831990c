"""Embeddings of many scans into one table; a run that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset

from monai_cl.data.records.embeddings import EmbeddingTable, check_table_name, read_embeddings, write_embeddings
from monai_cl.data.store.sources import file_state
from monai_cl.engines.embedding.encoder import FrozenEncoder, read_encoder
from monai_cl.engines.embedding.extraction import embed_scan, pooled_level
from monai_cl.engines.embedding.inputs import ScanInputs, ScanLoader
from monai_cl.engines.embedding.scans import embedding_items, item_columns
from monai_cl.errors import UserError, echo
from monai_cl.files import new_file, reported

_ROWS = ("slice", "depth", "x_mm", "y_mm", "z_mm")  # columns that lie in a scan, the others are of it
_MOST_SHOWN = 20


def embed(
    encoder: str | Path | FrozenEncoder,
    scans: str | Path | Iterable[str | Path],
    *,
    output: str | Path | None = None,
    unit: str = "scan",
    level: int | None = None,
    organ: str | int | None = None,
    masks: str | Path | None = None,
    find_head: bool = True,
    batch_size: int = 8,
    workers: int = 0,
    device: torch.device | str | None = None,
    overwrite: bool = False,
    skip: bool = False,
    progress: bool = False,
    **reading: Any,
) -> EmbeddingTable:
    """Vectors of scans by a frozen encoder, on input that is prepared as the encoder's training prepared it.

    Each scan is computed by itself: batch size, workers and order do not change its vector beyond rounding. With an
    ``output``, every scan is kept in ``<output>.parts`` as soon as it is done, until the table is written; a run with
    the same encoder and options computes only what is in neither.

    Args:
        encoder: file of weights of any bundle, see `read_encoder`; or what that gives.
        scans: files, DICOM series, folders and data lists, see `embedding_items`.
        output: ``.parquet``, ``.csv`` or ``.npz`` file; None: the table is only returned.
        unit: ``"scan"``, ``"slice"`` or ``"patch"``: what gets a vector.
        level: of the encoder, 0 (the finest) to 4, whose maps are averaged over the body or the organ; None: level 4 of
            a UNETR, of others their own representation.
        organ: see `embedding_items`; encoders of slices take the slices that show it.
        masks: see `embedding_items`.
        find_head: False: scans for an encoder of head boxes are such boxes already.
        batch_size: slices or patches of one forward pass.
        workers: processes that load and prepare scans; 0: this one does.
        device: where the encoder runs; None: a GPU where there is one.
        overwrite: replace a table of another encoder, of other options or other scans.
        skip: leave out scans that cannot be used; their reasons are in ``about["left_out"]``.
        progress: show a progress bar with the rate.
        **reading: further options of `embedding_items`.

    Returns:
        The table, rows in the order of the scans.

    Raises:
        UserError: options that do not fit the encoder, no scan; a table that would be replaced; scans that cannot be
            used, all of them in one message after the others are done.
    """
    path = None if output is None else check_table_name(output)
    encoder = encoder if isinstance(encoder, FrozenEncoder) else read_encoder(encoder)
    level = pooled_level(encoder, unit, level)
    items = embedding_items(scans, organ=organ, masks=masks, **reading)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    options = {
        "unit": unit,
        "level": level,
        "organ": None if organ is None else str(organ),
        "masks": masks is not None,
        "find_head": find_head,
    }
    about: dict[str, Any] = {
        "encoder": dict(encoder.about),
        "options": options,
        "preprocessing": dict(encoder.preprocessing),
    }
    about["method"] = encoder.about.get("preset") or Path(str(encoder.about.get("file"))).stem
    digest = _digest({key: about[key] for key in ("options", "preprocessing")} | {"sha256": encoder.about["sha256"]})
    keys = [_key(digest, item) for item in items]
    parts = _Parts(path, digest, about, keys, items, overwrite=overwrite)
    missing = [number for number, key in enumerate(keys) if key not in parts]
    loader = ScanLoader(encoder, items, pooled=level is not None, find_head=find_head)
    faults: dict[str, str] = {}
    encoder = encoder.to(device)
    for number, loaded in _loaded(loader, missing, workers=workers, progress=progress):
        item = items[number]
        if isinstance(loaded, UserError):
            faults[item["id"]] = str(loaded)
            continue
        vectors, rows = embed_scan(encoder, loaded, unit=unit, level=level, batch_size=batch_size, device=device)
        if not np.isfinite(vectors).all():
            raise UserError(encoder.about["file"], expected="finite vectors", found=f"nan or infinity for {item['id']}")
        parts.add(keys[number], vectors, rows)
    if faults and (not skip or len(faults) == len(items)):
        raise UserError(_report(faults, len(items), kept=path is not None))
    about["left_out"] = faults
    about["scans"] = {item["id"]: key for item, key in zip(items, keys) if item["id"] not in faults}
    table = _table(items, keys, parts, about, path)
    if path is not None:
        write_embeddings(path, table)
        parts.remove()
    return table


class _Parts:
    """Scans that are done: of an earlier table, or kept beside it one file a scan."""

    def __init__(
        self,
        path: Path | None,
        digest: str,
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
            inside = {column: [old.columns[column][n] for n in own] for column in _ROWS if column in old.columns}
            self._done[key] = old.vectors[own], inside


def _loaded(
    loader: ScanLoader, numbers: Sequence[int], *, workers: int, progress: bool
) -> Iterator[tuple[int, ScanInputs | UserError]]:
    """The scans that are not done yet, each with its number."""
    from tqdm import tqdm

    if not numbers:
        return
    batches = DataLoader(Subset(loader, list(numbers)), batch_size=None, num_workers=workers)
    started = time.monotonic()
    yield from zip(numbers, tqdm(batches, desc="Embedding", unit="scan", disable=not progress))
    if progress:
        seconds = max(time.monotonic() - started, 1e-9)
        done = f"{len(numbers)} of {len(loader)} scans" if len(numbers) < len(loader) else f"{len(numbers)} scans"
        echo(f"embedded {done} in {seconds:.1f} s: {len(numbers) / seconds:.2f} scans/s")


def _table(
    items: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    parts: _Parts,
    about: Mapping[str, Any],
    path: Path | None,
) -> EmbeddingTable:
    described = [(item_columns(item), *parts[key]) for item, key in zip(items, keys) if key in parts]
    names = list(dict.fromkeys(name for columns, _, rows in described for name in (*columns, *rows)))
    names.sort(key=lambda name: name in _ROWS)
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for own, vectors, rows in described:
        for name, values in columns.items():
            values += rows[name] if name in rows else [own.get(name)] * len(vectors)
    vectors = np.concatenate([vectors for _, vectors, _ in described])
    return EmbeddingTable(vectors, columns, about, str(path or "embeddings"))


def _key(digest: str, item: Mapping[str, Any]) -> str:
    """A scan with its content and the organ in it; what else its list says may change."""
    files = {kind: [str(item[kind]), file_state(item[kind])] for kind in ("image", "label") if item.get(kind)}
    values = sorted((item.get("label_map") or {}).items())
    reading = [item.get(key) for key in ("series_part", "uneven_slices", "modality")]
    return _digest([digest, item["id"], files, values, reading])


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _report(faults: Mapping[str, str], count: int, *, kept: bool) -> str:
    lines = [f"{name}: {fault}" for name, fault in list(faults.items())[:_MOST_SHOWN]]
    more = [f"... and {len(faults) - _MOST_SHOWN} more"] if len(faults) > _MOST_SHOWN else []
    after = "; what is done is kept for the next run" if kept else ""
    head = f"{len(faults)} of {count} scans cannot be embedded: correct them, or pass --skip to leave them out{after}"
    return "\n  ".join([head, *lines, *more])
