"""`data_lists/idc_series.py`: which CT series of a patient is taken, and that the shipped list can be made again."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from monai_cl.cli.from_table import datalist_from_table_command
from monai_cl.data import load_data_list
from monai_cl.errors import UserError

LISTS = Path(__file__).parents[3] / "data_lists"
SCRIPT = runpy.run_path(str(LISTS / "idc_series.py"))
HEADER = ",".join(SCRIPT["COLUMNS"])
choose_series = SCRIPT["choose_series"]


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
        assert choose_series(series_table(tmp_path, *rows))["P1"]["SeriesDescription"] == better


def test_short_series_and_other_modalities_are_not_scans(tmp_path):
    assert choose_series(series_table(tmp_path, row(count=2), row(number=2, modality="MR"))) == {}


def test_first_study_is_taken_unless_a_date_is_given(tmp_path):
    path = series_table(tmp_path, row(date="2003-05-01"), row(number=2, date="2002-01-01"))
    assert choose_series(path)["P1"]["StudyDate"] == "2002-01-01"
    assert choose_series(path, dates={"P1": "2003-05-01"})["P1"]["StudyDate"] == "2003-05-01"
    assert choose_series(path, dates={"P1": "1999-01-01"}) == {}


def test_a_count_that_is_not_a_number_names_the_line(tmp_path):
    with pytest.raises(UserError, match=r"series.csv: line 2: expected a number of images, found 'many'"):
        choose_series(series_table(tmp_path, row(count="many")))


def test_the_script_writes_a_list_that_loads(tmp_path):
    path = series_table(tmp_path, row(number=7, date="2003-05-01"), row(date="2002-01-01"), row(patient="P2"))
    (tmp_path / "dates.csv").write_text("patient,study_date\nP1,2003-05-01\n")
    words = [LISTS / "idc_series.py", path, "scans.json", "--dates", "dates.csv"]
    done = subprocess.run([sys.executable, *map(str, words)], cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout) == (0, "scans.json: 2 patients\n")
    items = load_data_list(tmp_path / "scans.json").items()
    dates = {item["patient"]: item["meta"]["study_date"] for item in items}
    assert dates == {"P1": "2003-05-01", "P2": "2001-01-01"}
    assert items[0]["image"] == str(tmp_path / "lihc/P1/study2003/CT_7")


@pytest.mark.real_data
def test_real_tables_give_a_list_that_agrees_with_the_shipped_one(real_data, tmp_path):
    folder = real_data / "classification"
    clinical = folder / "nationwidechildrens.org_clinical_patient_lihc.txt"
    series = folder / "idc_v25_tcga_lihc_series_ct_mr_seg.csv"
    if not (clinical.is_file() and series.is_file()):
        pytest.skip(f"no TCGA tables in {folder}")
    SCRIPT["main"]([str(series), str(tmp_path / "scans.json")])
    target = tmp_path / "list.json"
    datalist_from_table_command(clinical, target, scans=tmp_path / "scans.json", preset="tcga_lihc")
    found = {item["patient"]: item["target"] for item in load_data_list(target).items()}
    assert Counter(found.values()) == {0: 46, 1: 20}
    shipped = load_data_list(LISTS / "tcga_lihc.json").datasets[0].document["training"]
    assert {item["patient"]: item["target"] for item in shipped}.items() <= found.items()
    dates = {item["patient"]: item["meta"]["study_date"] for item in shipped}
    again = SCRIPT["scan_list"](choose_series(series, dates=dates), name="again")["training"]
    images = {item["patient"]: item["image"] for item in again}
    assert {item["patient"]: item["image"] for item in shipped}.items() <= images.items()
