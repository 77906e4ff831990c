"""Patient labels from tables: what cells mean, and what is said of a table that does not fit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from monai_cl.data import read_label_table
from monai_cl.data.datalist.tables import read_table
from monai_cl.errors import UserError

ISHAK = {"0": 0, "1,2": 0, "3,4": 0, "5": 1, "6": 1}
TCGA = """\
bcr_patient_uuid\tbcr_patient_barcode\tishak_fibrosis_score
bcr_patient_uuid\tbcr_patient_barcode\tliver_fibrosis_ishak_score_category
CDE_ID:\tCDE_ID:2673794\tCDE_ID:3182621
u1\tT-1\t0 - No Fibrosis
u2\tT-2\t3,4 - Fibrous Speta
u3\tT-3\t5 - Nodular Formation and Incomplete Cirrhosis
u4\tT-4\t6 - Established Cirrhosis
u5\tT-5\t[Not Available]
u6\tT-6\t[Unknown]
u7\tT-7\t[Unknown]
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "table.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


def labels_of(path, **options):
    return read_label_table(path, **({"patient": "id", "value": "stage"} | options))


def test_tcga_table_with_its_two_extra_header_rows(write):
    labels = read_label_table(
        write(TCGA, "clinical.txt"),
        patient="bcr_patient_barcode",
        value="ishak_fibrosis_score",
        mapping=ISHAK,
        skip_rows=2,
    )
    assert labels.targets == {"T-1": 0, "T-2": 0, "T-3": 1, "T-4": 1}
    assert labels.unknown == Counter({"[Unknown]": 2, "[Not Available]": 1})
    assert labels.cells["T-3"] == "5 - Nodular Formation and Incomplete Cirrhosis"
    assert labels.summary().endswith("7 patients (class 0: 2, class 1: 2, [Unknown]: 2, [Not Available]: 1)")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separator_is_found(write, separator):
    text = "\n".join(separator.join(row) for row in (("id", "stage"), ("a", "0"), ("b", "3")))
    assert labels_of(write(text)).targets == {"a": 0, "b": 3}


def test_quoted_cells_may_hold_the_separator(write):
    labels = labels_of(write('id,stage\na,"1,2 - Portal Fibrosis"\n'), mapping=ISHAK)
    assert labels.targets == {"a": 0}


def test_byte_order_mark_blank_lines_and_blanks_do_not_matter(write):
    assert labels_of(write("\ufeffid, stage \n\n a ,1\n\n")).targets == {"a": 1}


@pytest.mark.parametrize(
    ("cell", "target"),
    [
        ("5", 1),
        ("5.0", 1),
        (" 6 - Established Cirrhosis", 1),
        ("f3", 2),
        ("F3", 2),
        ("skip", None),
        ("", None),
        ("NA", None),
        ("n/a", None),
        ("[Discrepancy]", None),
        ("Unknown", None),
    ],
)
def test_what_a_cell_means(write, cell, target):
    labels = labels_of(write(f"id,stage\na,{cell}\n"), mapping={"5": 1, 6: 1, "F3": 2, "skip": None})
    assert labels.targets.get("a") == target
    assert "a" in labels.cells
    assert labels.unknown.total() == (target is None)


def test_a_key_is_not_a_beginning_of_another_number(write):
    with pytest.raises(UserError, match="found '51'"):
        labels_of(write("id,stage\na,51\n"), mapping={"5": 1})


def test_mapping_goes_before_the_usual_words_for_unknown(write):
    assert labels_of(write("id,stage\na,NA\n"), mapping={"NA": 0}).targets == {"a": 0}


def test_without_a_mapping_cells_are_classes(write):
    assert labels_of(write("id,stage\na,2\nb,3.0\nc,\n")).targets == {"a": 2, "b": 3}
    for cell in ("1.5", "-1", "high"):
        with pytest.raises(UserError, match="expected integers, found"):
            labels_of(write(f"id,stage\na,{cell}\n"))


def test_rows_of_one_patient_may_agree(write):
    labels = labels_of(write("id,stage\na,1\na,1\na,\nb,\nb,2\n"))
    assert labels.targets == {"a": 1, "b": 2}
    assert labels.unknown == Counter()
    assert labels.cells == {"a": "1", "b": "2"}


def test_two_labels_of_one_patient_name_him_and_the_lines(write):
    path = write("id,stage\na,1\nb,0\na,2\n")
    with pytest.raises(
        UserError, match=r"table .*table.csv: patient a: expected one label, found 1 in line 2 and 2 in"
    ):
        labels_of(path)


def test_another_spelling_of_one_class_is_not_a_contradiction(write):
    assert labels_of(write("id,stage\na,5\na,6\n"), mapping=ISHAK).targets == {"a": 1}


def test_nearest_column_is_suggested(write):
    path = write(TCGA, "clinical.txt")
    with pytest.raises(
        UserError, match=r"clinical.txt: expected a column 'ishak_score', .*mean 'ishak_fibrosis_score'\?"
    ):
        read_label_table(path, patient="bcr_patient_barcode", value="ishak_score", skip_rows=2)
    with pytest.raises(UserError, match=r"expected a column 'Ishak', .*did you mean 'ishak_fibrosis_score'\?"):
        read_label_table(path, patient="bcr_patient_barcode", value="Ishak", skip_rows=2)
    with pytest.raises(UserError, match="is the first line the header"):
        read_label_table(path, patient="zzz", value="Ishak", skip_rows=2)


def test_header_rows_that_are_taken_for_patients_are_explained(write):
    with pytest.raises(
        UserError, match=r"liver_fibrosis_ishak_score_category' \(patient bcr_patient_barcode, line 2\).*sk"
    ):
        read_label_table(write(TCGA), patient="bcr_patient_barcode", value="ishak_fibrosis_score", mapping=ISHAK)


def test_values_the_mapping_does_not_name_are_reported_at_once(write):
    path = write("id,stage\na,7\nb,7\nc,8\nd,5\n")
    with pytest.raises(
        UserError, match=r"found '7' \(patient a, line 2, and 1 more\), '8' \(patient c, line 4\); name"
    ):
        labels_of(path, mapping={"5": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found an empty file"),
        ("id,stage\n", "expected rows below the header, found none"),
        ("id,stage\na\n", "line 2: expected 2 cells as in the header, found 1"),
        ("id,stage\na,1,2\n", "line 2: expected 2 cells as in the header, found 3"),
        ("id,stage,stage\na,1,2\n", "expected one column 'stage', found 2"),
        ("id,stage\n,1\n", "line 2: expected a patient in column 'id', found an empty cell"),
    ],
)
def test_a_table_that_is_none(write, text, message):
    with pytest.raises(UserError, match=message):
        labels_of(write(text))


def test_files_that_cannot_be_read(write, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        labels_of(tmp_path / "none.csv")
    with pytest.raises(UserError, match="expected UTF-8 text"):
        labels_of(write("id,stage\nMüller,1\n", encoding="latin-1"))
    with pytest.raises(UserError, match="cannot be read"):
        labels_of(tmp_path)


@pytest.mark.parametrize("mapping", [{}, {"a": -1}, {"a": True}, {"a": "1"}, [1]])
def test_bad_mappings_are_refused(write, mapping):
    with pytest.raises(UserError, match="mapping"):
        labels_of(write("id,stage\na,1\n"), mapping=mapping)


@pytest.mark.parametrize("skip", [-1, 1.0, True])
def test_bad_skip_rows_are_refused(write, skip):
    with pytest.raises(UserError, match="skip_rows must be an integer"):
        read_table(write("id\na\n"), skip_rows=skip)


@pytest.mark.real_data
def test_real_tcga_table(real_data):
    path = real_data / "classification" / "nationwidechildrens.org_clinical_patient_lihc.txt"
    if not path.is_file():
        pytest.skip(f"no {path}")
    labels = read_label_table(
        path, patient="bcr_patient_barcode", value="ishak_fibrosis_score", mapping=ISHAK, skip_rows=2
    )
    assert len(labels.cells) == 377
    assert Counter(labels.targets.values()) == {0: 76 + 31 + 30, 1: 9 + 72}
    assert labels.unknown == {"[Not Available]": 99, "[Unknown]": 60}
