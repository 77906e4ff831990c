"""The docstrings of the public names, read without importing them: every parameter is described by itself."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# the packages with a table of public names
PACKAGES = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for path in ROOT.glob("monai_cl/**/__init__.py")
    if "lazy_exports(" in path.read_text(encoding="utf-8")
)
Definition = ast.FunctionDef | ast.ClassDef


@cache
def module(name: str) -> ast.Module:
    path = ROOT.joinpath(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def exports(package: str) -> dict[str, str]:
    """Public name -> the module that the package's lazy table takes it from."""
    (table,) = (
        ast.literal_eval(node.args[1])
        for node in ast.walk(module(package))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "lazy_exports"
    )
    return {name: f"{package}.{source}" for source, names in table.items() for name in names}


def definition(source: str, name: str) -> Definition | None:
    """The function or class of that name, followed through imports; None for a constant."""
    for node in module(source).body:
        if isinstance(node, Definition) and node.name == name:
            return node
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return definition(node.module, alias.name)
    return None


def parameters(node: Definition) -> list[str]:
    """Names of the parameters of a function, or of a class's ``__init__`` where it has its own."""
    if isinstance(node, ast.ClassDef):
        own = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
        if not own:
            return []
        node = own[0]
    arguments = node.args
    plain = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [argument.arg for argument in plain if argument is not None and argument.arg != "self"]


def described(docstring: str) -> Iterator[str]:
    """The names with an entry under ``Args:``."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", docstring, re.M | re.S)
    for entry in re.finditer(r"^    (\S.*?): +\S", section[1] if section else "", re.M):
        yield entry[1].lstrip("*")


def undescribed(node: Definition) -> list[str]:
    known = set(described(inspect.cleandoc(ast.get_docstring(node) or "")))
    return [name for name in parameters(node) if name not in known]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_parameter_of_a_public_name_has_an_entry_of_its_own(package):
    missing = {}
    for name, source in exports(package).items():
        node = definition(source, name)
        if node is not None and undescribed(node):
            missing[f"{source}.{name}"] = undescribed(node)
    assert missing == {}


def test_an_entry_for_two_parameters_is_none_of_their_own():
    (node,) = ast.parse(
        inspect.cleandoc(
            '''
            def scale(low, high, *, sigma, **more):
                """Scale.

                Args:
                    low, high: HU; sigma: mm.
                    **more: options (see: elsewhere).
                """
            '''
        )
    ).body
    assert undescribed(node) == ["low", "high", "sigma"]
