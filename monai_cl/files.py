"""Files and folders that are either whole or absent: written beside their place, flushed to the disk, then renamed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isal import isal_zlib

from monai_cl.errors import UserError


def flush_to_disk(path: Path) -> None:
    """fsync a file or a folder; a file system that cannot flush folders (some network shares, Windows) is let pass."""
    with contextlib.suppress(PermissionError, IsADirectoryError):
        handle = os.open(path, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):
                os.fsync(handle)
        finally:
            os.close(handle)


def temporary_name(path: Path) -> Path:
    """A name beside ``path`` that no other writer uses: ``.tmp-<name>-<process>-<random>``."""
    return path.with_name(f".tmp-{path.name}-{os.getpid()}-{secrets.token_hex(4)}")


def leftovers(folder: Path, name: str = "*") -> list[Path]:
    """Temporary files and folders of :func:`temporary_name` in ``folder``, of any process, sorted."""
    return sorted(folder.glob(f".tmp-{name}-*-*"))


def left_from(path: Path) -> str:
    """The name a left-over was to get."""
    return path.name.removeprefix(".tmp-").rsplit("-", 2)[0]


def remove(path: Path) -> bool:
    """Take a file or folder away at once, then delete it; False if another process was faster."""
    aside = temporary_name(path.with_name("removed"))
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return False
    if aside.is_dir():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.unlink(missing_ok=True)
    return True


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Write a temporary file in the ``with`` block; on leaving it takes the place of ``path``, whose folder is made.

    If the block raises, or the disk is full, what was at ``path`` before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        yield temporary
        flush_to_disk(temporary)
        os.replace(temporary, path)
        flush_to_disk(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_json(path: Path, content: Any) -> None:
    """Replace ``path`` by ``content`` as JSON; a reader sees the old file or the new one, never a part."""
    with new_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")


@contextlib.contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Fill a temporary folder in the ``with`` block; on leaving it becomes ``path``.

    Nothing appears at ``path`` if the block raises. If another writer was faster, his folder stays and ours is dropped:
    the content is the same, for the name of an entry says what is in it.
    """
    temporary = temporary_name(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for file in temporary.iterdir():
            flush_to_disk(file)
        flush_to_disk(temporary)
        try:
            os.rename(temporary, path)
        except OSError:
            if not path.is_dir():
                raise
        flush_to_disk(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_atomically(path: str | os.PathLike, content: bytes) -> None:
    """Replace ``path`` by ``content`` in one step: temporary file beside it, fsync, rename. Makes the folder.

    Raises:
        UserError: when the place cannot be written to; whatever was there before is still there.
    """
    path = Path(path)
    try:
        with new_file(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from error


_BLOCK = 1 << 20


def crc32(path: Path) -> int:
    """CRC-32 of a file's bytes."""
    value = 0
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            value = isal_zlib.crc32(block, value)
    return value


def check_name(path: Path) -> None:
    """SimpleITK (2.5) ends the process at a name that is not UTF-8; raises UserError instead."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError as error:
        shown = os.fspath(path).encode("utf-8", "backslashreplace").decode()
        raise UserError(f"{shown}: expected a name in UTF-8, found other bytes; rename it") from error
