"""The packages: what is missing, out of range, or another version than the tested one."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping

from monai_cl.engines.doctor.check import NOTE, OK, PROBLEM, Check
from monai_cl.shipped import tested_versions

INSTALL = "pip install -c constraints.txt ."


def packages() -> list[Check]:
    """The required packages."""
    try:
        requirements = importlib.metadata.requires("monai-cl") or []
    except importlib.metadata.PackageNotFoundError:
        return [Check("packages", NOTE, "monai_cl itself is not installed, only imported from a folder", INSTALL)]
    required = [text for text in requirements if "extra ==" not in text]
    return judge_packages(required, installed={_name(text): _version(_name(text)) for text in required})


def judge_packages(
    requirements: list[str], *, installed: Mapping[str, str | None], tested: Mapping[str, str] | None = None
) -> list[Check]:
    """Compare versions.

    Args:
        requirements: such as ``monai>=1.6.1,<1.7``.
        installed: name -> version; None: missing.
        tested: name -> version; default: of ``constraints.txt``.
    """
    from packaging.requirements import Requirement

    tested = tested_versions() if tested is None else tested
    checks, others = [], []
    for text in requirements:
        requirement = Requirement(text)
        version = installed[_name(text)]
        pin = tested.get(_plain(requirement.name))
        if version is None:
            checks.append(Check(requirement.name, PROBLEM, "not installed", INSTALL))
        elif not requirement.specifier.contains(version, prereleases=True):
            advice = f"{INSTALL} (tested: {pin or requirement.specifier})"
            checks.append(Check(requirement.name, PROBLEM, f"{version}; expected {requirement.specifier}", advice))
        elif pin is not None and version.split("+")[0] != pin:
            others.append(f"{requirement.name} {version} (tested: {pin})")
    if others:
        checks.append(Check("packages", NOTE, "other versions than the tested ones: " + ", ".join(others), INSTALL))
    if not checks:
        checks.append(Check("packages", OK, f"{len(requirements)} required packages, in the tested versions"))
    return checks


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
