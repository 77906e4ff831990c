"""``store list`` and ``store prune``: what is held for which list, and what nobody needs."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest

from monai_cl.data import (
    Preparation,
    VolumeStore,
    held_volumes,
    load_data_list,
    prepare,
    remove_volumes,
    unneeded_volumes,
)
from monai_cl.errors import UserError
from monai_cl.files import size_in_words
from tests.cli.running import exit_status
from tests.data.volume_files import affine_of, ct_array, label_array, write_nifti


def write_list(folder: Path, name: str, scans: list[str], **more: object) -> Path:
    items = [{"image": f"{scan}.nii.gz", "label": f"{scan}_label.nii.gz"} for scan in scans]
    document = {"name": name, "labels": {"0": "background", "1": "a", "2": "b", "5": "c"}, "training": items, **more}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path) -> Path:
    """Scans a to c; "first" has a and b, prepared in two ways, "second" has c."""
    for seed, scan in enumerate("abc"):
        write_nifti(tmp_path / f"{scan}.nii.gz", ct_array(seed=seed), affine_of("RAS"))
        write_nifti(tmp_path / f"{scan}_label.nii.gz", label_array(), affine_of("RAS"))
    first, second = write_list(tmp_path, "first", ["a", "b"]), write_list(tmp_path, "second", ["c"])
    for path, preparation in (
        (first, Preparation(spacing=(3.0, 3.0, 3.0))),
        (first, Preparation(spacing=None, layout="slices")),
        (second, Preparation(spacing=(3.0, 3.0, 3.0))),
    ):
        prepare(load_data_list(path).items(), tmp_path / "store", preparation, progress=False)
    return tmp_path


run = partial(exit_status, "store")


def keys(data: Path) -> list[str]:
    return VolumeStore.open(data / "store").all_keys()


def test_a_store_says_what_it_holds_for_which_list_in_bytes(data, capsys):
    assert run("list", data / "store", data / "first.json") == 0
    shown = [line.split(maxsplit=4) for line in capsys.readouterr().out.splitlines()]
    assert [(row[0], row[4]) for row in shown[:-1]] == [
        ("2", "first  (3 x 3 x 3 mm, volume)"),
        ("2", "first  (own spacing, slices)"),
        ("1", "no list  (3 x 3 x 3 mm, volume)"),
    ]
    total = sum(f.stat().st_size for key in keys(data) for f in (data / "store" / key).rglob("*") if f.is_file())
    assert shown[-1] == f"{data / 'store'}: 5 volumes, {size_in_words(total)}".split(maxsplit=4)


def test_what_no_list_needs_is_deleted_once_that_is_agreed_to(data, capsys, monkeypatch):
    before = keys(data)
    assert run("prune", data / "store", data / "first.json", data / "second.json") == 0
    assert "every one of its 5 volumes is needed" in capsys.readouterr().out
    assert run("prune", data / "store", data / "first.json") == 2
    assert "found no terminal; add --yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: "no")
    assert run("prune", data / "store", data / "first.json") == 0
    assert keys(data) == before
    assert run("prune", data / "store", data / "first.json", "--yes") == 0
    assert [key.split(".")[0] for key in keys(data)] == ["first"] * 4
    assert run("prune", data / "store", "--yes") == 2
    assert "expected the data lists whose volumes stay, found none" in capsys.readouterr().err


def test_a_changed_label_map_leaves_the_old_volumes_to_be_freed(data, capsys):
    old = keys(data)
    changed = write_list(data, "first", ["a", "b"], label_map={"1": 1, "2": 2})
    prepare(load_data_list(changed).items(), data / "store", Preparation(spacing=(3.0, 3.0, 3.0)), progress=False)
    assert run("list", data / "store", changed, data / "second.json") == 0
    assert "first, outdated  (3 x 3 x 3 mm, volume)" in capsys.readouterr().out
    assert run("prune", data / "store", changed, data / "second.json", "--yes") == 0
    left = keys(data)
    assert len(left) == 3
    assert set(left) & set(old) == {key for key in old if key.startswith("second.")}


def test_volumes_without_their_label_and_of_scans_that_are_elsewhere_are_kept(data):
    items = [{k: v for k, v in item.items() if k != "label"} for item in load_data_list(data / "first.json").items()]
    prepare(items, data / "store", Preparation(spacing=(4.0, 4.0, 4.0)), progress=False)
    before = keys(data)
    os.rename(data / "a.nii.gz", data / "moved.nii.gz")
    assert run("prune", data / "store", data / "first.json", data / "second.json", "--yes") == 0
    assert keys(data) == before


@pytest.mark.parametrize("left_out", [("label",), ("label", "label_map", "label_ids", "label_names")])
def test_volumes_without_their_label_are_not_outdated_by_a_label_map(data, capsys, left_out):
    """As `meta_label_pretraining`, unlabelled scans and head boxes are prepared from a list with a label_map."""
    mapped = write_list(data, "first", ["a", "b"], label_map={"1": 1, "2": 2})
    bare = [{k: v for k, v in item.items() if k not in left_out} for item in load_data_list(mapped).items()]
    before = set(keys(data))
    prepare(bare, data / "store", Preparation(spacing=(4.0, 4.0, 4.0)), progress=False)
    made = set(keys(data)) - before
    assert run("list", data / "store", mapped) == 0
    assert "  first  (4 x 4 x 4 mm, volume)" in capsys.readouterr().out
    assert run("prune", data / "store", mapped, "--yes") == 0
    assert len(made) == 2
    assert set(keys(data)) == made


def test_from_python_a_store_is_listed_and_pruned(data):
    store, lists = VolumeStore.open(data / "store"), [load_data_list(data / "first.json")]
    held = held_volumes(store, lists)
    assert [one.lists for one in held] == [("first",)] * 4 + [()]
    (chosen,) = unneeded_volumes(store, lists)
    assert chosen == held[-1]
    assert remove_volumes(store, [chosen]) == chosen.bytes
    assert len(keys(data)) == 4
    with pytest.raises(UserError, match="expected the data lists whose volumes stay, found none"):
        unneeded_volumes(store, [])
