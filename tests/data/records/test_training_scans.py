"""By what scans and patients are recognised across lists, and how weights keep it."""

from __future__ import annotations

import json

import pytest

from monai_cl.data.records.training_scans import (
    ScanIdentity,
    find_matches,
    patient_keys,
    recorded_scans,
    scans_record,
)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("P0042", "a", True), ("P0042", "b", True), True),
        (("P0042", "a", True), ("P0043", "b", True), False),
        # an id that stands in for the patient names them within its data set alone
        (("case_001", "a", False), ("case_001", "b", False), False),
        (("case_001", "a", False), ("case_001", "b", True), False),
        (("case_001", "a", False), ("case_001", "a", False), True),
        (("case_001", "a", False), ("case_001", "a", True), True),
        # so does a serial number
        (("7", "a", True), ("7", "b", True), False),
        (("0007", "a", True), ("0007", "a", True), True),
        (("1234567", "a", True), ("1234567", "b", True), True),
        # case and blanks, with which DICOM pads ids, tell no patients apart
        (("Anna  Smith ", "a", True), ("anna smith", "b", True), True),
        ((" 7", "a", True), ("7 ", "b", True), False),
    ],
)
def test_which_patients_are_the_same(one, other, same):
    keys = [patient_keys(patient, dataset=dataset, stated=stated) for patient, dataset, stated in (one, other)]
    assert bool(keys[0] & keys[1]) == same


def test_a_data_set_and_a_patient_that_are_written_together_alike_are_not_the_same():
    assert not patient_keys("bc", dataset="a", stated=False) & patient_keys("c", dataset="ab", stated=False)


def scan(fingerprint, *patients, name=""):
    return ScanIdentity(fingerprint, frozenset(patients), name=name)


def test_content_counts_before_the_patient_and_each_scan_is_found_once():
    seen = [scan("x", "p", name="first"), scan("y", "q", name="second")]
    found = find_matches(
        [scan("y", "p", name="a"), scan("z", "q", name="b"), scan("z", "r", name="c"), scan(None, "p", name="d")], seen
    )
    assert [(match.scan.name, match.seen.name, match.same_scan) for match in found] == [
        ("a", "second", True),
        ("b", "second", False),
        ("d", "first", False),
    ]


def test_scans_without_a_fingerprint_are_not_the_same_scan():
    assert find_matches([scan(None, "p")], [scan(None, "q")]) == []


def test_a_record_survives_json_and_names_no_patient():
    scans = [
        ScanIdentity("9x8x6:" + "a" * 32, patient_keys("P0042", dataset="a", stated=True), "labels", "case 1"),
        ScanIdentity(None, patient_keys("x", dataset="a", stated=False)),
    ]
    text = json.dumps(scans_record(scans))
    assert recorded_scans(json.loads(text)) == scans
    assert "P0042" not in text
    assert "case 1" not in text


@pytest.mark.parametrize("record", [None, 7, "scans", {}, [1, "a", None], [{}]])
def test_a_record_of_another_form_gives_no_match(record):
    assert find_matches([scan("x", "p")], recorded_scans(record)) == []
