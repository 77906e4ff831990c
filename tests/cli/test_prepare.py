"""The commands that fill a store and look after it, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cl.cli.prepare import prepare_command, repair_command, verify_command
from monai_cl.data import Preparation, VolumeStore
from monai_cl.engines import read_list
from monai_cl.errors import UserError
from tests.data.volume_files import as_mr, ct_array, items_of, write_nifti


@pytest.fixture
def data_list(tmp_path):
    items_of(tmp_path)
    names = [{"image": f"case{number}.nii.gz", "label": f"case{number}_label.nii.gz"} for number in range(3)]
    content = {
        "name": "tiny",
        "labels": {"0": "background", "1": "spleen", "2": "liver"},
        "label_map": {"1": 2, "5": 1},
        "training": names[:2],
        "test": names[2:],
    }
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(content))
    return str(path)


def test_prepare_fills_a_store_and_says_what_it_did(data_list, tmp_path, capsys):
    store = str(tmp_path / "store")
    prepare_command(data_list, store=store, progress=False)
    assert "3 prepared, 0 already there, 0 skipped" in capsys.readouterr().out
    prepare_command(data_list, store=store, progress=False)
    assert "0 prepared, 3 already there" in capsys.readouterr().out
    opened = VolumeStore.open(store)
    assert [opened.entry(key).classes for key in sorted(opened.keys())] == [(1, 2)] * 3


@pytest.mark.parametrize("spacing", ["3,3,4", (3, 3, 4), [3.0, 3.0, 4.0]])
def test_spacing_is_taken_as_the_shell_gives_it(data_list, tmp_path, spacing):
    prepare_command(data_list, store=str(tmp_path / "s"), spacing=spacing, splits="test", progress=False)
    store = VolumeStore.open(tmp_path / "s")
    assert store.preparation.spacing == (3, 3, 4)
    assert len(store) == 1


def test_mr_is_prepared_as_the_training_of_volumes_takes_it(tmp_path, capsys):
    write_nifti(tmp_path / "mr.nii.gz", as_mr(ct_array(), gain=20.0))
    path = tmp_path / "mr.json"
    path.write_text(json.dumps({"name": "mr", "modality": "MR", "training": [{"image": "mr.nii.gz"}]}))
    options = {"store": str(tmp_path / "s"), "spacing": "2,2,2", "progress": False}
    prepare_command(str(path), intensity="zscore", **options)
    items = read_list(path, intensity="zscore").items()
    assert VolumeStore.open(tmp_path / "s", Preparation((2.0, 2.0, 2.0))).find(items[0]) is not None
    prepare_command(str(path), **options)
    assert capsys.readouterr().out.count("1 prepared, 0 already there") == 2  # percentiles are other voxels
    with pytest.raises(UserError, match=r"intensity: expected percentiles or zscore .*; set --intensity percentiles"):
        prepare_command(str(path), intensity="z-score", **options)


def test_native_slices(data_list, tmp_path):
    prepare_command(data_list, store=str(tmp_path / "s"), spacing="native", layout="slices", progress=False)
    store = VolumeStore.open(tmp_path / "s")
    assert store.read(store.keys()[0]).shape == (20, 16, 12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spacing": "1,2"}, "--spacing: expected three lengths"),
        ({"spacing": "a,b,c"}, "--spacing: expected three lengths"),
        ({"spacing": (1, 1, 0)}, "spacing must be three lengths > 0"),
        ({"layout": "cube"}, "layout must be one of"),
        ({"workers": 0}, "--workers: expected an integer >= 1"),
        ({"workers": "many"}, "--workers: expected an integer >= 1"),
        ({"splits": "validation"}, "expected items under validation, found none"),
        ({"splits": "train"}, "split"),
    ],
)
def test_wrong_options_are_named(data_list, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        prepare_command(data_list, store=str(tmp_path / "s"), progress=False, **options)
    assert not (tmp_path / "s").exists()


def test_skipped_volumes_are_reported_with_their_reason(data_list, tmp_path, capsys):
    Path(tmp_path / "case1.nii.gz").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"tiny\.json: 1 of 3 volumes cannot be prepared, listed above"):
        prepare_command(data_list, store=str(tmp_path / "s"), progress=False)
    said = capsys.readouterr().out
    assert "2 prepared, 0 already there, 1 skipped" in said
    assert "skipped case1: " in said


def test_verify_finds_what_repair_repairs(data_list, tmp_path, capsys):
    store = str(tmp_path / "store")
    prepare_command(data_list, store=store, progress=False)
    verify_command(store)
    assert "3 volumes, no problem found" in capsys.readouterr().out
    opened = VolumeStore.open(store)
    victim = opened.root / opened.keys()[0] / "image.b2nd"
    content = bytearray(victim.read_bytes())
    content[-30] ^= 1
    victim.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"image\.b2nd has checksum .* run `python -m monai_cl store repair"):
        verify_command(store)
    repair_command(store)
    assert "made again" in capsys.readouterr().out
    verify_command(store)
    repair_command(store)
    assert "nothing to repair" in capsys.readouterr().out


def test_a_folder_that_is_not_a_store_is_an_error(tmp_path):
    for command in (verify_command, repair_command):
        with pytest.raises(UserError, match="expected a store, found none"):
            command(str(tmp_path))


def test_pictures_are_prepared_as_slices_and_the_advice_works(tmp_path, capsys):
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(tmp_path / "a.png")
    path = tmp_path / "us.json"
    path.write_text(json.dumps({"name": "us", "modality": "US", "training": [{"image": "a.png"}]}))
    with pytest.raises(UserError, match=r"a\.png; prepare slices of them: --layout slices --spacing native"):
        prepare_command(str(path), store=str(tmp_path / "s"), progress=False)
    prepare_command(str(path), store=str(tmp_path / "s"), layout="slices", spacing="native", progress=False)
    assert "1 prepared" in capsys.readouterr().out
