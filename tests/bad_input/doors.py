"""The ways in: what a user would run on an input, in this process, and what came of it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_cl.cli.commands import main
from monai_cl.data import VolumeStore
from monai_cl.engines.launch.error_report import user_error_in
from tests.bad_input.world import World

INFERENCE = Path(__file__).resolve().parents[2] / "bundles" / "spleen_unetr_segmentation" / "configs" / "inference.yaml"


@dataclass(frozen=True)
class Outcome:
    """How it ended: ``error`` is the line that begins with "error: ", or None; ``shown`` is all that was printed."""

    error: str | None
    shown: str


def command(*words: object) -> Outcome:
    """``python -m monai_cl words``; fails on anything but success, or status 2 with an error in the last line."""
    out, err = io.StringIO(), io.StringIO()
    status: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
    shown = out.getvalue() + err.getvalue()
    if not status:
        return Outcome(None, shown)
    lines = [line for line in err.getvalue().splitlines() if line.startswith("error: ")]
    assert status == 2, shown
    assert len(lines) == 1, f"expected one error, found {err.getvalue()}"
    assert "Traceback" not in shown
    return Outcome(lines[0], shown)


def _infer(world: World, **overrides: str) -> Outcome:
    """What the inference of the bundles does to a scan before the network sees it."""
    try:
        found = _preprocessing(**overrides)({"image": str(world.image)})["image"]
    except Exception as error:
        cause = user_error_in(error)
        if cause is None:
            raise
        return Outcome(f"error: {cause}", str(cause))
    assert found.ndim == 4
    assert found.isfinite().all()
    return Outcome(None, "")


@lru_cache(maxsize=4)
def _preprocessing(**overrides: str) -> Callable[[dict], dict]:
    parser = ConfigParser(ConfigParser.load_config_file(str(INFERENCE)))
    parser["spacing"] = [3.0, 3.0, 3.0]
    parser.update(overrides)
    return parser.get_parsed_content("preprocessing")


def _read_store(world: World) -> Outcome:
    """What a training does: read crops of prepared volumes, and the coordinates of their classes."""
    try:
        store = VolumeStore.open(world.store)
        for key in store.all_keys():
            for kind in ("image", "label"):
                store.read_patch(key, (-1, 0, 0), (8, 8, 8), kind=kind)
                store.read(key, kind=kind)
            for label in store.entry(key).classes:
                store.entry(key).coordinates(label)
    except ValueError as error:
        cause = user_error_in(error)
        if cause is None:
            raise
        return Outcome(f"error: {cause}", str(cause))
    return Outcome(None, "")


def _validate(world: World) -> Outcome:
    return command("datalist", "validate", world.list_file())


def _prepare(world: World) -> Outcome:
    return command(
        *("prepare", world.list_file(), "--store", world.store, "--spacing", "native", "--progress=False"),
    )


def _prepare_slices(world: World) -> Outcome:
    return command(
        *("prepare", world.list_file(), "--store", world.store, "--spacing", "native"),
        *("--layout", "slices", "--progress=False"),
    )


def _prepare_interpolating(world: World) -> Outcome:
    return command(
        *("prepare", world.list_file(), "--store", world.store, "--spacing", "native"),
        *("--uneven_slices", "interpolate", "--progress=False"),
    )


def _convert(world: World, *options: str) -> Outcome:
    return command("convert", world.image, world.out / "convert.nii.gz", *options)


def _validate_interpolating(world: World) -> Outcome:
    return command("datalist", "validate", world.list_file(), "--uneven_slices", "interpolate")


DOORS: dict[str, Callable[[World], Outcome]] = {
    "datalist validate": _validate,
    "datalist create": lambda world: command("datalist", "create", world.folder, "--output", world.out / "list.json"),
    "datalist merge_masks": lambda world: command("datalist", "merge_masks", world.folder, "--output", world.out),
    "datalist summary": lambda world: command("datalist", "summary", world.list_file()),
    "datalist split": lambda world: command(
        "datalist", "split", world.list_file(), world.out / "folds.json", "--folds", 3
    ),
    "datalist from_table": lambda world: command(
        *("datalist", "from_table", world.root / "stages.csv", world.out / "stages.json", "--scans"),
        *(world.list_file(), "--patient", "id", "--value", "stage", "--folds", world.folds),
    ),
    "prepare": _prepare,
    "prepare --layout slices": _prepare_slices,
    "prepare --uneven_slices interpolate": _prepare_interpolating,
    "datalist validate --uneven_slices interpolate": _validate_interpolating,
    "datalist validate --against": lambda world: command(
        "datalist", "validate", world.list_file(), "--against", world.root / "pretraining.json"
    ),
    "inference": _infer,
    "inference --uneven_slices interpolate": lambda world: _infer(world, uneven_slices="interpolate"),
    "inference --series_part": lambda world: _infer(world, series_part="AcquisitionNumber=2"),
    "convert --uneven_slices interpolate": lambda world: _convert(world, "--uneven_slices", "interpolate"),
    "convert --series_part": lambda world: _convert(world, "--series_part", "AcquisitionNumber=2"),
    "reading the store": _read_store,
    "store verify": lambda world: command("store", "verify", world.store),
    "probe": lambda world: command("probe", world.root / "features.npz", "--output", world.out, "--fold_count", 2),
    "probe --folds": lambda world: command(
        "probe", world.root / "features.npz", "--output", world.out, "--folds", world.root / "folds.json"
    ),
    "export_encoder": lambda world: command(
        "export_encoder", world.root / "model.pt", "--output", world.out / "encoder.pt"
    ),
    "report": lambda world: command("report", world.root / "run", "--output", world.out / "report.html"),
}
