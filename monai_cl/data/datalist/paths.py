"""Paths in a data list: which are allowed, and where they lead."""

from __future__ import annotations

import os
import posixpath
import re
import sys


def name_fault(relative: str) -> str | None:
    """Why no file on this system can have this name, or None."""
    if "\0" in relative:
        return f"{relative!r} with a zero byte"
    try:
        os.fsencode(relative)
    except UnicodeEncodeError:
        return f"{relative!r}, which cannot be written in {sys.getfilesystemencoding()}, as file names here are"
    return None


def path_fault(relative: str) -> str | None:
    """Why a list may not contain ``relative`` (absolute, leaves the root, backslashes), or None. No disk access."""
    if "\\" in relative:
        return f"{relative!r} with backslashes"
    if relative.startswith(("/", "~")) or re.match(r"[A-Za-z]:", relative):
        return f"the absolute path {relative!r}"
    if posixpath.normpath(relative).split("/")[0] == "..":
        return f"{relative!r}, which leaves it through '..'"
    return None


def _real_path(path: str) -> str:
    try:
        return os.path.realpath(path)
    except ValueError:  # not a possible file name
        return path


def _is_link(path: str) -> bool:
    try:
        return os.path.islink(path)
    except ValueError:
        return False
