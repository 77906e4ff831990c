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
_Choice = tuple[str | None, ...]  # Series Instance UID and part, where one was chosen
_kept: dict[tuple[str, _Choice], tuple[_State, object]] = {}


def keep(series: object, path: Path, *choice: str | None) -> None:
    """Remember a `Series` that was opened at ``path``, with this UID and part chosen if any, until released."""
    key = _key(path, choice)
    if len(_kept) < _MOST or key in _kept:
        _kept[key] = (_state(path), series)


def kept(path: Path, *choice: str | None) -> object | None:
    """The `Series` that was kept, if its files still have the same names, sizes and times; else None."""
    state, series = _kept.get(_key(path, choice), ((), None))
    try:
        return series if series is not None and _state(path) == state else None
    except OSError:  # opening it again will say what is wrong
        return None


def release(path: str | os.PathLike, *choice: str | None) -> None:
    """Forget a series, if it was kept."""
    _kept.pop(_key(path, choice), None)


def _key(path: str | os.PathLike, choice: _Choice) -> tuple[str, _Choice]:
    return os.path.abspath(path), tuple((*choice, None, None)[:2])


def _state(path: Path) -> _State:
    """Name, size in bytes and modification time (ns) of each file."""
    return tuple((file.name, (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files_of(path))
