"""CT, MR and X-ray in one list: prepared each on its own scale, numbered, and taken in turn."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from monai_cl.data import CTSlices, PositionSampler, Preparation, VolumeStore, collate_slices, load_data_list, prepare
from monai_cl.engines import list_modalities, list_slices, modality_batches, modality_slices
from monai_cl.errors import UserError
from tests.bad_input.doors import command
from tests.engines.slice_lists import volume, write_scan

NATIVE = {"spacing": None, "layout": "slices"}


def write_mixed(folder: Path, *, others_in: str = "training") -> Path:
    """Three CT volumes, two MR volumes with values of their own, four X-ray pictures; by data set and by item."""
    rng = np.random.default_rng(0)
    sets: dict[str, list[dict]] = {"ct": [], "others": []}
    for number in range(3):
        sets["ct"].append({"image": f"ct{number}.nii.gz", "target": number % 2})
        write_scan(folder / f"ct{number}.nii.gz", volume(number)[0])
    for number in range(2):
        sets["others"].append({"image": f"mr{number}.nii.gz", "modality": "MR"})
        write_scan(folder / f"mr{number}.nii.gz", rng.integers(0, 5000 * (number + 1), (24, 24, 3)).astype(np.int16))
    for number in range(4):
        sets["others"].append({"image": f"xr{number}.png", "findings": {"nodule": number % 2}})
        Image.fromarray(rng.integers(10 * number, 200, (20, 24), dtype=np.uint8)).save(folder / f"xr{number}.png")
    more = {"ct": {}, "others": {"modality": "XR", "finding_names": ["nodule"]}}
    datasets = [
        {"name": name, **more[name], "training": [], (others_in if name == "others" else "training"): items}
        for name, items in sets.items()
    ]
    path = folder / "mixed.json"
    path.write_text(json.dumps({"name": "mixed", "datasets": datasets}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def data_list(tmp_path_factory):
    return load_data_list(write_mixed(tmp_path_factory.mktemp("mixed")))


@pytest.fixture(scope="module")
def slices(data_list, tmp_path_factory) -> CTSlices:
    return modality_slices(data_list, store=tmp_path_factory.mktemp("store") / "store", size=24)


def test_every_modality_is_seen_on_a_scale_of_its_own(slices):
    assert slices.modalities == ("CT", "MR", "XR")
    assert len(slices) == 3 * 10 + 2 * 3 + 4
    for volume_ in slices.volumes:
        images = torch.cat([slices[i]["image"] for i in range(len(slices)) if slices[i]["id"] == volume_.id])
        if volume_.modality != "CT":
            assert (images.min(), images.max()) == (0, 1)
            assert 0.35 < images[images < 1].mean() < 0.65  # of values that are evenly distributed
    first = slices[0]
    raw = np.clip(volume(0)[0][::-1, ::-1, 0].T.astype(np.float32), -160, 240)
    np.testing.assert_allclose(first["image"][0].numpy(), (raw + 160) / 400, atol=1e-6)


def test_slices_at_the_ends_that_show_nothing_are_left_out_and_counted(tmp_path, caplog):
    def write(name: str, *empty: int) -> dict:
        array = np.random.default_rng(len(name)).integers(0, 900, (16, 16, 8)).astype(np.int16)
        array[..., list(empty)] = 0
        write_scan(tmp_path / name, array)
        return {"image": name}

    path, items = tmp_path / "list.json", [write("head.nii.gz", 0, 6, 7), write("trunk.nii.gz")]
    path.write_text(json.dumps({"name": "heads", "modality": "MR", "training": items}), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        kept = modality_slices(load_data_list(path), store=tmp_path / "store", size=16)
    assert [volume_.slices.tolist() for volume_ in kept.volumes] == [[1, 2, 3, 4, 5], list(range(8))]
    assert "3 slices at the ends of volumes show nothing and are left out" in caplog.text
    path.write_text(json.dumps({"name": "heads", "modality": "MR", "training": [write("gap.nii.gz", 4)]}))
    with pytest.raises(UserError, match=r"an image in slice 4 .* found one value, 0, all over the window"):
        modality_slices(load_data_list(path), store=tmp_path / "store", size=16)


def test_findings_of_an_image_are_0_1_or_not_known(slices):
    found = {sample["id"]: sample["findings"].tolist() for sample in map(slices.__getitem__, range(len(slices)))}
    assert (found["xr0"], found["xr1"], found["ct0"], found["mr1"]) == ([0], [1], [-1], [-1])


def test_a_batch_carries_the_modality_of_each_position(slices):
    batches = modality_batches(slices, batch_size=6, seed=1, world_size=1)
    loader = DataLoader(
        batches, batch_size=6, sampler=PositionSampler(batch_size=6, rank=0, world_size=1), collate_fn=collate_slices
    )
    for batch, _ in zip(loader, range(4)):
        assert batch["modality"].dtype == torch.int64
        assert batch["modality"].tolist() == [0, 1, 2, 0, 1, 2]
        assert batch["position"].remainder(3).equal(batch["modality"])


def test_the_prepared_ct_is_the_one_of_a_list_of_ct_alone(data_list, slices, tmp_path):
    alone = prepare(data_list.items(dataset="ct"), tmp_path / "ct", Preparation(**NATIVE), progress=False)
    for key in alone.keys:
        for file in (alone.store.root / key).iterdir():
            assert file.read_bytes() == (slices.store.root / key / file.name).read_bytes()
    assert json.loads((tmp_path / "ct" / "store.json").read_text())["preparation"] == {
        "spacing": None,
        "layout": "slices",
        "antialias": False,
        "uneven_slices": "error",
    }


def test_a_store_of_several_modalities_lists_verifies_and_repairs_all_of_them(slices):
    store = VolumeStore.open(slices.store.root)
    assert store.preparation.intensity == "modality"
    assert len(store.keys()) == 9
    (store.root / next(volume_.key for volume_ in slices.volumes if volume_.id == "mr0") / "image.b2nd").write_bytes(
        b"damage"
    )
    assert "mr0" in " ".join(store.verify())
    store.repair()
    assert store.verify() == []
    assert [item_window.window for item_window in slices.volumes][-1] == (0.0, 1000.0)


def test_prepare_takes_the_list_as_it_is_in_the_layout_of_slices_alone(data_list, tmp_path):
    words = ("prepare", data_list.path, "--spacing", "native", "--store", tmp_path / "store", "--progress=False")
    outcome = command(*words, "--layout", "slices")
    assert (outcome.error, "9 prepared" in outcome.shown) == (None, True)
    outcome = command(*words[:-2], tmp_path / "volumes", words[-1])
    assert "prepare slices of them: --layout slices --spacing native" in outcome.shown


def test_methods_of_one_scale_refuse_both_in_one_list(data_list, tmp_path):
    with pytest.raises(UserError, match=r"expected CT alone, or no CT, found CT in ct and another modality \(or PNG"):
        list_slices(data_list, store=tmp_path / "store", size=24, window=None)


def test_methods_with_a_window_in_hu_refuse_what_the_list_says_is_no_ct_before_they_prepare(data_list, tmp_path):
    with pytest.raises(UserError, match=r"expected CT alone, .*found modality (MR|US|XR) of .*clustering_pretraining"):
        list_slices(data_list, store=tmp_path / "store", size=24)
    assert not (tmp_path / "store").exists()


def test_a_modality_without_items_is_an_error_at_the_start(tmp_path):
    data_list = load_data_list(write_mixed(tmp_path, others_in="validation"))
    with pytest.raises(UserError, match="expected at least one item of modality XR under 'training', found CT"):
        list_modalities(data_list)
    for named in (["ct"], "ct", "ct,"):  # a shell gives text
        assert list_modalities(data_list, modalities=named) == ("CT",)
    with pytest.raises(UserError, match="expected at least one item of modality US"):
        modality_slices(data_list, store=tmp_path / "store", modalities=["CT", "US"])


def test_items_of_modalities_that_are_not_named_are_left_out(data_list, slices):
    two = modality_slices(data_list, store=slices.store.root, size=24, modalities=["XR", "CT"])
    assert two.modalities == ("CT", "XR")
    assert {volume_.modality for volume_ in two.volumes} == {"CT", "XR"}
    with pytest.raises(UserError, match=r"expected one of the modalities CT, XR, found MR"):
        two.of(slices.volumes)


def test_the_numbers_of_a_part_are_those_of_the_whole(slices):
    part = slices.of([volume_ for volume_ in slices.volumes if volume_.modality == "XR"])
    assert {part[i]["modality"] for i in range(len(part))} == {2}


def test_a_batch_that_the_modalities_cannot_share_is_refused(slices):
    with pytest.raises(UserError, match=r"batch_size 64: expected a multiple of 3, .* use 63 or 66"):
        modality_batches(slices, batch_size=64, seed=0, world_size=1)
