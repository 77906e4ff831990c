"""A data list names files below its root and nowhere else, neither by paths nor through links, unless allowed to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_cl.cli.commands import main
from monai_cl.data.datalist.loading import load_data_list
from monai_cl.engines import read_list
from monai_cl.errors import UserError
from tests.data.volume_files import ct_array, label_array, write_nifti


@pytest.fixture
def place(tmp_path) -> Path:
    """``data`` with a sound list of one scan, and ``secret`` beside it with another."""
    for name in ("data", "secret"):
        (tmp_path / name).mkdir()
        write_nifti(tmp_path / name / "ct.nii.gz", ct_array())
        write_nifti(tmp_path / name / "seg.nii.gz", label_array())
    (tmp_path / "secret" / "stages.csv").write_text("id,stage\nP1,1\nhunter2,0\n")
    return tmp_path


def write_list(place: Path, **changes) -> Path:
    item = {"image": "ct.nii.gz", "label": "seg.nii.gz", "patient": "P1"}
    labels = {"0": "background", "1": "a", "2": "b", "5": "c"}
    path = place / "data" / "list.json"
    path.write_text(json.dumps({"name": "x", "labels": labels, "training": [item], **changes}))
    return path


def refusal(path: Path, **options) -> str:
    with pytest.raises(UserError) as caught:
        load_data_list(path, **options)
    return str(caught.value)


def test_a_file_that_is_a_link_out_of_the_root_is_refused_unless_allowed(place):
    path = write_list(place)
    (place / "data" / "ct.nii.gz").unlink()
    (place / "data" / "ct.nii.gz").symlink_to(place / "secret" / "ct.nii.gz")
    text = refusal(path)
    assert "training[0].image: ct.nii.gz: expected a file that lies below the data root" in text
    assert f"found a symbolic link to {place / 'secret' / 'ct.nii.gz'}" in text
    assert "--allow_outside" in text
    assert load_data_list(path, allow_outside=True).items()[0]["image"] == str(place / "data" / "ct.nii.gz")


def test_a_folder_on_the_way_that_is_a_link_is_seen(place):
    (place / "data" / "more").symlink_to(place / "secret")
    text = refusal(write_list(place, training=[{"image": "more/ct.nii.gz"}]))
    assert f"found a symbolic link to {place / 'secret' / 'ct.nii.gz'}" in text


def test_a_link_to_a_link_and_a_dangling_one_are_seen(place):
    (place / "data" / "first").symlink_to("second")
    (place / "data" / "second").symlink_to(place / "gone.nii.gz")
    assert "gone.nii.gz" in refusal(write_list(place, training=[{"image": "first"}]))


def test_a_root_that_is_a_link_is_one_complaint(place):
    (place / "data" / "more").symlink_to(place / "secret")
    text = refusal(write_list(place, root="more", training=[{"image": "ct.nii.gz"}, {"image": "seg.nii.gz"}]))
    assert text.count("symbolic link") == 1
    assert ": root: expected a sub-folder of the data root" in text


def test_links_within_the_root_and_a_data_root_that_is_a_link_are_fine(place):
    (place / "data" / "again.nii.gz").symlink_to("ct.nii.gz")
    (place / "mounted").symlink_to(place / "data")
    path = write_list(place, training=[{"image": "again.nii.gz"}])
    assert load_data_list(path).items()[0]["image"] == str(place / "data" / "again.nii.gz")
    assert load_data_list(path, data_root=place / "mounted").items()[0]["id"] == "again"


def test_a_folder_whose_name_begins_like_the_root_is_not_below_it(place):
    (place / "data_2").mkdir()
    write_nifti(place / "data_2" / "ct.nii.gz", ct_array())
    (place / "data" / "link.nii.gz").symlink_to(place / "data_2" / "ct.nii.gz")
    assert "symbolic link" in refusal(write_list(place, training=[{"image": "link.nii.gz"}]))


@pytest.mark.parametrize("how", ["..", "absolute", "link"])
def test_an_included_list_lies_below_the_including_one(place, how):
    (place / "secret" / "list.json").write_text('{"name": "s", "training": [{"image": "hunter2.nii.gz"}]}')
    name = {"..": "../secret/list.json", "absolute": str(place / "secret" / "list.json"), "link": "link.json"}[how]
    (place / "data" / "link.json").symlink_to(place / "secret" / "list.json")
    path = place / "data" / "both.json"
    path.write_text(json.dumps({"name": "both", "datasets": [{"list": name}]}))
    text = refusal(path)
    assert "datasets[0].list: expected a list in or below the folder of this one" in text
    assert "hunter2" not in text
    assert load_data_list(path, allow_outside=True).items()[0]["id"] == "hunter2"


@pytest.mark.parametrize("how", ["..", "absolute", "link"])
def test_a_table_lies_below_the_list_and_nothing_of_another_is_reported(place, how):
    name = {"..": "../secret/stages.csv", "absolute": str(place / "secret" / "stages.csv"), "link": "link.csv"}[how]
    (place / "data" / "link.csv").symlink_to(place / "secret" / "stages.csv")
    path = write_list(place, patient_labels={"table": name, "patient": "id", "value": "stage"})
    text = refusal(path)
    assert "patient_labels.table: expected a table in or below the folder of the list" in text
    assert "hunter2" not in text
    assert load_data_list(path, allow_outside=True).items()[0]["target"] == 1


def test_the_commands_and_the_bundles_have_the_same_rule(place, capsys):
    (place / "data" / "link.nii.gz").symlink_to(place / "secret" / "ct.nii.gz")
    path = write_list(place, training=[{"image": "link.nii.gz"}])
    for command in (["datalist", "validate", path], ["prepare", path, "--store", place / "store"]):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in command])
        assert end.value.code == 2
        shown = capsys.readouterr()
        assert "symbolic link" in shown.out + shown.err
    assert not (place / "store").exists()
    with pytest.raises(UserError, match="symbolic link"):
        read_list(path)
    main(["datalist", "validate", str(path), "--allow_outside"])
    main(["prepare", str(path), "--store", str(place / "store"), "--allow_outside", "--progress=False"])
    assert read_list(path, allow_outside=True).items()
    with pytest.raises(UserError, match="allow_outside must be true or false, got 'false'"):
        read_list(path, allow_outside="false")
