"""From a list to the slices of a training."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from monai_cl.data import PatientSampler, load_data_list
from monai_cl.engines import (
    PatientSlices,
    SlicePrepareBatch,
    class_count,
    describe_slices,
    fold_slices,
    list_slices,
    patient_folds,
    patient_slices,
    read_folds,
    read_list,
    stratified_folds,
    write_folds,
)
from monai_cl.errors import UserError
from tests.engines.slice_lists import write_list

TARGETS = [0, 1, 0, 1, 0, 1, None]


@pytest.fixture(scope="module")
def data_list(tmp_path_factory):
    """Seven patients, one of an unknown class."""
    return load_data_list(write_list(tmp_path_factory.mktemp("data"), TARGETS))


@pytest.fixture(scope="module")
def slices(data_list, tmp_path_factory):
    return list_slices(data_list, store=tmp_path_factory.mktemp("store") / "store", size=24)


def test_slices_are_the_central_part_of_those_with_liver(slices):
    assert len(slices.volumes) == 7
    # six slices with liver, 2 to 7: the central four
    assert slices.volumes[0].slices.tolist() == [3, 4, 5, 6]


def test_without_the_organ_the_volume_counts_and_it_is_said(data_list, slices, caplog):
    with caplog.at_level(logging.WARNING):
        whole = list_slices(data_list, store=slices.store.root, size=24, organ="spleen")
    assert whole.volumes[0].slices.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert "'spleen'" in caplog.text
    assert str(data_list.path) in caplog.text


def test_patients_are_divided_by_a_grade_and_those_without_it_are_left_out_and_counted(tmp_path, slices, caplog):
    stages = {f"p{number}": {"meta": {"stage": number}} for number in range(5)}
    path = write_list(tmp_path, TARGETS, **stages)
    options = {"store": slices.store.root, "size": 24, "labelled": True}
    graded = read_list(path, target_field="stage", positive_from=3)
    found = list_slices(graded, **options)
    assert {volume.patient: volume.target for volume in found.volumes} == {"p0": 0, "p1": 0, "p2": 0, "p3": 1, "p4": 1}
    assert "2 of 7 patients have no stage and are left out" in caplog.text
    described = describe_slices(graded, found)
    assert described["patients_of_class"] == {"0": 3, "1": 2}
    assert described["target"] == {"field": "stage", "positive_from": 3}
    assert patient_folds(found, graded, count=2).fold.keys() == {"p0", "p1", "p2", "p3", "p4"}
    with pytest.raises(
        UserError, match=r"expected patients of both classes, with stage >= 9 .*only values of stage from 0"
    ):
        list_slices(read_list(path, target_field="stage", positive_from=9), **options)


def test_patients_without_a_target_are_left_out_and_counted(data_list, slices, caplog):
    with caplog.at_level(logging.WARNING):
        labelled = list_slices(data_list, store=slices.store.root, size=24, labelled=True)
    assert len(labelled.volumes) == 6
    assert "1 of 7 patients have no target" in caplog.text


def test_an_unknown_split_or_an_empty_one_is_refused(data_list, tmp_path):
    with pytest.raises(UserError, match="expected at least one item under 'validation', found none"):
        list_slices(data_list, store=tmp_path / "store", split="validation")


def test_a_patient_with_two_targets_is_refused_with_file_and_list(tmp_path):
    path = write_list(tmp_path, [0, 1], p1={"patient": "p0"})
    with pytest.raises(UserError, match=r'list\.json: .*image_1\.nii\.gz: expected target 0 for patient "p0"'):
        list_slices(load_data_list(path), store=tmp_path / "store")


def test_a_damaged_scan_is_named(tmp_path):
    path = write_list(tmp_path, [0, 1])
    (tmp_path / "image_1.nii.gz").write_bytes(b"no scan")
    with pytest.raises(UserError, match=r"1 of 2 items cannot be prepared: patient p1, image_1: .*image_1\.nii\.gz"):
        list_slices(load_data_list(path), store=tmp_path / "store")


def test_classes_are_counted_and_gaps_refused(data_list, tmp_path):
    assert class_count(data_list) == 2
    for targets, found in (([0, 2], r"\[0, 2\]"), ([1, 1], r"\[1\]"), ([None, None], "none")):
        path = write_list(tmp_path / found.strip("\\[]"), targets)
        with pytest.raises(UserError, match=f"without gaps, two or more, found {found}"):
            class_count(load_data_list(path))


def test_a_position_is_a_draw_of_the_sampler_whoever_asks(slices):
    sampler = PatientSampler(slices.patients, slices.targets, batch_size=3, seed=5, world_size=2)
    drawn = PatientSlices(slices, sampler)
    in_order = [drawn[position]["index"] for position in range(18)]
    assert in_order == [index for iteration in range(3) for index in sampler.batch(iteration)]
    assert [PatientSlices(slices, sampler)[position]["index"] for position in (17, 3, 11)] == [
        in_order[17],
        in_order[3],
        in_order[11],
    ]
    assert drawn[7]["position"] == 7


def test_methods_that_learn_from_classes_refuse_patients_without(slices, data_list, tmp_path):
    options = {"batch_size": 2, "seed": 0}
    with pytest.raises(UserError, match=r"method wsp: .*balance=false takes patients without one"):
        patient_slices(slices, method="wsp", balance=False, **options)
    unlabelled = list_slices(load_data_list(write_list(tmp_path, [None] * 3)), store=tmp_path / "s", size=24)
    for method in ("wsp", "supcon", "supervised"):
        with pytest.raises(UserError, match=f"method {method}: .*none of the patients has one"):
            patient_slices(unlabelled, method=method, **options)
    assert set(patient_slices(unlabelled, method="simclr", **options).sampler.counts) == {None}


def test_classes_are_balanced_unless_asked_otherwise(slices):
    options = {"method": "simclr", "batch_size": 2, "seed": 0}
    assert patient_slices(slices, **options).sampler.left_out == 1
    assert patient_slices(slices, balance=False, **options).sampler.counts == {None: 7}


def test_the_record_counts_patients_and_slices(data_list, slices):
    record = describe_slices(data_list, slices, method="wsp", backbone=torch.nn.Linear(1, 1))
    assert record["patients"] == 7
    assert record["patients_of_class"] == {"0": 3, "1": 3}
    assert record["slices"] == 28
    assert record["training_cases"] == [volume.id for volume in slices.volumes]
    assert record["backbone"] == "Linear"
    assert record["sha256"] == data_list.sha256
    assert describe_slices(data_list, slices, training_cases=[])["training_cases"] == []


def test_views_are_those_of_the_position(slices):
    drawn = patient_slices(slices, method="wsp", batch_size=4, seed=3)
    batch = torch.utils.data.default_collate([drawn[position] for position in range(4, 8)])
    prepare = SlicePrepareBatch(seed=3, views={"probability": 1.0})
    views, targets = prepare(batch, torch.device("cpu"))
    assert views.shape == (4, 2, 1, 24, 24)
    assert not torch.equal(views[:, 0], views[:, 1])
    assert targets["label"].tolist() == batch["label"].tolist()
    alone = torch.utils.data.default_collate([drawn[6]])
    assert torch.allclose(prepare(alone, torch.device("cpu"))[0][0], views[2], atol=1e-6)
    assert SlicePrepareBatch(seed=3, count=1)(batch, torch.device("cpu"))[0].shape == (4, 1, 1, 24, 24)


def test_folds_are_those_the_probes_command_makes(slices, data_list):
    labels = {f"p{i}": target for i, target in enumerate(TARGETS) if target is not None}
    made = patient_folds(slices, data_list, count=3, seed=4)
    assert made.fold == stratified_folds(labels, count=3, seed=4).fold


def test_a_fold_parts_the_patients_and_leaves_out_unknown_ones(slices, data_list):
    options = {"fold": 1, "count": 3, "seed": 0}
    parts = [fold_slices(slices, data_list, training=training, **options) for training in (True, False)]
    train, test = ({volume.patient for volume in part.volumes} for part in parts)
    assert len(train) == 4
    assert len(test) == 2
    assert train | test == {f"p{i}" for i in range(6)}
    assert parts[0].size == 24
    everybody = fold_slices(slices, data_list, fold=None, training=False)
    assert fold_slices(slices, data_list, fold="none", training=False).patients == everybody.patients
    assert {volume.patient for volume in everybody.volumes} == train | test


def test_a_training_needs_a_fold_that_exists(slices, data_list):
    with pytest.raises(UserError, match='expected items under "validation", found none; add them, or pass --fold 0'):
        fold_slices(slices, data_list, fold=None, training=True)
    with pytest.raises(UserError, match=r"fold must be in 0 … 2, got 3"):
        fold_slices(slices, data_list, fold=3, training=True, count=3)


def test_folds_from_a_file_must_be_of_these_patients(slices, data_list, tmp_path):
    good = patient_folds(slices, data_list, count=3)
    path = write_folds(tmp_path / "folds.json", good)
    assert patient_folds(slices, data_list, folds=path).fold == read_folds(path).fold
    other = stratified_folds({f"q{i}": i % 2 for i in range(6)}, count=3)
    with pytest.raises(UserError, match=r"other\.json: .*p0"):
        patient_folds(slices, data_list, folds=write_folds(tmp_path / "other.json", other))


def test_a_lists_own_folds(tmp_path):
    folds = {f"p{i}": {"fold": i // 2} for i in range(6)}
    own = load_data_list(write_list(tmp_path, TARGETS[:6], **folds))
    slices = list_slices(own, store=tmp_path / "store", size=24)
    assert patient_folds(slices, own, folds="list").parts == [["p0", "p1"], ["p2", "p3"], ["p4", "p5"]]


def test_a_list_without_folds_says_so(slices, data_list):
    with pytest.raises(UserError, match=r"patient p0: expected a fold, found none"):
        patient_folds(slices, data_list, folds="list")


def test_a_third_class_is_refused_by_name(tmp_path):
    graded = load_data_list(write_list(tmp_path, [0, 1, 2, 0]))
    slices = list_slices(graded, store=tmp_path / "store", size=24)
    with pytest.raises(UserError, match=r"list\.json: patient p2: expected class 0 or 1, found 2"):
        patient_folds(slices, graded, count=2)


def test_depths_rise_with_the_slices(slices):
    assert (np.diff(slices.volumes[0].depths) > 0).all()
