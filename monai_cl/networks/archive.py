"""Whether a file of weights is, byte for byte, what was written: ``torch.load`` does not check."""

from __future__ import annotations

import errno
import zipfile
from pathlib import Path


def checksum_error(path: str | Path) -> str | None:
    """What is wrong with the zip archive that ``torch.save`` wrote, or None if every checksum in it is right.

    ``torch.load`` ignores the CRC32 that ``torch.save`` leaves beside every tensor: nine in ten flipped bits are loaded
    as weights. The file is read once more for it.

    Args:
        path: the file; one in the format before PyTorch 1.6 has no checksums and counts as intact.
    """
    path = Path(path)
    try:
        if not zipfile.is_zipfile(path) and not _begins_as_zip(path):
            return None
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
    # what zipfile and zlib raise for a wrong length, name or compression method; not what a failing disk raises
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError, OverflowError) as error:
        return str(error) or type(error).__name__
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the beginning of the file
            raise
        return str(error)
    return None if wrong is None else f"the checksum of {wrong} is wrong"


def _begins_as_zip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"PK\x03\x04"
