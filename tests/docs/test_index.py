"""The front page names every extra of the package and every page, those of the menu and the notebooks too."""

from __future__ import annotations

import configparser
import fnmatch
import re
from pathlib import PurePosixPath

import yaml

from tests.docs.commands import ROOT
from tests.test_layering import LAYERS

INDEX = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below a heading."""
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", INDEX, re.M | re.S)[1]


def linked() -> list[str]:
    """The pages that "All pages" links to, as they are named in the folder of the pages."""
    return [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", section("All pages"))]


def pages() -> set[str]:
    """Every page of the site, and the notebooks, which are not built."""
    found = {path.name for kind in ("*.md", "*.ipynb") for path in (ROOT / "docs").glob(kind)} - {"index.md"}
    found |= {f"bundles/{path.parents[1].name}.md" for path in ROOT.glob("bundles/*/docs/README.md")}
    return found | {f"api/{layer}.md" for layer in LAYERS}


def test_every_extra_is_in_the_table():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    table = re.findall(r"^\| `(\w+)` \| \S", section("Optional parts"), re.M)
    assert sorted(table) == sorted(setup["options.extras_require"])


def test_every_page_is_linked_once():
    assert sorted(linked()) == sorted(pages())


def test_every_name_of_the_menu_is_a_page():
    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["extra"]["menu"]
    names = [name for part in menu.values() for name in part]
    there = {PurePosixPath(page).with_suffix("").as_posix() for page in linked()} | {"index"}
    assert [name for name in names if not fnmatch.filter(there, name)] == []
    assert len(set(names)) == len(names)
