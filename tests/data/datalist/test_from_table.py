"""Lists made from a label table and the scans there are; the shipped TCGA-LIHC list."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from monai_cl.data import list_from_list, list_from_series, load_data_list
from monai_cl.data.datalist.from_table import PRESETS
from monai_cl.data.datalist.idc_series import choose_series
from monai_cl.data.datalist.json_files import write_json
from monai_cl.errors import UserError

HEADER = "collection_id,PatientID,StudyInstanceUID,SeriesInstanceUID,StudyDate,Modality,SeriesDescription,instanceCount"
LISTS = Path(__file__).parents[3] / "data_lists"


def series_table(folder: Path, *rows: str) -> Path:
    path = folder / "series.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def row(patient="P1", number=1, description="AXIAL", count=100, date="2001-01-01", modality="CT") -> str:
    return f"lihc,{patient},study{date[:4]},{number},{date},{modality},{description},{count}"


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("portal venous 3.0", "arterial 3.0"),
        ("PV Abd", "Dry Liver"),
        ("VENOUS", "VENOUS CORONAL"),
        ("P.Venous  3.0  B40f", "Pelvis  5.0  B40f"),
        ("ENHANCED", "UNENHANCED"),
        ("with contrast", "5 MIN DELAY"),
        ("AXIAL", "DELAYED"),
        ("ABDO/PELVIS C+ 5MM", "CHEST THINS"),
        ("Body 5.0 CE", "w/o liver 5.0"),
        ("late art. phase", "LIVER DELAY"),
    ],
)
def test_series_is_chosen_by_its_description(tmp_path, better, worse):
    for number, order in enumerate([(better, worse), (worse, better)]):
        rows = [row(number=10 * number + i, description=text) for i, text in enumerate(order)]
        assert choose_series(series_table(tmp_path, *rows), patients=["P1"])["P1"].description == better


def test_scouts_short_series_and_other_modalities_are_no_scans(tmp_path):
    path = series_table(tmp_path, row(count=2), row(number=2, modality="MR"), row(patient="P2"))
    assert choose_series(path, patients=["P1"]) == {}


def test_first_study_is_taken_unless_a_date_is_given(tmp_path):
    path = series_table(tmp_path, row(date="2003-05-01"), row(number=2, date="2002-01-01"))
    assert choose_series(path, patients=["P1"])["P1"].date == "2002-01-01"
    assert choose_series(path, patients=["P1"], dates={"P1": "2003-05-01"})["P1"].date == "2003-05-01"
    assert choose_series(path, patients=["P1"], dates={"P1": "1999-01-01"}) == {}


def test_folder_is_that_of_the_download(tmp_path):
    found = choose_series(series_table(tmp_path, row(number=7)), patients=["P1"])["P1"]
    assert found.folder == "lihc/P1/study2001/CT_7"


def test_a_count_that_is_no_number_names_the_line(tmp_path):
    with pytest.raises(UserError, match=r"series.csv: line 2: expected a number of images, found 'many'"):
        choose_series(series_table(tmp_path, row(count="many")), patients=["P1"])


def table(folder: Path, classes: dict[str, str]) -> Path:
    path = folder / "stages.csv"
    path.write_text("\n".join(["id,stage", *(f"{name},{cell}" for name, cell in classes.items())]), encoding="utf-8")
    return path


def test_list_has_one_series_a_patient_with_folds_and_counts(tmp_path):
    classes = {f"P{i}": str(i % 2) for i in range(20)} | {"P20": "NA", "P21": "1"}
    series = series_table(tmp_path, *(row(patient=f"P{i}", number=i) for i in range(21)))
    made = list_from_series(
        table(tmp_path, classes), series, patient="id", value="stage", name="mine", targets={"0": "no", "1": "yes"}
    )
    assert made.without_class == ("P20",)
    assert made.without_scan == ("P21",)
    write_json(tmp_path / "list.json", made.document)
    items = load_data_list(tmp_path / "list.json").items()
    assert len(items) == 20
    assert Counter((item["fold"], item["target"]) for item in items) == {(f, t): 2 for f in range(5) for t in (0, 1)}
    assert items[0]["id"] == items[0]["patient"] == "P0"


def test_a_class_with_fewer_patients_than_folds_is_refused(tmp_path):
    classes = {f"P{i}": "0" for i in range(9)} | {"Q1": "1"}
    series = series_table(tmp_path, *(row(patient=name, number=i) for i, name in enumerate(classes)))
    options = dict(patient="id", value="stage")
    with pytest.raises(UserError, match=r"stages.csv: expected at least 5 .* found 1 of class 1 \(Q1\); use fewer"):
        list_from_series(table(tmp_path, classes), series, **options)
    assert len(list_from_series(table(tmp_path, classes), series, folds=None, **options).document["training"]) == 10


def test_scans_of_another_list_keep_what_they_have(tmp_path):
    document = {
        "name": "mine",
        "labels": {"0": "background", "1": "liver"},
        "root": "ct",
        "training": [{"image": f"{i}.nii.gz", "label": f"{i}_liver.nii.gz", "patient": f"P{i}"} for i in range(5)],
    }
    classes = {f"P{i}": str(i % 2) for i in range(4)}
    made = list_from_list(table(tmp_path, classes), document, patient="id", value="stage", folds=2)
    assert made.document["labels"] == document["labels"]
    assert made.document["root"] == "ct"
    assert [item["target"] for item in made.document["training"]] == [0, 1, 0, 1]
    assert made.document["training"][3]["label"] == "3_liver.nii.gz"
    assert made.without_class == ("P4",)


def test_items_without_a_patient_are_refused(tmp_path):
    document = {"name": "mine", "training": [{"image": "a.nii.gz"}]}
    with pytest.raises(UserError, match=r'mine: expected a "patient" in every training item, found none in a.nii.gz'):
        list_from_list(table(tmp_path, {"P1": "0"}), document, patient="id", value="stage")


def test_shipped_tcga_list_has_the_patients_of_the_paper():
    items = load_data_list(LISTS / "tcga_lihc.json").items()
    assert Counter(item["target"] for item in items) == {0: 34, 1: 15}
    assert len({item["patient"] for item in items}) == 49
    for item in items:
        score = item["meta"]["ishak"].split(" - ")[0]
        assert PRESETS["tcga_lihc"].mapping[score] == item["target"]
    for target, each in ((0, {6, 7}), (1, {3})):
        assert set(Counter(i["fold"] for i in items if i["target"] == target).values()) == each


@pytest.mark.real_data
def test_real_tables_give_a_list_that_agrees_with_the_shipped_one(real_data, tmp_path):
    folder = real_data / "classification"
    clinical = folder / "nationwidechildrens.org_clinical_patient_lihc.txt"
    series = folder / "idc_v25_tcga_lihc_series_ct_mr_seg.csv"
    if not (clinical.is_file() and series.is_file()):
        pytest.skip(f"no TCGA tables in {folder}")
    preset = PRESETS["tcga_lihc"]
    made = list_from_series(
        clinical,
        series,
        patient=preset.patient,
        value=preset.value,
        mapping=preset.mapping,
        skip_rows=preset.skip_rows,
        targets=preset.targets,
    )
    write_json(tmp_path / "list.json", made.document)
    found = {item["patient"]: item["target"] for item in load_data_list(tmp_path / "list.json").items()}
    assert Counter(found.values()) == {0: 46, 1: 20}
    shipped = load_data_list(LISTS / "tcga_lihc.json").items()
    assert {item["patient"]: item["target"] for item in shipped}.items() <= found.items()
    dates = {item["patient"]: item["meta"]["study_date"] for item in shipped}
    again = choose_series(series, patients=dates, dates=dates)
    root = Path(load_data_list(LISTS / "tcga_lihc.json").datasets[0].root)
    assert {item["patient"]: Path(item["image"]).relative_to(root).as_posix() for item in shipped} == {
        patient: chosen.folder for patient, chosen in again.items()
    }
