"""Scans that weights were trained on: recorded when weights are made, refused when such scans are scored."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl.data import DataList, PatchesWithUnlabelled, Preparation, VolumeStore, read_volume
from monai_cl.data.datalist.items import reading_options
from monai_cl.data.datalist.model import SPLITS
from monai_cl.data.datalist.overlap import scan_identity
from monai_cl.data.io.fingerprint import scan_fingerprint
from monai_cl.data.records.training_scans import ScanIdentity, find_matches, recorded_scans, scans_record
from monai_cl.engines.distributed.collectives import gather
from monai_cl.errors import UserError
from monai_cl.networks import read_about
from monai_cl.processes import rank
from monai_cl.switches import is_switched_on

logger = logging.getLogger(__name__)
_MOST_NAMED = 10


def training_scans(data_list: DataList, dataset: Any, *, used: str = "") -> list[dict[str, Any]] | None:
    """``training.scans`` of the record that files of weights carry; None on other ranks than 0, which write none.

    Args:
        data_list: that the data set was made of.
        dataset: `MixCLPatches`, `SegmentationPatches` or `CTSlices` that is trained on; of `PatchesWithUnlabelled`
            both parts.
        used: what training takes of a scan besides its image, where the scan has it: ``"labels"``, ``"target"`` or "".
    """
    if rank() != 0:
        return None
    if isinstance(dataset, PatchesWithUnlabelled):
        return [
            *(training_scans(data_list, dataset.labelled, used=used) or ()),
            *(training_scans(data_list, dataset.unlabelled) or ()),
        ]
    scans = _identities(data_list, dataset)
    keys = _keys(dataset)
    without = {volume.key for volume in getattr(dataset, "volumes", ()) if volume.target is None}
    if used == "labels":
        without = {key for key in keys if not dataset.store.entry(key).has_label}
    return scans_record(
        ScanIdentity(scan.fingerprint, scan.patients, "" if key in without else used)
        for scan, key in zip(scans, keys, strict=True)
    )


def scored_overlap(
    weights: str | Path | None,
    data_list: DataList,
    scored: Any,
    *,
    allow: bool | str = False,
    store: str | Path | None = None,
    spacing: Sequence[float] | None = None,
) -> dict[str, Any] | None:
    """Refuse to score scans that weights were trained on, themselves or the encoder they started from.

    Labelled scans of training may have been pre-trained on; those that are scored may not. Every process must call it.

    Args:
        weights: file that a run starts from or evaluates; None: none.
        data_list: that the scored scans are of.
        scored: `CTSlices` or `MixCLPatches`, or items of the list, of which this process may have its share.
        allow: let them pass; the result then says so. A command line hands ``true`` on as a word.
        store: where items are prepared.
        spacing: mm, with which items are prepared.

    Returns:
        ``weights``; ``scored``, the number of scans; ``scans``, ids of those that were trained on; ``patients``, ids of
        those of whose patient another scan was; ``used``, what the training took of these besides the image. None
        where nothing is known of the weights' training.

    Raises:
        UserError: there are such scans and they are not allowed; names them. Or ``allow`` is neither true nor false.
    """
    allowed = is_switched_on("allow_overlap", allow)
    if not weights or not Path(weights).is_file():  # what is not there is reported where it is loaded
        return None
    seen = trained_scans(weights)
    if seen is None:
        logger.warning("%s does not say which scans it was trained on: some of them may be scored", weights)
        return None
    if isinstance(scored, Sequence):
        scans = [_item_identity(data_list, item, store, spacing) for item in scored]
    else:
        scans = _identities(data_list, scored)
    own = [(match.scan.name, match.same_scan, match.seen.used) for match in find_matches(scans, seen)]
    found = sorted(set(gather(own)))
    names = sorted(set(gather([scan.name for scan in scans])))
    overlap = {
        "weights": str(weights),
        "scored": len(names),
        "scans": list(dict.fromkeys(name for name, same, _ in found if same)),
        "patients": list(dict.fromkeys(name for name, same, _ in found if not same)),
        "used": sorted({used for _, _, used in found} - {""}),
    }
    if found and not allowed:
        raise _refusal(overlap, data_list)
    if found:
        logger.warning("%s was trained on scans that are scored, which allow_overlap permits", weights)
    return overlap


def trained_scans(weights: str | Path) -> list[ScanIdentity] | None:
    """The scans that a file of weights says it was trained on, and those of the encoder that it started from.

    Args:
        weights: the file.

    Returns:
        None where the file says nothing by which a scan could be recognised.
    """
    about: Any = read_about(weights)
    scans: list[ScanIdentity] = []
    while isinstance(about, Mapping):
        training = about.get("training")
        scans += recorded_scans(training.get("scans") if isinstance(training, Mapping) else None)
        about = about.get("encoder")
    known = [scan for scan in scans if scan.fingerprint is not None or scan.patients]
    return known or None


def _keys(dataset: Any) -> list[str]:
    """Keys in the store of what a data set reads."""
    if hasattr(dataset, "volumes"):
        return [volume.key for volume in dataset.volumes]
    return [key for part in dataset.keys for key in ([part] if isinstance(part, str) else part)]


def _identities(data_list: DataList, dataset: Any) -> list[ScanIdentity]:
    items = {(item["dataset"], item["id"]): item for split in SPLITS for item in data_list.items(split)}
    found = []
    for key in _keys(dataset):
        entry = dataset.store.entry(key)
        item = items[entry.dataset, entry.id]
        found.append(scan_identity(data_list.dataset(entry.dataset), item, dataset.store.fingerprint(key)))
    return found


def _item_identity(
    data_list: DataList, item: Mapping[str, Any], store: str | Path | None, spacing: Sequence[float] | None
) -> ScanIdentity:
    fingerprint = None
    if store is not None and (Path(store) / "store.json").is_file():
        opened = VolumeStore.open(store, Preparation(spacing=spacing))
        key = opened.find(item)
        fingerprint = None if key is None else opened.fingerprint(key)
    if fingerprint is None:
        fingerprint = scan_fingerprint(read_volume(item["image"], **reading_options(item)))
    return scan_identity(data_list.dataset(item["dataset"]), item, fingerprint)


def _refusal(overlap: Mapping[str, Any], data_list: DataList) -> UserError:
    parts = []
    if overlap["scans"]:
        with_what = f" (with their {' and '.join(overlap['used'])})" if overlap["used"] else ""
        parts.append(f"the scans {_named(overlap['scans'])}{with_what}")
    if overlap["patients"]:
        parts.append(f"other scans of the patients of {_named(overlap['patients'])}")
    return UserError(
        overlap["weights"],
        expected=f"weights that know none of the {overlap['scored']} scans of {data_list.path} that are scored",
        found=f"trained on {' and '.join(parts)}",
        remedy="score other scans, or train the weights without these; --allow_overlap True scores them nevertheless, "
        "and results and report then say so",
    )


def _named(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
