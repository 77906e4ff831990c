"""Results have whole names of their scans, each another one, which every file system takes."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cl.data.io.result_names import result_name, result_names


@pytest.mark.parametrize(
    ("scan", "name"),
    [
        ("/data/1.3.6.1.4.1.14519.5.2.1.7009.2403.334240657131972136850343327463", None),
        ("/data/a.b.nii.gz", "a.b"),
        ("/data/a.NRRD", "a"),
        ("/data/case_00000/imaging.nii.gz", "case_00000_imaging"),
        ("/data/sub-01/ses-2/ct/sub-01_ses-2_acq-late_ct.nii.gz", "sub-01_ses-2_acq-late_ct"),
        ("/data/s0001/ct.nii.gz", "ct"),
        ("/data/Müller, Ö (2).nii", "Müller, Ö (2)"),
        ("/data/.nii.gz", ".nii.gz"),
    ],
)
def test_a_name_is_that_of_the_scan(scan, name):
    assert result_name(scan) == (name or scan.removeprefix("/data/"))


def test_a_part_of_a_series_is_in_its_name():
    names = [result_name("/data/scan", series_part=f"AcquisitionNumber={number}") for number in (1, 2)]
    assert names == ["scan_AcquisitionNumber=1", "scan_AcquisitionNumber=2"]


@pytest.mark.parametrize(
    ("scans", "names"),
    [
        (["/d/1.2.840.7", "/d/1.2.840.8"], ["1.2.840.7", "1.2.840.8"]),
        (["/d/s1/ct.nii.gz", "/d/s2/ct.nii.gz", "/d/x.nii"], ["s1_ct", "s2_ct", "x"]),
        (["/d/p/s/ct.nii.gz", "/d/q/s/ct.nii.gz"], ["p_s_ct", "q_s_ct"]),
        (["/d/case_1/imaging.nii.gz", "/d/case_2/imaging.nii.gz"], ["case_1_imaging", "case_2_imaging"]),
        (["/d/e/imaging.nii.gz", "/f/e/imaging.nii.gz"], ["d_e_imaging", "f_e_imaging"]),
        (["/a/x.nii.gz", "/a/./x.nii.gz", "/b/X.nii.gz"], ["a_x", "a_x", "b_X"]),
    ],
)
def test_scans_of_one_name_are_told_apart_by_their_folders(scans, names):
    assert list(result_names(scans).values()) == names


def test_where_folders_do_not_tell_scans_apart_a_hash_does():
    scans = ["/d/ct.nii.gz", "/d/ct.nrrd", "/e/f/g.nii", "/e/f_g.nii"]
    names = result_names(scans)
    assert len(set(names.values())) == 4
    assert all(name.startswith("ct-") for name in list(names.values())[:2])
    # they do not depend on the order
    assert result_names(scans[::-1]) == names


def test_accents_written_in_two_ways_are_one_name_to_some_file_systems():
    names = result_names(["/d/caf\u00e9.nii", "/d/cafe\u0301.nii", "/d/tea.nii"])
    assert len({unicodedata.normalize("NFC", name) for name in names.values()}) == 3
    assert names["/d/tea.nii"] == "tea"


PARTS = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=90).filter(lambda t: t not in (".", ".."))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(PARTS, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts)), max_size=6))
def test_any_paths_have_names_that_a_file_system_takes(paths):
    names = result_names(paths, series_part="AcquisitionNumber=2")
    assert len({name.casefold() for name in names.values()}) == len(set(names))
    for name in names.values():
        longest = f".tmp-{name}_reconstruction.nii.gz-4194304-0a1b2c3d"
        assert len(longest.encode()) <= 255
        assert name.isprintable()
        assert not set(name) & set('<>:"/\\|?*')
        assert name.strip(" ")


def test_long_names_are_cut_with_a_hash_of_the_whole():
    one, two = (result_name(f"/data/{'ä' * 120}{end}.nii.gz") for end in "ab")
    assert one != two
    assert one[:80] == two[:80] == "ä" * 80
