"""Folders as public data sets lay them out: what `datalist create`, `add` and `merge_masks` make of them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monai_cl.data.datalist.create import create_data_list
from monai_cl.data.datalist.folders.additions import add_scans
from monai_cl.data.datalist.folders.description import names_of
from monai_cl.data.datalist.folders.masks import merge_masks
from monai_cl.data.datalist.json_files import write_json
from monai_cl.data.datalist.loading import load_data_list
from monai_cl.data.datalist.validation import validate_data_list
from monai_cl.data.io.reading import read_volume
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, write_nifti

SHAPE = (8, 7, 6)
AFFINE = affine_of("LPS")


def scan(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(path, ct_array(SHAPE, seed=seed), AFFINE)


def label(path: Path, *values: int, seed: int = 0) -> None:
    """A voxel of each value, in another place for another seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros(SHAPE, np.uint8)
    array.flat[seed * 20 : seed * 20 + len(values)] = values
    write_nifti(path, array, AFFINE)


def mask(path: Path, *indices: int, value: int = 1, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros(SHAPE, np.uint8)
    array.flat[list(indices)] = value
    write_nifti(path, array, affine)


def problems(folder: Path, document: dict) -> list[str]:
    path = write_json(folder / "list.json", document, overwrite=True)
    return [str(problem) for problem in validate_data_list(path)]


# --- what is created is valid


LAYOUTS = {
    "decathlon": ("imagesTr/{}.nii.gz", "labelsTr/{}.nii.gz"),
    "nnunet": ("imagesTr/{}_0000.nii.gz", "labelsTr/{}.nii.gz"),
    "nrrd": ("images/{}.nii", "labels/{}.nii"),
    "kits": ("{}/imaging.nii.gz", "{}/segmentation.nii.gz"),
    "bids ct": ("sub-{0}/ct/sub-{0}_ct.nii.gz", "derivatives/manual/sub-{0}/ct/sub-{0}_dseg.nii.gz"),
    "bids mr": ("sub-{0}/anat/sub-{0}_T1w.nii.gz", "derivatives/sub-{0}/anat/sub-{0}_space-orig_mask.nii.gz"),
    "bids entities": (
        "sub-{0}/ses-1/ct/sub-{0}_ses-1_acq-thin_ct.nii",
        "derivatives/a/sub-{0}/ses-1/ct/sub-{0}_ses-1_acq-thin_dseg.nii",
    ),
    "bids without kinds of image": (
        "sub-{0}/ses-1/sub-{0}_ses-1_ct.nii.gz",
        "derivatives/labels/sub-{0}/ses-1/sub-{0}_ses-1_ct_label-liver_seg.nii.gz",
    ),
    "capitals": ("imagesTr/{0}.NII.GZ", "labelsTr/{0}.NII.GZ"),
    "bids sessions": (
        "sub-{0}/ses-1/anat/sub-{0}_ses-1_T2w.nii.gz",
        "derivatives/a/sub-{0}/ses-1/anat/sub-{0}_ses-1_dseg.nii.gz",
    ),
}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    values=st.lists(st.lists(st.integers(1, 9), max_size=3, unique=True), min_size=1, max_size=3),
    named=st.none() | st.sets(st.integers(1, 9), min_size=1),
    validation=st.sampled_from([0.0, 0.3]),
)
def test_what_is_created_is_valid_and_means_what_the_files_say(tmp_path_factory, layout, values, named, validation):
    folder = tmp_path_factory.mktemp("data")
    images, labels = LAYOUTS[layout]
    for number, present in enumerate(values):
        scan(folder / images.format(f"c{number}"), seed=number)
        label(folder / labels.format(f"c{number}"), *present, seed=number)
    organs = None if named is None else {value: f"organ {value}" for value in named}
    used = [set(present) & named if named else set(present) for present in values]
    if not any(used) or (validation and sum(map(bool, used)) < 2):
        with pytest.raises(UserError):
            create_data_list(folder, organs=organs, validation=validation)
        return
    found = create_data_list(folder, organs=organs, validation=validation)
    assert problems(folder, found.document) == []
    data_list = load_data_list(folder / "list.json")
    assert sorted(data_list.labels) == list(range(len(data_list.labels)))
    items = data_list.items() + data_list.items("validation")
    assert bool(data_list.items("validation")) == bool(validation)
    assert len(items) == len(values)
    for item in items:
        number = next(n for n in range(len(values)) if f"c{n}" in Path(item["image"]).relative_to(folder).as_posix())
        assert ("label" in item) == bool(used[number])
        if "label" not in item:
            continue
        file_values = set(np.unique(read_volume(item["label"]).array)) - {0}
        ids = file_values if item["label_map"] is None else {item["label_map"].get(v, 0) for v in file_values} - {0}
        prefix = "label" if named is None else "organ"
        assert {data_list.labels[label] for label in ids} == {f"{prefix} {value}" for value in used[number]}


def test_names_of_files_that_would_give_one_id_twice_get_ids(tmp_path):
    scan(tmp_path / "a" / "b.nii.gz", 1)
    scan(tmp_path / "a_b.nii.gz", 2)
    scan(tmp_path / "c" / "b.nii.gz", 3)
    scan(tmp_path / "c_b.nii.gz", 4)
    first = create_data_list(tmp_path, images="{patient}/{case}.nii.gz").document
    second = create_data_list(tmp_path, images="{case}.nii.gz").document["training"]
    document = first | {"training": [{"image": item["image"]} for item in first["training"]] + second}
    assert any("every id once" in problem for problem in problems(tmp_path, document))
    (tmp_path / "dataset.json").write_text(json.dumps({"test": ["a_b.nii.gz", "c_b.nii.gz"]}))
    assert problems(tmp_path, create_data_list(tmp_path, images="{patient}/{case}.nii.gz").document) == []


# --- splits, channels, modality, single scans


def nnunet(folder: Path, labels: dict, *, cases: int = 3, channels: int = 1, **more: object) -> None:
    for number in range(cases):
        for channel in range(channels):
            scan(folder / f"imagesTr/case_{number}_{channel:04d}.nii.gz", seed=number + 10 * channel)
        label(folder / f"labelsTr/case_{number}.nii.gz", 1, 2, 3, seed=number)
    names = {str(channel): name for channel, name in enumerate(("CT", "PET")[:channels])}
    write_json(folder / "dataset.json", {"channel_names": names, "labels": labels, "file_ending": ".nii.gz", **more})


ORGANS = {"background": 0, "liver": 1, "spleen": 2, "aorta": 3}


def test_scans_of_imagests_and_imagesva_are_test_and_validation(tmp_path):
    nnunet(tmp_path, ORGANS)
    scan(tmp_path / "imagesTs/case_7_0000.nii.gz", 7)
    scan(tmp_path / "imagesVa/case_8_0000.nii.gz", 8)
    label(tmp_path / "labelsVa/case_8.nii.gz", 2, seed=4)
    document = create_data_list(tmp_path).document
    assert document["test"] == [{"image": "imagesTs/case_7_0000.nii.gz"}]
    assert document["validation"] == [{"image": "imagesVa/case_8_0000.nii.gz", "label": "labelsVa/case_8.nii.gz"}]
    assert len(document["training"]) == 3
    assert problems(tmp_path, document) == []
    with pytest.raises(UserError, match="expected a data set without validation scans, found 1 already"):
        create_data_list(tmp_path, validation=0.5)


@pytest.mark.parametrize("key", ["test", "testing"])
@pytest.mark.parametrize("bare", [True, False])
def test_the_description_says_which_scans_are_for_test_and_validation(tmp_path, key, bare):
    for number in range(4):
        scan(tmp_path / f"imagesTr/s{number}.nii.gz", number)
        label(tmp_path / f"labelsTr/s{number}.nii.gz", 1, seed=number)
    scan(tmp_path / "more/s9.nii.gz", 9)
    named = ["./imagesTr/s3.nii.gz", "more/s9.nii.gz", "gone.nii.gz"]
    description = {
        "labels": {"0": "background", "1": "liver"},
        key: named if bare else [{"image": name} for name in named],
        "validation": [{"image": "imagesTr/s1.nii.gz", "label": "labelsTr/s1.nii.gz"}],
    }
    write_json(tmp_path / "dataset.json", description)
    document = create_data_list(tmp_path).document
    assert [item["image"] for item in document["training"]] == ["imagesTr/s0.nii.gz", "imagesTr/s2.nii.gz"]
    assert [item["image"] for item in document["validation"]] == ["imagesTr/s1.nii.gz"]
    assert document["test"] == [
        {"image": "imagesTr/s3.nii.gz", "label": "labelsTr/s3.nii.gz"},
        {"image": "more/s9.nii.gz"},
    ]
    assert problems(tmp_path, document) == []


def test_a_decathlon_description_with_testing_is_a_list_itself(tmp_path):
    scan(tmp_path / "a.nii.gz", 1)
    scan(tmp_path / "b.nii.gz", 2)
    document = {"name": "a", "numTest": 1, "training": [{"image": "a.nii.gz"}], "testing": ["b.nii.gz"]}
    assert problems(tmp_path, document) == []
    assert [item["id"] for item in load_data_list(tmp_path / "list.json").items("test")] == ["b"]
    assert 'found "testing"' in problems(tmp_path, document | {"test": []})[0]


def test_validation_takes_patients_not_scans(tmp_path):
    for number in range(6):
        for visit in (1, 2):
            scan(tmp_path / f"P{number}/v{visit}_ct.nii.gz", 10 * number + visit)
            label(tmp_path / f"P{number}/v{visit}_label.nii.gz", 1, seed=number * 2 + visit)
    options = {"images": "{patient}/{case}_ct.nii.gz", "labels": "{patient}/{case}_label.nii.gz"}
    document = create_data_list(tmp_path, organs={1: "liver"}, validation=0.34, **options).document
    patients = {split: {item["patient"] for item in document[split]} for split in ("training", "validation")}
    assert len(patients["validation"]) == 2
    assert not patients["training"] & patients["validation"]
    assert len(document["validation"]) == 4
    assert problems(tmp_path, document) == []
    for wrong in (1, 1.0, -0.1, True, "half"):
        with pytest.raises(UserError, match="a part of the patients in"):
            create_data_list(tmp_path, validation=wrong, **options)


def test_several_channels_are_refused_and_one_can_be_chosen(tmp_path):
    nnunet(tmp_path, ORGANS, channels=2)
    with pytest.raises(UserError, match=r"scans of one channel, found 2 \(0 CT, 1 PET\); .*_0000"):
        create_data_list(tmp_path)
    options = {"images": "imagesTr/{case}_0001.nii.gz", "labels": "labelsTr/{case}.nii.gz"}
    document = create_data_list(tmp_path, **options).document
    assert [item["image"] for item in document["training"]] == [f"imagesTr/case_{n}_0001.nii.gz" for n in range(3)]
    assert problems(tmp_path, document) == []


@pytest.mark.parametrize(("suffix", "modality"), [("ct", "CT"), ("T1w", "MR"), ("FLAIR", "MR")])
def test_the_suffix_of_bids_says_the_modality(tmp_path, suffix, modality):
    scan(tmp_path / f"sub-01/anat/sub-01_{suffix}.nii.gz")
    label(tmp_path / "derivatives/manual/sub-01/anat/sub-01_space-x_dseg.nii.gz", 1)
    document = create_data_list(tmp_path).document
    assert document["modality"] == modality
    assert document["training"][0]["patient"] == "01"


def test_one_scan_is_a_list(tmp_path):
    scan(tmp_path / "ct.nii.gz")
    label(tmp_path / "seg.nii.gz", 1)
    document = create_data_list(tmp_path, images="ct.nii.gz", labels="seg.nii.gz", organs={1: "liver"}).document
    assert document["training"] == [{"image": "ct.nii.gz", "label": "seg.nii.gz"}]
    assert problems(tmp_path, document) == []
    alone = create_data_list(tmp_path / "ct.nii.gz").document
    assert (alone["name"], alone["training"]) == (tmp_path.name, [{"image": "ct.nii.gz"}])
    assert problems(tmp_path, alone) == []
    (tmp_path / "series").mkdir()
    for number in range(2):
        (tmp_path / "series" / f"{number}.dcm").touch()
    assert create_data_list(tmp_path / "series").document["training"] == [{"image": "series"}]


# --- nnU-Net's labels and splits


def test_regions_that_do_not_overlap_are_organs(tmp_path):
    nnunet(tmp_path, {"background": 0, "kidney": [1], "lesion": [2, 3]}, regions_class_order=[1, 2])
    document = create_data_list(tmp_path).document
    assert document["labels"] == {"0": "background", "1": "kidney", "2": "lesion"}
    assert document["label_map"] == {"1": 1, "2": 2, "3": 2}
    assert problems(tmp_path, document) == []


def test_regions_that_overlap_are_refused_with_what_to_do(tmp_path):
    nnunet(tmp_path, {"background": 0, "whole tumor": [1, 2, 3], "core": [2, 3], "enhancing": 3})
    with pytest.raises(UserError, match="'whole tumor' and 'core', two names for 2; name the values as parts"):
        create_data_list(tmp_path)
    parts = {"1": "edema", "2": "necrosis", "3": "enhancing tumor"}
    assert problems(tmp_path, create_data_list(tmp_path, organs=parts).document) == []


@pytest.mark.parametrize("organs", [None, {"1": "liver"}, {"liver": 1, "Ignore": 3}])
def test_the_value_ignore_is_no_organ_and_no_background(tmp_path, organs):
    nnunet(tmp_path, {"background": 0, "liver": 1, "spleen": 2, "ignore": 3})
    document = create_data_list(tmp_path, organs=organs).document
    assert document["ignore"] == 3
    assert "ignore" not in map(str.lower, document["labels"].values())
    assert "3" not in document.get("label_map", {})
    assert problems(tmp_path, document) == []


def test_a_value_without_a_name_is_refused_where_the_folder_names_them(tmp_path):
    nnunet(tmp_path, {"background": 0, "liver": 1, "spleen": 2})
    with pytest.raises(UserError, match=r"expected values that dataset.json names \(1, 2\), found 3; .*--organs"):
        create_data_list(tmp_path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"0": "liver", "1": "spleen"}, "the background as 0"),
        ({"background": 0, "ignore": 3, "Ignore": 4}, 'one value for "ignore"'),
        ({"liver": []}, "found 'liver': \\[\\]"),
        ({"1": " "}, "found '1': ' '"),
        ({"liver": True}, "found 'liver': True"),
    ],
)
def test_names_that_mean_nothing_are_refused(labels, message):
    with pytest.raises(UserError, match=message):
        names_of(labels, "organs")


def test_splits_of_nnunet_become_folds(tmp_path):
    nnunet(tmp_path, ORGANS)
    parts = [{"train": [], "val": ["case_0", "case_2"]}, {"train": [], "val": ["case_1"]}]
    splits = write_json(tmp_path / "splits_final.json", parts)
    document = create_data_list(tmp_path, splits=splits).document
    assert [item["fold"] for item in document["training"]] == [0, 1, 0]
    assert problems(tmp_path, document) == []


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([{"val": ["case_0", "case_1"]}], "every scan in the validation part of a fold, found not imagesTr/case_2"),
        ([{"val": ["case_0"]}, {"val": ["case_0"]}], "found case_0 in those of 0 and 1"),
        ({"val": []}, 'expected a list of {"train"'),
        ([{"val": "case_0"}], 'expected a list of {"train"'),
        ([], 'expected a list of {"train"'),
    ],
)
def test_splits_that_are_no_cross_validation_are_refused(tmp_path, parts, message):
    nnunet(tmp_path, ORGANS)
    with pytest.raises(UserError, match=message):
        create_data_list(tmp_path, splits=write_json(tmp_path / "splits.json", parts))


# --- one mask file per organ


def masks(folder: Path, **cases: dict[str, tuple[int, ...]]) -> None:
    for number, (case, organs) in enumerate(cases.items()):
        scan(folder / case / "ct.nii.gz", number)
        for organ, indices in organs.items():
            mask(folder / case / "segmentations" / f"{organ}.nii.gz", *indices)


def test_masks_become_one_label_map_that_the_list_names(tmp_path):
    masks(tmp_path, s0={"liver": (5, 6), "spleen": (9,)}, s1={"liver": (5,), "spleen": ()})
    merged = merge_masks(tmp_path)
    assert merged.organs == {1: "liver", 2: "spleen"}
    assert (merged.overlaps, dict(merged.empty), merged.left_out) == ({}, {"spleen": 1}, {})
    array = read_volume(tmp_path / "s0/labels.nii.gz").array.reshape(-1)
    assert {value: np.flatnonzero(array == value).tolist() for value in (1, 2)} == {1: [5, 6], 2: [9]}
    document = create_data_list(tmp_path).document
    assert document["labels"] == {"0": "background", "1": "liver", "2": "spleen"}
    assert problems(tmp_path, document) == []


def test_a_mask_in_other_axes_is_turned_to_its_scan(tmp_path):
    masks(tmp_path, s0={"liver": (5, 100)})
    file = tmp_path / "s0/segmentations/liver.nii.gz"
    nib.save(nib.as_closest_canonical(nib.load(file)), file)
    assert read_volume(file).array.reshape(-1)[5] == 0
    merge_masks(tmp_path)
    merged = read_volume(tmp_path / "s0/labels.nii.gz")
    assert merged.grid.same_as(read_volume(tmp_path / "s0/ct.nii.gz").grid, any_axes=False)
    assert np.flatnonzero(merged.array.reshape(-1)).tolist() == [5, 100]


def test_overlaps_are_refused_with_their_counts_and_nothing_is_written(tmp_path):
    masks(tmp_path, s0={"a": (1, 2, 3), "b": (2, 3), "c": (3, 4)}, s1={"a": (1,), "b": (1,), "c": (9,)})
    with pytest.raises(UserError) as caught:
        merge_masks(tmp_path)
    for said in (
        "a and b: 3 voxels in 2 scans",
        "a and c: 1 voxels in 1 scans",
        "b and c: 1 voxels in 1 scans",
        "--priority a,b",
    ):
        assert said in str(caught.value)
    assert not list(tmp_path.rglob("*labels*"))
    assert not (tmp_path / "dataset.json").exists()


def test_priority_says_who_wins_and_the_counts_are_kept(tmp_path):
    masks(tmp_path, s0={"a": (1, 2, 3), "b": (2, 3), "c": (3, 4)})
    merged = merge_masks(tmp_path, priority=("c", "b"))
    assert merged.overlaps == {
        ("b", "a"): {"s0/ct.nii.gz": 2},
        ("c", "a"): {"s0/ct.nii.gz": 1},
        ("c", "b"): {"s0/ct.nii.gz": 1},
    }
    array = read_volume(tmp_path / "s0/labels.nii.gz").array.reshape(-1)
    assert array[:6].tolist() == [0, 1, 2, 3, 3, 0]


@pytest.mark.parametrize(
    ("missing", "written", "left_out"),
    [("empty", ["s0", "s1"], []), ("leave_out", ["s0"], ["s1/ct.nii.gz"])],
)
def test_what_a_missing_mask_means_must_be_said(tmp_path, missing, written, left_out):
    masks(tmp_path, s0={"liver": (1,), "spleen": (2,)}, s1={"liver": (1,)})
    with pytest.raises(
        UserError, match=r"none of spleen in 1 \(s1/ct.nii.gz\); .*--missing empty .*--missing leave_out"
    ):
        merge_masks(tmp_path)
    merged = merge_masks(tmp_path, missing=missing)
    assert [path.parent.name for path in merged.files] == written
    assert list(merged.left_out) == left_out
    assert problems(tmp_path, create_data_list(tmp_path).document) == []


def test_chosen_organs_in_their_order_in_a_folder_of_its_own(tmp_path):
    masks(tmp_path / "data", s0={"a": (1,), "b": (2,), "c": (3,)}, s1={"a": (), "b": (), "c": (4,)})
    merged = merge_masks(tmp_path / "data", output=tmp_path / "made", organs=("b", "a"), labels="{case}.nii.gz")
    assert [path.name for path in merged.files] == ["s0.nii.gz"]
    assert merged.left_out == {"s1/ct.nii.gz": "no voxel of any organ"}
    assert json.loads((tmp_path / "made/dataset.json").read_text())["labels"]["1"] == "b"
    assert not list((tmp_path / "data").rglob("labels*"))
    with pytest.raises(UserError, match="exists already and is kept"):
        merge_masks(tmp_path / "data", output=tmp_path / "made", labels="{case}.nii.gz")


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (lambda f: mask(f, 1, affine=affine_of("LPS", origin=(0, 0, 0))), {}, "expected the grid of .*corners"),
        (lambda f: label(f, 1, 2), {}, "expected a mask, with one value besides 0, found 1, 2"),
        (lambda f: f.write_bytes(f.read_bytes()[:90]), {}, "damaged or truncated"),
        (lambda f: None, {"organs": ("lung",)}, r"expected names of mask files \(liver, spleen\), found lung"),
        (lambda f: None, {"missing": "no"}, "expected error or empty or leave_out, found no"),
        (lambda f: None, {"masks": "{case}/x.nii.gz"}, "--images and --masks together"),
        (lambda f: None, {"labels": "labels.nii.gz"}, "a pattern with {case}"),
        (lambda f: None, {"images": "a/{case}", "masks": "{case}/{organ}"}, "name the files: --images"),
    ],
)
def test_masks_that_cannot_be_merged(tmp_path, spoil, options, message):
    masks(tmp_path, s0={"liver": (1,), "spleen": (2,)}, s1={"liver": (1,), "spleen": (3,)})
    spoil(tmp_path / "s1/segmentations/liver.nii.gz")
    with pytest.raises(UserError, match=message):
        merge_masks(tmp_path, **options)
    assert not list(tmp_path.rglob("*labels*"))


def test_create_names_the_command_that_merges(tmp_path):
    masks(tmp_path, s0={"liver": (1,), "spleen": (2,)})
    with pytest.raises(
        UserError, match=r"one mask file per organ .*2 organs\); python -m monai_cl datalist merge_masks"
    ):
        create_data_list(tmp_path)


@pytest.mark.real_data
def test_masks_of_real_organs_make_the_label_map_they_were_cut_from(real_data, tmp_path):
    whole = nib.load(real_data / "ct_organs/totalseg_structures.nii.gz")
    array = np.asarray(whole.dataobj)
    organs = {1: "spleen", 2: "kidney_right", 3: "kidney_left", 5: "liver"}
    folder = tmp_path / "s0"
    (folder / "segmentations").mkdir(parents=True)
    (folder / "ct.nii.gz").symlink_to(real_data / "ct_organs/totalseg_ct.nii.gz")
    for value, organ in organs.items():
        nib.save(
            nib.Nifti1Image((array == value).astype(np.uint8), whole.affine), folder / f"segmentations/{organ}.nii.gz"
        )
    merged = merge_masks(tmp_path, organs=list(organs.values()))
    wanted = np.select([array == value for value in organs], list(range(1, 5)))
    assert merged.overlaps == {}
    np.testing.assert_array_equal(read_volume(folder / "labels.nii.gz").array, wanted)


# --- new scans for a list that exists


def made(folder: Path, count: int, **extra: object) -> Path:
    for number in range(count):
        scan(folder / f"P{number}/ct.nii.gz", number)
        label(folder / f"P{number}/labels.nii.gz", 1, seed=number)
    document = create_data_list(folder, organs={1: "liver"}).document
    return write_json(folder / "list.json", document | extra, overwrite=True)


def test_new_scans_leave_the_others_as_they_are(tmp_path):
    path = made(tmp_path, 4, licence="CC0", numTraining=4)
    document = json.loads(path.read_text())
    for fold, item in zip((1, 0, 1, 2), document["training"]):
        item |= {"fold": fold, "meta": {"age": fold}}
    write_json(path, document, overwrite=True)
    before = load_data_list(path)
    scan(tmp_path / "P7/ct.nii.gz", 7)
    label(tmp_path / "P7/labels.nii.gz", 1, 1, seed=7)
    extended = add_scans(before)
    assert extended.document["training"][:4] == document["training"]
    assert extended.document["training"][4]["fold"] in (0, 2)
    assert (extended.document["licence"], extended.document["numTraining"]) == ("CC0", 5)
    write_json(path, extended.document, overwrite=True)
    assert validate_data_list(path) == []
    after = load_data_list(path).items()
    assert after[:4] == before.items()
    with pytest.raises(UserError, match=r"expected scans that data list .* does not have, found none"):
        add_scans(load_data_list(path))


def test_ids_stay_when_a_new_file_has_a_listed_ones_name(tmp_path):
    scan(tmp_path / "a/ct.nii.gz", 1)
    path = write_json(tmp_path / "list.json", {"name": "a", "training": [{"image": "a/ct.nii.gz"}]})
    scan(tmp_path / "b/ct.nii.gz", 2)
    document = add_scans(load_data_list(path), images="{case}/ct.nii.gz").document
    write_json(path, document, overwrite=True)
    assert [item["id"] for item in load_data_list(path).items()] == ["ct", "b_ct"]


def test_a_new_scan_of_a_known_patient_gets_the_patients_fold(tmp_path):
    path = made(tmp_path, 3)
    document = json.loads(path.read_text())
    for fold, item in enumerate(document["training"]):
        item |= {"fold": fold, "patient": f"P{fold}"}
    write_json(path, document, overwrite=True)
    scan(tmp_path / "P2/later.nii.gz", 9)
    added = add_scans(load_data_list(path), images="{patient}/later.nii.gz").added["training"]
    assert added == [{"image": "P2/later.nii.gz", "patient": "P2", "id": "P2_later", "fold": 2}]


def test_a_new_label_with_values_that_the_list_does_not_name_is_refused(tmp_path):
    path = made(tmp_path, 2)
    scan(tmp_path / "P7/ct.nii.gz", 7)
    label(tmp_path / "P7/labels.nii.gz", 1, 4, seed=7)
    with pytest.raises(UserError, match=r"expected values that the list names \(0, 1\), found 4"):
        add_scans(load_data_list(path))
