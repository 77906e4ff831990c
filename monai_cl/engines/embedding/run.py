"""Embeddings of many scans into one table; a run that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_cl.data.records.embeddings import EmbeddingTable, check_place, write_embeddings
from monai_cl.data.store.sources import file_state
from monai_cl.engines.embedding.encoder import FrozenEncoder, read_encoder
from monai_cl.engines.embedding.extraction import embed_scan, pooled_level
from monai_cl.engines.embedding.inputs import ScanLoader
from monai_cl.engines.embedding.parts import ROW_COLUMNS, DoneScans
from monai_cl.engines.embedding.progress import describe_counts, loaded_scans, raise_unless
from monai_cl.engines.embedding.scales import taken_as
from monai_cl.engines.embedding.scans import embedding_items, item_columns
from monai_cl.errors import UserError, echo


def embed(
    encoder: str | Path | FrozenEncoder,
    scans: str | Path | Iterable[str | Path] | Sequence[Mapping[str, Any]],
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
        scans: files, DICOM series, folders and data lists, see `embedding_items`; or what that gives.
        output: ``.parquet``, ``.csv`` or ``.npz`` file; None: the table is only returned.
        unit: ``"scan"``, ``"slice"`` or ``"patch"``: what gets a vector.
        level: of the encoder, from 0, the finest, whose maps are averaged over the body or the organ; None: the deepest
            of encoders of patches, of others their own representation.
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
        UserError: before any scan is read: options that do not fit the encoder, no scan, scans of another kind than its
            own; a table that would be replaced. After the others are done: scans that cannot be used, all of them in
            one message.
    """
    for name, value, least in (("batch_size", batch_size, 1), ("workers", workers, 0)):
        if value < least:
            raise UserError(f"--{name}", expected=f"{least} or more", found=value)
    path = None if output is None else check_place(output)
    encoder = encoder if isinstance(encoder, FrozenEncoder) else read_encoder(encoder)
    level = pooled_level(encoder, unit, level)
    device = _device(device)
    items = _items(scans, organ=organ, masks=masks, **reading)
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
    done = DoneScans(path, about, keys, items, overwrite=overwrite)
    loader = ScanLoader(encoder, items, pooled=level is not None, find_head=find_head)
    missing = [number for number, key in enumerate(keys) if key not in done]
    there = len(items) - len(missing)
    faults = {items[n]["id"]: str(fault) for n in missing if (fault := loader.fault(n)) is not None}
    raise_unless(skip, faults, len(items), kept=False)
    missing = [number for number in missing if items[number]["id"] not in faults]
    encoder, started = encoder.to(device), time.monotonic()
    with done.kept():
        for number, loaded in loaded_scans(loader, missing, workers=workers, progress=progress):
            item = items[number]
            if isinstance(loaded, UserError):
                faults[item["id"]] = str(loaded)
                continue
            vectors, rows = embed_scan(encoder, loaded, unit=unit, level=level, batch_size=batch_size, device=device)
            if not np.isfinite(vectors).all():
                found = f"nan or infinity for {item['id']}"
                raise UserError(encoder.about["file"], expected="finite vectors", found=found)
            done.add(keys[number], vectors, rows)
    if progress:
        embedded, seconds = len(items) - there - len(faults), time.monotonic() - started
        echo(describe_counts(embedded, seconds, there=there, faults=len(faults), skip=skip))
    raise_unless(skip, faults, len(items), kept=path is not None)
    about["left_out"] = faults
    about["scans"] = {item["id"]: key for item, key in zip(items, keys) if item["id"] not in faults}
    described = [item_columns({**item, "modality": taken_as(item, encoder.preprocessing)}) for item in items]
    table = _table(described, keys, done, about, path)
    if path is not None:
        write_embeddings(path, table)
        done.remove()
    return table


def _items(scans: Any, **reading: Any) -> list[dict[str, Any]]:
    given: list[Any] = [scans] if isinstance(scans, str | Path) else list(scans)
    if given and all(isinstance(one, Mapping) for one in given):
        return [dict(one) for one in given]
    return embedding_items(given, **reading)


def _device(name: torch.device | str | None) -> torch.device:
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter of a torch without CUDA
        reason = str(error).splitlines()[0]
        raise UserError(
            "--device", expected="a device of this machine", found=f"{name} ({reason})", remedy="such as cpu or cuda:0"
        ) from error
    return device


def _table(
    scans: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    done: DoneScans,
    about: Mapping[str, Any],
    path: Path | None,
) -> EmbeddingTable:
    described = [(own, *done[key]) for own, key in zip(scans, keys) if key in done]
    names = list(dict.fromkeys(name for columns, _, rows in described for name in (*columns, *rows)))
    names.sort(key=lambda name: name in ROW_COLUMNS)
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
