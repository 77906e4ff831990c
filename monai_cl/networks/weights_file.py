"""A file of weights that says what it is: a plain state dict for `torch.load`, and a record inside the same archive."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from monai_cl.errors import UserError
from monai_cl.files import new_file

FORMAT = 1
RECORD = "monai_cl.json"
_LARGEST = 64 << 20  # bytes of a record that is read: one of 100,000 scans has about 10 MiB


def save_weights(
    state: Mapping[str, Any], path: str | Path, about: Mapping[str, Any] | None = None, *, make_folder: bool = True
) -> Path:
    """``torch.save`` through a temporary file, with a record as one more member of the archive.

    The state dict, its keys included, is what it is without the record: ``torch.load(weights_only=True)``, also with
    ``mmap``, and MONAI's `CheckpointLoader` do not see the record. `read_about` reads it; `checksum_error` covers it.

    Args:
        state: name -> tensor, or a checkpoint of a run.
        path: the file; it appears whole or not at all.
        about: the record, see `monai_cl.data.model_record`; None: none.
        make_folder: make the folder of ``path``, see `monai_cl.files.new_file`.

    Raises:
        OSError, RuntimeError: it cannot be written; what was at ``path`` is still there.
    """
    path = Path(path)
    with new_file(path, make_folder=make_folder) as temporary:
        with temporary.open("wb") as stream:
            torch.save(state, stream)
        if about is not None:
            text = json.dumps({"format": FORMAT, **about}, indent=1, ensure_ascii=False, default=_plain)
            with zipfile.ZipFile(temporary, "a") as archive:
                # the names of torch's own members begin with a folder; a fixed date makes equal files of equal content
                folder = archive.namelist()[0].split("/")[0]
                archive.writestr(zipfile.ZipInfo(f"{folder}/{RECORD}"), text, zipfile.ZIP_DEFLATED)
    return path


def read_about(path: str | Path) -> dict[str, Any] | None:
    """The record in a file of weights; None where it has none (written elsewhere, or by an earlier version).

    Args:
        path: a file of `save_weights`, or any other file.

    Raises:
        UserError: a record that is damaged, or of a later version.
    """
    path = Path(path)
    if not path.is_file() or not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.split("/")[1:] == [RECORD]]
            if not members:
                return None
            if members[0].file_size > _LARGEST:
                raise ValueError(f"{members[0].file_size} bytes long")
            about = json.loads(archive.read(members[0]))
        if not isinstance(about, dict) or not isinstance(about.get("format"), int):
            raise ValueError("without the number of its format")
    # what zipfile, zlib and json raise for damage; a failing disk is reported as such
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError, RecursionError) as error:
        raise UserError(
            path, expected=f"the record {RECORD} of a model", found=f"a damaged one ({error})", remedy="copy it again"
        ) from error
    if about["format"] > FORMAT:
        raise UserError(
            path,
            expected=f"a record of format {FORMAT}",
            found=f"format {about['format']}, of a later version of monai_cl",
            remedy="update monai_cl",
        )
    return about


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
