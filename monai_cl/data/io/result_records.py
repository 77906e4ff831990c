"""Whose a result is: a JSON file beside it names the scan, by path and content, and the files that belong to it.

A result of another scan is not replaced, and what a record names is not taken for a scan.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl._version import __version__
from monai_cl.errors import UserError
from monai_cl.files import sha256, write_atomically

SCAN, FILES = "result_of", "files"
"""Keys of a record: the scan (``path``, ``sha256``, ``series_part``), and file name -> SHA-256 of what was written, or
None where the run was interrupted."""


def scan_identity(scan: str | os.PathLike, *, series_part: str | None = None) -> dict[str, str | None]:
    """What a record says of a scan: its absolute path, the SHA-256 of its content, the acquisition that was taken.

    Args:
        scan: file, or folder of a DICOM series. Of a folder the files' contents count, not their names; own results in
            it do not.
        series_part: the acquisition.
    """
    path = Path(os.path.abspath(Path(scan).expanduser()))
    if path.is_dir():
        own = own_results(path)
        files = [file for file in path.iterdir() if file.is_file() and file.name not in own]
        digest = hashlib.sha256("".join(sorted(map(sha256, files))).encode()).hexdigest()
    else:
        digest = sha256(path)
    return {"path": str(path), "sha256": digest, "series_part": series_part}


def write_record(
    record: Path,
    identity: Mapping[str, Any],
    files: Iterable[Path],
    *,
    more: Mapping[str, Any] | None = None,
    hashed: bool = True,
) -> None:
    """Write the record of a result.

    Args:
        record: the file, ending in ``.json``, in the folder of the results.
        identity: of the scan (:func:`scan_identity`).
        files: of the result.
        more: what else the file is to say; it comes first. Its ``files`` stay in the record.
        hashed: note what the files hold; False before they are written.
    """
    written = {file.name: sha256(file) if hashed and file.is_file() else None for file in files}
    written = {**(more or {}).get(FILES, {}), **written}
    content = {**(more or {}), SCAN: dict(identity), FILES: written, "made_by": f"monai_cl {__version__}"}
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write_atomically(record, text.encode("utf-8", "surrogateescape"))


def read_record(record: Path) -> dict[str, Any] | None:
    """What a record says; None for any other file.

    Args:
        record: the file, which need not exist.
    """
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict):
        return None
    return content if isinstance(content.get(SCAN), dict) and isinstance(content.get(FILES), dict) else None


def check_replaceable(
    record: Path, files: Sequence[Path], scan: str | os.PathLike, *, series_part: str | None = None
) -> None:
    """Refuse to replace what does not belong to this scan, or was edited after it was written.

    Args:
        record: of the result that is to be written.
        files: of that result.
        scan: whose result it will be.
        series_part: the acquisition that is taken of it.

    Raises:
        UserError: the result of another scan, a file that no record names, or one that was changed.
    """
    there = [file for file in (record, *files) if os.path.lexists(file)]
    if not there:
        return
    found = read_record(record)
    if found is None:
        raise _refusal(there[0], f"no result, or one of {scan}", "a file that no record names")
    identity = scan_identity(scan, series_part=series_part)
    owner = found[SCAN]
    if any(owner.get(key) != identity[key] for key in ("sha256", "series_part")):
        part = f" ({owner['series_part']})" if owner.get("series_part") else ""
        changed = owner.get("path") == identity["path"] and not part
        before = ", of which the content has changed since" if changed else ""
        raise _refusal(there[-1], f"no result, or one of {scan}", f"that of {owner.get('path')}{part}{before}")
    for file in filter(Path.is_file, files):
        if file.name not in found[FILES]:
            raise _refusal(file, f"no file, or a result of {scan}", "a file that no record names")
        noted = found[FILES][file.name]
        if noted is not None and noted != sha256(file):
            raise _refusal(file, f"the result of {scan} as it was written", "one that was edited since")


def own_results(folder: str | os.PathLike) -> set[str]:
    """Names in a folder that records there name as results, and those of the records themselves."""
    names: set[str] = set()
    for record in Path(folder).glob("*.json"):
        if (found := read_record(record)) is not None:
            names |= {record.name, *map(str, found[FILES])}
    return names


def _refusal(file: Path, expected: str, found: str) -> UserError:
    return UserError(
        file, expected=expected, found=found, remedy="name another place for it, or pass --overwrite True to replace it"
    )
