"""Units of length that headers state, as factors to mm, and a warning where a header leaves out the directions."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

from monai_cl.errors import UserError

logger = logging.getLogger(__name__)
_METRE, _CENTIMETRE, _MILLIMETRE, _MICROMETRE = 1000.0, 10.0, 1.0, 0.001
_NAMES = {
    **dict.fromkeys(("m", "meter", "metre", "meters", "metres"), _METRE),
    **dict.fromkeys(("cm", "centimeter", "centimetre", "centimeters", "centimetres"), _CENTIMETRE),
    **dict.fromkeys(("mm", "millimeter", "millimetre", "millimeters", "millimetres"), _MILLIMETRE),
    **dict.fromkeys(("um", "micron", "microns", "micrometer", "micrometre", "micrometers", "micrometres"), _MICROMETRE),
    # the two signs that Unicode has for micro; then both in UTF-8, read as Latin-1 and put into small letters
    **dict.fromkeys(("\u00b5m", "\u03bcm", "\u00e2\u00b5m", "\u00ee\u00bcm"), _MICROMETRE),
}
_NIFTI_CODES = {0: _MILLIMETRE, 1: _METRE, 2: _MILLIMETRE, 3: _MICROMETRE}
_LENGTH_BITS = 0b111  # of xyzt_units; the other bits are the unit of time


def nifti_unit(path: Path, xyzt_units: int) -> float:
    """Millimetres in the unit of length of a NIfTI header; a header that states none is in mm.

    Raises:
        UserError: a code that the standard does not have.
    """
    code = int(xyzt_units) & _LENGTH_BITS
    if code not in _NIFTI_CODES:
        raise UserError(
            path,
            expected="1 (metre), 2 (mm) or 3 (micrometre) as unit of length in xyzt_units",
            found=code,
            remedy="correct the header",
        )
    return _NIFTI_CODES[code]


def named_unit(path: Path, field: str, name: str) -> float:
    """Millimetres in a unit that a text header names.

    Raises:
        UserError: another word than a metric length.
    """
    factor = _NAMES.get(name.strip().lower())
    if factor is None:
        raise UserError(
            path,
            expected=f'a metric length such as "mm" under {field}',
            found=f'"{name.strip()}"',
            remedy="correct the header",
        )
    return factor


@lru_cache(maxsize=4096)
def warn_of_header(path: Path, what: str) -> None:
    """Log, once a file, what its header leaves out and what is assumed instead, or what it says in two ways."""
    logger.warning("%s: its header %s", path, what)


def warn_of_default_directions(path: Path, default: str) -> None:
    """Log, once a file, that its header has no orientation and what it is taken for."""
    warn_of_header(path, f"gives no orientation; assuming {default}")


def warn_of_default_position(path: Path) -> None:
    """Log, once a file, that its header does not say where the first voxel lies; ITK takes 0."""
    warn_of_header(path, "gives no position; assuming 0 mm")
