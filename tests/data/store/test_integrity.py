"""Verify finds what time, disks and killed runs do to a store; repair fixes it from the sources."""

from __future__ import annotations

import json
import os
import re

import filelock
import numpy as np
import pytest

from monai_cl.data.store.locks import Busy, entry_lock, is_claimed
from monai_cl.data.store.volume_store import Preparation, VolumeStore
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, items_of, write_nifti


@pytest.fixture
def items(tmp_path):
    return items_of(tmp_path, 2)


@pytest.fixture
def store(tmp_path, items):
    store = VolumeStore.create(tmp_path / "store")
    for item in items:
        store.add(item)
    return store


def flip_a_bit(path, position=0.5):
    content = bytearray(path.read_bytes())
    content[int(len(content) * position)] ^= 4
    path.write_bytes(bytes(content))


def test_a_whole_store_has_no_problem(store):
    assert store.verify() == []
    assert store.repair() == []


@pytest.mark.parametrize("name", ["image.b2nd", "label.b2nd", "coordinates.npz", "entry.json"])
@pytest.mark.parametrize("position", [0.1, 0.5, 0.95])
def test_a_flipped_bit_is_found_and_repaired(store, items, name, position):
    key = store.key(items[0])
    good = store.read(key), store.read(key, kind="label")
    flip_a_bit(store.root / key / name, position)
    (problem,) = store.verify()
    assert key in problem
    assert "damaged" in problem
    (done,) = store.repair()
    assert key in done
    if name == "entry.json":  # what it was made from is no longer known
        assert f"run `python -m monai_cl prepare LIST --store {store.root}` again" in done
        store.add(items[0])
    assert store.verify() == []
    np.testing.assert_array_equal(store.read(key), good[0])
    np.testing.assert_array_equal(store.read(key, kind="label"), good[1])


def test_a_missing_file_is_found_and_repaired(store, items):
    key = store.key(items[1])
    (store.root / key / "label.b2nd").unlink()
    assert "label.b2nd is missing" in store.verify()[0]
    store.repair()
    assert store.verify() == []


def test_a_label_map_survives_the_repair(store, items):
    key = store.add(items[0] | {"label_map": {5: 3}})
    flip_a_bit(store.root / key / "label.b2nd")
    assert store.repair() == [f"{store.root / key}: made again"]
    assert store.entry(key).classes == (3,)


def test_entries_of_other_preparations_are_repaired_with_theirs(store, items):
    other = VolumeStore.open(store.root, Preparation(None, "slices"))
    key = other.add(items[0])
    flip_a_bit(store.root / key / "image.b2nd")
    assert store.repair() == [f"{store.root / key}: made again"]
    assert other.entry(key).preparation["layout"] == "slices"


def test_damage_without_a_source_removes_the_entry(store, items):
    key = store.key(items[0])
    flip_a_bit(store.root / key / "image.b2nd")
    os.remove(items[0]["image"])
    (done,) = store.repair()
    assert "removed, it could not be made again" in done
    assert key not in store
    assert len(store.keys()) == 1
    assert store.verify() == []


def test_a_changed_source_is_noticed_and_its_entry_replaced(store, items):
    key = store.key(items[0])
    write_nifti(items[0]["image"], ct_array(seed=50), affine_of("LPS"))
    (problem,) = store.verify()
    assert f"{store.root / key}: stale: {items[0]['image']} has changed" in problem
    assert store.verify(sources=False) == []
    (done,) = store.repair()
    assert "replaced by" in done
    assert key not in store
    assert store.key(items[0]) in store
    assert store.verify() == []


def test_a_changed_source_that_cannot_be_read_keeps_the_old_entry(store, items):
    key = store.key(items[0])
    with open(items[0]["image"], "r+b") as file:
        file.truncate(300)
    (done,) = store.repair()
    assert "kept as it was" in done
    assert key in store


@pytest.fixture
def rotten(tmp_path):
    """A store, its item and the sound image, of which one bit has changed since; size and time have not."""
    (item,) = items_of(tmp_path, 1)
    item["image"] = str(write_nifti(tmp_path / "plain.nii", ct_array(), affine_of("LPS")))
    store = VolumeStore.create(tmp_path / "store")
    store.add(item)
    image = tmp_path / "plain.nii"
    sound, time = image.read_bytes(), image.stat().st_mtime_ns
    flip_a_bit(image)
    os.utime(image, ns=(time, time))
    return store, item, sound


def test_a_bit_flipped_in_a_source_without_checksums_is_found_and_the_good_entry_kept(rotten):
    store, item, sound = rotten
    key = store.key(item)
    good = store.read(key)
    (problem,) = store.verify()
    assert f"{store.root / key}: suspect: {item['image']} has other bytes" in problem
    assert store.verify(sources=False) == []
    (done,) = store.repair()
    assert "kept as it was" in done
    np.testing.assert_array_equal(store.read(key), good)
    with open(item["image"], "wb") as file:
        file.write(sound)
    assert store.verify() == []


def test_other_bytes_are_taken_once_the_file_is_touched(rotten):
    store, item, _ = rotten
    before = store.key(item)
    os.utime(item["image"])
    (done,) = store.repair()
    assert "replaced by" in done
    assert before not in store
    assert store.key(item) in store
    assert store.verify() == []


def test_a_damaged_entry_made_again_has_the_name_of_what_its_source_holds_now(rotten):
    store, item, _ = rotten
    flip_a_bit(store.root / store.key(item) / "image.b2nd")
    (done,) = store.repair()
    assert "because its source has changed" in done
    assert store.verify() == []
    assert store.key(item) in store


def test_a_source_that_is_gone_is_not_a_problem(store, items):
    os.remove(items[0]["image"])
    assert store.verify() == []


def test_what_a_killed_run_left_is_swept_but_not_what_a_living_one_writes(store, items):
    key = store.key(items[0])
    left = store.root / f".tmp-{key}-12345-abcd"
    left.mkdir()
    (left / "image.b2nd").write_bytes(b"half")
    with entry_lock(store.root, "another"):
        assert [str(left) in problem for problem in store.verify()] == [True]
    lock = store.root / ".locks" / key
    with filelock.FileLock(lock):  # as processes of earlier versions hold it
        assert store.verify() == []
        assert is_claimed(store.root, key)
    assert store.repair() == [f"{left}: removed what a killed run left"]
    assert not left.exists()


def test_a_held_claim_is_busy_and_a_free_one_sweeps(store):
    with entry_lock(store.root, "some"), pytest.raises(Busy), entry_lock(store.root, "some", wait=False):
        pass
    left = store.root / ".tmp-some-77-beef"
    left.mkdir()
    with entry_lock(store.root, "some"):
        assert not left.exists()


def test_folders_that_are_not_entries_are_left_alone(store):
    (store.root / "my notes").mkdir()
    assert store.verify() == []
    assert store.repair() == []
    assert (store.root / "my notes").is_dir()
    assert len(store.all_keys()) == 2


def test_a_damaged_array_is_an_error_when_read_not_noise(store, items):
    key = store.key(items[0])
    path = store.root / key / "image.b2nd"
    path.write_bytes(path.read_bytes()[:100])
    command = re.escape(f"run `python -m monai_cl store repair {store.root}`")
    with pytest.raises(UserError, match=rf"image\.b2nd: expected .* {command}"):
        VolumeStore.open(store.root).read(key)
    (store.root / key / "entry.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=rf"found a damaged file .* {command}"):
        VolumeStore.open(store.root).entry(key)


def test_entry_json_is_plain_data(store, items):
    content = json.loads((store.root / store.key(items[0]) / "entry.json").read_text(encoding="utf-8"))
    assert {"affine", "shape", "spacing", "source", "crc32", "classes", "preparation"} <= set(content)
    assert set(content["source"]["image"]) == {"path", "size", "modified", "sha256", "state"}
    with np.load(store.root / store.key(items[0]) / "coordinates.npz", allow_pickle=False) as archive:
        assert sorted(archive.files) == ["-1", "1", "2", "5"]


def test_repairs_that_meet_leave_the_work_to_the_faster(store, items, monkeypatch):
    from monai_cl.data.store import integrity

    left = store.root / ".tmp-left-1-abcd"
    left.mkdir()
    write_nifti(items[1]["image"], ct_array((12, 10, 8)), affine_of("RAS"))
    problems = integrity.find_problems(store)
    assert {problem.kind for problem in problems} >= {"unfinished"}
    for problem in problems:  # the other process comes first
        integrity.remove(problem.folder)
    monkeypatch.setattr(integrity, "find_problems", lambda *_, **__: problems)
    assert all("another process" in line or "kept as it was" in line for line in store.repair())


def test_a_failure_of_one_repair_does_not_stop_the_next(store, items, monkeypatch):
    for item in items:
        flip_a_bit(store.root / store.key(item) / "image.b2nd")
    fill, first = VolumeStore.fill, []

    def fragile(self, slot, **options):
        if not first:
            first.append(slot)
            raise MemoryError("no room")
        return fill(self, slot, **options)

    monkeypatch.setattr(VolumeStore, "fill", fragile)
    done = store.repair()
    assert len(done) == 2
    assert "could not be made again: no room" in done[0]
    assert done[1].endswith("made again")


@pytest.mark.parametrize("preparation", [{"spacing": None, "colour": 1}, [1], {"spacing": -1}])
def test_a_description_that_is_none_is_reported(store, preparation):
    path = store.root / "store.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"preparation": preparation}))
    with pytest.raises(UserError, match="expected the description of a store"):
        VolumeStore.open(store.root)
