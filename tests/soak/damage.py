"""Ways in which a file on a disk goes bad."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(1, len(data))]


def _flip_bit(data: bytes, draw: random.Random) -> bytes:
    """One bit of the content, after the archive's first header."""
    place = draw.randrange(len(data) // 10, len(data) * 9 // 10)
    return data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]


def _zero_block(data: bytes, draw: random.Random) -> bytes:
    """A sector that was never written."""
    start = draw.randrange(0, max(len(data) - 4096, 1))
    return data[:start] + bytes(min(4096, len(data) - start)) + data[start + 4096 :]


def _empty(data: bytes, draw: random.Random) -> bytes:
    return b""


def _other(data: bytes, draw: random.Random) -> bytes:
    return b"<html>quota exceeded</html>"


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut": _cut,
    "bit flipped": _flip_bit,
    "block of zeros": _zero_block,
    "empty": _empty,
    "another file": _other,
}


def damage(path: Path, kind: str, draw: random.Random) -> None:
    """Make a file bad, in place."""
    path.write_bytes(DAMAGES[kind](path.read_bytes(), draw))
