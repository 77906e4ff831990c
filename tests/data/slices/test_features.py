from __future__ import annotations

import json

import numpy as np
import pytest

from monai_cl.data import SliceFeatures, read_features, write_features
from monai_cl.data.records.grade import Grade
from monai_cl.errors import UserError


def some(**more) -> SliceFeatures:
    given = {
        "features": np.arange(8.0).reshape(4, 2),
        "patient": ["a", "a", "b", "c"],
        "label": [0, 0, 1, -1],
        "depth": [0.1, 0.9, 0.5, np.nan],
        "slice": ["a:1", "a:2", "b:1", "c:1"],
        "about": {"method": "wsp", "sigma": 0.1},
    }
    return SliceFeatures(**{**given, **more})


def test_what_is_written_is_read_back(tmp_path):
    path = write_features(tmp_path / "deep" / "x.npz", some())
    found = read_features(path)
    for name in ("features", "patient", "label", "depth", "slice"):
        np.testing.assert_array_equal(getattr(found, name), getattr(some(), name))
    assert found.about == {"method": "wsp", "sigma": 0.1}
    assert found.source == str(path)
    assert [file.name for file in path.parent.iterdir()] == ["x.npz"]
    with np.load(path, allow_pickle=False) as archive:  # nothing in it needs pickle
        assert all(archive[name].dtype.kind in "fiU" for name in archive.files)


def test_three_arrays_are_enough(tmp_path):
    np.savez(tmp_path / "x.npz", features=np.eye(3), patient=np.array([7, 7, 8]), label=np.array([0.0, 0.0, 1.0]))
    found = read_features(tmp_path / "x.npz")
    assert found.patient.tolist() == ["7", "7", "8"]
    assert found.label.tolist() == [0, 0, 1]
    assert np.isnan(found.depth).all()
    assert len(set(found.slice.tolist())) == 3


def test_ids_that_differ_in_blanks_are_one_patient():
    assert some(patient=["a", " a", "b ", "c"]).patient_labels() == {"a": 0, "b": 1}


def test_labels_that_are_not_known_are_left_out():
    assert some(label=[0, 0, None, float("nan")]).patient_labels() == {"a": 0}


def test_select_keeps_the_columns_together():
    found = some().select(np.array([False, True, True, False]))
    assert found.patient.tolist() == ["a", "b"]
    assert found.features.tolist() == [[2, 3], [4, 5]]
    assert found.about["method"] == "wsp"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros(4)}, r"features: expected numbers \(slices, F\), found float64 \(4,\)"),
        ({"features": np.zeros((0, 2))}, r"found float64 \(0, 2\)"),
        ({"features": np.array([["x", "y"]] * 4)}, "features: expected numbers"),
        ({"patient": ["a", "b"]}, "patient: expected 4 values, one for each slice, found 2"),
        ({"label": [0]}, "label: expected 4 values"),
        ({"depth": [0.5]}, "depth: expected 4 values"),
        ({"slice": ["s"] * 5}, "slice: expected 4 values"),
        ({"label": [0, 0, 1.5, 1]}, r"patient b: expected a class as an integer >= 0.*found label 1\.5"),
        ({"label": [0, 0, "F4", 1]}, "patient a: expected a class as an integer"),
        ({"label": [0, 0, -2, 1]}, "patient b: .*found label -2"),
        ({"depth": [0.1, 0.9, 12.0, 0.5]}, r"patient b: depth: expected a number in \[0, 1\] \(or nan\), found 12"),
        ({"depth": ["head"] * 4}, "depth: expected numbers"),
        ({"patient": ["a", " ", "b", "c"]}, "slice a:2: expected a patient id, found none"),
        ({"slice": ["1", "1", "1", "1"]}, "patient a: slice 1 appears twice"),
    ],
)
def test_what_does_not_fit_is_reported(change, message):
    with pytest.raises(UserError, match=message):
        some(**change)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_features_that_are_not_finite_are_reported_with_patient_and_slice(value):
    features = np.ones((4, 2))
    features[2, 1] = value
    with pytest.raises(UserError, match=r"patient b, slice b:1: .*1 of 4 slices"):
        some(features=features)


@pytest.mark.parametrize(("labels", "found"), [([0, 1, 1, 1], "0 and 1"), ([-1, 1, 1, 1], "none and 1")])
def test_a_patient_with_two_labels_is_named(labels, found):
    with pytest.raises(UserError, match=f"patient a: expected one label on all slices, found {found}"):
        some(label=labels).patient_labels()


def test_a_file_of_another_kind_is_reported(tmp_path):
    with pytest.raises(
        UserError, match=r"x\.npz: expected a features file \(\.npz\) or a table of embeddings, found no such file"
    ):
        read_features(tmp_path / "x.npz")
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(UserError, match=r"text\.npz: expected arrays as numpy\.savez writes them"):
        read_features(tmp_path / "text.npz")
    np.savez(tmp_path / "part.npz", features=np.eye(2))
    with pytest.raises(UserError, match=r"part\.npz: expected the arrays features, patient, label, found features"):
        read_features(tmp_path / "part.npz")
    np.save(tmp_path / "one.npy", np.eye(2))
    with pytest.raises(UserError, match=r"one\.npy: expected the arrays .*found none"):
        read_features(tmp_path / "one.npy")
    np.savez(tmp_path / "pickled.npz", features=np.eye(2), patient=np.array(["a", None], object), label=[0, 1])
    with pytest.raises(UserError, match=r"pickled\.npz: .*without pickle"):
        read_features(tmp_path / "pickled.npz")
    whole = write_features(tmp_path / "whole.npz", some()).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cut\.npz: expected arrays"):
        read_features(tmp_path / "cut.npz")
    np.savez(tmp_path / "about.npz", features=np.eye(2), patient=["a", "b"], label=[0, 1], about="[1]")
    with pytest.raises(UserError, match="about: expected a JSON object, found list"):
        read_features(tmp_path / "about.npz")


def test_a_place_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"x\.npz: cannot be written"):
        write_features(tmp_path / "file" / "x.npz", some())
    with pytest.raises(UserError, match=r"expected a name ending in \.npz"):
        write_features(tmp_path / "x.npy", some())


def test_classes_may_be_made_of_a_grade_of_the_file(tmp_path):
    path = tmp_path / "x.npz"
    about = json.dumps({"data_list": {"name": "clinic", "classes": {"0": "F0", "1": "F1", "2": "F2"}}})
    columns = json.dumps({"fibrosis": [0, 4, None], "site": ["A", "B", "B"]})
    arrays = {"features": np.eye(3), "patient": np.array(["a", "b", "c"]), "label": np.array([0, 2, -1])}
    np.savez(path, **arrays, kpa=np.array([2.0, 12.5, np.nan]), columns=columns, about=about)
    for grade, names in (
        (Grade("target", 1), {"0": "F0", "1": "F1, F2"}),
        (Grade("fibrosis", 3), {"0": "fibrosis < 3", "1": "fibrosis >= 3"}),
        (Grade("kpa", 12.5), {"0": "kpa < 12.5", "1": "kpa >= 12.5"}),
    ):
        found = read_features(path, grade=grade)
        assert found.label.tolist() == [0, 1, -1]
        assert found.about["cohort"] == f"clinic, {grade}"
        assert found.about["data_list"] == {"name": "clinic", "classes": names, "target": grade.record()}
    with pytest.raises(UserError, match=r"x\.npz: slice 0: expected a number as its site, found 'A' is not a number"):
        read_features(path, grade=Grade("site", 1))
    with pytest.raises(UserError, match=r"expected the arrays .*stage, found .*fibrosis.*name another --target_field"):
        read_features(path, grade=Grade("stage", 1))
