"""The page of licences names every package that is asked for, with a licence that the package states."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/licences.md").read_text(encoding="utf-8")
PINNED = {
    name.lower().replace("_", "-"): version
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
}


def test_the_page_has_a_row_for_every_package_that_is_asked_for_with_its_licence():
    direct = [text for text in importlib.metadata.requires("monai-cl") if "extra ==" not in text]
    names = {re.match(r"[\w.-]+", text)[0].lower().replace("_", "-") for text in direct}
    rows = dict(re.findall(r"^\| (\S+) \| \S+ \| (.+) \|$", PAGE, re.M))
    assert names <= rows.keys()
    for name in names:
        about = importlib.metadata.metadata(name)
        if (
            about["Version"].partition("+")[0] != PINNED[name]
        ):  # Python 3.10 has older ones, which may state theirs in other words
            continue
        stated = [about.get("License-Expression"), about.get("License"), *about.get_all("Classifier", [])]
        assert any(rows[name] in text for text in stated if text), (name, stated)
