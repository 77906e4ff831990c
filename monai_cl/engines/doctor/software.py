"""The packages: what is missing, out of range, or another version than the tested one."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping

from monai_cl.engines.doctor.check import NOTE, OK, PROBLEM, Check
from monai_cl.shipped import installed_version, tested_versions

INSTALL = "pip install -c constraints.txt ."


def packages() -> list[Check]:
    """The required packages."""
    try:
        requirements = importlib.metadata.requires("monai-cl") or []
    except importlib.metadata.PackageNotFoundError:
        return [Check("packages", NOTE, "monai_cl itself is not installed, only imported from a folder", INSTALL)]
    required = [text for text in requirements if "extra ==" not in text]
    return judge_packages(required)


def judge_packages(
    requirements: list[str],
    *,
    version_of: Callable[[str], str | None] = installed_version,
    tested: Mapping[str, str] | None = None,
) -> list[Check]:
    """Compare versions.

    Args:
        requirements: such as ``monai>=1.6.1,<1.7``.
        version_of: gives the installed version of a package; None: missing.
        tested: name -> version; default: of ``constraints.txt``.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    tested = tested_versions() if tested is None else tested
    checks, others = [], []
    for text in requirements:
        requirement = Requirement(text)
        version, pin = version_of(requirement.name), tested.get(canonicalize_name(requirement.name))
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
