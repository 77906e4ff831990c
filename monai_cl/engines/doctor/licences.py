"""The licences of what this package needs to run, as the installed packages state them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageMetadata

NAME = "monai-cl"


def runtime_licences(name: str = NAME) -> list[tuple[str, str, str]]:
    """(package, version, licence) of all packages that one needs, without its extras, by name.

    Args:
        name: an installed package; it is not among the rows itself.
    """
    needed = {_plain(part.name): part for part in _needed(name, set())}
    return [(key, part.version, stated_licence(part.metadata)) for key, part in sorted(needed.items())]


def stated_licence(metadata: PackageMetadata) -> str:
    """The SPDX expression of a package, else a one-line licence, else the classifiers; "not stated" without any.

    Args:
        metadata: of the package.
    """
    for expression in metadata.get_all("License-Expression") or ():
        return str(expression)
    text = str(next(iter(metadata.get_all("License") or ()), "")).strip()
    if text and "\n" not in text and len(text) <= 40:
        return text
    names = [
        line.split("::")[-1].strip() for line in metadata.get_all("Classifier") or [] if line.startswith("License")
    ]
    return ", ".join(names) or "not stated"


def as_markdown(rows: list[tuple[str, str, str]]) -> str:
    """A table.

    Args:
        rows: of `runtime_licences`.
    """
    return "\n".join(
        ["| package | version | licence |", "| --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows)]
    )


def _needed(name: str, seen: set[str]) -> Iterator[Distribution]:
    from packaging.requirements import Requirement

    for text in importlib.metadata.requires(name) or []:
        requirement = Requirement(text)
        if _plain(requirement.name) in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(_plain(requirement.name))
        try:
            yield importlib.metadata.distribution(requirement.name)
        except importlib.metadata.PackageNotFoundError:  # left out on purpose, as edt may be
            continue
        yield from _needed(requirement.name, seen)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
