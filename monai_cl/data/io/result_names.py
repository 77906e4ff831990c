"""What the results of a scan are called: one rule for label maps, DICOM SEG, pictures, tables and the label server."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from monai_cl.data.io.formats import strip_ending

# bytes; file systems take 255, of which a postfix, an ending and the parts of a temporary name are left
_LONGEST = 180
_SAME_FOR_ALL = ("imaging",)
# what one of the file systems in use refuses in a name
_ODD = frozenset('<>:"/\\|?*')


def result_name(scan: str | os.PathLike, *, series_part: str | None = None) -> str:
    """The name of a scan without its ending, as results begin with it.

    All other dots stay: DICOM folders are named by UIDs. Where a data set gives one name to all of its scans, as KiTS
    does (``case_00000/imaging.nii.gz``), the name of the folder is put in front.

    Args:
        scan: file, or folder of a DICOM series; it need not exist.
        series_part: the acquisition that is taken of the series; it is put behind.

    Returns:
        at most 180 bytes of UTF-8. What a file system may refuse in a name becomes ``_``; a name that is too long is
        cut, and one that was changed ends in a hash of the whole.
    """
    return _name(_absolute(scan), _depth(_absolute(scan)), series_part)


def result_names(scans: Iterable[str | os.PathLike], *, series_part: str | None = None) -> dict[str, str]:
    """Names for the results of several scans of one run, each another one.

    Scans that would have one name get more of their folders in front; where that does not tell them apart
    (``ct.nii.gz``, ``ct.nrrd``), a hash of their path behind.

    Args:
        scans: see `result_name`; one that is given twice counts once.
        series_part: see `result_name`.

    Returns:
        path as it was given -> name. Names differ also on file systems that ignore case or how accents are written.
    """
    paths = {str(scan): _absolute(scan) for scan in scans}
    depths = {path: _depth(path) for path in set(paths.values())}
    names: dict[Path, str] = {}
    for _ in range(max((len(path.parts) for path in depths), default=0)):
        names = {path: _name(path, depth, series_part) for path, depth in depths.items()}
        same = _repeated(names)
        if not same:
            break
        depths |= {path: depths[path] + 1 for path in same}
    for path in _repeated(names):
        names[path] = file_name(f"{_name(path, _depth(path), series_part)}-{_hash(str(path))}")
    return {given: names[path] for given, path in paths.items()}


def file_name(name: str) -> str:
    """A name as every file system takes it, see `result_name`.

    Args:
        name: such as the id of an item.
    """
    plain = "".join("_" if c in _ODD or not c.isprintable() else c for c in name).strip(" ") or "_"
    raw = plain.encode()
    if plain == name and len(raw) <= _LONGEST:
        return name
    ending = f"-{_hash(name)}"
    return raw[: _LONGEST - len(ending)].decode(errors="ignore") + ending


def _repeated(names: dict[Path, str]) -> list[Path]:
    counts = Counter(map(_compared, names.values()))
    return [path for path, name in names.items() if counts[_compared(name)] > 1]


def _compared(name: str) -> str:
    """As the file systems compare that ignore case, or how a letter with its accent is written."""
    return unicodedata.normalize("NFC", name).casefold()


def _absolute(scan: str | os.PathLike) -> Path:
    return Path(os.path.abspath(Path(scan).expanduser()))


def _depth(path: Path) -> int:
    """How many parts of the path a name has by itself."""
    return 2 if strip_ending(path.name).lower() in _SAME_FOR_ALL else 1


def _name(path: Path, depth: int, series_part: str | None) -> str:
    folders = path.parts[1:-1]
    parts = [
        *folders[max(len(folders) - depth + 1, 0) :],
        strip_ending(path.name),
        *([series_part] if series_part else []),
    ]
    return file_name("_".join(parts))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
