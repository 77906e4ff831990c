"""Series whose headers stay in memory between the steps of one process, so that no step opens the files for them again.

An inference to DICOM SEG checks all scans before it segments the first, then loads each one and writes its result: the
check keeps what it has read, and the series is released when its result is written.
"""

from __future__ import annotations

import os
from pathlib import Path

from monai_cl.data.dicom.slice_headers import files_of

# bounds the memory; of more scans than this, the headers of the later ones are read again
_MOST = 32

_State = tuple[tuple[str, int, int], ...]
_kept: dict[tuple[str, str | None], tuple[_State, object]] = {}


def keep(series: object, path: Path, uid: str | None = None) -> None:
    """Remember a `Series` that was opened at ``path``, with this Series Instance UID chosen if any, until released."""
    key = _key(path, uid)
    if len(_kept) < _MOST or key in _kept:
        _kept[key] = (_state(path), series)


def kept(path: Path, uid: str | None = None) -> object | None:
    """The `Series` that was kept, if its files still have the same names, sizes and times; else None."""
    state, series = _kept.get(_key(path, uid), ((), None))
    try:
        return series if series is not None and _state(path) == state else None
    except OSError:  # opening it again will say what is wrong
        return None


def release(path: str | os.PathLike, uid: str | None = None) -> None:
    """Forget a series, if it was kept."""
    _kept.pop(_key(path, uid), None)


def _key(path: str | os.PathLike, uid: str | None) -> tuple[str, str | None]:
    return os.path.abspath(path), uid


def _state(path: Path) -> _State:
    """Name, size in bytes and modification time (ns) of each file."""
    return tuple((file.name, (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files_of(path))
