"""Every path that a scan takes with its label, as small real runs in this process, and what each made of the scan."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser

from monai_cl.data import Preparation, VolumeStore, load_data_list, read_results, read_volume, to_ras
from monai_cl.data.datalist.items import reading_options
from monai_cl.engines import seed_weights
from monai_cl.engines.classification.loaded_volume import loaded_slices
from monai_cl.engines.segmentation.data import image_preprocessing
from monai_cl.errors import UserError
from monai_cl.serving.labelled_scans import labelled_scan, write_list
from tests.bad_input.doors import INFERENCE, command
from tests.bad_input.world import World

ORGANS = {"0": "background", "1": "liver", "2": "spleen", "3": "pancreas"}
SIZE = {"patch_size": [32, 32, 32], "feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}
SIZE |= {"spacing": [3.0, 3.0, 3.0], "amp": False}


@dataclass(frozen=True)
class Outcome:
    """What became of the bad scan; arrays are (X, Y, Z) in RAS.

    Attributes:
        image, label: as prepared on the scan's own voxels.
        losses: of the training.
        validated, evaluated: Dice per organ.
        overlay: the PNG of the validation.
        segmented: the label map of inference.
        slices: of the liver, by its mask: numbers and pixels.
        submitted: the label as MONAI Label's training gives it to validation, after viewers numbered it otherwise.
        page: the rows of the report that hold Dice.
    """

    image: np.ndarray
    label: np.ndarray
    losses: list[float]
    validated: dict[str, float | None]
    evaluated: dict[str, float | None]
    overlay: bytes
    segmented: np.ndarray
    slices: tuple[list[int], np.ndarray]
    submitted: np.ndarray
    page: list[str]


def take(world: World) -> Outcome:
    """Run the bad scan through every path."""
    data_list = world.list_file()
    item = load_data_list(data_list).items()[2]
    store = VolumeStore.create(world.root / "native", Preparation(spacing=None))
    key = store.add(item)
    run = world.out / "run"
    options = {"data_list": str(data_list), "dataset_dir": str(world.root), "store_dir": str(world.store)}
    options |= {"output_dir": str(run), "num_workers": 0, "prepare_workers": 1, "fold": None, "resume": "none"}
    options |= {"iterations": 1, "epoch_length": 1, "batch_size": 3, "overlay_cases": 3}
    options |= {"validate#dataset_data": "@train#dataset_data"}
    train = INFERENCE.with_name("train.yaml")
    run_config([train], options)
    # evaluated on what it was trained on, which is allowed here
    run_config([train, INFERENCE.with_name("evaluate.yaml")], options | {"allow_overlap": True})
    maps = world.out / "maps"
    options = {"datalist": [item["image"]], "checkpoint": str(run / "model.pt"), "output_dir": str(maps)}
    options |= reading_options(item)
    run_config([INFERENCE], options | {"organs": list(ORGANS.values())[1:]})
    results, evaluation = read_results(run), read_results(run / "evaluation")
    return Outcome(
        image=store.read(key),
        label=store.read(key, kind="label"),
        losses=[value for _, value in results["curves"]["loss"]],
        validated=_dice(results),
        evaluated=_dice(evaluation),
        overlay=(run / "overlays" / "bad.png").read_bytes(),
        segmented=_result(maps, item),
        slices=_liver_slices(item),
        submitted=_submitted(item, world),
        page=_page(run, world.out / "report.md"),
    )


def run_config(files: list[Path], options: dict[str, Any]) -> str:
    """A config as MONAI runs it, in this process; returns what it printed."""
    parser = ConfigParser(ConfigParser.load_config_files([str(file) for file in files]))
    for key, value in {**SIZE, **options}.items():
        parser[key] = value
    shown = io.StringIO()
    # not the preflight, which is about the process
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(io.StringIO()):
        seed_weights(0)
        parser["initialize"] = [text for text in parser["initialize"] if "preflight" not in text]
        parser.get_parsed_content("initialize")
        parser.get_parsed_content("run")
    return shown.getvalue()


def _dice(results: dict[str, Any]) -> dict[str, float | None]:
    (case,) = (case for case in results["metrics"]["per_case"] if case["id"] == "bad")
    return case["dice"]


def _result(folder: Path, item: dict[str, Any]) -> np.ndarray:
    """The only label map, on the grid of its scan; its header says one place."""
    (file,) = folder.glob("*.nii.gz")
    found, scan = read_volume(file), read_volume(item["image"], **reading_options(item))
    assert found.grid.same_as(scan.grid, any_axes=False)
    header = nib.load(file).header
    assert len(header.get_data_shape()) == 3
    assert header["qform_code"] == 0 or np.allclose(header.get_qform(), header.get_sform(), atol=1e-3)
    return to_ras(found).array


def _liver_slices(item: dict[str, Any]) -> tuple[list[int], np.ndarray]:
    liver = {**item, "label_map": {1: 1}}
    if not (read_volume(item["label"]).array == 1).any():
        with pytest.raises(UserError, match="expected voxels of the organ"):  # no slice can be chosen by it
            loaded_slices(liver)
        return [], np.empty(0)
    slices = loaded_slices(liver, size=32)
    drawn = [slices[number] for number in range(len(slices))]
    return [one["slice"] for one in drawn], np.stack([np.asarray(one["image"]) for one in drawn])


def _submitted(item: dict[str, Any], world: World) -> np.ndarray:
    """The label after a viewer named its values, so that MONAI Label's training writes a copy with the model's."""
    info = [{"name": name, "idx": value} for value, name in ((1, "spleen"), (2, "liver"), (5, "pancreas"))]
    organs = [name for number, name in sorted(ORGANS.items()) if number != "0"]
    copy = labelled_scan(
        "bad", item["image"], item["label"], label_info=info, organs=organs, folder=world.root / "copies"
    )
    file = world.root / "submitted.json"
    root = write_list(file, [copy], [], organs=organs)
    (listed,) = load_data_list(file, data_root=root).items()
    listed |= reading_options(item)  # the label server has files, no series
    return to_ras_array(image_preprocessing(label=True)(listed)["label"])


def to_ras_array(tensor: Any) -> np.ndarray:
    """(X, Y, Z) in RAS of a MetaTensor (1, …)."""
    turn = nib.io_orientation(tensor.affine.numpy())
    return nib.apply_orientation(tensor[0].numpy(), turn)


def _page(run: Path, file: Path) -> list[str]:
    assert command("report", run, "--output", file).error is None
    lines = file.read_text(encoding="utf-8").splitlines()
    dice = [line for line in lines if line.startswith("|") and re.search(r"\.\d{3}", line)]
    return [re.sub(r"\| [^|]* s \|$", "|", line) for line in dice]  # without the time that the run took
