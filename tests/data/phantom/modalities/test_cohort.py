"""The cohort of sections on disk: two valid lists of four modalities, which a store takes as they are."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from monai_cl.cli.commands import main
from monai_cl.data import load_data_list, validate_data_list
from monai_cl.data.phantom.modalities.case import section_case
from monai_cl.data.phantom.modalities.cohort import write_modalities_cohort
from monai_cl.engines import modality_batches, modality_slices
from monai_cl.errors import UserError

COUNTS = {"unlabelled": 2, "training": 2, "validation": 1, "test": 1}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_modalities_cohort(tmp_path_factory.mktemp("sections") / "cohort", **COUNTS, progress=False)


def test_the_lists_are_valid_and_share_no_patient_but_for_those_whose_classes_one_of_them_tells(cohort):
    lists = {name: load_data_list(path) for name, path in cohort.items()}
    assert [str(problem) for path in cohort.values() for problem in validate_data_list(path)] == []
    nodules = lists["nodules"]
    assert [dataset.modality for dataset in nodules.datasets] == ["CT", "MR", "US", "XR"]
    assert [len(nodules.items(split)) for split in ("training", "validation", "test")] == [8, 4, 4]
    assert {item["target"] for item in nodules.items()} <= {0, 1}
    assert not any("target" in item for item in lists["unlabelled"].items())
    known, bare = ({item["patient"]: item for item in lists[name].items()} for name in ("labelled", "unlabelled"))
    assert known.keys() == bare.keys()
    for modality in ("ct", "mr", "us", "xr"):
        name = f"{modality}_unlabelled_00001"
        assert known[name]["image"] == bare[name]["image"]
        assert known[name]["target"] == section_case(0, 1, modality.upper()).target
    patients = [
        item["patient"]
        for data_list in (lists["unlabelled"], lists["nodules"])
        for s in ("training", "validation", "test")
        for item in data_list.items(s)
    ]
    assert len(set(patients)) == len(patients) == 24


def test_images_are_those_of_their_address_and_marked_as_synthetic(cohort, tmp_path):
    item = load_data_list(cohort["nodules"]).items("test", dataset="synthetic_us")[0]
    case = section_case(0, 3_000_000, "US")
    with Image.open(item["image"]) as image:
        assert image.info["Description"] == "synthetic, monai_cl phantom modalities seed 0"
        np.testing.assert_array_equal(np.asarray(image), case.image)
    assert item["target"] == case.target
    more = write_modalities_cohort(tmp_path / "more", **COUNTS | {"training": 3}, progress=False)["nodules"]
    name = "synthetic_modalities/mr/mr_test_00000.png"
    assert (more.parent / name).read_bytes() == (cohort["nodules"].parent / name).read_bytes()


def test_batches_of_it_have_the_modalities_in_turn(cohort, tmp_path):
    slices = modality_slices(load_data_list(cohort["unlabelled"]), store=tmp_path / "store", size=96)
    batches = modality_batches(slices, batch_size=8, seed=0, world_size=1)
    samples = [batches[position] for position in range(16)]
    assert [sample["modality"] for sample in samples] == [0, 1, 2, 3] * 4
    assert {tuple(sample["image"].shape) for sample in samples} == {(1, 96, 96)}
    assert len({sample["id"] for sample in samples}) == 8


def test_the_command_writes_it_and_refuses_what_is_there(tmp_path, capsys):
    words = ["phantom", "modalities", "--output", str(tmp_path / "c"), "--unlabelled", "1", "--training", "1"]
    words += ["--validation", "0", "--test", "0"]
    main(words)
    assert str(tmp_path / "c" / "nodules.json") in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(words)
    assert "expected a new or empty folder" in capsys.readouterr().err
    with pytest.raises(UserError, match="training must be >= 1, got 0"):
        write_modalities_cohort(tmp_path / "d", training=0)
