"""The colour in which other programs are to show an organ, the same in every file."""

from __future__ import annotations

import colorsys
import hashlib

from monai_cl.data.dicom.organ_codes import organ_code, plain_words

# by the meaning of the organ's code, with its side in front where sides differ; bright on grey, far apart in hue where
# organs touch. Those of BTCV, in the order of its labels, have the colours that the report's overlays give them.
_COLOURS = {
    "spleen": "#E69F00",
    "right kidney": "#56B4E9",
    "left kidney": "#00C48C",
    "gallbladder": "#F0E442",
    "esophagus": "#FF5A36",
    "liver": "#CC79A7",
    "stomach": "#4C7DFF",
    "aorta": "#B6F000",
    "inferior vena cava": "#FF9DA7",
    "portal vein": "#9C6BFF",
    "pancreas": "#00D5D5",
    "right adrenal gland": "#C49A6C",
    "left adrenal gland": "#FF3DBB",
    "right lung": "#8FD694",
    "left lung": "#FFD9A0",
    "heart": "#D7263D",
    "colon": "#A0B4FF",
    "duodenum": "#A8763E",
    "prostate": "#D9B3FF",
    "neoplasm": "#FF0000",
}
# of an organ without an entry: HLS of one lightness and saturation, the hue by the name
_LIGHTNESS, _SATURATION = 0.6, 0.75


def organ_colour(name: str) -> tuple[int, int, int]:
    """The sRGB colour of an organ or tumour by its name in a data list, each value of 0 to 255.

    Names that mean one organ have one colour (see :func:`organ_code`); a paired organ without its side has that of the
    right one, every tumour the same. An organ without an entry in the table has a hue made from its name by a hash,
    the same on every machine and in every version.

    Args:
        name: such as ``spleen``, ``right kidney``, ``liver tumour``.
    """
    organ = organ_code(name)
    kind = organ.type.meaning.lower()
    sided = f"{organ.modifier.meaning.lower()} {kind}" if organ.modifier else f"right {kind}"
    if colour := _COLOURS.get(kind) or _COLOURS.get(sided):
        red, green, blue = bytes.fromhex(colour[1:])
        return red, green, blue
    hue = int.from_bytes(hashlib.sha256(plain_words(name).encode()).digest()[:4], "big") / 2**32
    red, green, blue = (round(255 * part) for part in colorsys.hls_to_rgb(hue, _LIGHTNESS, _SATURATION))
    return red, green, blue
