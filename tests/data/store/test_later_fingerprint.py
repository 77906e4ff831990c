"""Every entry has its scan's fingerprint: written when it is prepared, found later for those of earlier versions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from monai_cl.data.io.fingerprint import scan_fingerprint
from monai_cl.data.io.reading import read_volume
from monai_cl.data.store import later_fingerprint
from monai_cl.data.store.entry import load_entry, save_entry
from monai_cl.data.store.volume_store import Preparation, VolumeStore
from tests.data.volume_files import affine_of, ct_array, items_of, write_nifti

PREPARATIONS = [Preparation((1.5, 1.5, 2.0)), Preparation(None), Preparation(None, "slices")]


def forget(store: VolumeStore, key: str) -> VolumeStore:
    """Write the entry as earlier versions did."""
    path = store.root / key / "entry.json"
    content = {
        name: value for name, value in json.loads(path.read_text()).items() if name not in ("fingerprint", "self")
    }
    save_entry(path.parent, content)
    assert load_entry(path.parent).fingerprint is None
    return VolumeStore.open(store.root)


@pytest.fixture(params=PREPARATIONS, ids=["resampled", "native", "slices"])
def prepared(request, tmp_path):
    item = items_of(tmp_path, 1)[0]
    store = VolumeStore.create(tmp_path / "store", request.param)
    return store, store.add(item), item, scan_fingerprint(read_volume(item["image"]))


def test_a_prepared_entry_has_the_fingerprint_of_its_file(prepared):
    store, key, _, wanted = prepared
    assert store.entry(key).fingerprint == wanted
    assert store.fingerprint(key) == wanted


def test_an_earlier_entry_gets_it_without_being_prepared_again(prepared, monkeypatch):
    store, key, item, wanted = prepared
    image = (store.root / key / "image.b2nd").read_bytes()
    store = forget(store, key)
    assert store.fingerprint(key) == wanted
    assert (store.root / key / "image.b2nd").read_bytes() == image
    assert store.key(item) == key
    assert store.verify() == []
    # it is computed once
    monkeypatch.setattr(later_fingerprint, "scan_fingerprint", None)
    assert VolumeStore.open(store.root).fingerprint(key) == wanted


def test_a_damaged_note_is_made_again(prepared):
    store, key, _, wanted = prepared
    store = forget(store, key)
    for text in ("{", "[]", '{"fingerprint": "no"}'):
        (store.root / key / "fingerprint.json").write_text(text)
        assert store.fingerprint(key) == wanted
    assert json.loads((store.root / key / "fingerprint.json").read_text()) == {"fingerprint": wanted}


def test_without_its_source_a_native_entry_has_one_still_and_a_resampled_one_has_none(prepared):
    store, key, item, wanted = prepared
    store = forget(store, key)
    Path(item["image"]).unlink()
    assert store.fingerprint(key) == (wanted if store.preparation.spacing is None else None)


def test_a_source_that_has_changed_since_is_not_taken_for_the_scan(tmp_path):
    item = items_of(tmp_path, 1)[0]
    store = VolumeStore.create(tmp_path / "store", Preparation())
    key = store.add(item)
    store = forget(store, key)
    write_nifti(Path(item["image"]), ct_array(seed=9), affine_of("LPS"))
    assert store.fingerprint(key) is None


def test_a_store_that_cannot_be_written_to_gives_it_too(prepared, monkeypatch):
    store, key, _, wanted = prepared
    store = forget(store, key)

    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(later_fingerprint, "write_json", refuse)
    assert store.fingerprint(key) == wanted
    shutil.rmtree(store.root / key)
