"""Statistics of a list: numbers of a scan by hand, what is called an outlier, what is written and read again."""

from __future__ import annotations

import csv
import io
import json
import math

import nibabel as nib
import numpy as np
import pytest

from monai_cl.data import load_data_list
from monai_cl.data.datalist.statistics.document import (
    list_statistics,
    read_statistics,
    statistics_csv,
    statistics_json,
)
from monai_cl.data.datalist.statistics.outliers import find_outliers, robust_limits
from monai_cl.data.datalist.statistics.quantities import group_summaries, quantities, summarise
from monai_cl.data.datalist.statistics.scan import contrast_phase, measure_scan, oblique_degrees
from monai_cl.data.grid import Grid
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, rotated, write_dicom, write_nifti

SHAPE = (20, 16, 12)


def write_case(folder, name: str, codes: str = "RAS", *, spacing=(1.0, 2.0, 5.0), organ: int = 60) -> dict:
    """A body of 40 HU in air, with a box of 4 x 3 x 2 voxels of ``organ`` HU labelled 1, and one at the edge, 2."""
    image = np.full(SHAPE, -1000, np.int16)
    image[2:18, 2:14] = 40
    label = np.zeros(SHAPE, np.uint8)
    label[5:9, 5:8, 4:6] = 1
    label[10:12, 5:8, :3] = 2
    image[label == 1] = organ
    affine = affine_of("RAS", spacing)
    turn = Grid(SHAPE, affine).turn_to(Grid(SHAPE, affine_of(codes, spacing)))
    files = {}
    for kind, array in (("image", image), ("label", label)):
        turned = Grid(SHAPE, affine).turned(turn)
        stored = nib.apply_orientation(array, turn)
        files[kind] = str(write_nifti(folder / f"{name}_{kind}.nii.gz", stored, turned.affine))
    return {**files, "id": name, "patient": name, "dataset": "boxes", "label_names": {1: "liver", 2: "bladder"}}


def scan_of(**changes) -> dict:
    """A scan as `measure_scan` gives it."""
    percentiles = {"0": -1024.0, "0.5": -1000.0, "50": 40.0, "99.5": 400.0, "100": 1500.0}
    scan = {
        "id": "a",
        "patient": "a",
        "dataset": "d",
        "modality": "CT",
        "unit": "HU",
        "phase": "",
        "shape": [100, 100, 50],
        "spacing": [1.0, 1.0, 3.0],
        "extent": [100.0, 100.0, 150.0],
        "orientation": "RAS",
        "oblique": 0.0,
        "intensity": percentiles,
        "body": percentiles,
        "foreground": None,
        "body_ml": 800.0,
        "clipped": {"low": 0.0, "high": 0.0},
        "labels": {"liver": {"voxels": 10, "ml": 1500.0, "mean": 100.0, "sd": 10.0, "cut": False}},
        "fault": "",
    }
    return scan | changes


def cohort(count: int = 10, **last) -> list[dict]:
    """Equal scans, but for small differences and what the last one has."""
    scans = []
    for number in range(count):
        liver = {"voxels": 10, "ml": 1500.0 + 20 * number, "mean": 100.0 + number, "sd": 10.0, "cut": False}
        scans.append(scan_of(id=f"c{number}", patient=f"p{number}", labels={"liver": liver}))
    scans[-1] |= last
    return scans


def reasons(scans) -> dict[str, str]:
    return {one["what"]: one["reason"] for one in find_outliers(scans) if one["id"] == scans[-1]["id"]}


def test_a_scan_in_numbers(tmp_path):
    found = measure_scan(write_case(tmp_path, "a"))
    assert found["shape"] == list(SHAPE)
    assert found["spacing"] == [1.0, 2.0, 5.0]
    assert found["extent"] == [20.0, 32.0, 60.0]
    assert found["orientation"] == "RAS"
    assert found["oblique"] == 0
    liver, bladder = found["labels"]["liver"], found["labels"]["bladder"]
    assert (liver["voxels"], liver["ml"], liver["mean"], liver["sd"], liver["cut"]) == (24, 0.24, 60, 0, False)
    assert (bladder["voxels"], bladder["mean"], bladder["cut"]) == (18, 40, True)
    assert found["body"]["0"] == 40  # no air
    assert found["body_ml"] == pytest.approx(16 * 12 * 12 * 0.01, rel=0.15)  # every second voxel along R
    assert (found["intensity"]["0"], found["intensity"]["100"]) == (-1000, 60)
    assert found["foreground"]["100"] == 60
    assert found["clipped"]["low"] == pytest.approx(1 - 16 * 12 / (20 * 16), abs=1e-3)


@pytest.mark.parametrize("codes", ["LPS", "ASR", "PIR"])
def test_axes_and_signs_of_the_file_change_no_number(tmp_path, codes):
    plain, turned = (measure_scan(write_case(tmp_path, name, axes)) for name, axes in (("a", "RAS"), ("b", codes)))
    differing = {key for key in plain if plain[key] != turned[key]}
    assert differing == {"id", "patient", "image", "orientation"}
    assert turned["orientation"] == codes


def test_a_scan_that_is_not_ct_is_measured_in_its_own_unit(tmp_path):
    item = write_case(tmp_path, "a")
    image = np.where(ct_array(SHAPE) > -500, 900, 3).astype(np.int16)
    item["image"] = str(write_nifti(tmp_path / "mr.nii.gz", image, affine_of("RAS", (1.0, 2.0, 5.0))))
    found = measure_scan(item | {"modality": "MR"})
    assert (found["modality"], found["unit"], found["fault"], found["body"]["50"]) == ("MR", "", "", 900)
    wrong = measure_scan(item)  # nothing says that it is MR
    assert "Hounsfield" in wrong["fault"]
    assert wrong["unit"] == ""
    assert measure_scan(write_case(tmp_path, "b"))["unit"] == "HU"


def test_nan_is_refused_and_tiny_voxels_have_a_volume(tmp_path):
    item = write_case(tmp_path, "a")
    array = np.where(ct_array(SHAPE) > 60, np.nan, 1.0).astype(np.float32)
    item["image"] = str(write_nifti(tmp_path / "nan.nii.gz", array, affine_of("RAS", (1.0, 2.0, 5.0))))
    with pytest.raises(UserError, match=r"nan\.nii\.gz.*(NaN|finite)"):
        measure_scan(item | {"modality": "MR"})
    tiny = measure_scan(write_case(tmp_path, "b", spacing=(0.01, 0.01, 0.01)))
    assert tiny["labels"]["liver"]["ml"] == pytest.approx(24e-9)
    assert find_outliers([tiny] * 5) == []


def test_the_phase_is_what_the_list_says_else_the_header(tmp_path):
    array = ct_array((8, 8, 3)) // 2 * 2
    series = {
        text: str(write_dicom(tmp_path / str(number), array, [0.0, 2.0, 4.0], description=text))
        for number, text in enumerate(("Abdomen portal venous 5mm", "ARTERIAL", "liver", "Non-contrast chest"))
    }
    found = [contrast_phase({"image": file}) for file in series.values()]
    assert found == ["portal venous", "arterial", "", "native"]
    listed = {"image": series["ARTERIAL"], "meta": {"ContrastPhase": "delayed"}}
    assert contrast_phase(listed) == "delayed"
    assert contrast_phase({"image": str(write_nifti(tmp_path / "a.nii.gz", array))}) == ""


def test_an_oblique_grid_is_measured_in_degrees():
    affine = affine_of("LPS")
    assert oblique_degrees(Grid(SHAPE, affine)) == pytest.approx(0, abs=1e-6)
    assert oblique_degrees(Grid(SHAPE, rotated(affine, (0, 0, 7)))) == pytest.approx(7)


def test_robust_limits_by_hand():
    # median 3; absolute deviations 2 1 0 1 2: 1; quartiles 2 and 4
    deviation = max(1.4826, 2 / 1.349)
    middle, low, high = robust_limits([1, 2, 3, 4, 5], least=0)
    assert (middle, low, high) == pytest.approx((3, 3 - 3.5 * deviation, 3 + 3.5 * deviation))
    assert robust_limits([7, 7, 7, 7, 9], least=0.5) == (7, 6.5, 7.5)


def test_equal_scans_have_no_outlier():
    assert find_outliers(cohort()) == []


@pytest.mark.parametrize(
    ("change", "what", "words"),
    [
        ({"spacing": [1.0, 1.0, 5.0]}, "spacing_s", "5 mm; median of 10 scans 3, expected 2.727 to 3.3 mm"),
        ({"extent": [100.0, 300.0, 150.0]}, "extent_a", "300 mm"),
        ({"oblique": 8.0}, "affine", "rotated: an axis 8 degrees off"),
        ({"fault": "expected HU, found none"}, "intensity", "expected HU, found none"),
        ({"labels": {}}, "liver ml", "no liver, which 9 of 10 labelled scans have"),
        (
            {"labels": {"liver": {"voxels": 1, "ml": 200.0, "mean": 104.0, "sd": 1.0, "cut": True}}},
            "liver ml",
            "200 ml, cut by the edge of the scan; median of 10 scans",
        ),
        (
            {"labels": {"liver": {"voxels": 1, "ml": 1600.0, "mean": 30.0, "sd": 1.0, "cut": False}}},
            "liver mean",
            "30 HU",
        ),
    ],
)
def test_what_differs_is_named_with_the_reason(change, what, words):
    found = reasons(cohort(**change))
    assert list(found) == [what]
    assert found[what].startswith(words)


def test_a_clipped_ct_is_named_and_air_and_metal_are_not():
    clipped = cohort(
        intensity={"0": -175.0, "0.5": -175.0, "50": 0.0, "99.5": 250.0, "100": 250.0},
        clipped={"low": 0.4, "high": 0.02},
    )
    texts = [one["reason"] for one in find_outliers(clipped) if one["what"] == "intensity"]
    assert texts == [
        "clipped: 40.0% of the voxels have its lowest value, -175 HU",
        "clipped: 2.0% of the body has its highest value, 250 HU",
    ]
    air = cohort(clipped={"low": 0.4, "high": 0.02})  # from -1024 to 1500 HU
    assert find_outliers(air) == []


def test_few_scans_are_compared_with_those_of_other_data_sets():
    scans = [*cohort(9), scan_of(id="z", dataset="other", spacing=[1.0, 1.0, 9.0], labels=None)]
    assert list(reasons(scans)) == ["spacing_s"]
    assert find_outliers(scans[-3:]) == []  # too few to say


def test_a_second_kind_of_scan_is_no_outlier_when_it_is_a_third_of_all():
    scans = cohort(12)
    for scan in scans[:4]:
        scan["spacing"] = [1.0, 1.0, 5.0]
    assert find_outliers(scans) == []


def test_a_summary_counts_and_takes_medians():
    found = summarise(cohort(3, phase="portal", labels=None))
    assert (found["scans"], found["patients"], found["labelled"]) == (3, 3, 2)
    assert found["phases"] == {"not stated": 2, "portal": 1}
    assert found["labels"] == {"liver": 2}
    assert found["quantities"]["liver ml"] == {"count": 2, "median": 1510.0, "lowest": 1500.0, "highest": 1520.0}
    assert found["quantities"]["spacing_s"]["median"] == 3


def mr(scan: dict, level: float) -> dict:
    """The scan as an MR with its own unit."""
    body = {"0": 0.0, "0.5": level / 10, "50": level, "99.5": 3 * level, "100": 4 * level}
    labels = {name: label | {"mean": level} for name, label in scan["labels"].items()}
    return scan | {"modality": "MR", "unit": "", "body": body, "intensity": body, "labels": labels}


def mixed() -> list[dict]:
    """Six CT and six MR of one data set, which differ in nothing but their intensities, and one MR of another."""
    scans = [scan for one in cohort(6) for scan in (one, mr(one | {"id": f"mr_{one['id']}"}, 700.0))]
    return [*scans, mr(scan_of(id="alone", dataset="other"), 40_000.0)]


def test_each_data_set_and_modality_has_a_summary_and_units_are_never_mixed():
    found = group_summaries(mixed())
    assert [(one["dataset"], one["modality"], one["scans"]) for one in found] == [
        ("d", "CT", 6),
        ("d", "MR", 6),
        ("other", "MR", 1),
    ]
    assert [one["unit"] for one in found] == ["HU", "", ""]
    assert [one["quantities"]["body_50"]["median"] for one in found] == [40, 700, 40_000]
    assert found[0]["quantities"]["liver mean"]["median"] == 102.5
    assert found[1]["quantities"]["liver mean"] == {"count": 6, "median": 700, "lowest": 700, "highest": 700}
    overall = summarise(mixed())
    assert (overall["scans"], overall["modalities"]) == (13, {"CT": 6, "MR": 7})
    assert overall["unit"] is None
    assert set(overall["quantities"]) == {
        *(f"{name}_{axis}" for name in ("size", "spacing", "extent") for axis in "ras"),
        "body_ml",
        "liver ml",
    }


def test_what_is_called_ct_but_not_in_hu_is_not_in_the_medians_of_hu():
    faulty = mr(scan_of(id="faulty"), 5000.0) | {"modality": "CT", "fault": "expected HU, found others"}
    found = summarise([*cohort(2), faulty])
    assert (found["scans"], found["unit"]) == (3, "HU")
    assert found["quantities"]["body_50"] == {"count": 2, "median": 40, "lowest": 40, "highest": 40}
    alone = summarise([faulty])
    assert (alone["unit"], alone["quantities"]["body_50"]["median"]) == ("", 5000)
    assert summarise([scan_of(), scan_of(modality="CTA")])["unit"] == "HU"  # both in HU


def test_scans_are_compared_within_their_modality():
    scans = mixed()
    assert find_outliers(scans[:-1]) == []
    scans[0]["labels"] = {"liver": scans[0]["labels"]["liver"] | {"mean": 700.0}}  # a CT with the level of the MR
    found = find_outliers(scans[:-1])
    assert [(one["id"], one["what"]) for one in found] == [("c0", "liver mean")]
    assert found[0]["reason"].startswith("700 HU; median of 6 scans 103.5")
    grey = [scan_of(id=f"g{n}", unit="", clipped={"low": 0.5, "high": 0.5}, intensity={"0": 0.0, "100": 255.0} | {
        "0.5": 0.0, "50": 90.0, "99.5": 250.0}) for n in range(6)]  # fmt: skip
    assert find_outliers(grey) == []  # pictures of CT have grey values


def test_a_label_called_body_does_not_hide_the_body():
    body = {"voxels": 1, "ml": 5.0, "mean": 1.0, "sd": 0.0, "cut": False}
    found = quantities(scan_of(labels={"body": body}))
    assert (found["body_ml"], found["body ml"]) == (800, 5)


def write_list(folder):
    """Three scans, of which the second cannot be read."""
    items = [write_case(folder, name) for name in "abc"]
    (folder / "b_image.nii.gz").write_bytes(b"nothing")
    rows = [{key: f"{item['id']}_{key}.nii.gz" for key in ("image", "label")} | {"id": item["id"]} for item in items]
    document = {"name": "boxes", "labels": {"0": "background", "1": "liver", "2": "bladder"}, "training": rows}
    path = folder / "list.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def listed(tmp_path):
    return write_list(tmp_path)


def test_what_cannot_be_read_is_named_and_the_others_are_measured(listed):
    found = list_statistics(load_data_list(listed))
    assert [scan["id"] for scan in found["scans"]] == ["a", "c"]
    assert [scan["split"] for scan in found["scans"]] == ["training", "training"]
    (failed,) = found["unreadable"]
    assert failed["id"] == "b"
    assert "b_image.nii.gz" in failed["reason"]
    with pytest.raises(UserError, match="scans under test"):
        list_statistics(load_data_list(listed), splits=["test"])


@pytest.mark.slow
def test_workers_change_nothing(listed):
    data_list = load_data_list(listed)
    assert list_statistics(data_list, workers=2) == list_statistics(data_list)


def test_json_is_read_again_and_csv_has_a_row_for_each_scan(listed, tmp_path):
    found = list_statistics(load_data_list(listed))
    path = tmp_path / "statistics.json"
    path.write_text(statistics_json(found))
    assert read_statistics(path) == found
    rows = list(csv.DictReader(io.StringIO(statistics_csv(found))))
    assert [row["id"] for row in rows] == ["a", "c"]
    assert [(row["modality"], row["unit"]) for row in rows] == [("CT", "HU")] * 2
    assert math.isclose(float(rows[0]["liver ml"]), 0.24)


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "No such file"), ("{", "Expecting property name"), ("[]", "another document"), ("{}", "another document")],
)
def test_other_files_are_no_statistics(tmp_path, text, words):
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=words):
        read_statistics(path)
