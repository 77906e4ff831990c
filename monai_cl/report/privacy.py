"""What a report may show where case ids are to stay hidden."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
from collections.abc import Callable


def case_namer(hash_patients: bool | str) -> Callable[[str], str]:
    """How case ids are shown: as they are, or as short keyed hashes (a bare hash of a short id could be looked up)."""
    if hash_patients is False:
        return str
    key = (secrets.token_hex(16) if hash_patients is True else hash_patients).encode()
    return lambda case: "case " + hmac.new(key, str(case).encode(), hashlib.sha256).hexdigest()[:8]


def is_untitled_png(content: bytes) -> bool:
    """Whether a PNG holds no text chunk named Title: `overlay_figure` writes one where it draws a title."""
    if not content.startswith(b"\x89PNG"):
        return False
    position = 8
    while position + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[position : position + 8])
        if kind in (b"tEXt", b"iTXt", b"zTXt") and content[position + 8 :].startswith(b"Title\0"):
            return False
        position += 12 + length
    return True
