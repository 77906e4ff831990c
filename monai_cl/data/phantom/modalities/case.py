"""A synthetic section in memory, from (seed, index) by four independent streams: anatomy, marks, class, scanner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion, binary_fill_holes

from monai_cl.data.phantom.modalities.anatomy import AIR, Section, draw_section
from monai_cl.data.phantom.modalities.marks import Marks, draw_marks
from monai_cl.data.phantom.modalities.render import MODALITIES, field_of_view, render

__all__ = ["MODALITIES", "SectionCase", "section_case"]

_MARGIN = 12  # pixels from a mark's centre to the edge of the body and of what the scanner shows


@dataclass(frozen=True)
class SectionCase:
    """One synthetic image.

    Attributes:
        image: (96, 96) uint8, rows from the front to the back.
        target: 1 with a nodule, 0 without.
        modality: CT, MR, US or XR.
        section: its tissues.
        marks: its marks, of both classes.
    """

    image: np.ndarray
    target: int
    modality: str
    section: Section
    marks: Marks


def section_case(seed: int, index: int, modality: str, *, target: int | None = None) -> SectionCase:
    """Make one synthetic image; another target changes one mark and nothing else.

    Args:
        seed: of the cohort, >= 0.
        index: of the patient, >= 0.
        modality: of `MODALITIES`.
        target: with a nodule (1) or without (0); None: drawn, each in half of the cases.

    Raises:
        ValueError: an option out of its range.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must be >= 0, got {seed} and {index}")
    if modality not in MODALITIES or target not in (None, 0, 1):
        raise ValueError(f"modality must be one of {MODALITIES} and target 0, 1 or None, got {modality!r}, {target!r}")
    anatomy, marking, choice, scanner = (
        np.random.default_rng([seed, index, MODALITIES.index(modality), stream]) for stream in range(4)
    )
    section = draw_section(anatomy)
    body = binary_fill_holes(section.shares[AIR] < 0.5)
    shown = binary_erosion(field_of_view(modality) & body, iterations=_MARGIN, border_value=0)
    marks = draw_marks(marking, section.organs & shown)
    drawn = int(choice.random() < 0.5)
    target = drawn if target is None else target
    grey = render(modality, section.shares, marks.painted(target), scanner)
    return SectionCase(np.rint(grey * 255).astype(np.uint8), target, modality, section, marks)
