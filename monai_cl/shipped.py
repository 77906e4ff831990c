"""Bundles, data lists and studies of the project: beside the package in a checkout, inside it when installed."""

from __future__ import annotations

import difflib
import importlib.metadata
from pathlib import Path

from monai_cl.errors import UserError

PACKAGE = Path(__file__).resolve().parent
METADATA_SCHEMA = Path(__file__).with_name("metadata_schema.json")
"""JSON Schema of a bundle's ``metadata.json``, written from MONAI's bundle specification."""


def shipped_folder(name: str) -> Path:
    """The folder ``bundles``, ``data_lists`` or ``studies``, or the file ``constraints.txt``.

    A wheel has them inside the package; a checkout has them beside it, where they can be edited.
    """
    inside = PACKAGE / name
    return inside if inside.exists() else PACKAGE.parent / name


def tested_versions() -> dict[str, str]:
    """Package -> the version that the tests run with, from ``constraints.txt``; names as pip writes them."""
    from packaging.utils import canonicalize_name

    lines = shipped_folder("constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = (line.partition("#")[0].split("==") for line in lines if "==" in line.partition("#")[0])
    return {canonicalize_name(name.strip()): version.strip() for name, version in pins}


def installed_version(name: str) -> str | None:
    """Version of a package, without importing it; None: not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def is_installed(path: str | Path) -> bool:
    """Whether a path lies inside the installed package, where no user's files should be written."""
    return Path(path).resolve().is_relative_to(PACKAGE)


def bundle_names() -> list[str]:
    """Names of the bundles, sorted."""
    folder = shipped_folder("bundles")
    return sorted(file.parents[1].name for file in folder.glob("*/configs/metadata.json"))


def list_names() -> list[str]:
    """Names of the data lists, sorted."""
    return sorted(file.stem for file in shipped_folder("data_lists").glob("*.json") if file.stem != "schema")


def bundle_folder(name: str) -> Path:
    """Folder of a bundle.

    Raises:
        UserError: no bundle of that name; names the nearest, or all.
    """
    return shipped_folder("bundles") / _known(name, bundle_names(), what="bundle")


def list_file(name: str) -> Path:
    """File of a data list, such as ``msd_spleen``.

    Raises:
        UserError: no list of that name; names the nearest, or all.
    """
    return shipped_folder("data_lists") / f"{_known(name.removesuffix('.json'), list_names(), what='data list')}.json"


def study_names() -> list[str]:
    """Names of the studies, sorted."""
    return sorted(file.stem for file in shipped_folder("studies").glob("*.yaml"))


def study_file(name: str) -> Path:
    """YAML file of a study.

    Raises:
        UserError: no study of that name; names the nearest, or all.
    """
    return shipped_folder("studies") / f"{_known(name, study_names(), what='study')}.yaml"


def _known(name: str, names: list[str], *, what: str) -> str:
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names) or 'none'}"
    raise UserError(f"{name!r}", found=f"no such {what}{hint}")
