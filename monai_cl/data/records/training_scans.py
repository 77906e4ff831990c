"""By what a scan is recognised in another list: its content and its patient. Weights carry this of their training."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# "7" or "0012" is a place in somebody's table, the patient numbers of a hospital are longer
_SERIAL_NUMBER = re.compile(r"\d{1,4}")


@dataclass(frozen=True)
class ScanIdentity:
    """A scan without its name.

    Attributes:
        fingerprint: of its content, see :func:`monai_cl.data.io.fingerprint.scan_fingerprint`; None where not known.
        patients: see :func:`patient_keys`; two scans are of one patient if they share a key.
        used: what training took of it besides the image: ``"labels"``, ``"target"`` or "".
        name: how a message names it; "" where that is not known, as in weights.
    """

    fingerprint: str | None
    patients: frozenset[str]
    used: str = ""
    name: str = field(default="", compare=False)


@dataclass(frozen=True)
class Match:
    """A scan that occurs twice: the same content (``same_scan``), or another scan of the same patient."""

    scan: ScanIdentity
    seen: ScanIdentity
    same_scan: bool


def patient_keys(patient: str, *, dataset: str, stated: bool) -> frozenset[str]:
    """Hashes by which a patient is recognised: 32 hexadecimal digits each, so that weights carry no patient's id.

    The patients of two data sets are the same where both lists state the id and it is more than a serial number of up
    to four digits. Within data sets of one name any id counts, also the scan's own, which stands in for one that the
    list does not state. Case does not count, nor do blanks around and between words.

    Args:
        patient: id of the patient.
        dataset: name of the data set.
        stated: whether the list states the id.
    """
    patient = one_spelling(patient)
    names = [[dataset, patient]]
    if stated and _SERIAL_NUMBER.fullmatch(patient) is None:
        names.append([patient])
    return frozenset(hashlib.sha256(json.dumps(name).encode()).hexdigest()[:32] for name in names)


def one_spelling(patient: str) -> str:
    """A patient's id without what tells no patients apart: case, and blanks, with which DICOM pads it."""
    return " ".join(patient.split()).casefold()


def find_matches(scans: Iterable[ScanIdentity], seen: Iterable[ScanIdentity]) -> list[Match]:
    """The scans that are among those seen, in their order, each once: by its content before its patient.

    Args:
        scans: those that are to be new.
        seen: those that were used before.
    """
    by_content: dict[str, ScanIdentity] = {}
    by_patient: dict[str, ScanIdentity] = {}
    for one in seen:
        if one.fingerprint is not None:
            by_content.setdefault(one.fingerprint, one)
        for key in one.patients:
            by_patient.setdefault(key, one)
    matches = []
    for scan in scans:
        same = by_content.get(scan.fingerprint or "")
        patient = next((by_patient[key] for key in sorted(scan.patients) if key in by_patient), None)
        if (found := same or patient) is not None:
            matches.append(Match(scan, found, same_scan=same is not None))
    return matches


def scans_record(scans: Iterable[ScanIdentity]) -> list[dict[str, Any]]:
    """``training.scans`` of a file of weights: ``fingerprint``, ``patient`` (keys) and ``used`` of every scan."""
    return [{"fingerprint": s.fingerprint, "patient": sorted(s.patients), "used": s.used} for s in scans]


def recorded_scans(record: Any) -> list[ScanIdentity]:
    """What :func:`scans_record` wrote, of this or a later version; entries of another form are left out."""
    found = []
    for entry in record if isinstance(record, Sequence) and not isinstance(record, str) else ():
        if isinstance(entry, Mapping):
            keys = entry.get("patient")
            patients = frozenset(map(str, keys)) if isinstance(keys, list) else frozenset()
            found.append(ScanIdentity(entry.get("fingerprint"), patients, str(entry.get("used") or "")))
    return found
