"""Files and folders that are whole or absent, and hashes of what is in them."""

from __future__ import annotations

import errno
import hashlib
import os
import zlib
from pathlib import Path

import pytest

from monai_cl import files
from monai_cl.errors import UserError
from monai_cl.files import crc32, new_directory, new_file, sha256, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_place_when_the_block_ends_and_its_folder_is_made(tmp_path):
    path = tmp_path / "deep" / "folder" / "a.txt"
    with new_file(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "new"
    assert names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("writer", [new_file, new_directory])
def test_a_block_that_fails_changes_nothing(tmp_path, writer):
    path = tmp_path / "a"
    path.write_text("old")

    def fail() -> None:
        with writer(path) as temporary:
            (temporary / "b" if temporary.is_dir() else temporary).write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_folder_that_has_vanished_is_not_made_where_it_must_be_there(tmp_path):
    with pytest.raises(FileNotFoundError), new_file(tmp_path / "gone" / "a", make_folder=False) as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == []


def test_a_folder_appears_whole_with_what_lies_deeper(tmp_path):
    with new_directory(tmp_path / "a" / "b") as folder:
        (folder / "c").mkdir()
        (folder / "c" / "d.txt").write_text("x")
        assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a" / "b" / "c" / "d.txt").read_text() == "x"
    assert names(tmp_path / "a") == ["b"]


@pytest.mark.parametrize("keep", [True, False])
def test_the_folder_of_a_faster_writer_stays_or_is_an_error(tmp_path, keep):
    def write() -> None:
        with new_directory(tmp_path / "a", keep_existing=keep) as folder:
            (folder / "mine").touch()
            (tmp_path / "a").mkdir()
            (tmp_path / "a" / "faster").touch()

    if keep:
        write()
    else:
        with pytest.raises(OSError, match="not empty"):
            write()
    assert names(tmp_path / "a") == ["faster"]
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_loses_what_was_written_when_it_is_flushed_is_an_error(tmp_path, monkeypatch, code):
    write_atomically(tmp_path / "a", b"old")

    def refuse(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(UserError, match=r"a: cannot be written \(.*\); choose another place"):
        write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_file_system_that_cannot_flush_is_accepted(tmp_path, monkeypatch):
    def cannot(handle: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(files.os, "fsync", cannot)
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_hashes_are_those_of_the_bytes(tmp_path, size):
    content = os.urandom(size)
    path = tmp_path / "a"
    path.write_bytes(content)
    assert sha256(path) == hashlib.sha256(content).hexdigest()
    assert crc32(path) == zlib.crc32(content)
    for limit in (1, 1 << 20, (1 << 20) + 5):
        assert sha256(path, limit=limit) == hashlib.sha256(content[:limit]).hexdigest()
