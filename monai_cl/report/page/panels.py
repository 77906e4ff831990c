"""The panels of an overlay as pictures of their own, small enough for a page."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from monai_cl.report.overlays import PANELS_CHUNK

# as good as 75 to the eye, at half the size
_QUALITY = 40
# of a picture that is shown whole: as many pixels as a column of the page holds
_MOST_PIXELS = 240_000
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


@dataclass(frozen=True)
class Panel:
    """A part of a picture: what it shows, and it as WebP."""

    name: str
    content: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Panels:
    """The panels of one overlay, its planes one above the other in each, and the colours of its organs (name, #rgb)."""

    panels: tuple[Panel, ...]
    legend: tuple[tuple[str, str], ...]


def split_panels(content: bytes) -> Panels | None:
    """The panels of an overlay; None for other pictures and those of earlier versions, which do not say where they are.

    Args:
        content: a PNG or JPEG file that Pillow reads.
    """
    with Image.open(io.BytesIO(content), formats=["PNG", "JPEG"]) as picture:
        try:
            found = json.loads(picture.info[PANELS_CHUNK])
            names = [str(name) for name in found["columns"]]
            rows = [[[float(edge) for edge in box] for box in row] for row in found["rows"]]
            legend = tuple((str(name), str(colour)) for name, colour in found["legend"])
            columns = list(zip(names, zip(*rows, strict=True), strict=True))
            columns = [(name, [_pixels(box, picture.size) for box in boxes]) for name, boxes in columns]
        except (KeyError, TypeError, ValueError):
            return None
        if not columns or not all(_COLOUR.fullmatch(colour) for _, colour in legend):
            return None
        colours = picture.convert("RGB")
        return Panels(tuple(webp_panel(name, [colours.crop(box) for box in boxes]) for name, boxes in columns), legend)


def whole_picture(content: bytes) -> Panel:
    """A picture as one panel, scaled down where it is larger than a page shows.

    Args:
        content: a PNG or JPEG file that Pillow reads.
    """
    with Image.open(io.BytesIO(content), formats=["PNG", "JPEG"]) as picture:
        colours = picture.convert("RGB")
    scale = (_MOST_PIXELS / (colours.width * colours.height)) ** 0.5
    if scale < 1:
        colours = colours.resize([max(1, round(scale * side)) for side in colours.size])
    return webp_panel("", [colours])


def _pixels(box: list[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(edge * size[number % 2]) for number, edge in enumerate(box))
    if not (0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]):
        raise ValueError(f"expected a box in a picture of {size}, got {box}")
    return left, top, right, bottom


def webp_panel(name: str, parts: Sequence[Image.Image]) -> Panel:
    """Pictures one above the other as one panel.

    Args:
        name: what it shows.
        parts: RGB, from top to bottom.
    """
    whole = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)))
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    buffer = io.BytesIO()
    whole.save(buffer, format="WEBP", quality=_QUALITY, method=4)
    return Panel(name, buffer.getvalue(), whole.width, whole.height)
