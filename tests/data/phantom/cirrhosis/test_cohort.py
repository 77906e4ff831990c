"""The cirrhosis cohort on disk: complete or absent, named synthetic, and the same slices as in memory."""

from __future__ import annotations

import json
from collections import Counter

import nibabel as nib
import numpy as np
import pytest

from monai_cl.cli.commands import Commands
from monai_cl.data import (
    CTSlices,
    PatientSampler,
    Preparation,
    cirrhosis_case,
    load_data_list,
    organ_ids,
    prepare,
    slice_volumes,
    validate_data_list,
    write_cirrhosis_cohort,
)
from monai_cl.data.phantom.cirrhosis import cohort as module
from monai_cl.data.phantom.cirrhosis.structure import LIVER
from monai_cl.errors import UserError

QUICK = dict(patients=3, biopsies=12, seed=5, size=48, progress=False)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cirrhosis") / "cohort"
    return write_cirrhosis_cohort(folder, **QUICK)


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_lists_are_sound_and_say_synthetic(cohort):
    for name, path in cohort.items():
        assert validate_data_list(path) == []
        document = json.loads(path.read_text(encoding="utf-8"))
        assert "ynthetic" in document["description"]
        assert document["source"].startswith("synthetic")
        assert all(item["meta"]["synthetic"] for item in document["training"])
        assert document["name"].startswith("synthetic")
        assert len(document["training"]) == {"grades": 3, "histology": 12}[name]


def test_targets_are_the_grades_and_the_histology(cohort):
    for name, path in cohort.items():
        for index, item in enumerate(load_data_list(path).items()):
            case = cirrhosis_case(5, index, cohort=name, size=48)
            assert item["target"] == (case.grade if name == "grades" else case.histology)
            assert item["meta"]["stage"] == case.stage


def test_files_are_the_cases_in_memory(cohort):
    item = load_data_list(cohort["histology"]).items()[4]
    case = cirrhosis_case(5, 4, cohort="histology", size=48)
    image, label = nib.load(item["image"]), nib.load(item["label"])
    assert image.get_data_dtype() == np.int16
    np.testing.assert_array_equal(np.asarray(image.dataobj), case.image)
    np.testing.assert_array_equal(np.asarray(label.dataobj), case.label)
    np.testing.assert_allclose(image.affine, case.affine, atol=1e-3)
    assert b"synthetic" in image.header["descrip"].tobytes()


def test_histology_has_stratified_folds(cohort):
    items = load_data_list(cohort["histology"]).items()
    targets = Counter(item["target"] for item in items)
    for target, count in targets.items():
        folds = Counter(item["fold"] for item in items if item["target"] == target)
        assert max(folds.values()) - min(folds.values()) <= 1
        assert len(folds) == min(5, *targets.values())
        assert sum(folds.values()) == count


def test_slices_through_files_and_store_are_those_of_the_cases(cohort, tmp_path):
    data_list = load_data_list(cohort["histology"])
    done = prepare(data_list.items(), tmp_path / "store", Preparation(spacing=None, layout="slices"), progress=False)
    volumes = slice_volumes(done.store, done.keys, done.items, liver=organ_ids(data_list))
    dataset = CTSlices(done.store, volumes, size=48)
    row = 0
    for index in range(12):
        case = cirrhosis_case(5, index, cohort="histology", size=48)
        with_liver = np.flatnonzero((case.label == LIVER).any(axis=(0, 1)))
        count = round(0.7 * len(with_liver))
        first = with_liver[(len(with_liver) - count) // 2]
        rows = slice(row, row + count)
        assert set(dataset.targets[rows]) == {case.histology}
        assert len(set(dataset.patients[rows])) == 1
        depths = (np.arange(first, first + count) + 0.5) / case.image.shape[2]  # feet to head
        np.testing.assert_allclose(dataset.depths[rows], depths, atol=1e-6)
        for offset in (0, count - 1):  # as a radiologist sees it
            window = (np.clip(case.image[..., first + offset], -100, 400) + 100.0) / 500
            np.testing.assert_allclose(dataset[row + offset]["image"][0], window[::-1, ::-1].T, atol=0.51 / 255)
        row += count
    assert row == len(dataset)
    sampler = PatientSampler(dataset.patients, dataset.targets, batch_size=4)
    assert len({dataset.patients[i] for i in sampler.batch(0)}) == 4


def test_files_depend_on_neither_workers_nor_number(cohort, tmp_path):
    write_cirrhosis_cohort(tmp_path / "two", **(QUICK | {"workers": 2}))
    assert contents(tmp_path / "two") == contents(cohort["grades"].parent)
    write_cirrhosis_cohort(tmp_path / "one", **(QUICK | {"patients": 1, "biopsies": 1}))
    few, many = contents(tmp_path / "one"), contents(cohort["grades"].parent)
    assert all(content == many[name] for name, content in few.items() if name.endswith(".nii.gz"))


def test_a_cohort_of_local_signs_says_so_and_is_another(cohort, tmp_path):
    lists = write_cirrhosis_cohort(tmp_path / "local", **QUICK, signs="local")
    for name, path in lists.items():
        assert validate_data_list(path) == []
        source = load_data_list(path).only_dataset.document["source"]
        assert source == load_data_list(cohort[name]).only_dataset.document["source"] + ", local signs"
    assert contents(tmp_path / "local") != contents(cohort["grades"].parent)
    with pytest.raises(UserError, match="signs must be one of everywhere, local, got 'no'"):
        write_cirrhosis_cohort(tmp_path / "bad", **QUICK, signs="no")
    assert not (tmp_path / "bad").exists()


def test_a_cohort_appears_complete_or_not_at_all(tmp_path, monkeypatch):
    def fails(root, cohort, index, *more, write=module._write_patient):
        if index == 2:
            raise OSError("disk full")
        return write(root, cohort, index, *more)

    monkeypatch.setattr(module, "_write_patient", fails)
    with pytest.raises(OSError, match="disk full"):
        write_cirrhosis_cohort(tmp_path / "cohort", **QUICK)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_kept_unless_overwritten(tmp_path):
    folder = tmp_path / "cohort"
    folder.mkdir()
    (folder / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="expected a new or empty folder"):
        write_cirrhosis_cohort(folder, **QUICK)
    quick = QUICK | {"biopsies": 2}
    for seed in (5, 6):
        lists = write_cirrhosis_cohort(folder, **(quick | {"seed": seed}), overwrite=True)
    assert "seed 6" in lists["grades"].read_text(encoding="utf-8")
    assert (folder / "mine.txt").read_text(encoding="utf-8") == "keep"
    assert len(list((folder / "synthetic_cirrhosis_grades" / "images").iterdir())) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patients": 0}, "patients must be >= 1, got 0"),
        ({"biopsies": 1.5}, "biopsies must be an integer, got 1.5"),
        ({"size": 8}, "size must be >= 16, got 8"),
        ({"seed": -1}, "seed must be >= 0, got -1"),
        ({"workers": 0}, "workers must be >= 1, got 0"),
    ],
)
def test_bad_numbers_are_refused(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        write_cirrhosis_cohort(tmp_path / "cohort", **(QUICK | options))


def test_a_file_in_the_way_is_not_touched(tmp_path):
    (tmp_path / "cohort").write_text("mine")
    with pytest.raises(UserError, match="found a file"):
        write_cirrhosis_cohort(tmp_path / "cohort", **QUICK)


def test_command_tells_where_the_lists_are(tmp_path, capsys):
    Commands().cirrhosis(str(tmp_path / "cohort"), patients=1, biopsies=1, size=32)
    out = capsys.readouterr().out
    assert "cirrhosis_grades.json" in out
    assert "cirrhosis_histology.json" in out
