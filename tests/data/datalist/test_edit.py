"""Lists out of lists and folders: folds written down, subsets, creation, summaries."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cl.data.datalist.create import create_data_list
from monai_cl.data.datalist.duplicates import duplicate_files
from monai_cl.data.datalist.edit import document_of, one_fold, with_folds
from monai_cl.data.datalist.folders.description import organ_names
from monai_cl.data.datalist.folds import fold_items
from monai_cl.data.datalist.json_files import write_json
from monai_cl.data.datalist.loading import load_data_list
from monai_cl.data.datalist.summary import format_summary, summary_rows
from monai_cl.data.io.label_values import label_values, present_labels
from monai_cl.errors import UserError

LISTS = Path(__file__).resolve().parents[3] / "data_lists"


def save_list(folder: Path, document: dict, name: str = "list.json") -> Path:
    return write_json(folder / name, document, overwrite=True)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def save_label(path: Path, *values: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros((4, 4, 4), np.uint8)
    array.flat[: len(values)] = values
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)


# --- documents


@pytest.mark.parametrize("name", ["btcv", "kits19", "mixcl_pretraining"])
def test_written_out_list_has_the_same_items(tmp_path, name):
    data_list = load_data_list(LISTS / f"{name}.json", data_root="/data")
    again = load_data_list(save_list(tmp_path, document_of(data_list)), data_root="/data")
    assert again.items() == data_list.items()
    assert [dataset.labels for dataset in again.datasets] == [dataset.labels for dataset in data_list.datasets]


def test_a_data_set_keeps_its_name_in_a_list_of_another_name(tmp_path):
    """The name is part of the prepared volumes' keys: another one, and everything is prepared again."""
    items = [{"image": f"{i}.nii"} for i in range(4)]
    wrapped = {"name": "my list", "datasets": [{"name": "spleenset", "root": "ct", "training": items}]}
    data_list = load_data_list(save_list(tmp_path, wrapped))
    divided = load_data_list(save_list(tmp_path, with_folds(data_list, folds=2), "folds.json"))
    part = one_fold(divided, fold=0, label_fraction=0.5)
    reduced = load_data_list(save_list(tmp_path, part, "part.json"))
    kept = {item["image"] for item in reduced.items() + reduced.items("validation")}
    for made in (divided, reduced):
        assert made.name == "my list"
        assert {item["dataset"] for item in made.items()} == {"spleenset"}
    assert kept <= {item["image"] for item in data_list.items()}
    assert len(kept) == 3


def test_written_out_list_keeps_what_is_outside(tmp_path):
    path = save_list(tmp_path, {"name": "a", "training": [{"image": "/x/a.nii"}, {"image": "../b.nii"}]})
    data_list = load_data_list(path, data_root="/data", allow_outside=True)
    again = load_data_list(save_list(tmp_path, document_of(data_list)), data_root="/data", allow_outside=True)
    assert again.items() == data_list.items()


# --- split


def test_split_gives_every_item_a_fold(tmp_path):
    data_list = load_data_list(LISTS / "kits19.json")
    divided = load_data_list(save_list(tmp_path, with_folds(data_list, folds=5, seed=1)))
    assert Counter(item["fold"] for item in divided.items()) == dict.fromkeys(range(5), 42)
    assert [item["id"] for item in divided.items()] == [item["id"] for item in data_list.items()]
    assert divided.datasets[0].document["licence"] == "CC BY-NC-SA 4.0"


def test_split_keeps_published_folds_unless_asked(tmp_path):
    data_list = load_data_list(LISTS / "btcv.json")
    with pytest.raises(UserError, match=r"data set btcv has folds already.*--replace_folds"):
        with_folds(data_list)
    divided = load_data_list(save_list(tmp_path, with_folds(data_list, folds=3, replace=True)))
    assert Counter(item["fold"] for item in divided.items()) == {0: 10, 1: 10, 2: 10}


def test_split_by_target(tmp_path):
    items = [{"image": f"{i}.nii.gz", "target": int(i < 10)} for i in range(30)]
    data_list = load_data_list(save_list(tmp_path, {"name": "a", "training": items}))
    training = with_folds(data_list, folds=5, stratify="target")["training"]
    assert Counter(item["fold"] for item in training if item["target"]) == dict.fromkeys(range(5), 2)
    del items[3]["target"]
    data_list = load_data_list(save_list(tmp_path, {"name": "a", "training": items}))
    with pytest.raises(UserError, match="expected a target in every item, found none in 3"):
        with_folds(data_list, stratify="target")


def test_split_by_the_organs_present(tmp_path):
    items = [{"image": f"{i}.nii.gz", "label": f"{i}_seg.nii.gz"} for i in range(12)]
    for i in range(12):
        save_label(tmp_path / f"{i}_seg.nii.gz", *((1, 2) if i % 3 == 0 else (1,)))
    labels = {"0": "background", "1": "a", "2": "b"}
    data_list = load_data_list(save_list(tmp_path, {"name": "a", "labels": labels, "training": items}))
    training = with_folds(data_list, folds=4, stratify="classes")["training"]
    assert sorted(item["fold"] for i, item in enumerate(training) if i % 3 == 0) == [0, 1, 2, 3]


def test_split_says_which_list_has_too_few_patients(tmp_path):
    data_list = load_data_list(save_list(tmp_path, {"name": "a", "training": [{"image": "x"}]}))
    with pytest.raises(
        UserError, match=r"list\.json: data set a: expected at least as many patients as folds \(5\), found 1"
    ):
        with_folds(data_list)
    with pytest.raises(UserError, match="stratify must be 'target', 'classes' or nothing, got 'size'"):
        with_folds(data_list, stratify="size")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 12), min_size=6, max_size=40), st.integers(2, 4), st.integers(0, 99))
def test_split_lists_load_again(tmp_path_factory, patients, folds, seed):
    folder = tmp_path_factory.mktemp("split")
    items = [{"image": f"{i}.nii.gz", "patient": f"P{patient}"} for i, patient in enumerate(patients)]
    data_list = load_data_list(save_list(folder, {"name": "a", "training": items}))
    if len(set(patients)) < folds:
        return
    # loading checks that no patient is in two folds
    divided = load_data_list(save_list(folder, with_folds(data_list, folds=folds, seed=seed)))
    for fold in range(folds):
        training = {item["patient"] for item in fold_items(divided, fold=fold)}
        assert training.isdisjoint(item["patient"] for item in fold_items(divided, fold=fold, split="validation"))


# --- subset


@pytest.mark.parametrize("name", ["btcv", "msd_spleen"])
@pytest.mark.parametrize("fraction", [0.05, 0.15, 0.5, 1.0])
def test_subset_list_is_what_a_run_with_fold_and_fraction_sees(tmp_path, name, fraction):
    data_list = load_data_list(LISTS / f"{name}.json", data_root="/data")
    for fold in range(5):
        document = one_fold(data_list, fold=fold, label_fraction=fraction, seed=3)
        subset = load_data_list(save_list(tmp_path, document), data_root="/data")
        for split in ("training", "validation"):
            wanted = fold_items(data_list, fold=fold, label_fraction=fraction, seed=3, split=split)
            assert fold_items(subset, fold=None, split=split) == [item | {"fold": None} for item in wanted]


def test_subset_of_a_combined_list(tmp_path):
    data_list = load_data_list(LISTS / "mixcl_pretraining.json", data_root="/data")
    document = one_fold(data_list, fold=None, label_fraction=0.05)
    subset = load_data_list(save_list(tmp_path, document), data_root="/data")
    assert len(subset.items()) == 41
    assert {item["image"] for item in subset.items()} < {item["image"] for item in data_list.items()}
    assert "5% of the training scans" in document["description"]


def test_how_a_series_is_read_is_kept(tmp_path):
    items = [{"image": f"s{i}", "series_part": "AcquisitionNumber=2", "uneven_slices": "interpolate"} for i in range(4)]
    data_list = load_data_list(save_list(tmp_path, {"name": "a", "training": items}))
    for document in (with_folds(data_list, folds=2), one_fold(data_list, fold=None, label_fraction=1.0)):
        for item in document["training"]:
            assert (item["series_part"], item["uneven_slices"]) == ("AcquisitionNumber=2", "interpolate")


# --- create


@pytest.mark.parametrize(
    ("files", "images"),
    [
        (["imagesTr/a_1.nii.gz", "labelsTr/a_1.nii.gz"], "imagesTr/{case}.nii.gz"),
        (["imagesTr/a_1_0000.nii.gz", "labelsTr/a_1.nii.gz"], "imagesTr/{case}_0000.nii.gz"),
        (["imagesTr/img0001.nii.gz", "labelsTr/label0001.nii.gz"], "imagesTr/img{case}.nii.gz"),
        (["case_1/imaging.nii.gz", "case_1/segmentation.nii.gz"], "{case}/imaging.nii.gz"),
        (["a_ct.nii.gz", "a_structures.nii.gz"], "{case}_ct.nii.gz"),
        (
            ["Pancreas-CT/PANCREAS_0001/1.dcm", "TCIA_pancreas_labels-02-05-2017/label0001.nii.gz"],
            "Pancreas-CT/PANCREAS_{case}",
        ),
    ],
)
def test_known_layouts_are_recognised(tmp_path, files, images):
    touch(tmp_path, *files, "._hidden.nii.gz", "notes.txt")
    found = create_data_list(tmp_path, organs={1: "liver"}, read_voxels=False)
    assert found.images == images
    (item,) = found.document["training"]
    assert item["label"] == files[1]
    assert not found.unlabelled
    assert not found.orphans
    load_data_list(save_list(tmp_path, found.document))


def test_files_without_partner_are_reported(tmp_path):
    touch(tmp_path, *(f"imagesTr/{i}.nii.gz" for i in (1, 2, 10)), *(f"labelsTr/{i}.nii.gz" for i in (2, 10, 11)))
    found = create_data_list(tmp_path, organs={"1": "liver"}, name="mine", read_voxels=False)
    assert [item["image"] for item in found.document["training"]] == [f"imagesTr/{i}.nii.gz" for i in (1, 2, 10)]
    assert found.unlabelled == ("imagesTr/1.nii.gz",)
    assert found.orphans == ("labelsTr/11.nii.gz",)
    assert found.document["name"] == "mine"
    assert "label" not in found.document["training"][0]


def test_patterns_name_case_and_patient(tmp_path):
    touch(
        tmp_path,
        "P1/s1/ct.nrrd",
        "P1/s1/seg.nrrd",
        "P1/s2/ct.nrrd",
        "P1/s2/seg.nrrd",
        "P2/s1/ct.nrrd",
        "P2/s1/seg.nrrd",
    )
    found = create_data_list(
        tmp_path,
        images="{patient}/{case}/ct.nrrd",
        labels="{patient}/{case}/seg.nrrd",
        organs={1: "liver"},
        read_voxels=False,
    )
    assert [item["patient"] for item in found.document["training"]] == ["P1", "P1", "P2"]
    assert [item["label"] for item in found.document["training"]][1] == "P1/s2/seg.nrrd"
    data_list = load_data_list(save_list(tmp_path, found.document))
    assert [item["id"] for item in data_list.items()] == ["P1_s1_ct", "P1_s2_ct", "P2_s1_ct"]


def test_patient_by_regular_expression(tmp_path):
    touch(tmp_path, "ct/P01_portal.nii.gz", "ct/P01_venous.nii.gz")
    found = create_data_list(tmp_path, images="ct/{case}.nii.gz", patient=r"(P\d+)_")
    assert [item["patient"] for item in found.document["training"]] == ["P01", "P01"]
    with pytest.raises(UserError, match="the expression 'X' for the patient does not match"):
        create_data_list(tmp_path, images="ct/{case}.nii.gz", patient="X")
    with pytest.raises(UserError, match="patient must be a regular expression"):
        create_data_list(tmp_path, images="ct/{case}.nii.gz", patient="(")


def test_organ_names_come_from_the_decathlon_description(tmp_path):
    touch(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz")
    write_json(tmp_path / "dataset.json", {"labels": {"0": "background", "1": "liver"}})
    assert create_data_list(tmp_path, read_voxels=False).document["labels"] == {"0": "background", "1": "liver"}
    write_json(tmp_path / "dataset.json", {"labels": {"background": 0, "spleen": 1}}, overwrite=True)  # nnU-Net
    assert create_data_list(tmp_path, read_voxels=False).document["labels"] == {"0": "background", "1": "spleen"}


def test_without_names_the_ids_in_the_files_stand(tmp_path):
    touch(tmp_path, "imagesTr/a.nii.gz")
    save_label(tmp_path / "labelsTr/a.nii.gz", 3, 1)
    found = create_data_list(tmp_path)
    assert not found.named
    assert found.document["labels"] == {"0": "background", "1": "label 1", "2": "label 3"}
    assert found.document["label_map"] == {"1": 1, "3": 2}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            {},
            r"one of the known layouts .* found x\.nii\.gz, y\.nii\.gz; name the scans: --images '\{case\}\.nii\.gz'",
        ),
        ({"images": "ct/{case}.nii.gz"}, "expected images named 'ct/{case}.nii.gz', found none among 2 files"),
        ({"images": "*.nii.gz"}, "expected {case} where the names differ"),
        ({"images": "{scan}.nii.gz"}, r"expected \{case\}, \{patient\} or \*, found \{scan\}"),
        ({"images": "*{patient}.nii.gz", "labels": "{case}"}, "labels' pattern '{case}' matches all of them too"),
        ({"labels": "{case}.nii.gz"}, "needs a pattern for images too"),
    ],
)
def test_folder_that_cannot_be_understood(tmp_path, options, match):
    touch(tmp_path, "x.nii.gz", "y.nii.gz")
    with pytest.raises(UserError, match=match):
        create_data_list(tmp_path, **options)


def test_two_images_for_one_case(tmp_path):
    touch(tmp_path, "a1/ct.nii.gz", "b1/ct.nii.gz")
    with pytest.raises(
        UserError, match=r"matches both a1/ct\.nii\.gz and b1/ct\.nii\.gz for one case; make it narrower"
    ):
        create_data_list(tmp_path, images="*{case}/ct.nii.gz")


def test_missing_folder(tmp_path):
    with pytest.raises(UserError, match="expected the folder of the data set"):
        create_data_list(tmp_path / "nowhere")


def test_organ_names_from_text_file_or_mapping(tmp_path):
    path = write_json(tmp_path / "organs.json", {"1": "liver"})
    listed = write_json(tmp_path / "list.json", {"name": "a", "labels": {"1": "liver"}})
    for given_as in ('{"1": "liver"}', {1: "liver"}, str(path), str(listed)):
        assert organ_names(given_as) == {"1": "liver"}
    assert organ_names(None) is None
    with pytest.raises(UserError, match="expected JSON such as"):
        organ_names("{1: liver}")
    with pytest.raises(UserError, match="expected id -> name"):
        organ_names(str(write_json(tmp_path / "bad.json", [1])))


# --- summary


def test_summary_counts_scans_patients_and_folds(tmp_path):
    document = {
        "name": "a",
        "labels": {"0": "background", "1": "liver", "2": "spleen"},
        "licence": "CC0",
        "training": [
            {"image": "1", "label": "l1", "fold": 0, "patient": "P"},
            {"image": "2", "fold": 0, "patient": "P"},
            {"image": "3", "label": "l3", "fold": 1},
        ],
        "test": [{"image": "4"}],
    }
    (row,) = summary_rows(load_data_list(save_list(tmp_path, document)))
    assert row == {
        "data set": "a",
        "training": "3",
        "validation": "0",
        "test": "1",
        "labelled": "2",
        "patients": "3",
        "folds": "2 (2+1)",
        "organs": "1 liver, 2 spleen",
        "licence": "CC0",
    }


def test_summary_of_a_combined_list_ends_in_the_total():
    text = format_summary(load_data_list(LISTS / "mixcl_pretraining.json"))
    assert text.splitlines()[0].startswith("mixcl_pretraining (")
    assert text.splitlines()[-1].split() == ["total", "765", "765", "765"]
    assert max(map(len, text.splitlines())) <= 140
    assert "not stated" not in text


# --- values and duplicates


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.int16, np.uint16, np.int64, np.float32, ">i2", ">f4"])
def test_label_values_are_counted_in_any_type(dtype):
    array = np.array([[0, 1], [1, 1]]).astype(dtype)
    assert label_values(array) == {0: 1, 1: 3}


def test_label_values_far_apart():
    assert label_values(np.array([-5, 2**31, 2**31])) == {-5: 1, 2**31: 2}
    assert label_values(np.empty((0, 3), np.uint8)) == {}


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.25])
def test_label_values_refuse_what_is_not_an_integer(bad):
    with pytest.raises(ValueError, match="1 voxel with a value that is not an integer"):
        label_values(np.array([0, 1, bad]))


def test_present_labels_follow_the_map():
    assert present_labels({0: 5, 1: 2, 3: 1}, None) == {1, 3}
    assert present_labels({0: 5, 1: 2, 3: 1}, {3: 1, 1: 0}) == {1}


def test_duplicates_are_found_by_content_whatever_the_name(tmp_path):
    big = b"x" * 200_000
    for name, content in {"a": big, "b": big[:-1] + b"y", "c": big, "d": b"1", "e": b"2", "f": b""}.items():
        (tmp_path / name).write_bytes(content)
    for name in ("s1", "s2", "s3"):
        (tmp_path / name).mkdir()
    (tmp_path / "s1" / "1.dcm").write_bytes(b"one")
    (tmp_path / "s2" / "IM0").write_bytes(b"one")
    (tmp_path / "s3" / "IM0").write_bytes(b"two")
    paths = [str(tmp_path / name) for name in ("a", "b", "c", "d", "e", "s1", "s2", "s3", "missing")]
    groups = duplicate_files(paths)
    assert [[Path(path).name for path in group] for group in groups] == [["a", "c"], ["s1", "s2"]]
    assert json.dumps(groups)
