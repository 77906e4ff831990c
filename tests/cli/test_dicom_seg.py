from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monai_cl.cli.commands import main
from monai_cl.data.dicom.series import read_dicom_series
from tests.data.volume_files import ct_array, label_array, write_dicom, write_nifti

pytest.importorskip("highdicom", reason='the extra "dicom" is not installed')


@pytest.fixture
def scan(tmp_path: Path) -> tuple[Path, Path]:
    series = write_dicom(tmp_path / "scan", ct_array(), 2.0 * np.arange(12))
    return series, write_nifti(tmp_path / "scan_seg.nii.gz", label_array(), read_dicom_series(series)[1])


def test_a_label_map_becomes_a_dicom_seg_beside_it(scan, tmp_path, capsys):
    from monai_cl.data import read_dicom_seg

    series, labels = scan
    main(["dicom_seg", str(labels), str(series), "--organs", '{"1": "spleen", "2": "liver", "5": "aorta"}'])
    assert capsys.readouterr().out.startswith(f"wrote {tmp_path / 'scan_seg.dcm'} (")
    found, _, names = read_dicom_seg(tmp_path / "scan_seg.dcm", source=series)
    np.testing.assert_array_equal(np.array([0, 1, 2, 5])[found], label_array())
    assert names == {1: "spleen", 2: "liver", 3: "aorta"}


def test_any_subset_of_the_values_can_be_written(scan, tmp_path):
    from monai_cl.data import read_dicom_seg

    series, labels = scan
    command = ["dicom_seg", str(labels), str(series), "--organs", "{1: spleen, 2: liver, 5: aorta}"]
    for values, expected in ("[5, 1]", {1: "spleen", 5: "aorta"}), ("2", {2: "liver"}):
        main([*command, "--values", values])
        found, _, names = read_dicom_seg(tmp_path / "scan_seg.dcm", source=series)
        np.testing.assert_array_equal(
            np.array([0, *expected])[found], label_array() * np.isin(label_array(), [*expected])
        )
        assert list(names.values()) == list(expected.values())


@pytest.mark.parametrize("values", ["[]", "spleen", "[1, 2.5]", "[true]"])
def test_values_that_are_not_integers_are_refused(scan, capsys, values):
    series, labels = scan
    with pytest.raises(SystemExit, match="2"):
        main(["dicom_seg", str(labels), str(series), "--organs", "{1: a, 2: b, 5: c}", "--values", values])
    assert 'error: values: expected label values such as "[1,6]"' in capsys.readouterr().err


def test_a_series_with_blank_uids_is_refused_with_all_of_them(scan, tmp_path, capsys):
    import pydicom

    series, labels = scan
    for file in series.iterdir():
        header = pydicom.dcmread(file)
        header.StudyInstanceUID = header.SeriesInstanceUID = ""
        header.save_as(file)
    with pytest.raises(SystemExit, match="2"):
        main(["dicom_seg", str(labels), str(series), "--organs", "{1: a, 2: b, 5: c}"])
    error = capsys.readouterr().err
    assert "expected a Study Instance UID, a Series Instance UID, by which a DICOM SEG refers to its series" in error
    assert not (tmp_path / "scan_seg.dcm").exists()


@pytest.mark.parametrize(
    ("organs", "message"),
    [
        ("['spleen']", r"expected the label values [1], found [2, 5]"),
        ("{a: spleen}", "organs: expected label: name pairs"),
        ("3", "organs: expected names such as"),
    ],
)
def test_mistakes_are_one_line(scan, capsys, organs, message):
    series, labels = scan
    with pytest.raises(SystemExit, match="2"):
        main(["dicom_seg", str(labels), str(series), "--organs", organs])
    assert message in capsys.readouterr().err


def test_an_image_is_not_a_label_map(scan, tmp_path, capsys):
    image = write_nifti(tmp_path / "image.nii.gz", label_array() / np.float32(3))
    with pytest.raises(SystemExit, match="2"):
        main(["dicom_seg", str(image), str(scan[0]), "--organs", "['spleen']"])
    assert "expected integers" in capsys.readouterr().err


def test_a_file_of_another_series_or_of_no_record_stays(scan, tmp_path, capsys):
    from monai_cl.data import read_dicom_seg

    series, labels = scan
    other = write_dicom(tmp_path / "other", ct_array(seed=1), 2.0 * np.arange(12), uid="1.2.3.9")
    organs = ("--organs", "{1: a, 2: b, 5: c}")
    main(["dicom_seg", str(labels), str(series), *organs])
    main(["dicom_seg", str(labels), str(series), *organs])  # the same series again
    target = tmp_path / "scan_seg.dcm"
    written = target.read_bytes()
    with pytest.raises(SystemExit, match="2"):
        main(["dicom_seg", str(labels), str(other), *organs])
    assert f"scan_seg.dcm: expected no result, or one of {other}, found that of {series};" in capsys.readouterr().err
    assert target.read_bytes() == written
    main(["dicom_seg", str(labels), str(other), *organs, "--overwrite"])
    read_dicom_seg(target, source=other)
    (tmp_path / "scan_seg.json").unlink()
    with pytest.raises(SystemExit, match="2"):
        main(["dicom_seg", str(labels), str(other), *organs])
    assert "found a file that no record names" in capsys.readouterr().err


def test_the_record_of_an_inference_takes_the_seg_up_and_another_json_stays(scan, tmp_path):
    import json

    from monai_cl.data.io.result_records import own_results, scan_identity, write_record

    series, labels = scan
    write_record(tmp_path / "scan_seg.json", scan_identity(series), [labels], more={"checkpoint": "model.pt"})
    before = json.loads((tmp_path / "scan_seg.json").read_text())
    main(["dicom_seg", str(labels), str(series), "--organs", "{1: a, 2: b, 5: c}"])
    after = json.loads((tmp_path / "scan_seg.json").read_text())
    assert after["files"].pop("scan_seg.dcm")
    assert after == before
    (tmp_path / "bids.json").write_text('{"Manufacturer": "x"}')
    main(
        [
            "dicom_seg",
            str(labels),
            str(series),
            "--organs",
            "{1: a, 2: b, 5: c}",
            "--output",
            str(tmp_path / "bids.dcm"),
        ]
    )
    assert (tmp_path / "bids.json").read_text() == '{"Manufacturer": "x"}'
    names = {"scan_seg.json", "scan_seg.dcm", "scan_seg.nii.gz", "bids.dcm", "bids.dcm.json"}
    assert own_results(tmp_path) == names
