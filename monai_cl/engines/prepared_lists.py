"""Data lists as bundles use them: read, described for ``results.json``, prepared into a store."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from monai_cl.data import DataList, Preparation, PreparedItems, VolumeStore, load_data_list, prepare
from monai_cl.data.datalist.items import describe_item, is_ct, item_modality
from monai_cl.data.datalist.patient_labels import with_grade
from monai_cl.data.io.formats import is_picture
from monai_cl.data.io.modality import CT, CT_PICTURE, HOUNSFIELD, modality_name
from monai_cl.data.records.grade import OWN_CLASSES, TARGET, Grade
from monai_cl.data.store.conversion import item_intensity
from monai_cl.data.store.observed import ObservedStore
from monai_cl.data.store.preparation import INCOMPLETE
from monai_cl.errors import UserError
from monai_cl.transforms.scan_scale import SCALES

_OBSERVED: ContextVar[list[ObservedStore] | None] = ContextVar("stores that are observed", default=None)


@contextlib.contextmanager
def observed_stores() -> Iterator[list[ObservedStore]]:
    """Here `prepare_all` gives stores that note what is read, and puts them into the list.

    Of a store of crops a volume is prepared when it is first read. Which slices are drawn depends on how many every
    scan has: for them all scans are prepared.
    """
    stores: list[ObservedStore] = []
    token = _OBSERVED.set(stores)
    try:
        yield stores
    finally:
        _OBSERVED.reset(token)


def read_list(
    data_list: str | Path,
    *,
    data_root: str | Path | None = None,
    allow_outside: bool = False,
    uneven_slices: str = "error",
    intensity: str | Mapping[str, str] | None = None,
    target_field: str = TARGET,
    positive_from: float | None = None,
) -> DataList:
    """`load_data_list` for configs, where an unset root is written ``null`` or an empty string.

    Args:
        data_list: the data list's JSON file.
        data_root: folder that the list's relative paths start from; None or an empty string: the folder of the list.
        allow_outside: whether files outside of ``data_root`` may be named, see `load_data_list`.
        uneven_slices: ``"error"``, or ``"interpolate"`` for DICOM series with uneven slice distances, see
            `load_data_list`.
        intensity: how scans that are not CT come onto one scale: ``"percentiles"`` or ``"zscore"`` (see
            `monai_cl.transforms.scan_scale.scale_range`), or modality -> one of the two. Their items then say it under
            ``intensity``, and are prepared, validated and evaluated so. None: they say nothing.
        target_field: what a classification learns: ``target``, or another field of the items or of their ``meta``, such
            as ``fibrosis``. The items then have its class as their ``target`` and its value under ``grade``.
        positive_from: patients with this value or a larger one are of class 1, others of class 0; None: the values are
            the classes.

    Raises:
        UserError: also where ``allow_outside`` is neither true nor false: the text "false" must not allow anything; an
            unknown scale, or a modality without one; of a grade, as `with_grade`.
    """
    if not isinstance(allow_outside, bool):
        raise UserError(f"allow_outside must be true or false, got {allow_outside!r}")
    content = load_data_list(
        data_list, data_root=data_root or None, allow_outside=allow_outside, uneven_slices=uneven_slices
    )
    scans = (i for dataset in content.datasets for _, _, i in dataset.entries() if not is_picture(str(i["image"])))
    others = [item for item in scans if not is_ct(item_modality(item))]
    names = {modality_name(item_modality(item)) for item in others}
    scales = intensity if isinstance(intensity, Mapping) else dict.fromkeys({*names, "any"}, intensity)
    wrong = [name for name in {*scales, *names} if name != CT and scales.get(name) not in SCALES]
    if intensity is not None and wrong:
        raise UserError(
            "intensity",
            expected=f"{' or '.join(SCALES)} for scans of {min(wrong)}",
            found=intensity,
            remedy=f"set --intensity {SCALES[0]}",
        )
    for item in others if intensity is not None else ():
        item["intensity"] = scales[modality_name(item_modality(item))]
    return with_grade(content, Grade(target_field, positive_from))


def require_ct(data_list: DataList, items: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a list that says of an item that it is no CT, before one is prepared: a window in HU does not fit it.

    Args:
        data_list: the list.
        items: those of it that are used.

    Raises:
        UserError: names the first.
    """
    for item in items:
        if not is_ct(modality := item_modality(item)):
            raise UserError(
                data_list.path,
                expected="CT alone, which is seen through a window in HU",
                found=f"modality {modality} of {item['id']}",
                remedy="correct it, or give a list without it; the bundle clustering_pretraining takes images of "
                "any modality, and cirrhosis_classification tells their classes",
            )


def require_two_sides(data_list: DataList, items: Sequence[Mapping[str, Any]]) -> None:
    """Refuse patients that are all on one side of the value that divides a grade, before anything is prepared.

    Args:
        data_list: of the items.
        items: those that are used.

    Raises:
        UserError: names the values that there are.
    """
    sides = {item["target"] for item in items if item.get("target") is not None}
    if data_list.grade.positive_from is None or len(sides) != 1:
        return
    values = sorted({float(item["grade"]) for item in items if "grade" in item})
    raise UserError(
        data_list.path,
        expected=f"patients of both classes, with {data_list.grade} and without",
        found=f"only values of {data_list.grade.field} from {values[0]:g} to {values[-1]:g}",
        remedy="choose --positive_from among them, or add patients",
    )


def list_modality(items: Iterable[Mapping[str, Any]], *, used: Collection[str] | None = None) -> str | dict[str, str]:
    """``modality`` of the record of a file of weights: what its scans are, and the scale of each modality.

    Args:
        items: of a list of `read_list`: those that are trained on, or compared with what was.
        used: words of the list that count; None: all.

    Returns:
        ``"CT"`` where there is nothing else, otherwise modality (of PNG and JPEG of CT: `CT_PICTURE`) ->
        ``hounsfield``, ``percentiles`` or ``zscore``.
    """
    found = {}
    for item in items:
        if used is None or item_modality(item) in used:
            name, scale = modality_name(item_modality(item)), str(item.get("intensity") or item_intensity(item))
            found[CT_PICTURE if name == CT and scale != HOUNSFIELD else name] = scale
    return CT if set(found) <= {CT} else dict(sorted(found.items()))


def fold_of(fold: int | str | None) -> int | None:
    """A fold as the data layer takes it; ``none`` or ``null`` is None, which MONAI's command line cannot pass.

    Raises:
        UserError: another word.
    """
    if not isinstance(fold, str):
        return fold
    if fold.lower() in ("none", "null"):
        return None
    raise UserError(f"fold must be an integer or None, got {fold!r}")


def describe(data_list: DataList, **more: Any) -> dict[str, Any]:
    """The entry of a data list in ``results.json``; training cases: all labelled ones, unless ``more`` names some.

    ``available_labels`` is the number of labelled scans in the training part, of which ``label_fraction`` keeps some.

    Args:
        data_list: the list of the run.
        **more: further entries of the record, such as ``fold``, ``label_fraction`` and ``training_cases`` (ids); they
            replace those taken from the list.
    """
    fold = fold_of(more.get("fold"))
    labelled = [item for item in data_list.items("training") if "label" in item]
    sources = [str(d.document["source"]) for d in data_list.datasets if d.document.get("source")]
    return {
        "name": data_list.name,
        "source": "; ".join(dict.fromkeys(sources)) or None,
        "path": str(data_list.path),
        "sha256": data_list.sha256,
        "label_fraction": 1.0,
        "training_cases": [item["id"] for item in labelled],
        "available_labels": sum(fold is None or item.get("fold") != fold for item in labelled),
        "datasets": {d.name: _dataset(d) for d in data_list.datasets},
        "classes": data_list.classes,
        **({} if data_list.grade == OWN_CLASSES else {"target": data_list.grade.record()}),
        **more,
        "fold": fold,
    }


def _dataset(dataset: Any) -> dict[str, Any]:
    """Labels of a data set in the order of their ids, its licence where the list states one, and whether it names
    organs that none of its training scans shows."""
    licence = dataset.document.get("licence")
    record: dict[str, Any] = {"labels": [dataset.labels[i] for i in sorted(dataset.labels)]}
    if licence is not None:
        record["licence"] = str(licence)
    scans = dataset.splits.get("training") or ()
    if len(record["labels"]) > 1 and scans and not any("label" in item for item in scans):
        record["unlabelled"] = True
    return record


def describe_patients(scans: Sequence[Any]) -> dict[str, Any]:
    """What `describe` says of the scans that are used, and of their patients.

    Args:
        scans: each with ``id``, ``patient`` and ``target``.
    """
    patients = {scan.patient: scan.target for scan in scans}
    known = [target for target in patients.values() if target is not None]
    return {
        "training_cases": [scan.id for scan in scans],
        "patients": len(patients),
        "patients_of_class": {str(target): known.count(target) for target in sorted(set(known))},
    }


def prepare_all(
    items: Sequence[Mapping[str, Any]], store: str | Path, preparation: Preparation, *, workers: int = 1
) -> PreparedItems:
    """Prepare every item into the store (those already there are not touched); the keys are in the items' order.

    Raises:
        UserError: names every item that could not be prepared, with the reason. What was prepared stays.
    """
    if not items:
        raise UserError(
            f"store {store}",
            found="nothing to prepare, the data list selects no item",
            remedy="correct the fold or the list",
        )
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        remedy = "1 prepares in the process itself"
        raise UserError("prepare_workers", expected="an integer >= 1", found=repr(workers), remedy=remedy)
    stores = _OBSERVED.get()
    if stores is not None and preparation.layout == "volume":
        VolumeStore.create(store, preparation)
        named = {f"item {number}": item for number, item in enumerate(items)}
        stores.append(ObservedStore(store, preparation, named))
        return PreparedItems(stores[-1], list(named), list(items))
    done = prepare(items, store, preparation, workers=workers)
    if stores is not None:
        done.store = ObservedStore(store, preparation)
        done.store.made, done.store.seconds = done.made, done.seconds
        stores.append(done.store)
    if done.skipped:
        lines = "; ".join(f"{describe_item(item)}: {reason}" for item, reason in done.skipped)
        raise UserError(f"{len(done.skipped)} of {len(items)} items cannot be prepared: {lines}", remedy=INCOMPLETE)
    return done
