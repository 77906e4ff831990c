"""What a source file contains, by SHA-256: read once, then remembered with the size and time that its files had."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from monai_cl.data.io.formats import source_files
from monai_cl.errors import UserError
from monai_cl.files import read_blocks, sha256, write_json


@dataclass(frozen=True)
class Source:
    """A source file, or a DICOM folder taken as one.

    Attributes:
        path: absolute path.
        size: bytes (of all files of a folder).
        modified: newest modification time, ns since 1970.
        sha256: of the bytes; of a folder, over names and bytes in the order of names.
        state: digest of name, size and time of every file.
    """

    path: str
    size: int
    modified: int
    sha256: str
    state: str

    def is_current(self) -> bool:
        """Whether the files still have these names, sizes and times."""
        try:
            return _state(Path(self.path)) == (self.size, self.modified, self.state)
        except (OSError, UserError):
            return False


def fingerprint(path: str | os.PathLike, memory: Path | None = None, *, again: bool = False) -> Source:
    """Describe a source; the hash is computed only where ``memory`` does not know this path with this size and time.

    Args:
        path: file or DICOM folder.
        memory: folder for small JSON notes, one per path.
        again: compute the hash anyway: neither size nor time reveals damage on the disk.

    Raises:
        UserError: nothing at ``path``.
    """
    path = Path(os.path.abspath(path))
    size, modified, state = _state(path)
    if memory is not None and not again and (known := cached_fingerprint(path, memory)) is not None:
        return known
    source = Source(str(path), size, modified, _digest(path), state)
    if memory is not None:
        with contextlib.suppress(OSError):  # a read-only store still works
            write_json(_note(path, memory), asdict(source))
    return source


def cached_fingerprint(path: str | os.PathLike, memory: Path) -> Source | None:
    """The description noted for this path, if its size and time are still those; no hash is computed."""
    path = Path(os.path.abspath(path))
    known = _read_note(_note(path, memory))
    return known if known is not None and known.path == str(path) and known.is_current() else None


def file_state(path: str | os.PathLike) -> str:
    """A digest of name, size and time of a file, or of every file of a DICOM folder; nothing is read.

    Args:
        path: file or DICOM folder.

    Raises:
        UserError: nothing at ``path``.
    """
    return _state(Path(os.path.abspath(path)))[2]


def _state(path: Path) -> tuple[int, int, str]:
    states = [(file.name, (status := file.stat()).st_size, status.st_mtime_ns) for file in source_files(path)]
    _, sizes, times = zip(*states)
    return sum(sizes), max(times), hashlib.sha256(json.dumps(states).encode()).hexdigest()[:32]


def _note(path: Path, memory: Path) -> Path:
    name = hashlib.sha256(str(path).encode("utf-8", "surrogatepass")).hexdigest()
    return memory / f"{name[:24]}.json"


def _read_note(note: Path) -> Source | None:
    try:
        return Source(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _digest(path: Path) -> str:
    if not path.is_dir():
        return sha256(path)
    total = hashlib.sha256()
    for file in source_files(path):
        total.update(f"\0{file.name}\0{file.stat().st_size}\0".encode("utf-8", "surrogatepass"))
        for block in read_blocks(file):
            total.update(block)
    return total.hexdigest()
