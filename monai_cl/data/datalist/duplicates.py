"""Files with the same content: by size, then by their first bytes, then by a hash of the whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path

from monai_cl.files import sha256

_HEAD = 64 * 1024


def duplicate_files(paths: Iterable[str]) -> list[list[str]]:
    """Groups of two or more paths with equal content, in the order given.

    A folder (a DICOM series) counts as the multiset of its files' contents, whatever they are called. Paths that cannot
    be read are left out. Only files of equal size and equal first 64 KiB are read whole.
    """
    groups = [list(dict.fromkeys(paths))]
    for key in (_size, _head, _whole):
        groups = [same for group in groups for same in _group(group, key)]
    return groups


def _group(paths: list[str], key: Callable[[str], Hashable]) -> list[list[str]]:
    groups: dict[Hashable, list[str]] = {}
    for path in paths:
        try:
            groups.setdefault(key(path), []).append(path)
        except OSError:
            continue
    return [same for same in groups.values() if len(same) > 1]


def _files(path: str) -> list[Path]:
    if not os.path.isdir(path):
        return [Path(path)]
    return sorted(file for file in Path(path).rglob("*") if file.is_file())


def _size(path: str) -> tuple[int, int]:
    files = _files(path)
    return len(files), sum(file.stat().st_size for file in files)


def _head(path: str) -> str:
    return "" if os.path.isdir(path) else sha256(Path(path), limit=_HEAD)


def _whole(path: str) -> tuple[str, ...]:
    return tuple(sorted(sha256(file) for file in _files(path)))
