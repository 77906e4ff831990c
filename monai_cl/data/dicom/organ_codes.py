"""What an organ's name means to other programs: SNOMED CT codes as DICOM uses them."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A coded word: value, coding scheme, meaning."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class OrganCode:
    """What a segment shows.

    Attributes:
        category: anatomical structure, or morphologically abnormal structure for tumours.
        type: the organ, or neoplasm.
        modifier: left or right.
        region: the organ a tumour sits in.
    """

    category: Code
    type: Code
    modifier: Code | None = None
    region: Code | None = None


ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
NEOPLASM = Code("108369006", "SCT", "Neoplasm")
SIDES = {"left": Code("7771000", "SCT", "Left"), "right": Code("24028007", "SCT", "Right")}
ORGANS = {
    "adrenal gland": Code("23451007", "SCT", "Adrenal gland"),
    "aorta": Code("15825003", "SCT", "Aorta"),
    "colon": Code("71854001", "SCT", "Colon"),
    "duodenum": Code("38848004", "SCT", "Duodenum"),
    "esophagus": Code("32849002", "SCT", "Esophagus"),
    "gallbladder": Code("28231008", "SCT", "Gallbladder"),
    "heart": Code("80891009", "SCT", "Heart"),
    "inferior vena cava": Code("64131007", "SCT", "Inferior vena cava"),
    "kidney": Code("64033007", "SCT", "Kidney"),
    "liver": Code("10200004", "SCT", "Liver"),
    "lung": Code("39607008", "SCT", "Lung"),
    "pancreas": Code("15776009", "SCT", "Pancreas"),
    # BTCV's label of both veins; SNOMED has a code for either, and the segment's label says what is meant
    "portal vein and splenic vein": Code("32764006", "SCT", "Portal vein"),
    "prostate": Code("41216001", "SCT", "Prostate"),
    "spleen": Code("78961009", "SCT", "Spleen"),
    "stomach": Code("69695003", "SCT", "Stomach"),
}
_OTHER_WORDS = {
    "oesophagus": "esophagus",
    "pancreatic": "pancreas",
    "hepatic": "liver",
    "renal": "kidney",
    "gall bladder": "gallbladder",
    "postcava": "inferior vena cava",
    "ivc": "inferior vena cava",
}
_MADE_UP = re.compile(r"label \d+")  # what `create_data_list` calls values without a name
_TUMOUR = re.compile(r"^(?P<organ>.*?)\s*(tumou?rs?|lesions?|cancer|neoplasms?)$")


def organ_code(name: str) -> OrganCode:
    """The code of an organ or tumour by its name in a data list; an unknown name gets one of a private scheme.

    Plurals, British spelling, underscores and a side in front or behind are understood.

    Args:
        name: such as ``spleen``, ``right kidney``, ``adrenal_gland_left``, ``liver tumour``.
    """
    side, words, tumour = _parts(name)
    organ = ORGANS.get(words)
    modifier = SIDES[side] if side else None
    if tumour:
        return OrganCode(ABNORMAL, NEOPLASM, modifier, organ)
    return OrganCode(ANATOMY, organ, modifier) if organ else OrganCode(ANATOMY, _own(plain_words(name), name))


def organ_key(name: str) -> str:
    """One text for all names of an organ or tumour that :func:`organ_code` understands as the same.

    Args:
        name: such as ``Kidneys_left`` (``left kidney``), ``hepatic lesion`` (``liver tumour``).
    """
    side, words, tumour = _parts(name)
    if not words:  # of any organ: what one list calls lesion may not be what another calls cancer
        return _words(name)
    return " ".join(word for word in (side, words, "tumour" if tumour else "") if word)


def names_organ(name: str) -> bool:
    """Whether a name says which organ it is of: ``tumour`` alone does not, nor does ``label 1``.

    Args:
        name: of an organ or tumour.
    """
    words = _parts(name)[1]
    return bool(words) and not _MADE_UP.fullmatch(words)


def may_overlap(first: str, second: str) -> bool:
    """Whether two names may stand for the same tissue: where one says all that the other says, and more or as much.

    So a part, a side or a tumour of an organ overlaps the organ, and two sides do not overlap.

    Args:
        first: name of an organ or tumour.
        second: likewise.
    """
    (sides, words), (other_sides, other_words) = (_said(name) for name in (first, second))
    if sides and other_sides and not sides & other_sides:
        return False
    return words <= other_words or other_words <= words


def plain_words(name: str) -> str:
    """A name in small letters and digits, its words parted by single spaces.

    Args:
        name: of an organ.
    """
    return " ".join(re.sub(r"[^a-z0-9]+", " ", name.lower()).split())


def _parts(name: str) -> tuple[str, str, bool]:
    """Side or "", organ as the table has it or in the name's own words, and whether a tumour of it is meant."""
    words = _words(name).split()
    side = next((side for side in SIDES if side in words), "")
    plain = " ".join(word for word in words if word != side)
    tumour = _TUMOUR.match(plain)
    organ = tumour["organ"] if tumour else plain
    organ = _OTHER_WORDS.get(organ, organ)
    singular = organ.removesuffix("s")
    return side, singular if singular in ORGANS else organ, bool(tumour)


def _words(name: str) -> str:
    """As `plain_words`, with the letters of every script: names of organs in one of them are not all the same."""
    return " ".join(re.sub(r"[\W_]+", " ", name.lower()).split())


def _said(name: str) -> tuple[set[str], set[str]]:
    """The sides in a name, and its other words, each in one spelling and number."""
    words = {part for word in organ_key(name).split() for part in _OTHER_WORDS.get(word, word).split()}
    return words & SIDES.keys(), {word.removesuffix("s") for word in words - SIDES.keys() - {"and"}}


def _own(words: str, name: str) -> Code:
    # a scheme that begins with 99 is private (DICOM PS3.16, 8.2); a value holds 16 characters, a meaning 64
    return Code(words.replace(" ", "-")[:16] or "unnamed", "99MONAI_CL", name[:64])
