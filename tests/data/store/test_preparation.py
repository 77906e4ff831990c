"""Preparing a list: resumable, shared between runs, parallel, and honest about what it skipped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from monai_cl.data import load_data_list, read_volume, validate_data_list
from monai_cl.data.store.preparation import prepare
from monai_cl.data.store.volume_store import Preparation, VolumeStore
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, items_of, label_array, write_dicom, write_nifti

ROOT = Path(__file__).parents[3]


def quietly(*arguments, **options):
    return prepare(*arguments, progress=False, report=None, **options)


def test_every_item_is_prepared_once_and_in_order(tmp_path):
    items = items_of(tmp_path)
    first = quietly(items, tmp_path / "store")
    assert (first.made, first.reused, first.skipped) == (3, 0, [])
    assert [first.store.entry(key).id for key in first.keys] == ["case0", "case1", "case2"]
    again = quietly(items[::-1], tmp_path / "store")
    assert (again.made, again.reused) == (0, 3)
    assert again.keys == first.keys[::-1]


def test_bad_items_are_skipped_and_named_with_the_reason(tmp_path):
    items = items_of(tmp_path)
    write_nifti(items[1]["image"], ct_array((5, 5, 5)), affine_of("LPS"))
    missing = {"image": str(tmp_path / "nowhere.nii.gz"), "id": "gone", "dataset": "tiny"}
    said = []
    result = prepare([*items, missing], tmp_path / "store", progress=False, report=said.append)
    assert [item["id"] for item in result.items] == ["case0", "case2"]
    assert [item["id"] for item, _ in result.skipped] == ["case1", "gone"]
    assert "2 prepared, 0 already there, 2 skipped" in said[0]
    assert "skipped patient p1, case1: " in said[0]
    assert "expected the grid of" in said[0]
    assert "skipped gone: " in said[0]


@pytest.mark.parametrize("kind", [IndexError, MemoryError, TypeError, EOFError, AssertionError])
def test_an_unforeseen_failure_skips_one_item(tmp_path, monkeypatch, kind):
    from monai_cl.data.store import volume_store as store

    convert = store.convert

    def fragile(item, preparation, **options):
        if item["id"] == "case1":
            raise kind("odd file")
        return convert(item, preparation, **options)

    monkeypatch.setattr(store, "convert", fragile)
    result = quietly(items_of(tmp_path), tmp_path / "store")
    assert len(result.keys) == 2
    assert f"{kind.__name__}: odd file" in result.skipped[0][1]


def test_a_path_that_nothing_can_have_skips_one_item(tmp_path):
    odd = {"image": f"{tmp_path}/a\0.nii.gz", "id": "odd", "dataset": "tiny"}
    result = quietly([odd, *items_of(tmp_path, 2)], tmp_path / "store")
    assert len(result.keys) == 2
    assert [item["id"] for item, _ in result.skipped] == ["odd"]


def test_an_entry_that_another_list_made_is_checked_against_this_ones_labels(tmp_path):
    item, good = items_of(tmp_path, 2)
    quietly([item], tmp_path / "store")
    result = quietly([item | {"label_ids": (0,)}, good], tmp_path / "store")
    assert [found["id"] for found, _ in result.skipped] == [item["id"]]
    with pytest.raises(UserError, match="label"):
        VolumeStore.open(tmp_path / "store").add(item | {"label_ids": (0,)})


def test_a_full_disk_ends_the_run(tmp_path, monkeypatch):
    from monai_cl.data.store import volume_store as store

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_array", full)
    with pytest.raises(UserError, match="expected room to write"):
        quietly(items_of(tmp_path), tmp_path / "store")
    assert not list((tmp_path / "store").glob(".tmp-*"))


def test_a_list_without_a_usable_item_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"at least one usable item among 1, found none.*nowhere"):
        quietly([{"image": "nowhere.nii.gz", "id": "x"}], tmp_path / "store")
    assert quietly([], tmp_path / "store").keys == []


def test_workers_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="workers must be >= 1, got 0"):
        quietly([], tmp_path / "store", workers=0)


def test_the_bar_shows_rate_and_remaining_time(tmp_path, capsys):
    items = items_of(tmp_path)
    prepare(items, tmp_path / "store", report=None)
    bar = capsys.readouterr().err
    assert "Preparing volumes" in bar
    assert "3/3" in bar
    assert "volume/s" in bar
    prepare(items, tmp_path / "store", report=None)
    assert capsys.readouterr().err == "", "nothing to do, nothing to show"


def test_a_changed_source_is_prepared_again_on_the_next_run(tmp_path):
    items = items_of(tmp_path)
    first = quietly(items, tmp_path / "store")
    write_nifti(items[2]["image"], ct_array(seed=50), affine_of("LPS"))
    second = quietly(items, tmp_path / "store")
    assert (second.made, second.reused) == (1, 2)
    assert second.keys[:2] == first.keys[:2]
    assert second.keys[2] != first.keys[2]


def test_another_preparation_is_another_set_of_entries(tmp_path):
    items = items_of(tmp_path)
    fine, coarse = (quietly(items, tmp_path / "store", Preparation(step)) for step in [(1, 1, 1), (3, 3, 3)])
    assert (fine.made, coarse.made) == (3, 3)
    assert set(fine.store.keys()) == set(fine.keys)
    assert not set(fine.keys) & set(coarse.keys)


def test_an_item_listed_twice_is_made_once(tmp_path):
    items = items_of(tmp_path, 1)
    result = quietly([*items, *items], tmp_path / "store")
    assert (result.made, result.reused) == (1, 1)
    assert result.keys[0] == result.keys[1]


def test_the_processes_that_prepare_do_without_torch_and_monai():
    code = (
        "import sys, monai_cl.data.store.preparation; sys.exit(any(name in sys.modules for name in ('torch', 'monai')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_processes_share_the_work(tmp_path):
    items = items_of(tmp_path, 4)
    items[2]["label"] = "nowhere.nii.gz"
    result = quietly(items, tmp_path / "store", workers=2)
    assert [item["id"] for item in result.items] == ["case0", "case1", "case3"]
    assert result.made == 3
    assert result.store.verify() == []


_RUN = """
import json, sys, time
from pathlib import Path
from monai_cl.data.store import volume_store as store
from monai_cl.data.store.preparation import prepare
folder, name, stuck = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
items = json.loads((folder / "items.json").read_text(encoding="utf-8"))
convert, save_entry = store.convert, store.save_entry

def slow(item, preparation, **options):
    time.sleep(0.15)
    with open(folder / f"{name}.log", "a") as log:
        log.write(item["id"] + "\\n")
    return convert(item, preparation, **options)

def never(path, content):
    if content["id"] == stuck:
        (folder / "stuck").touch()
        time.sleep(600)
    save_entry(path, content)

store.convert, store.save_entry = slow, never
(folder / f"{name}.ready").touch()
while not (folder / "go").exists():
    time.sleep(0.005)
result = prepare(items, folder / "store", progress=False)
print(json.dumps([result.made, result.reused, result.keys]))
"""


def start(folder, name, stuck="-"):
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, str(folder), name, stuck],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def await_file(path, process, seconds=90):
    for _ in range(seconds * 20):
        if path.exists():
            return
        assert process.poll() is None, "the run ended early"
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def test_two_runs_of_one_list_share_the_work_and_agree(tmp_path):
    items = items_of(tmp_path, 8)
    (tmp_path / "items.json").write_text(json.dumps(items))
    runs = {name: start(tmp_path, name) for name in ("one", "two")}
    for name, run in runs.items():
        await_file(tmp_path / f"{name}.ready", run)
    (tmp_path / "go").touch()
    results = [json.loads(run.communicate(timeout=90)[0]) for run in runs.values()]
    assert all(run.returncode == 0 for run in runs.values())
    assert results[0][2] == results[1][2]
    converted = [line for name in runs for line in (tmp_path / f"{name}.log").read_text(encoding="utf-8").split()]
    assert sorted(converted) == sorted(item["id"] for item in items), "each volume is converted by one of them"
    store = VolumeStore.open(tmp_path / "store")
    assert store.verify() == []
    assert sorted(store.keys()) == sorted(results[0][2])
    assert not list(store.root.glob(".tmp-*"))


def test_a_run_killed_in_the_middle_of_a_volume_is_finished_by_the_next(tmp_path):
    items = items_of(tmp_path, 4)
    (tmp_path / "items.json").write_text(json.dumps(items))
    (tmp_path / "go").touch()
    run = start(tmp_path, "killed", stuck="case2")
    await_file(tmp_path / "stuck", run)
    store = VolumeStore.open(tmp_path / "store")
    assert store.verify() == [], "what a running process writes is not a problem"
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=30)
    assert [store.entry(key).id for key in sorted(store.keys())] == ["case0", "case1"]
    assert "killed" in store.verify()[0]
    result = quietly(items, tmp_path / "store")
    assert (result.made, result.reused) == (2, 2)
    assert store.verify() == []
    assert not list(store.root.glob(".tmp-*"))


@pytest.mark.parametrize("tilt", [0.0, 0.25], ids=["upright", "tilted gantry"])
def test_a_dicom_series_in_a_list_is_validated_and_stored_like_its_nifti(tmp_path, tilt):
    series = write_dicom(tmp_path / "ct" / "dicom", ct_array(), 2.0 * np.arange(12), shift_per_mm=tilt)
    volume = read_volume(series)
    write_nifti(tmp_path / "ct" / "nifti.nii.gz", volume.array.astype(np.int16), volume.affine)
    write_nifti(tmp_path / "ct" / "label.nii.gz", label_array(), volume.affine)
    labels = {"0": "background", "1": "spleen", "2": "liver", "5": "aorta"}
    keys = []
    for name in ("dicom", "nifti.nii.gz"):
        item = {"image": f"ct/{name}", "label": "ct/label.nii.gz"}
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"name": "one", "labels": labels, "training": [item]}))
        assert validate_data_list(path) == []
        result = quietly(load_data_list(path).items(), tmp_path / "store", Preparation(spacing=(1.0, 1.0, 2.0)))
        assert result.skipped == []
        keys += result.keys
    for kind in ("image", "label"):
        first, second = (result.store.read(key, kind=kind) for key in keys)
        # NIfTI keeps its affine in float32, which turns a rounding here and there
        np.testing.assert_allclose(first.astype(int), second.astype(int), atol=1 if kind == "image" else 0)
        assert first.std() > 0
    np.testing.assert_allclose(*(result.store.entry(key).affine for key in keys), atol=1e-4)


@pytest.mark.parametrize("remembers", [True, False], ids=["notes are kept", "notes cannot be written"])
def test_a_source_is_read_once_to_hash_it_and_not_at_all_when_it_is_there(tmp_path, monkeypatch, remembers):
    from monai_cl.data.store import sources, volume_store

    calls: dict[str, list] = {"hash": [], "look": [], "key": []}

    def counted(name, function):
        return lambda *a, **k: (calls[name].append(a[0]), function(*a, **k))[1]

    monkeypatch.setattr(sources, "_digest", counted("hash", sources._digest))
    monkeypatch.setattr(sources, "_read_note", counted("look", sources._read_note))
    monkeypatch.setattr(volume_store, "slot_of", counted("key", volume_store.slot_of))
    if not remembers:
        monkeypatch.setattr(sources, "write_json", lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only")))
    items = items_of(tmp_path, 3)
    files = sum(1 + ("label" in item) for item in items)
    quietly(items, tmp_path / "store")
    assert len(calls["hash"]) == files
    assert len(calls["key"]) == len(items)
    for name in calls:
        calls[name].clear()
    assert quietly(items, tmp_path / "store").reused == 3
    assert len(calls["key"]) == len(items)
    if remembers:
        assert calls["hash"] == []
        assert len(calls["look"]) == files, "and its note is looked at once"
    else:
        assert len(calls["hash"]) == files
