"""``python -m monai_cl prepare`` and ``store verify | repair``: fill the store before training, check and repair it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from monai_cl.errors import UserError, echo
from monai_cl.names import names_of


def prepare_command(
    data_list: str,
    *,
    data_root: str | None = None,
    store: str = "store",
    spacing: Any = (1.5, 1.5, 2.0),
    layout: str = "volume",
    antialias: bool = False,
    uneven_slices: str = "error",
    intensity: Any = "percentiles",
    splits: Any = ("training", "validation", "test"),
    workers: int = 1,
    progress: bool = True,
    allow_outside: bool = False,
) -> None:
    """Prepare every volume of a data list for training; what exists already is not made again.

    Example:
        python -m monai_cl prepare folds.json --data_root /data --store /data/store --workers 4

    Args:
        data_list: JSON file.
        data_root: folder the list's paths start from; default: the folder of the list.
        store: folder of the prepared volumes, created if absent; several lists may share one.
        spacing: millimetres for R, A, S, e.g. 1.5,1.5,2.0; or "native".
        layout: "volume" for 3D crops, "slices" for axial slices.
        antialias: average instead of picking neighbours where the spacing grows.
        uneven_slices: "error", or "interpolate" DICOM series with missing or uneven slices.
        intensity: scale of scans that are not CT: percentiles (1st to 99th) or, of volumes, zscore; as in the training.
        splits: parts of the list to prepare, e.g. training,validation.
        workers: processes; each needs about four times a volume's size in memory.
        progress: show a progress bar.
        allow_outside: trust a list whose paths or links leave data_root.
    """
    from monai_cl.data import Preparation, prepare
    from monai_cl.data.datalist.items import is_ct, item_modality
    from monai_cl.data.io.formats import is_picture
    from monai_cl.data.store.conversion import common_intensity
    from monai_cl.data.store.preparation import INCOMPLETE
    from monai_cl.engines import read_list

    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise UserError("--workers", expected="an integer >= 1", found=f"{workers!r}")
    try:
        preparation = Preparation(_spacing(spacing), layout, antialias)
    except ValueError as error:
        raise UserError(str(error)) from error
    content = read_list(
        str(data_list),
        data_root=data_root,
        allow_outside=allow_outside,
        uneven_slices=uneven_slices,
        intensity=intensity if layout == "volume" else None,
    )
    items = [item for split in names_of(splits) for item in content.items(split)]
    if not items:
        raise UserError(
            data_list,
            expected=f"items under {', '.join(names_of(splits))}",
            found="none",
            remedy="correct the list, or name other parts with --splits",
        )
    # of CT, reading it says what is wrong
    pictures = [item for item in items if is_picture(str(item["image"])) and not is_ct(item_modality(item))]
    if layout == "volume" and pictures:
        raise UserError(
            data_list,
            expected="volumes, for the layout 'volume'",
            found=f"the picture {pictures[0]['image']}",
            remedy="prepare slices of them: --layout slices --spacing native",
        )
    if layout == "slices":
        preparation = replace(preparation, intensity=common_intensity(items))
    result = prepare(items, str(store), preparation, workers=workers, progress=progress, report=None)
    echo(result.summary())
    if result.skipped:
        raise UserError(
            data_list,
            found=f"{len(result.skipped)} of {len(items)} volumes cannot be prepared, listed above with the reason",
            remedy=INCOMPLETE,
        )


def verify_command(store: str, *, sources: bool = True) -> None:
    """Check every prepared volume against its checksum, and against its source file.

    Example:
        python -m monai_cl store verify /data/store

    Args:
        store: folder of the prepared volumes.
        sources: also check whether the source files have changed (each is read completely).

    Raises:
        UserError: with every problem found (so the command ends with status 2).
    """
    from monai_cl.data import VolumeStore
    from monai_cl.data.store.remedies import repair_line

    opened = VolumeStore.open(str(store))
    problems = opened.verify(sources=sources)
    if problems:
        raise UserError("; ".join([*problems, f"run `{repair_line(store)}`"]))
    echo(f"{store}: {len(opened.all_keys())} volumes, no problem found")


def repair_command(store: str, *, sources: bool = True) -> None:
    """Make damaged and outdated volumes again from their sources, and remove what killed runs left.

    Example:
        python -m monai_cl store repair /data/store

    Args:
        store: folder of the prepared volumes.
        sources: also replace volumes whose source file has changed.
    """
    from monai_cl.data import VolumeStore

    done = VolumeStore.open(str(store)).repair(sources=sources)
    echo("\n".join(done) if done else f"{store}: nothing to repair")


def _spacing(value: Any) -> tuple[float, ...] | None:
    if value is None or value == "native":
        return None
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, (list, tuple)) else [value]
    try:
        steps = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        steps = ()
    if len(steps) != 3:
        raise UserError("--spacing", expected='three lengths in mm such as 1.5,1.5,2.0 or "native"', found=f"{value!r}")
    return steps
