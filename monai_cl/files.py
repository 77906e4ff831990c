"""Files and folders that are either whole or absent: written beside their place, flushed to the disk, then renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from isal import isal_zlib

from monai_cl.errors import UserError

# what was written is lost; any other refusal means that a file system cannot flush this
_LOST = (errno.EIO, errno.ENOSPC, errno.EDQUOT)


def flush_to_disk(path: Path) -> None:
    """fsync a file or a folder; a file system that cannot flush folders (some network shares, Windows) is accepted.

    Raises:
        OSError: the disk is full, a quota used up, or the device failed: only now does the system say so.
    """
    with contextlib.suppress(PermissionError, IsADirectoryError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno in _LOST:
                raise
        finally:
            os.close(handle)


def temporary_name(path: Path) -> Path:
    """A name beside ``path`` that no other writer uses: ``.tmp-<name>-<process>-<random>``."""
    return path.with_name(f".tmp-{path.name}-{os.getpid()}-{secrets.token_hex(4)}")


def leftovers(folder: Path, name: str = "*") -> list[Path]:
    """Temporary files and folders of :func:`temporary_name` in ``folder``, of any process, sorted."""
    return sorted(folder.glob(f".tmp-{name}-*-*"))


def left_from(path: Path) -> str:
    """The name a left-over was meant to get."""
    return path.name.removeprefix(".tmp-").rsplit("-", 2)[0]


def remove(path: Path) -> bool:
    """Rename a file or folder out of the way, then delete it; False if another process was faster."""
    aside = temporary_name(path.with_name("removed"))
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return False
    _delete(aside)
    return True


def new_file(path: Path, *, make_folder: bool = True) -> AbstractContextManager[Path]:
    """Write a temporary file in the ``with`` block; on leaving it takes the place of ``path``.

    If the block raises, or the disk is full, what was at ``path`` before is still there.

    Args:
        path: the file.
        make_folder: make the folder of ``path``. Without it a folder that has vanished, with its disk, is an error.
    """
    if make_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    return _moved_into_place(path, lambda temporary: os.replace(temporary, path))


@contextlib.contextmanager
def new_directory(path: Path, *, keep_existing: bool = False) -> Iterator[Path]:
    """Fill a temporary folder in the ``with`` block; on leaving it becomes ``path``.

    Nothing appears at ``path`` if the block raises.

    Args:
        path: the folder; those above it are made.
        keep_existing: if another writer was faster, its folder stays and ours is dropped, for where the name says what
            the content is. Otherwise that is an OSError.
    """

    def move(temporary: Path) -> None:
        try:
            os.rename(temporary, path)
        except OSError:
            if not (keep_existing and path.is_dir()):
                raise

    with _moved_into_place(path, move) as temporary:
        temporary.mkdir(parents=True)
        yield temporary


@contextlib.contextmanager
def _moved_into_place(path: Path, move: Callable[[Path], None]) -> Iterator[Path]:
    """Yield a name beside ``path``; flush what was written there, move it into place, or delete it."""
    temporary = temporary_name(path)
    try:
        yield temporary
        for written in (*temporary.rglob("*"), temporary):
            flush_to_disk(written)
        move(temporary)
        flush_to_disk(path.parent)
    finally:
        _delete(temporary)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def write_json(path: Path, content: Any) -> None:
    """Replace ``path`` by ``content`` as JSON; a reader sees the old file or the new one, never a part."""
    with new_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")


def write_atomically(path: str | os.PathLike, content: bytes) -> None:
    """Replace ``path`` by ``content`` in one step, see :func:`new_file`; for what a user has named.

    Raises:
        UserError: when the place cannot be written to; whatever was there before is still there.
    """
    path = Path(path)
    with reported(path), new_file(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def reported(path: str | os.PathLike, what: str = "written", *, remedy: str = "choose another place") -> Iterator[None]:
    """Turn an OSError of the ``with`` block into the UserError that ``path`` cannot be written, or what else."""
    try:
        yield
    except OSError as error:
        raise UserError(path, found=f"cannot be {what} ({error.strerror or error})", remedy=remedy) from error


_BLOCK = 1 << 20


def read_blocks(path: Path, *, limit: int | None = None) -> Iterator[bytes]:
    """A file's bytes in blocks of 1 MiB, for a hash.

    Args:
        path: the file.
        limit: bytes from the beginning; None: all.
    """
    remaining = limit
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK if remaining is None else min(remaining, _BLOCK)):
            yield block
            remaining = None if remaining is None else remaining - len(block)


def crc32(path: Path) -> int:
    """CRC-32 of a file's bytes."""
    value = 0
    for block in read_blocks(path):
        value = isal_zlib.crc32(block, value)
    return value


def sha256(path: Path, *, limit: int | None = None) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits; of the first ``limit`` of them where that is given."""
    digest = hashlib.sha256()
    for block in read_blocks(path, limit=limit):
        digest.update(block)
    return digest.hexdigest()


def size_in_words(count: int) -> str:
    """Bytes with a unit, such as "3.2 GB" (powers of 1000).

    Args:
        count: bytes.
    """
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def check_name(path: Path) -> None:
    """SimpleITK (2.5) aborts the process on a name that is not UTF-8; raises UserError instead."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError as error:
        shown = os.fspath(path).encode("utf-8", "backslashreplace").decode()
        raise UserError(shown, expected="a name in UTF-8", found="other bytes", remedy="rename it") from error
