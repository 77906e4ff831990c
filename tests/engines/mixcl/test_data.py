"""From a data list to patches: what is trained on, what the record says of it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from monai_cl.data import fold_items
from monai_cl.engines import (
    case_ids,
    class_counts,
    describe,
    foreground_names,
    identity_levels,
    image_preprocessing,
    inference_items,
    mixcl_patches,
    read_list,
    segmentation_patches,
    training_items,
    training_scans,
    validation_items,
)
from monai_cl.errors import UserError
from monai_cl.transforms.label_table import IGNORED

LABELS = {"0": "background", "1": "spleen", "2": "liver"}


def write_case(folder, name: str, *, seed: int = 0, affine=None) -> dict[str, str]:
    """A scan of 20 × 18 × 16 voxels with two boxes labelled, as a list's item."""
    image = np.random.default_rng(seed).integers(-100, 200, (20, 18, 16)).astype(np.int16)
    label = np.zeros(image.shape, np.uint8)
    label[4:9, 4:9, 4:9], label[10:15, 4:9, 4:9] = 1, 2
    affine = np.diag([2.0, 2, 2, 1]) if affine is None else affine
    for kind, array in (("image", image), ("label", label)):
        nib.save(nib.Nifti1Image(array, affine), folder / f"{name}_{kind}.nii.gz")
    return {"image": f"{name}_image.nii.gz", "label": f"{name}_label.nii.gz", "id": name}


def write_list(folder, **content):
    """A list of two labelled cases in two folds by default."""
    if "training" not in content and "datasets" not in content:
        content["training"] = [{**write_case(folder, f"c{i}", seed=i), "fold": i} for i in range(2)]
    document = {"name": "set", "labels": LABELS, **content}
    (folder / "list.json").write_text(json.dumps({k: v for k, v in document.items() if v is not None}))
    return read_list(folder / "list.json", data_root="")


def test_class_counts_have_the_background_and_keep_the_order_of_the_sets(tmp_path):
    sets = [
        {"name": "one", "labels": {"0": "background", "1": "spleen"}, "training": [write_case(tmp_path, "a")]},
        {"name": "two", "labels": LABELS, "training": [write_case(tmp_path, "b")]},
    ]
    assert class_counts(write_list(tmp_path, datasets=sets, labels=None)) == [2, 3]


@pytest.mark.parametrize("function", [class_counts, foreground_names])
def test_a_gap_in_the_ids_is_refused_with_the_list_and_the_ids(tmp_path, function):
    content = write_list(tmp_path, labels={"0": "background", "2": "liver"})
    with pytest.raises(UserError, match=r"list\.json: .*without gaps, found \[0, 2\]; .*label_map"):
        function(content)


def test_foreground_names_are_in_the_order_of_their_ids(tmp_path):
    content = write_list(tmp_path, labels={"2": "liver", "0": "background", "1": "spleen"})
    assert foreground_names(content) == ["spleen", "liver"]


def test_a_record_says_where_the_data_are_from_and_which_cases_were_used(tmp_path):
    content = write_list(tmp_path, source="synthetic, seed 3")
    record = describe(content, preset="paper")
    assert (record["name"], record["path"], record["preset"]) == ("set", str(tmp_path / "list.json"), "paper")
    assert record["source"] == "synthetic, seed 3"
    assert record["sha256"] == content.sha256
    assert record["datasets"]["set"]["labels"] == ["background", "spleen", "liver"]
    assert record["training_cases"] == ["c0", "c1"]
    assert (record["fold"], record["label_fraction"]) == (None, 1.0)


def test_a_record_has_the_licence_of_each_data_set_that_states_one(tmp_path):
    sets = [
        {"name": name, "labels": {"0": "background", "1": "liver"}, "training": [write_case(tmp_path, name)], **more}
        for name, more in (("stated", {"licence": "CC-BY 4.0"}), ("silent", {}))
    ]
    record = describe(write_list(tmp_path, datasets=sets, labels=None))
    assert record["datasets"] == {
        "stated": {"labels": ["background", "liver"], "licence": "CC-BY 4.0"},
        "silent": {"labels": ["background", "liver"]},
    }
    alone = describe(write_list(tmp_path, licence="CC0"))
    assert alone["datasets"]["set"]["licence"] == "CC0"


def test_a_record_counts_the_labelled_scans_that_a_fraction_is_of(tmp_path):
    content = write_list(tmp_path)
    assert [describe(content, fold=fold)["available_labels"] for fold in (None, 0, 1)] == [2, 1, 1]


def test_what_a_config_says_of_its_cases_is_kept(tmp_path):
    record = describe(write_list(tmp_path), fold=1, label_fraction=0.5, training_cases=["c0"])
    assert (record["fold"], record["label_fraction"], record["training_cases"]) == (1, 0.5, ["c0"])


def test_identity_levels_are_all_none_or_those_named():
    assert identity_levels(None, 1.0) is None  # all that the backbone has
    assert identity_levels([0, 2], 1.0) == [0, 2]
    assert identity_levels(None, 0.0) == identity_levels([1], 0) == []


def test_patches_are_of_the_labelled_items_and_empty_sets_keep_their_place(tmp_path):
    labelled, *bare = (write_case(tmp_path, name) for name in "abc")
    for item in bare:
        del item["label"]
    sets = [
        {"name": "without", "labels": LABELS, "training": bare[:1]},
        {"name": "with", "labels": LABELS, "training": [labelled, *bare[1:]]},
    ]
    content = write_list(tmp_path, datasets=sets, labels=None)
    patches = mixcl_patches(content, store=tmp_path / "store", spacing=(2, 2, 2), patch_size=16, levels_stride=2)
    assert [len(keys) for keys in patches.keys] == [0, 1]
    sample = patches[0]
    assert sample["dataset"] == 1  # its place among class_counts
    assert (sample["id1"], sample["id2"]) == ("a", "a")
    assert sample["image1"].shape == (1, 16, 16, 16)


def test_scans_without_label_are_patches_too_where_terms_need_none_and_it_is_said(tmp_path, caplog):
    labelled, *bare = (write_case(tmp_path, name) for name in "abc")
    for item in bare:
        del item["label"]
    sets = [
        {"name": "bare", "training": bare[:1]},
        {"name": "mixed", "labels": LABELS, "training": [labelled, *bare[1:]]},
    ]
    content = write_list(tmp_path, datasets=sets, labels=None)
    options = {"store": tmp_path / "store", "spacing": (2, 2, 2), "patch_size": 16, "affine_probability": 1.0}
    patches = mixcl_patches(content, unlabelled=True, **options)
    assert case_ids(patches) == ["b", "a", "c"]
    assert "2 of 3 scans under 'training' have no label; the terms that need labels leave them out" in caplog.text
    assert class_counts(content) == [1, 3]
    samples = {sample["id1"]: sample for sample in map(patches.__getitem__, range(3))}
    for name, sample in samples.items():
        assert sample["label1"].dtype == torch.int64
        assert sample["image1"].std() > 0
        assert bool((sample["label1"] == IGNORED).all()) == (name != "a")
        assert bool((sample["voxels1"] == -1).all()) == (name != "a")
    scans = training_scans(content, patches, used="labels")
    assert [scan["used"] for scan in scans] == ["", "labels", ""]
    caplog.clear()
    assert case_ids(mixcl_patches(content, **options)) == ["a"]
    assert "2 of 3 scans under 'training' have no label; none of the terms can use them: left out" in caplog.text


def test_organs_are_needed_where_they_are_learnt(tmp_path):
    item = write_case(tmp_path, "a")
    del item["label"]
    content = write_list(tmp_path, training=[item], labels=None)
    with pytest.raises(UserError, match=r"expected organs of at least one data set.*--preset balanced"):
        class_counts(content)
    options = {"store": tmp_path / "store", "spacing": (2, 2, 2), "patch_size": 16}
    assert case_ids(mixcl_patches(content, unlabelled=True, **options)) == ["a"]


def test_organs_that_no_scan_shows_are_told_from_those_that_are_learnt(tmp_path):
    """A list may name organs of a data set whose scans have no labels, as copies of other lists do."""
    labelled, bare, other = (write_case(tmp_path, name, seed=seed) for seed, name in enumerate("abc"))
    del bare["label"], other["label"]
    sets = [{"name": "bare", "labels": LABELS, "training": [bare]}]
    content = write_list(tmp_path, datasets=sets, labels=None)
    with pytest.raises(UserError, match=r"expected labelled scans of at least one data set.*--preset balanced"):
        class_counts(content)
    sets.append({"name": "mixed", "labels": LABELS, "training": [labelled, other]})
    content = write_list(tmp_path, datasets=sets, labels=None)
    assert class_counts(content) == [3, 3]
    assert [one.get("unlabelled") for one in describe(content)["datasets"].values()] == [True, None]


def test_antialiased_volumes_are_entries_of_their_own(tmp_path):
    content = write_list(tmp_path)
    options = {"store": tmp_path / "store", "spacing": (4, 4, 4), "patch_size": 8, "levels_stride": 2}
    plain, smooth = (mixcl_patches(content, **options, antialias=flag) for flag in (False, True))
    assert plain.keys != smooth.keys
    key, other = plain.keys[0][0], smooth.keys[0][0]
    whole = (slice(None),) * 3
    assert plain.store.read(key, whole).std() > smooth.store.read(other, whole).std()


def test_a_list_without_labels_is_refused(tmp_path):
    content = write_list(tmp_path, training=[{"image": write_case(tmp_path, "a")["image"]}])
    with pytest.raises(UserError, match=r"list\.json: no item with image and label under 'training'"):
        mixcl_patches(content, store=tmp_path / "store")
    with pytest.raises(
        UserError, match=r"list\.json: the training part of fold None holds no item with image and label"
    ):
        training_items(content, fold=None)


def test_items_that_cannot_be_prepared_are_all_named_with_the_reason(tmp_path):
    cases = [write_case(tmp_path, name) for name in ("good", "cut", "gone")]
    cut = tmp_path / "cut_image.nii.gz"
    cut.write_bytes(cut.read_bytes()[:200])
    (tmp_path / "gone_image.nii.gz").unlink()
    content = write_list(tmp_path, training=cases)
    with pytest.raises(UserError, match=r"2 of 3 items cannot be prepared: cut: .*cut_image.*; gone: .*gone_image"):
        mixcl_patches(content, store=tmp_path / "store", spacing=(2, 2, 2), patch_size=16)


def test_folds_part_the_items_and_label_fraction_thins_the_training_part(tmp_path):
    content = write_list(tmp_path)
    assert [item["id"] for item in training_items(content, fold=0)] == ["c1"]
    assert [item["id"] for item in validation_items(content, fold=0)] == ["c0"]
    with pytest.raises(UserError, match=r"list\.json.*fold 7"):
        training_items(content, fold=7)


def test_a_fraction_of_labels_is_one_of_the_labelled_scans_whatever_lies_beside_them(tmp_path):
    labelled = [write_case(tmp_path, f"c{i}") for i in range(4)]
    bare = [{key: value for key, value in write_case(tmp_path, f"u{i}").items() if key != "label"} for i in range(8)]
    alone = training_items(write_list(tmp_path, training=labelled), fold=None, label_fraction=0.5)
    mixed = write_list(tmp_path, training=[*bare, *labelled])
    assert len(alone) == 2
    assert [i["id"] for i in training_items(mixed, fold=None, label_fraction=0.5)] == [i["id"] for i in alone]
    kept = fold_items(mixed, fold=None, label_fraction=0.5)
    assert [i["id"] for i in kept] == [*(f"u{i}" for i in range(8)), *(i["id"] for i in alone)]


@pytest.mark.parametrize("word", ["none", "null", "None"])
def test_no_fold_can_be_said_by_a_word(tmp_path, word):
    content = write_list(tmp_path)
    assert training_items(content, fold=word) == training_items(content, fold=None)
    assert describe(content, fold=word)["fold"] is None


@pytest.mark.parametrize(("processes", "share"), [(1, [3]), (2, [2, 1]), (3, [1, 1, 1]), (4, [3, 3, 3, 3])])
def test_processes_share_the_validation_and_none_is_left_without(tmp_path, monkeypatch, processes, share):
    items = [{**write_case(tmp_path, f"c{i}"), "fold": 0} for i in range(3)]
    content = write_list(tmp_path, training=items)
    found = []
    for number in range(processes):
        monkeypatch.setattr("monai_cl.engines.distributed.collectives.world_size", lambda: processes)
        monkeypatch.setattr("monai_cl.engines.distributed.collectives.rank", lambda number=number: number)
        found.append([item["id"] for item in validation_items(content, fold=0)])
    assert [len(ids) for ids in found] == share
    assert {name for ids in found for name in ids} == {"c0", "c1", "c2"}


def test_segmentation_patches_apply_the_transform(tmp_path):
    content = write_list(tmp_path)
    items = training_items(content, fold=None)
    options = {"store": tmp_path / "store", "spacing": (2, 2, 2), "patch_size": 16}
    plain = segmentation_patches(items, **options)
    inverted = segmentation_patches(items, transform=lambda s: {**s, "image": 1 - s["image"]}, **options)
    assert np.allclose(1 - plain[3]["image"], inverted[3]["image"])
    assert len(plain) == 2
    # the argument's name in configs of earlier versions
    assert np.array_equal(segmentation_patches(items=items, **options)[3]["image"], plain[3]["image"])
    with pytest.raises(ValueError, match="one of data and items"):
        segmentation_patches(**options)


LPS = np.array([[-3.0, 0, 0, 30], [0, -3, 0, 20], [0, 0, 3, -10], [0, 0, 0, 1]])


def test_images_are_resampled_to_ras_and_labels_stay_as_they_are(tmp_path):
    case = write_case(tmp_path, "c", affine=LPS)
    item = read_list(_list_of(tmp_path, case)).items()[0]
    out = image_preprocessing(spacing=(1.5, 1.5, 1.5), window=(-150, 250), label=True)(item)
    assert out.keys() == {"image", "label", "id", "patient"}
    assert np.allclose(np.diag(out["image"].affine)[:3], 1.5)
    assert out["image"].shape[1:] == (39, 35, 31)
    assert 0 <= out["image"].min() < out["image"].max() <= 1
    label = nib.load(tmp_path / case["label"])
    assert np.array_equal(out["label"][0].numpy(), label.get_fdata())
    assert np.allclose(out["label"].affine, label.affine)


def test_the_lists_label_map_is_applied_to_the_truth(tmp_path):
    case = write_case(tmp_path, "c")
    item = read_list(_list_of(tmp_path, case, labels={"0": "background", "1": "liver"}, label_map={"2": 1})).items()[0]
    out = image_preprocessing(label=True)(item)
    given = np.asanyarray(nib.load(tmp_path / case["label"]).dataobj)
    assert np.array_equal(out["label"][0].numpy(), given == 2)


def _list_of(folder, case, **content) -> str:
    path = folder / "list.json"
    path.write_text(json.dumps({"name": "set", "labels": LABELS, "training": [case], **content}))
    return str(path)


def test_naming_results_makes_no_folder(tmp_path, monkeypatch):
    # MONAI's naming creates one in the current folder unless this is set
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "scan.nii.gz").touch()
    monkeypatch.chdir(tmp_path / "elsewhere")
    inference_items([str(tmp_path / "scan.nii.gz")])
    assert not any((tmp_path / "elsewhere").iterdir())


def test_items_of_an_inference_are_the_volumes_in_their_order(tmp_path):
    paths = [str(tmp_path / name) for name in ("b.nii.gz", "a.nrrd")]
    for path in paths:
        Path(path).write_bytes(b"")
    assert inference_items(paths) == [{"image": path} for path in paths]
    assert inference_items(paths[0]) == [{"image": paths[0]}]


def test_a_scan_that_is_given_twice_is_one_item(tmp_path):
    scan = str(tmp_path / "a.nii.gz")
    Path(scan).touch()
    assert inference_items([scan, scan]) == [{"image": scan}]


def test_an_inference_without_volumes_or_with_a_missing_one_is_refused(tmp_path):
    with pytest.raises(UserError, match="datalist: expected volumes, found none"):
        inference_items([])
    with pytest.raises(UserError, match=r"gone\.nii\.gz: no such volume"):
        inference_items([str(tmp_path / "gone.nii.gz")])


@pytest.mark.parametrize("workers", [0, -1, True, 1.5])
def test_a_wrong_number_of_processes_is_refused_by_the_name_of_its_key(tmp_path, workers):
    with pytest.raises(UserError, match=f"prepare_workers: expected an integer >= 1, found {workers}.*1 prepares in"):
        mixcl_patches(write_list(tmp_path), store=tmp_path / "store", prepare_workers=workers, patch_size=8)
    assert not (tmp_path / "store").exists()
