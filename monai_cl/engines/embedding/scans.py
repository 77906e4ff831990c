"""The scans to embed: files, DICOM series, folders of both, and data lists, as items with what is known of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl.data import DataList, organ_ids
from monai_cl.data.datalist.model import SPLITS
from monai_cl.data.io.formats import DICOM, FILE_ENDINGS, is_picture
from monai_cl.data.io.modality import header_modality
from monai_cl.engines.classification.liver_masks import mask_of, scan_items
from monai_cl.engines.prepared_lists import read_list
from monai_cl.engines.segmentation.inference_data import scans_in
from monai_cl.errors import UserError, echo

# of an item, what its rows of the table have as columns of their own
_FIELDS = ("dataset", "split", "fold", "modality", "target", "series_part")
OWN_COLUMNS = ("id", "patient", "image", *_FIELDS, "slice", "depth", "x_mm", "y_mm", "z_mm")


def embedding_items(
    scans: str | Path | Iterable[str | Path],
    *,
    organ: str | int | None = None,
    masks: str | Path | None = None,
    data_root: str | Path | None = None,
    splits: Sequence[str] = SPLITS,
    modality: str | None = None,
    series_part: str | None = None,
    uneven_slices: str = "error",
    allow_outside: bool = False,
) -> list[dict[str, Any]]:
    """Items of scans, each with an ``id`` of its own.

    Args:
        scans: volume files, DICOM series, folders of both, and data lists (``.json``); one may be given alone.
        organ: vectors are pooled over it: its name in the ``labels`` of a data list, or its value in ``masks``; None:
            the body, or all of the masks.
        masks: folder of label maps named as the scans (``<id>.nii.gz`` or ``<id>_seg.nii.gz``).
        data_root: see `monai_cl.data.load_data_list`.
        splits: parts of a data list.
        modality: of the scans that are not from a data list; None: what a DICOM header states, else CT, or the only
            one that the encoder knows.
        series_part: the acquisition to take of each DICOM series that holds several.
        uneven_slices: ``"error"`` or ``"interpolate"``, of DICOM series.
        allow_outside: see `monai_cl.data.load_data_list`.

    Returns:
        As a data list's items, with ``split``; ``label`` and ``label_map``, where vectors are pooled over an organ, so
        that the organ alone is 1.

    Raises:
        UserError: no scan, one that is missing, an organ or a mask that is not there.
    """
    sources = [scans] if isinstance(scans, str | Path) else list(scans)
    if not sources:
        raise UserError("scans", expected="files, folders or data lists", found="none", remedy="name some")
    lists = [path for path in sources if str(path).lower().endswith(".json")]
    others = [str(path) for path in sources if path not in lists]
    if organ is not None and masks is None and others:
        raise UserError(
            "--organ",
            expected="label maps of the scans: a data list with labels, or --masks FOLDER",
            found=f"{others[0]} without them",
            remedy="add --masks, or leave --organ out to pool over the body",
        )
    items = []
    for path in lists:
        content = read_list(path, data_root=data_root, allow_outside=allow_outside, uneven_slices=uneven_slices)
        items += _with_organ(list(_of_list(content, splits)), content, organ if masks is None else None)
    if others:
        files = [file for path in others for file in _volumes(path)]
        found = scan_items(files, series_part=series_part, uneven_slices=uneven_slices)
        stated = [modality.upper() if modality else header_modality(item["image"]) for item in found]
        items += [{**item, **({"modality": word} if word else {})} for item, word in zip(found, stated)]
    if masks is not None:
        items = [_masked(item, Path(masks), organ) for item in items]
    _check_ids(items)
    return items


def item_columns(item: Mapping[str, Any]) -> dict[str, Any]:
    """What the table says of a scan: where it is from, its class, its findings, and plain values of its ``meta``.

    Args:
        item: of :func:`embedding_items`.
    """
    columns = {"id": item["id"], "patient": item["patient"], "image": str(item["image"])}
    columns |= {key: item[key] for key in _FIELDS if item.get(key) is not None}
    more = {**(item.get("findings") or {}), **(item.get("meta") or {})}
    for name, value in more.items():
        if isinstance(value, str | int | float | bool):
            columns[name if name not in OWN_COLUMNS else f"meta_{name}"] = value
    return columns


def _volumes(path: str) -> list[str]:
    """A file or series itself, or the scans of a folder."""
    if not Path(path).exists():
        raise UserError(path, expected="a scan, a folder of scans or a data list", found="nothing there",
                        remedy="correct the path")  # fmt: skip
    if Path(path).is_dir():
        return scans_in(path)
    if not path.lower().endswith((*FILE_ENDINGS, *DICOM.endings)) and not is_picture(path):
        raise UserError(
            path, expected=f"a scan ({', '.join(FILE_ENDINGS)}), a folder or a data list (.json)", found="another file",
            remedy="give the scans themselves",
        )  # fmt: skip
    return [path]


def _of_list(content: DataList, splits: Sequence[str]) -> Iterator[dict[str, Any]]:
    several = len(content.datasets) > 1
    found = [(split, item) for split in splits for item in content.items(split)]
    if not found:
        raise UserError(
            content.path, expected=f"scans under {', '.join(splits)}", found="none", remedy="name other --splits"
        )
    for split, item in found:
        # ids and patients are unique in a data set only
        names = {key: f"{item['dataset']}/{item[key]}" if several else str(item[key]) for key in ("id", "patient")}
        yield {**item, **names, "split": split}


def _with_organ(items: list[dict[str, Any]], content: DataList, organ: str | int | None) -> list[dict[str, Any]]:
    """Items whose label holds the organ alone, those without a label left out; without an organ no labels."""
    bare = [{key: value for key, value in item.items() if key not in ("label", "label_map", "ignore")}
            for item in items]  # fmt: skip
    if organ is None:
        return bare
    ids = {data.name: int(organ) for data in content.datasets} if _is_number(organ) else organ_ids(content, str(organ))
    chosen = []
    for item, plain in zip(items, bare):
        value = ids.get(item["dataset"])
        if value is None or not item.get("label"):
            continue
        mapping = item.get("label_map")
        sources = [value] if mapping is None else [key for key, label in mapping.items() if label == value]
        chosen.append({**plain, "label": item["label"], "label_map": {source: 1 for source in sources}})
    if not chosen:
        known = sorted({name for data in content.datasets for name in data.classes.values()})
        raise UserError(
            f"--organ {organ}",
            expected=f"scans with a label map of it in {content.path}",
            found=f"labels of {', '.join(known) or 'nothing'}",
            remedy="name one of these, give --masks FOLDER, or leave --organ out",
        )
    if len(chosen) < len(items):
        echo(
            f"{content.path}: {len(items) - len(chosen)} of {len(items)} scans have no label map with {organ}: left out"
        )
    return chosen


def _masked(item: dict[str, Any], folder: Path, organ: str | int | None) -> dict[str, Any]:
    if not folder.is_dir():
        raise UserError(folder, expected="a folder of label maps", found="none", remedy="correct --masks")
    if organ is not None and not _is_number(organ):
        raise UserError(
            "--organ", expected="the organ's value in the label maps of --masks", found=repr(organ), remedy="such as 6"
        )
    kept = {key: value for key, value in item.items() if key not in ("label", "label_map", "ignore")}
    return {**kept, "label": str(mask_of(item, folder)), "label_map": None if organ is None else {int(organ): 1}}


def _is_number(organ: str | int) -> bool:
    return str(organ).isdigit()


def _check_ids(items: Sequence[Mapping[str, Any]]) -> None:
    seen: dict[str, Mapping[str, Any]] = {}
    for item in items:
        other = seen.setdefault(item["id"], item)
        if other is not item:
            raise UserError(
                f"scan {item['id']}",
                expected="one scan of this name",
                found=f"{other['image']} and {item['image']}",
                remedy="embed them into a table each, or name them otherwise",
            )
