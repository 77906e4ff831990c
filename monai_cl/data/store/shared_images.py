"""Images that a store has already, under another list name, label or label map: linked, not stored again."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from monai_cl.data.store.entry import StoreEntry, load_entry
from monai_cl.data.store.keys import is_key
from monai_cl.errors import UserError
from monai_cl.files import crc32, write_atomically

IMAGE = "image.b2nd"
_NOTES = ".images"


def image_holder(root: Path, image_key: str) -> StoreEntry | None:
    """An entry with this image, whose file is as it was written; None where none is known.

    One of a version that noted no fingerprint of the scan does not count.

    Args:
        root: of the store.
        image_key: of a `Slot`.
    """
    try:
        key = (root / _NOTES / image_key).read_text(encoding="utf-8")
        entry = load_entry(root / key) if is_key(key) else None
    except (OSError, UnicodeDecodeError, UserError):
        return None
    with contextlib.suppress(OSError):
        if entry is not None and entry.fingerprint and crc32(entry.folder / IMAGE) == entry.crc32.get(IMAGE):
            return entry
    return None


def note_holder(root: Path, image_key: str, key: str) -> None:
    """Remember that an entry holds an image; a store that cannot be written to works without.

    Args:
        root: of the store.
        image_key: of a `Slot`.
        key: of the entry.
    """
    with contextlib.suppress(OSError):
        (root / _NOTES).mkdir(exist_ok=True)
        write_atomically(root / _NOTES / image_key, key.encode())


def link_image(holder: StoreEntry, folder: Path) -> bool:
    """Let an entry that is being written have the image of another one, as one file with two names.

    Args:
        holder: of `image_holder`.
        folder: of the new entry.

    Returns:
        False where the file system has no hard links, or the holder has gone: the image is then to be written.
    """
    try:
        os.link(holder.folder / IMAGE, folder / IMAGE)
    except OSError:
        return False
    return True


def bytes_alone(folders: Iterable[Path]) -> dict[Path, int]:
    """Bytes of the files of entries; of a file that several have, those of the first one's.

    Args:
        folders: of entries, in order.
    """
    seen: set[tuple[int, int]] = set()
    found = {}
    for folder in folders:
        found[folder] = 0
        for status in (file.stat() for file in folder.rglob("*") if file.is_file()):
            name = (status.st_dev, status.st_ino)
            if status.st_nlink > 1 and name in seen:
                continue
            seen.add(name)
            found[folder] += status.st_size
    return found


def bytes_freed(folders: Iterable[Path]) -> int:
    """Bytes that are free when these entries are deleted: a file counts if no other entry has it.

    Args:
        folders: of entries.
    """
    files = [file.stat() for folder in folders for file in folder.rglob("*") if file.is_file()]
    names = Counter((status.st_dev, status.st_ino) for status in files)
    whole = {(s.st_dev, s.st_ino): s.st_size for s in files if names[s.st_dev, s.st_ino] >= s.st_nlink}
    return sum(whole.values())
