"""``python -m monai_cl embed``: vectors of scans by a frozen encoder, drawn, searched and probed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monai_cl.errors import UserError, echo
from monai_cl.names import names_of


def embed_command(
    encoder: str,
    *scans: str,
    output: str = "embeddings.npz",
    unit: str = "scan",
    level: int | None = None,
    organ: str | None = None,
    masks: str | None = None,
    table: str | None = None,
    plot: Any = None,
    colour: str | None = None,
    nearest: str | None = None,
    neighbours: int = 5,
    probe: str | None = None,
    fold_count: int = 5,
    seed: int = 0,
    data_root: str | None = None,
    splits: Any = ("training", "validation", "test"),
    modality: str | None = None,
    series_part: str | None = None,
    uneven_slices: str = "error",
    find_head: bool = True,
    allow_outside: bool = False,
    batch_size: int = 8,
    workers: int = 0,
    device: str | None = None,
    overwrite: bool = False,
    skip: bool = False,
) -> None:
    """Write a vector of every scan, slice or patch by a frozen encoder; draw, search and probe the vectors.

    Scans are prepared as the encoder's file says. What is in the table, or was done before the command was killed, is
    not computed again: run it once more with --plot, --nearest or --probe. See docs/embeddings.md.

    Example:
        python -m monai_cl embed encoder.pt scans/ --output features.parquet --plot pca --colour patient

    Args:
        encoder: encoder.pt, model.pt or a checkpoint of any bundle.
        scans: volume files, DICOM series, folders of both, and data lists (.json).
        output: .npz, .csv, or .parquet (needs pyarrow) file to write.
        unit: scan, slice or patch: what gets a vector.
        level: of the encoder, from 0, the finest, to average over the body or the organ; default: the deepest of 3-D
            encoders of patches, of others their own representation.
        organ: to average over: its name in a data list, or its value in --masks; default: the body.
        masks: folder of label maps named as the scans, <id>.nii.gz or <id>_seg.nii.gz.
        table: CSV or TSV file whose column id or patient says of whom a row is; its other columns can be used below.
        plot: pca, or umap (needs umap-learn): draw the vectors beside the output.
        colour: column to colour the drawing by; default: patient.
        nearest: id of a scan, or id:slice; list and draw the rows of other scans that are nearest to it.
        neighbours: rows that --nearest shows.
        probe: column to predict for unseen patients, by 20 nearest neighbours and by a linear model.
        fold_count: folds of patients of --probe.
        seed: of the folds, the bootstrap and UMAP.
        data_root: folder the list's paths start from; default: the folder of the list.
        splits: parts of a data list, e.g. training,validation.
        modality: of scans that are not from a list, such as MR; default: what DICOM says, else CT, or the only one that
            the encoder knows.
        series_part: of DICOM series with several acquisitions the one to take, such as AcquisitionNumber=2.
        uneven_slices: "error", or "interpolate" DICOM series with missing or uneven slices.
        find_head: of encoders of head CT: False where the scans are head boxes already.
        allow_outside: trust a list whose paths or links leave data_root.
        batch_size: slices or patches of one forward pass.
        workers: processes that load and prepare scans; 0: none beside this one.
        device: such as cuda:1 or cpu; default: a GPU where there is one.
        overwrite: replace a table of another encoder, other options or other scans.
        skip: leave out scans that cannot be used.
    """
    from monai_cl.data.records.embeddings import check_place
    from monai_cl.engines import embed, embedding_items, join_table, read_encoder
    from monai_cl.engines.embedding.ahead import expected_table
    from monai_cl.engines.embedding.extraction import pooled_level

    path = check_place(output)
    method = None if plot in (None, False) else "pca" if plot is True else str(plot)
    if colour is not None and method is None:
        raise UserError("--colour", expected="--plot pca or --plot umap beside it", found="no --plot")
    if not scans:
        raise UserError(
            "embed", expected="scans: files, folders or data lists", found="none", remedy="name them behind the encoder"
        )
    frozen = read_encoder(str(encoder))
    pooled_level(frozen, unit, level)
    items = embedding_items(
        [str(scan) for scan in scans],
        organ=organ,
        masks=masks,
        data_root=data_root,
        splits=names_of(splits),
        modality=modality,
        series_part=series_part,
        uneven_slices=uneven_slices,
        allow_outside=allow_outside,
    )
    # hours may pass until these are used
    expected = expected_table(frozen, items, unit=unit, source=path)
    if table is not None:
        expected = join_table(expected, str(table))
    _check_uses(expected, method, colour or "patient", nearest, neighbours, probe, fold_count, seed)
    made = embed(
        frozen,
        items,
        output=path,
        unit=unit,
        level=level,
        organ=organ,
        masks=masks,
        find_head=find_head,
        batch_size=batch_size,
        workers=workers,
        device=device,
        overwrite=overwrite,
        skip=skip,
        progress=True,
    )
    for name, reason in made.about["left_out"].items():
        echo(f"left out: {name}: {reason}")
    echo(f"wrote {path}: {len(made)} vectors of {made.vectors.shape[1]} numbers, {len(set(made.columns['id']))} scans")
    if table is not None:
        made = join_table(made, str(table))
    if method is not None:
        _draw(made, path, method, colour or "patient", seed)
    if nearest is not None:
        _search(frozen, made, path, str(nearest), neighbours, items, find_head)
    if probe is not None:
        _probe(made, path, str(probe), fold_count, seed)


def _check_uses(
    expected: Any,
    method: str | None,
    colour: str,
    nearest: Any,
    neighbours: int,
    probe: Any,
    fold_count: int,
    seed: int,
) -> None:
    """Refuse what could not be drawn, searched or probed once all is embedded."""
    from monai_cl.engines.embedding.ahead import unit_of
    from monai_cl.engines.embedding.question import check_question
    from monai_cl.engines.embedding.retrieval import check_nearest
    from monai_cl.report.figures.embedding_map import check_plane

    if method is not None:
        check_plane(method, len(expected) if unit_of(expected) == "scan" else None)
        expected.column(colour)
    if nearest is not None:
        check_nearest(expected, str(nearest), count=neighbours)
    if probe is not None:
        check_question(expected, str(probe), fold_count=fold_count, seed=seed)


def _draw(made: Any, path: Path, method: str, colour: str, seed: int) -> None:
    from monai_cl.files import write_atomically
    from monai_cl.report import embedding_map, plane

    values = made.column(colour)
    points, axes = plane(made.vectors, method, seed=seed)
    picture = path.with_name(f"{path.stem}_{method}_{_word(colour)}.png")
    write_atomically(picture, embedding_map(points, axes, values, field=colour, seed=seed))
    echo(f"wrote {picture}")


def _search(frozen: Any, made: Any, path: Path, name: str, count: int, items: list[dict], find_head: bool) -> None:
    from monai_cl.engines import find_row, nearest_rows, row_pictures
    from monai_cl.engines.embedding.retrieval import row_number
    from monai_cl.files import write_atomically
    from monai_cl.report import neighbours_figure

    query = find_row(made, name)
    found = nearest_rows(made, query, count=count)
    if not found:
        raise UserError("--nearest", expected="scans beside that one", found="none", remedy="embed more scans")
    several = len(set(made.columns["id"])) < len(made)
    names = {
        row: made.columns["id"][row] + (f":{row_number(made, row)}" if several else "")
        for row in (query, *(row for row, _ in found))
    }
    echo(f"nearest to {names[query]}:")
    for row, cosine in found:
        echo(f"  {cosine:.4f}  {names[row]}  patient {made.columns['patient'][row]}")
    titles = [names[query], *(f"{names[row]}\n{cosine:.3f}" for row, cosine in found)]
    pictures = row_pictures(frozen.to("cpu"), made, list(names), items, find_head=find_head)
    picture = path.with_name(f"{path.stem}_nearest_{_word(names[query])}.png")
    write_atomically(picture, neighbours_figure(pictures, titles))
    echo(f"wrote {picture}")


def _probe(made: Any, path: Path, column: str, fold_count: int, seed: int) -> None:
    from monai_cl.engines import describe_column_probe, probe_column
    from monai_cl.files import write_atomically

    found = probe_column(made, column, fold_count=fold_count, seed=seed)
    file = path.with_name(f"{path.stem}_probe_{_word(column)}.json")
    write_atomically(file, json.dumps(found, indent=1, ensure_ascii=False).encode("utf-8", "surrogateescape"))
    echo(f"{describe_column_probe(found)}\nwrote {file}")


def _word(name: str) -> str:
    """A name as a part of a file's name."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:60]
