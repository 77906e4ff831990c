"""``python -m monai_cl datalist``: what each command writes, prints and refuses."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import fire
import nibabel as nib
import numpy as np
import pytest

from monai_cl.cli.datalist import DataListCommands
from monai_cl.data.datalist.loading import load_data_list
from monai_cl.errors import UserError

LISTS = Path(__file__).resolve().parents[2] / "data_lists"


def run(*arguments) -> None:
    fire.Fire(DataListCommands, command=[str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two scans with labels in Decathlon's folders."""
    root = tmp_path / "liver"
    rng = np.random.default_rng(0)
    for i in range(2):
        for name, array in (
            (f"imagesTr/P{i}_ct.nii.gz", rng.integers(-1000, 1000, (5, 6, 7)).astype(np.int16)),
            (f"labelsTr/P{i}_ct.nii.gz", rng.integers(0, 3, (5, 6, 7)).astype(np.uint8)),
        ):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(array, np.diag([1, 1, 3, 1])), root / name)
    return root


def test_create_writes_a_list_that_validates(folder, capsys):
    run("create", folder, "--organs", '{"1": "liver", "2": "spleen"}', "--patient", r"(P\d)")
    path = folder / "data_list.json"
    assert json.loads(path.read_text(encoding="utf-8"))["$schema"] == "schema.json"
    assert (folder / "schema.json").is_file()
    assert "2 scans, 2 with labels" in capsys.readouterr().out
    data_list = load_data_list(path)
    assert data_list.name == "liver"
    assert [item["patient"] for item in data_list.items()] == ["P0", "P1"]
    run("validate", path)
    assert "no problems" in capsys.readouterr().out


def test_validate_compares_with_other_lists(folder, capsys):
    run("create", folder, "--patient", r"(P\d)")
    path, copy = folder / "data_list.json", folder.parent / "copy"
    (copy / "scans").mkdir(parents=True)
    shutil.copy(folder / "imagesTr" / "P1_ct.nii.gz", copy / "scans" / "x.nii.gz")
    for name, image in (("same.json", "x.nii.gz"), ("none.json", "y.nii.gz")):
        (copy / name).write_text(json.dumps({"name": "other", "training": [{"image": image}]}))
    with pytest.raises(UserError, match="2 problems, listed above"):
        run(
            "validate",
            path,
            "--against",
            f"{copy / 'same.json'},{copy / 'none.json'}",
            "--against_root",
            copy / "scans",
        )
    shown = capsys.readouterr().out
    assert f"imagesTr/P1_ct.nii.gz: expected a scan that {copy / 'same.json'} does not hold" in shown
    assert "none.json: training[0].image: y.nii.gz: expected a scan to compare" in shown


@pytest.mark.parametrize(
    ("organs", "found"),
    [
        ("['liver']", "found ['liver']"),
        (5, "found 5"),
        ('{"one": "liver"}', "found 'one': 'liver'"),
        ('{"whole": [1, 2], "core": [2]}', "found 'whole' and 'core', two names for 2"),
        ('{"liver": 1, "spleen": 1}', "two names for 1"),
        ("not there.json", "no such file"),
    ],
)
def test_organs_that_are_not_names_of_ids_are_refused(folder, organs, found):
    with pytest.raises(UserError, match=re.escape(found)):
        run("create", folder, "--organs", organs)
    assert not (folder / "data_list.json").exists()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"background": 0, "whole": [1, 2], "core": [2]}, "found 'whole' and 'core', two names for 2"),
        (["background", "liver"], "expected id -> name"),
        (None, None),
    ],
)
def test_a_published_description_with_other_labels_is_refused(folder, labels, message):
    content = ["no object"] if message is None else {"labels": labels}
    (folder / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(
        UserError, match=r"dataset\.json: expected .*--organs" if message is None else re.escape(message)
    ):
        run("create", folder)
    assert not (folder / "data_list.json").exists()


def test_organs_may_be_given_as_nnunet_gives_them(folder):
    run("create", folder, "--organs", '{"background": 0, "liver": 1, "spleen": 2}')
    assert load_data_list(folder / "data_list.json").labels == {0: "background", 1: "liver", 2: "spleen"}


def test_names_of_files_cannot_move_the_terminals_cursor(folder, capsys):
    evil = "\x1b[2J\r"
    (folder / "labelsTr" / "P1_ct.nii.gz").unlink()
    (folder / "imagesTr" / "P1_ct.nii.gz").rename(folder / "imagesTr" / f"{evil}_ct.nii.gz")
    (folder / "labelsTr" / "P0_ct.nii.gz").rename(folder / "labelsTr" / "P9_ct.nii.gz")
    (folder / "imagesTr" / "P0_ct.nii.gz").rename(folder / "imagesTr" / "P9_ct.nii.gz")
    run("create", folder)
    out = capsys.readouterr().out
    assert not set("\x1b\r") & set(out)
    assert r"without a label file: imagesTr/\x1b[2J\r_ct.nii.gz" in out


def test_create_beside_the_folder_names_the_root(folder, tmp_path):
    run("create", folder, tmp_path / "list.json")
    assert load_data_list(tmp_path / "list.json").datasets[0].root == folder
    run("validate", tmp_path / "list.json")


def test_create_elsewhere_says_which_root_to_pass(folder, tmp_path, capsys):
    run("create", folder, tmp_path / "other" / "list.json")
    out = capsys.readouterr().out
    assert f"use it with data_root={folder}" in out
    assert 'give the organs their names under "labels"' in out
    run("validate", tmp_path / "other" / "list.json", "--data_root", folder, "--read_voxels=False")


def test_create_keeps_an_existing_list(folder):
    (folder / "data_list.json").write_text("mine")
    with pytest.raises(UserError, match="exists already and is kept"):
        run("create", folder)
    assert (folder / "data_list.json").read_text(encoding="utf-8") == "mine"
    run("create", folder, "--overwrite")
    assert load_data_list(folder / "data_list.json").items()


def test_create_reports_files_without_partner(folder, capsys):
    (folder / "labelsTr/P0_ct.nii.gz").rename(folder / "labelsTr/P9_ct.nii.gz")
    run("create", folder)
    out = capsys.readouterr().out
    assert "without a label file: imagesTr/P0_ct.nii.gz" in out
    assert "label without an image, left out: labelsTr/P9_ct.nii.gz" in out


def test_validate_prints_every_problem_and_fails(folder, capsys):
    run("create", folder)
    for name in ("imagesTr/P0_ct.nii.gz", "labelsTr/P1_ct.nii.gz"):
        (folder / name).unlink()
    with pytest.raises(UserError, match="2 problems, listed above"):
        run("validate", folder / "data_list.json")
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert lines[0].startswith(
        "data_list.json: training[0].image: imagesTr/P0_ct.nii.gz: expected a file, found nothing"
    )
    assert lines[1].startswith(
        "data_list.json: training[1].label: labelsTr/P1_ct.nii.gz: expected a file, found nothing"
    )


def test_split_writes_folds_and_the_table(tmp_path, capsys):
    run("split", LISTS / "kits19.json", tmp_path / "out.json", "--folds=3", "--seed=5")
    assert "3 (70+70+70)" in capsys.readouterr().out
    assert {item["fold"] for item in load_data_list(tmp_path / "out.json").items()} == {0, 1, 2}
    with pytest.raises(UserError, match="exists already"):
        run("split", LISTS / "kits19.json", tmp_path / "out.json")
    with pytest.raises(UserError, match="has folds already"):
        run("split", LISTS / "btcv.json", tmp_path / "btcv.json")
    assert not (tmp_path / "btcv.json").exists()


def test_a_seventh_scan_moves_nobody_to_another_fold(tmp_path):
    def listed(count: int) -> Path:
        items = [{"image": f"s{i}.nii.gz", "patient": f"P{i}"} for i in range(count)]
        path = tmp_path / f"list{count}.json"
        path.write_text(json.dumps({"name": "a", "training": items}))
        return path

    run("split", listed(6), tmp_path / "six.json", "--folds=3")
    before = {item["patient"]: item["fold"] for item in load_data_list(tmp_path / "six.json").items()}
    run("split", listed(8), tmp_path / "eight.json", "--keep", tmp_path / "six.json")
    after = {item["patient"]: item["fold"] for item in load_data_list(tmp_path / "eight.json").items()}
    assert {patient: after[patient] for patient in before} == before
    assert after["P6"] != after["P7"]
    assert sorted(map(list(after.values()).count, range(3))) == [2, 3, 3]


def test_scans_without_a_fold_in_a_list_with_folds_get_one(tmp_path):
    items = [{"image": f"s{i}.nii.gz", "fold": i % 2} for i in range(4)] + [{"image": "new.nii.gz"}]
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"name": "a", "training": items}))
    with pytest.raises(
        UserError, match=r"1 of 5 items have none\); `python -m monai_cl datalist split LIST NEW --keep LIST`"
    ):
        run("split", path, tmp_path / "out.json")
    run("split", path, tmp_path / "out.json", "--keep", path)
    assert [item["fold"] for item in load_data_list(tmp_path / "out.json").items()][:4] == [0, 1, 0, 1]
    with pytest.raises(UserError, match="expected --keep or --replace_folds, found both"):
        run("split", path, tmp_path / "again.json", "--keep", path, "--replace_folds")


def test_add_extends_a_list_in_its_place(folder, capsys):
    run("create", folder, "--organs", '{"1": "liver"}')
    path = folder / "data_list.json"
    before = load_data_list(path).items()
    for kind in ("images", "labels"):
        source, target = (folder / f"{kind}Tr/P{name}_ct.nii.gz" for name in (0, 9))
        array = np.asarray(nib.load(source).dataobj)[::-1].copy()
        nib.save(nib.Nifti1Image(array, np.diag([1, 1, 3, 1])), target)
    capsys.readouterr()
    run("add", path)
    out = capsys.readouterr().out
    assert "training: imagesTr/P9_ct.nii.gz" in out
    assert "1 scans added" in out
    assert load_data_list(path).items()[:2] == before
    run("validate", path)
    with pytest.raises(UserError, match="found none among the images"):
        run("add", path)


def test_merged_masks_are_a_data_set(folder, tmp_path, capsys):
    shape, affine = (5, 6, 7), np.diag([1, 1, 3, 1])
    for number, case in enumerate(("s0", "s1")):
        (tmp_path / "ts" / case / "segmentations").mkdir(parents=True)
        image = np.asarray(nib.load(folder / f"imagesTr/P{number}_ct.nii.gz").dataobj)
        nib.save(nib.Nifti1Image(image, affine), tmp_path / "ts" / case / "ct.nii.gz")
        for organ, first in (("liver", 0), ("spleen", 9), ("aorta", 11)):
            mask = np.zeros(shape, np.uint8)
            mask.flat[first + number : first + 4] = 1
            nib.save(nib.Nifti1Image(mask, affine), tmp_path / "ts" / case / "segmentations" / f"{organ}.nii.gz")
    with pytest.raises(UserError, match=r"merge_masks .*/ts$"):
        run("create", tmp_path / "ts")
    with pytest.raises(UserError, match=r"aorta and spleen: 3 voxels in 2 scans .*--priority aorta,spleen"):
        run("merge_masks", tmp_path / "ts")
    run(
        "merge_masks",
        tmp_path / "ts",
        "--priority",
        "aorta",
        "--organs",
        "aorta,spleen,liver",
        "--output",
        tmp_path / "new",
    )
    out = capsys.readouterr().out
    assert "aorta and spleen: 3 voxels of both in 2 scans: aorta" in out
    words = out.splitlines()[-1].split("datalist ")[1].replace("'", "").split()
    run(*words, "--output", tmp_path / "list.json")
    run("validate", tmp_path / "list.json")
    data_list = load_data_list(tmp_path / "list.json")
    assert data_list.labels == {0: "background", 1: "aorta", 2: "spleen", 3: "liver"}
    assert len(data_list.items()) == 2


def test_one_scan_is_listed_beside_itself(folder):
    run("create", folder / "imagesTr" / "P0_ct.nii.gz")
    items = load_data_list(folder / "imagesTr" / "data_list.json").items()
    assert [Path(item["image"]).name for item in items] == ["P0_ct.nii.gz"]


def test_a_list_that_could_not_be_loaded_is_not_written(folder, tmp_path):
    (folder / "imagesTr/P2_ct.nii.gz").symlink_to(tmp_path / "elsewhere.nii.gz")
    (folder / "data_list.json").write_text("former")
    with pytest.raises(UserError, match=r"data_list\.json: training\[2\]\.image: .*a symbolic link"):
        run("create", folder, "--overwrite")
    assert (folder / "data_list.json").read_text() == "former"
    assert sorted(path.name for path in folder.iterdir()) == ["data_list.json", "imagesTr", "labelsTr"]


def test_subset_writes_a_list_a_fold_and_fraction(tmp_path, capsys):
    run("subset", LISTS / "btcv.json", tmp_path / "sub")
    names = {f"btcv_fold{fold}_{percent}.json" for fold in range(5) for percent in (5, 15, 50)}
    assert {path.name for path in (tmp_path / "sub").iterdir()} == names
    assert "btcv_fold0_15.json: 4 training, 6 validation" in capsys.readouterr().out
    parts = [
        {item["id"] for item in load_data_list(tmp_path / "sub" / f"btcv_fold2_{percent}.json").items()}
        for percent in (5, 15, 50)
    ]
    assert parts[0] < parts[1] < parts[2]


def test_subset_of_one_fold_and_fraction(tmp_path):
    run("subset", LISTS / "btcv.json", tmp_path, "--fold=1", "--fraction=0.125")
    assert [path.name for path in tmp_path.iterdir()] == ["btcv_fold1_12.5.json"]


def test_subset_without_folds(tmp_path):
    run("subset", LISTS / "mixcl_pretraining.json", tmp_path, "--fraction=0.05,0.5")
    assert {path.name for path in tmp_path.iterdir()} == {"mixcl_pretraining_5.json", "mixcl_pretraining_50.json"}


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--fraction=15"], "for 15 % write 0.15"),
        (["--fraction=half"], "label_fraction must be in"),
        (["--fold=9"], "no fold 9: data set btcv has the folds 0, 1, 2, 3, 4"),
    ],
)
def test_subset_writes_nothing_when_an_option_is_wrong(tmp_path, arguments, match):
    with pytest.raises(UserError, match=match):
        run("subset", LISTS / "btcv.json", tmp_path, *arguments)
    assert not list(tmp_path.iterdir())


def test_subset_wants_a_folder(tmp_path):
    with pytest.raises(UserError, match="output must be a folder"):
        run("subset", LISTS / "btcv.json", tmp_path / "out.json")


def test_subset_keeps_existing_files(tmp_path):
    (tmp_path / "btcv_fold0_50.json").write_text("mine")
    with pytest.raises(UserError, match=r"btcv_fold0_50\.json: exists already"):
        run("subset", LISTS / "btcv.json", tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_summary_prints_tables(capsys):
    run("summary", LISTS / "btcv.json", LISTS / "msd_spleen.json")
    out = capsys.readouterr().out
    assert "5 (6+6+6+6+6)" in out
    assert "5 (9+8+8+8+8)" in out
    with pytest.raises(UserError, match="expected the name of a data list"):
        run("summary")


def test_outside_paths_need_the_switch(tmp_path, capsys):
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"name": "a", "training": [{"image": f"/x/{i}.nii"} for i in range(4)]}))
    with pytest.raises(UserError, match="--allow_outside"):
        run("summary", path)
    run("summary", path, "--allow_outside")
    run("split", path, tmp_path / "out.json", "--folds=2", "--allow_outside")
    assert "2 (2+2)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["add", "create", "merge_masks", "split", "subset", "summary", "validate"])
def test_every_command_has_an_example_and_explains_its_arguments(name):
    command = getattr(DataListCommands, name)
    text = inspect.getdoc(command)
    assert f"python -m monai_cl datalist {name} " in text
    for parameter in inspect.signature(command).parameters:
        assert parameter == "self" or f"{parameter}:" in text


def test_names_that_the_locale_cannot_write_are_reported_not_raised(tmp_path):
    path = tmp_path / "list.json"
    item = {"image": "Müller.nii.gz"}
    document = {"name": "a", "modality": "CT", "labels": {"0": "background", "1": "liver"}, "training": [item]}
    path.write_text(json.dumps(document), encoding="utf-8")
    ascii_only = {**os.environ, "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "monai_cl", "datalist", "validate", str(path)]
    done = subprocess.run(command, env=ascii_only, capture_output=True, encoding="ascii", timeout=120)
    assert done.returncode == 2, done.stderr
    assert r"M\xfcller.nii.gz" in done.stdout
    assert "cannot be written in ascii" in done.stdout
    assert "Traceback" not in done.stderr
