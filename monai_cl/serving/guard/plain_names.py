"""What a client may call a scan, a label, a tag or a model: one plain name, never a path, in whatever encoding."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

LONGEST = 200  # bytes; with an ending it still fits into the 255 of a file system
_FOLDERS = re.compile(r"[/\\]")
_DRIVE = re.compile(r"[A-Za-z]:")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")


def name_fault(name: str) -> str | None:
    """Why a text is not a plain name, or None where it is one.

    A plain name is printable, at most 200 bytes, without ``/`` and ``\\``, does not begin with ``.``, ``~`` or a drive
    letter, and stays so however often it is percent-decoded.
    """
    if not name:
        return "it is empty"
    for text in _decoded(name):
        if not text.isprintable() or "\ufffd" in text:
            return "it holds a character that cannot be printed"
        if _FOLDERS.search(text):
            return "it names a folder"
        if text.startswith((".", "~")) or _DRIVE.match(text):
            return "it begins like a path"
    if len(name.encode()) > LONGEST:
        return f"it is longer than {LONGEST} bytes"
    return None


def text_fault(value: Any) -> str | None:
    """Why a value of JSON holds a text that would be a path, or None: its texts are free otherwise.

    Names of segments, remarks and client ids may hold ``/``, but no text may lead anywhere: absolute, with ``..``,
    ``\\``, a scheme, or with control characters other than line feed and tab.
    """
    if isinstance(value, dict):
        return next((fault for pair in value.items() for part in pair if (fault := text_fault(part))), None)
    if isinstance(value, (list, tuple)):
        return next((fault for part in value if (fault := text_fault(part))), None)
    if not isinstance(value, str):
        return None
    for text in _decoded(value):
        if not text.translate({10: None, 13: None, 9: None}).isprintable() or "\ufffd" in text:
            return "it holds a character that cannot be printed"
        if "\\" in text or text.startswith(("/", "~")) or _DRIVE.match(text) or _SCHEME.search(text):
            return "it reads like a path"
        if ".." in _FOLDERS.split(text.strip()):
            return "it names a folder"
    return None


def _decoded(text: str) -> Iterator[str]:
    """The text, and what it becomes when it is percent-decoded again and again."""
    for _ in range(len(text)):  # every step shortens it
        yield text
        further = unquote(text)
        if further == text:
            return
        text = further
    if not text:
        yield text
