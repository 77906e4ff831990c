"""The rows of the table of bad input that need a bundle's run: each ends with one line, before anything is written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from monai_cl.engines import slice_classifier
from tests.bad_input.advice import advice_faults, advice_in
from tests.bad_input.case import Case
from tests.bad_input.cases_runs import RUNS
from tests.bad_input.world import World
from tests.bundles.conftest import NETWORK, config_files, words

SMALL = {"num_workers": 0, "prepare_workers": 1, "iterations": 4, "epoch_length": 2}
VOLUMES = {**NETWORK, "spacing": [3.0, 3.0, 3.0]}
SLICES = {"image_size": 160, "width": 0.125, "batch_size": 2}
FEW_LABELS = {"image_size": 32, "features": [4, 4, 8, 8, 16, 4], "scans_per_batch": 2}
BOXES = {"box_size": [8, 32, 32], "batch_size": 2}
IMAGES = {"preset": "small", "image_size": 32, "batch_size": 4, "prototypes": 2, "queue_length": 0}
ROWS = [
    # one bundle of several is enough of a run for the fast tests
    pytest.param(case, door, id=f"{case}: {door}", marks=[pytest.mark.slow] if case.slow or number else [])
    for case in RUNS
    for number, door in enumerate(case.doors)
]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, str]:
    """Networks that have learnt nothing, for inference."""
    import torch
    from monai.networks.nets import UNETR

    folder = tmp_path_factory.mktemp("weights")
    size = {"img_size": NETWORK["patch_size"], **{key: NETWORK[key] for key in NETWORK if key != "patch_size"}}
    torch.save(UNETR(in_channels=1, out_channels=2, **size).state_dict(), folder / "segment.pt")
    torch.save(slice_classifier(width=SLICES["width"], image_size=160).state_dict(), folder / "classify.pt")
    return {"spleen": str(folder / "segment.pt"), "cirrhosis": str(folder / "classify.pt")}


def _options(door: str, world: World, checkpoints: dict[str, str]) -> dict[str, Any]:
    bundle, config = door.split()
    network = SLICES if bundle.startswith(("wsp", "cirrhosis")) else VOLUMES
    network = FEW_LABELS if bundle.startswith(("meta_label", "semi_supervised")) else network
    network = IMAGES if bundle.startswith("clustering") else network
    network = BOXES if bundle.startswith("head") else network
    if config == "inference":
        sizes = {key: value for key, value in network.items() if key != "batch_size"}
        return {**sizes, "checkpoint": checkpoints[bundle.split("_")[0]], "output_dir": str(world.out)}
    found = {**SMALL, **network, "dataset_dir": str(world.root), "data_list": str(world.list_file())}
    found |= {"store_dir": str(world.store), "output_dir": str(world.out)}
    return {**found, "fold": 0} if bundle.startswith(("spleen", "cirrhosis")) else found


@pytest.mark.parametrize(("case", "door"), ROWS)
def test_a_run_is_refused_in_one_line_before_it_writes(case: Case, door: str, launcher, tmp_path, checkpoints):
    world = World(tmp_path)
    # a network has a channel an id, from 0 on without gaps
    world.document |= {"labels": {"0": "background", "1": "spleen", "2": "liver", "3": "pancreas"}}
    for number, entry in enumerate(world.document["training"]):
        entry["fold"] = number
    _without_five(world)
    given = case.make(world) or {}
    if given.get("fold") == "none":
        for entry in (*world.document["training"], *world.document["validation"]):
            entry.pop("fold", None)
    options = {**_options(door, world, checkpoints), **given}
    bundle, config = door.split()
    names = ("train", config) if config == "pretrain" else (config,)
    (tmp_path / "cwd").mkdir()
    finished = launcher.run(
        "monai.bundle", "run", "--config_file", str(config_files(bundle, *names)), *words(options), cwd=tmp_path / "cwd"
    )
    assert finished.status != 0, finished.out[-2000:]
    assert finished.last_error_line.startswith("error: "), finished.err[-3000:]
    for part in case.names:
        assert part in finished.last_error_line, finished.last_error_line
    assert advice_faults(advice_in(finished.last_error_line), [door]) == []
    assert not [path for path in world.out.rglob("*") if path.is_file()]
    assert [path.name for path in (tmp_path / "cwd").iterdir()] == []
    json.dumps(sorted(world.stored()))  # the store is whole, whatever is in it


def _without_five(world: World) -> None:
    """The labels' third class is 3 here."""
    import nibabel as nib
    import numpy as np

    from tests.data.volume_files import write_nifti

    for entry in world.document["training"]:
        path = world.root / entry["label"]
        loaded = nib.load(path)
        array = np.asarray(loaded.dataobj).astype(np.uint8)
        array[array == 5] = 3
        write_nifti(path, array, loaded.affine)
