"""A file of weights with a record: nobody who reads weights notices it, and damage to it is noticed."""

from __future__ import annotations

import zipfile

import pytest
import torch
from monai.handlers import CheckpointLoader

from monai_cl.errors import UserError
from monai_cl.networks import read_about, save_weights
from monai_cl.networks.archive import checksum_error

ABOUT = {"kind": "encoder", "preprocessing": {"spacing": [5.0, 5.0, 5.0]}, "organs": ["liver", "Milz_ä"]}


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(0)
    return save_weights(torch.nn.Linear(40, 3).state_dict(), tmp_path / "model.pt", ABOUT)


def test_what_was_said_is_read_again(file):
    assert read_about(file) == {"format": 1, **ABOUT}


@pytest.mark.parametrize("mmap", [False, True])
def test_the_state_dict_is_what_it_is_without_the_record(file, tmp_path, mmap):
    bare = save_weights(torch.load(file, weights_only=True), tmp_path / "bare.pt")
    one, other = (torch.load(path, weights_only=True, mmap=mmap) for path in (file, bare))
    assert list(one) == list(other) == ["weight", "bias"]
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert read_about(bare) is None


def test_monais_loader_reads_the_weights(file):
    target = torch.nn.Linear(40, 3)
    CheckpointLoader(str(file), {"network": target}, strict=True)(_Engine())
    assert torch.equal(target.weight, torch.load(file, weights_only=True)["weight"])


class _Engine:
    class state:
        max_epochs = None


def test_equal_content_gives_equal_bytes(file, tmp_path):
    again = save_weights(torch.load(file, weights_only=True), tmp_path / "again.pt", ABOUT)
    assert again.read_bytes() == file.read_bytes()


def test_a_changed_byte_of_the_record_is_a_wrong_checksum(file):
    with zipfile.ZipFile(file) as archive:
        start = archive.getinfo("archive/monai_cl.json").header_offset + 60
    content = bytearray(file.read_bytes())
    content[start] ^= 1
    file.write_bytes(content)
    assert checksum_error(file) is not None
    with pytest.raises(UserError, match=r"model\.pt: expected the record monai_cl\.json .* copy it again"):
        read_about(file)


@pytest.mark.parametrize("text", ["[]", "{", '{"format": "1"}', "{}"])
def test_another_record_is_refused(tmp_path, text):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/monai_cl.json", text)
    with pytest.raises(UserError, match="expected the record"):
        read_about(path)


def test_a_record_of_a_later_version_is_refused(tmp_path):
    path = save_weights({"a": torch.zeros(2)}, tmp_path / "model.pt", {**ABOUT, "format": 2})
    with pytest.raises(UserError, match="format 2, of a later version of monai_cl; update monai_cl"):
        read_about(path)


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"PK\x03\x04 and no more"])
def test_any_other_file_has_no_record(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    assert read_about(tmp_path / "model.pt") is None
    assert read_about(tmp_path / "nowhere.pt") is None


def test_nothing_changes_where_a_record_cannot_be_written(file):
    before = file.read_bytes()
    circle: dict = {}
    circle["circle"] = circle
    with pytest.raises(ValueError, match="Circular"):
        save_weights({"a": torch.zeros(2)}, file, circle)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["model.pt"]
