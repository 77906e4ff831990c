"""What a message about data advises, done as it says: the complaint ends, and the values are right."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable

import nibabel as nib
import numpy as np
import pydicom
import pytest

from monai_cl.data import VolumeStore, load_data_list, read_volume, to_ras
from tests.bad_input.cases_geometry import _jump, _series, _two_acquisitions, _two_places
from tests.bad_input.doors import DOORS, Outcome, command
from tests.bad_input.world import AFFINE, World, document, image, label
from tests.data.volume_files import ct_array, write_nifti


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path)


def refused(world: World, door: str = "datalist validate") -> str:
    """What a door says of a world that it refuses."""
    found = DOORS[door](world)
    assert found.error is not None, f"{door} took it"
    return found.shown


def taken(world: World, *doors: str) -> None:
    """Every door takes the world, whose list is written anew."""
    if world.list_name == "list.json":
        (world.root / "list.json").unlink(missing_ok=True)
    for door in doors:
        found = DOORS[door](world)
        assert found.error is None, f"{door}: {found.shown}"


def follow(text: str, **replace: object) -> Outcome:
    """The first command that a text names, with words in capitals replaced."""
    words = re.search(r"python -m monai_cl (.*?)(?: keeps the sform|[;`\n]|$)", text)[1]
    for word, by in replace.items():
        words = words.replace(word, shlex.quote(str(by)))
    found = command(*shlex.split(words))
    assert found.error is None, found.shown
    return found


def prepared_label(world: World) -> np.ndarray:
    store, entry = world.prepared()
    return store.read(entry.key, kind="label")


def in_ras(path) -> np.ndarray:
    return to_ras(read_volume(path)).array


# -- labels ------------------------------------------------------------------------------------------------------------
def _finer(array: np.ndarray) -> np.ndarray:
    return array.repeat(2, 0).repeat(2, 1).repeat(2, 2)


def _shift(*voxels: float) -> np.ndarray:
    shift = np.eye(4)
    shift[:3, 3] = voxels
    return shift


FINER = AFFINE @ _shift(-0.25, -0.25, -0.25) @ np.diag([0.5, 0.5, 0.5, 1])


@pytest.mark.parametrize(
    ("change", "affine"),
    [
        (_finer, FINER),
        (lambda array: array[:, 3:, :-2], AFFINE @ np.array(np.eye(4) + 3 * np.eye(4)[:, [1]] @ np.eye(4)[[3]])),
        (
            lambda array: array[1:-1, :15, 2:],
            AFFINE @ np.array(np.eye(4) + np.array([[1, 0, 2, 0]]).T @ np.eye(4)[[3]]),
        ),
    ],
    ids=["another spacing", "a part of the scan", "another part"],
)
def test_a_label_with_a_true_header_is_resampled_by_the_command(world, change, affine):
    expected = in_ras(world.label)
    write_nifti(world.label, change(np.asarray(nib.load(world.label).dataobj)), affine)
    found = follow(refused(world), NEW=world.root / "new_label")
    assert f"wrote {world.root / 'new_label.nii.gz'}" in found.shown
    world.bad["label"] = "new_label.nii.gz"
    taken(world, "datalist validate", "prepare")
    np.testing.assert_array_equal(prepared_label(world), expected)


@pytest.mark.parametrize(
    "moved", [3 * np.eye(4, k=3), AFFINE @ np.diag([-1, 1, 1, 1]) - AFFINE], ids=["moved", "mirrored"]
)
def test_a_label_drawn_on_the_voxels_of_its_image_takes_the_header_of_the_image(world, moved):
    expected, array = in_ras(world.label), np.asarray(nib.load(world.label).dataobj)
    write_nifti(world.label, array, AFFINE + moved)
    assert "give it the header of the image only if it was drawn on the voxels of this image" in refused(world)
    write_nifti(world.label, array, nib.load(world.image).affine)
    taken(world, "datalist validate", "prepare")
    np.testing.assert_array_equal(prepared_label(world), expected)


def test_the_header_of_the_image_is_not_offered_to_a_label_of_another_shape(world):
    label(lambda array: array[..., :-1])(world)
    assert "header of the image" not in refused(world)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"0": "background", "1": "liver", "2": "spleen", "5": "pancreas", "9": "cyst"}},
        {
            "labels": {"0": "background", "1": "liver", "2": "spleen", "9": "cyst", "5": "pancreas"},
            "label_map": {"1": 1, "2": 2, "5": 5, "9": 9},
        },
    ],
    ids=["declared", "mapped, every value"],
)
def test_an_undeclared_label_is_declared_without_losing_another(world, change):
    label(lambda array: np.where((array == 5) & (np.arange(16)[:, None] > 4), 9, array))(world)
    expected = in_ras(world.label)
    assert {1, 2, 9} <= set(np.unique(expected))
    text = refused(world)
    assert 'declare them under "labels"' in text
    assert "those it leaves out become background" in text
    document(**change)(world)
    taken(world, "datalist validate", "prepare")
    np.testing.assert_array_equal(prepared_label(world), expected)


# -- geometry of scans, DICOM ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("form", "origin"), [("sform", 42), ("qform", 0)])
def test_one_of_two_forms_is_kept(world, form, origin):
    _two_places(world)
    follow(refused(world).replace("--form sform", f"--form {form}"), NEW=world.root / "one_form")
    world.bad["image"] = "one_form.nii.gz"
    taken(world, "datalist validate", "prepare", "inference")
    found = read_volume(world.image)
    np.testing.assert_allclose(found.affine[:3, 3], AFFINE[:3, 3] + np.array([origin, 0, 0]), atol=1e-4)
    np.testing.assert_array_equal(found.array, ct_array(seed=2))


def _two_image_types(world: World) -> None:
    _two_acquisitions(world)
    for file in sorted(world.image.iterdir()):
        header = pydicom.dcmread(file)
        second, header.AcquisitionNumber = file.name.startswith("second"), 1
        header.ImageType = ["ORIGINAL", "PRIMARY", "MPR" if second else "AXIAL"]
        header.save_as(file)


@pytest.mark.parametrize("make", [_two_acquisitions, _two_image_types], ids=["a number", "a name with backslashes"])
def test_the_acquisition_that_is_named_is_read_alone(world, make):
    make(world)
    text = refused(world)
    stated = json.loads("{" + re.search(r'"series_part": "(?:[^"\\]|\\.)*"', text)[0] + "}")
    option = shlex.split(re.search(r"--series_part (.*) for inference, convert and dicom_seg", text)[1])
    assert option == [stated["series_part"]]
    expected = (ct_array((20, 16, 4)) // 2 * 2)[::-1, ::-1]  # of the first; the second has 100 HU more
    found = command("convert", world.image, world.root / "one.nii.gz", "--series_part", *option)
    assert found.error is None, found.shown
    np.testing.assert_array_equal(in_ras(world.root / "one.nii.gz"), expected)
    world.bad.update(stated)
    taken(world, "datalist validate", "prepare")
    store, entry = world.prepared()
    np.testing.assert_array_equal(store.read(entry.key), expected)


def test_uneven_slices_are_interpolated_where_the_message_says_so(world):
    _series([0, 2, 4, 8, 10])(world)
    assert 'set uneven_slices to "interpolate"' in refused(world)
    world.bad["uneven_slices"] = "interpolate"
    taken(world, "datalist validate", "prepare")
    store, entry = world.prepared()
    array = ct_array((20, 16, 5)) // 2 * 2
    between = (array[..., 2].astype(float) + array[..., 3]) / 2
    np.testing.assert_array_equal(store.read(entry.key)[::-1, ::-1, 3], np.rint(between))


def test_the_slices_on_either_side_of_a_jump_are_scans_of_their_own(world):
    _jump(world)
    assert "a folder of their own" in refused(world)
    world.bad["image"] = "below"
    below = world.root / "below"
    below.mkdir()
    for name in ("slice000.dcm", "slice001.dcm"):
        (world.root / "bad_series" / name).rename(below / name)
    world.document["training"].append({"image": "bad_series", "patient": "bad"})
    taken(world, "datalist validate", "prepare")
    places = [read_volume(world.root / name).affine[0, 3] for name in ("below", "bad_series")]
    assert places[0] - places[1] == pytest.approx(12)  # LPS: +12 mm is to the left


# -- lists and patients ------------------------------------------------------------------------------------------------
def _in_both(world: World) -> None:
    world.document["test"] = [{**world.document["training"].pop(), "patient": "good"}]


def _twice(world: World) -> None:
    world.document["test"] = [dict(world.bad)]


@pytest.mark.parametrize(("make", "said"), [(_in_both, "take those in training out"), (_twice, "remove training[2]")])
def test_a_test_set_keeps_its_scans(world, make, said):
    make(world)
    assert said in refused(world)
    item = world.document["test"][0]
    kept = [other for other in world.document["training"] if other["patient"] != item["patient"]]
    world.document["training"] = kept
    taken(world, "datalist validate", "prepare")
    listed = load_data_list(world.list_file())
    assert [other["id"] for other in listed.items("test")] == ["bad"]
    assert not {other["patient"] for other in listed.items()} & {other["patient"] for other in listed.items("test")}


def _absolute(world: World) -> str:
    world.bad["image"] = str(world.image)
    return "bad.nii.gz"


def _backslashes(world: World) -> str:
    (world.root / "ct").mkdir()
    world.image.rename(world.root / "ct" / "bad.nii.gz")
    world.bad["image"] = "ct\\bad.nii.gz"
    return "ct/bad.nii.gz"


@pytest.mark.parametrize("make", [_absolute, _backslashes])
def test_a_path_is_written_from_the_folder_of_the_data(world, make: Callable[[World], str]):
    path = make(world)
    assert "from the folder of the data" in refused(world)
    world.bad["image"] = path
    taken(world, "datalist validate", "prepare")


def test_a_list_that_is_trusted_may_lead_elsewhere_at_every_door(world):
    _absolute(world)
    refused(world)
    path = world.list_file()
    option = ("--allow_outside", "True")
    for words in (
        ("datalist", "validate", path),
        ("datalist", "summary", path),
        ("prepare", path, "--store", world.store),
    ):
        assert command(*words, *option).error is None


def test_as_many_folds_as_the_message_allows(world):
    world.document["training"] = world.document["training"][:2]
    count = re.search(r"use (\d) folds", refused(world, "datalist split"))[1]
    found = command("datalist", "split", world.list_file(), world.root / "folds.json", "--folds", count)
    assert found.error is None, found.shown
    items = load_data_list(world.root / "folds.json").items()
    assert sorted(item["fold"] for item in items) == [0, 1]


def test_items_without_a_fold_get_one_and_the_others_keep_theirs(world):
    for entry, fold in zip(world.document["training"], (1, 0)):
        entry["fold"] = fold
    follow(refused(world), LIST=world.list_file(), NEW=world.root / "whole.json")
    folds = {item["id"]: item["fold"] for item in load_data_list(world.root / "whole.json").items()}
    assert (folds["good"], folds["fine"]) == (1, 0)
    assert folds["bad"] in (0, 1)
    assert command("datalist", "validate", world.root / "whole.json").error is None


# -- stores ------------------------------------------------------------------------------------------------------------
def test_the_command_repairs_what_was_damaged_and_nothing_else(tmp_path):
    (tmp_path / "a folder").mkdir()
    world = World(tmp_path / "a folder")
    taken(world, "prepare")
    store, entry = world.prepared()
    before = {key: store.read(key).copy() for key in store.all_keys()}
    file = entry.folder / "image.b2nd"
    file.write_bytes(file.read_bytes()[:50])
    text = refused(world, "reading the store")
    follow(text)
    again = VolumeStore.open(world.store)
    assert before.keys() == set(again.all_keys())
    for key, array in before.items():
        np.testing.assert_array_equal(again.read(key), array)


def test_a_folder_that_is_no_store_is_filled_by_the_command(world):
    world.store.mkdir()
    text = refused(world, "store verify")
    follow(text, LIST=world.list_file())
    taken(world, "store verify")
    assert len(VolumeStore.open(world.store).all_keys()) == 3


@pytest.mark.parametrize(
    ("option", "said"),
    [("--spacing=1.5,1.5", "three lengths in mm such as"), ("--spacing=no", "three lengths in mm such as")],
)
def test_a_spacing_is_written_as_the_message_shows(world, option, said):
    words = ("prepare", world.list_file(), "--store", world.store, "--progress=False")
    found = command(*words, option)
    assert said in found.error
    assert not world.store.exists()
    example = re.search(rf"{said} (\S+) ", found.error)[1]
    assert command(*words, f"--spacing={example}").error is None
    store = VolumeStore.open(world.store)
    for key in store.all_keys():
        np.testing.assert_allclose(store.entry(key).spacing, [float(step) for step in example.split(",")])


def test_nan_outside_the_body_becomes_air(world):
    image(lambda array: np.where(array < -900, np.nan, array).astype(np.float32))(world)
    del world.bad["label"]
    assert "where they lie outside the body, replace them by air (-1024)" in refused(world)
    image(lambda array: np.where(array < -900, -1024, array))(world)
    taken(world, "datalist validate", "prepare", "inference")
