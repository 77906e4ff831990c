"""What is remembered of a source, and when it is not believed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

from monai_cl.data.store.sources import Source, cached_fingerprint, fingerprint
from monai_cl.data.store.volume_store import Preparation, VolumeStore
from tests.bundles.test_read_only import may_mount, read_only_prelude
from tests.data.volume_files import ct_array, write_dicom, write_nifti


def replace(path, content, modified):
    path.write_bytes(content)
    os.utime(path, ns=(modified, modified))


def test_a_source_is_hashed_once(tmp_path, monkeypatch):
    path = write_nifti(tmp_path / "a.nii.gz", ct_array())
    first = fingerprint(path, tmp_path / "notes")
    monkeypatch.setattr("monai_cl.data.store.sources._digest", lambda _: pytest.fail("hashed again"))
    assert fingerprint(path, tmp_path / "notes") == cached_fingerprint(path, tmp_path / "notes") == first


def test_a_replaced_slice_of_the_same_size_and_an_older_time_is_noticed(tmp_path):
    folder = write_dicom(tmp_path / "ct", ct_array(), np.arange(12.0))
    os.utime(folder / "slice000.dcm", ns=(2**61, 2**61))  # the newest
    before = fingerprint(folder, tmp_path / "notes")
    slice_file = folder / "slice003.dcm"
    content = bytearray(slice_file.read_bytes())
    content[-9] ^= 1
    replace(slice_file, bytes(content), before.modified - 10**12)
    assert not before.is_current()
    assert cached_fingerprint(folder, tmp_path / "notes") is None
    after = fingerprint(folder, tmp_path / "notes")
    assert (after.size, after.modified) == (before.size, before.modified)
    assert after.sha256 != before.sha256


def test_slices_that_swap_their_names_are_noticed(tmp_path):
    folder = write_dicom(tmp_path / "ct", ct_array(), np.arange(12.0))
    before = fingerprint(folder, tmp_path / "notes")
    (folder / "slice003.dcm").rename(folder / "other")
    (folder / "slice004.dcm").rename(folder / "slice003.dcm")
    (folder / "other").rename(folder / "slice004.dcm")
    assert fingerprint(folder, tmp_path / "notes").sha256 != before.sha256


def test_a_note_of_an_earlier_version_is_hashed_again(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", ct_array())
    found = fingerprint(path, tmp_path / "notes")
    (note,) = (tmp_path / "notes").iterdir()
    earlier = {key: value for key, value in asdict(found).items() if key != "state"}
    note.write_text(json.dumps(earlier | {"sha256": "0" * 64}), encoding="utf-8")
    assert cached_fingerprint(path, tmp_path / "notes") is None
    assert fingerprint(path, tmp_path / "notes") == found
    assert Source(**json.loads(note.read_text(encoding="utf-8"))) == found


@pytest.mark.skipif(sys.platform != "linux", reason="file names are not bytes everywhere")
def test_names_that_are_not_text_are_taken(tmp_path):
    folder = tmp_path / os.fsdecode(b"ct\xff")
    folder.mkdir()
    (folder / os.fsdecode(b"slice\xfe")).write_bytes(b"1")
    found = fingerprint(folder, tmp_path / "notes")
    assert fingerprint(folder, tmp_path / "notes") == found
    assert fingerprint(folder / os.fsdecode(b"slice\xfe"), tmp_path / "notes").size == 1


_ASK = """
import json, shutil, sys
from monai_cl.data.store.preparation import prepare
from monai_cl.data.slices.choice import slices_with
from monai_cl.data.store.volume_store import Preparation, VolumeStore
root, item = sys.argv[1], json.loads(sys.argv[2])
store = VolumeStore.open(root)
result = prepare([item], root, store.preparation, progress=False)
print(result.reused, store.find(item), slices_with(store, result.keys[0], 1).tolist(), store.verify())
"""


@pytest.mark.skipif(not may_mount(), reason="needs the right to mount in a namespace")
def test_a_store_on_a_read_only_disk_answers_though_it_remembers_nothing(tmp_path):
    label = np.zeros((40, 40, 12), np.uint8)
    label[..., 2:10] = 1  # more voxels than the store keeps, so that the slices are looked for
    image = write_nifti(tmp_path / "a.nii.gz", ct_array(label.shape))
    item = {"image": str(image), "label": str(write_nifti(tmp_path / "b.nii.gz", label))}
    store = VolumeStore.create(tmp_path / "store", Preparation(spacing=None))
    store.add(item)
    for note in (store.root / ".sources").iterdir():
        note.unlink()
    script = read_only_prelude(store.root) + _ASK
    command = [sys.executable, "-c", script, str(store.root), json.dumps(item)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == f"1 None {list(range(2, 10))} []"
