"""The README is short, its example runs, and its links work on GitHub and, behind the repository's address, on PyPI."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.docs.commands import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
LINKS = re.findall(r"\[[^\]\[]*\]\(([^)\s]+)\)", README)
RELATIVE = [link for link in LINKS if not re.match(r"\w+:", link)]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("link", RELATIVE)
def test_a_link_leads_to_a_file_of_the_repository(link):
    path, _, anchor = link.partition("#")
    # without .. and without a leading /, any address of the repository can be put in front
    assert not re.match(r"/|\.", path)
    target = ROOT / path if path else ROOT / "README.md"
    assert target.is_file()
    assert not anchor or anchor in anchors(target.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_links_to_a_heading_of_another_file_lead_to_one(page):
    """Those between pages are held by the site's own test; these lead out of it, or are followed on GitHub."""
    for path, anchor in re.findall(r"\]\(([^)\s#:]+\.md)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
        target = page.parent / path
        if target.is_file():  # the bundles' and the API's pages exist in the site only
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{page.name}: {path}#{anchor}"


def test_every_page_that_is_needed_first_is_one_click_away():
    pages = {"results", "deviations", "scaling", "architecture", "development", "tutorial", "security", "bad_input"}
    assert {f"docs/{page}.md" for page in pages} <= set(RELATIVE)


def test_it_is_one_screen_of_orientation():
    assert len(README.encode()) < 6900
    headings = re.findall(r"^## (.+)$", README, re.M)
    assert headings == [
        "Install",
        "Two commands",
        "Bundles",
        "Your own data in five steps",
        "What we know",
        "Licence and citation",
    ]


def test_it_names_every_bundle():
    for folder in (ROOT / "bundles").iterdir():
        assert f"[`{folder.name}`](bundles/{folder.name}/docs/README.md)" in README


def test_its_python_runs_by_itself_without_a_warning(tmp_path):
    (code,) = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True, timeout=120)
    assert not list(tmp_path.iterdir())


def test_the_picture_is_small():
    (picture,) = re.findall(r"!\[[^\]]+\]\((\S+)\)", README)
    assert (ROOT / picture).stat().st_size < 150_000
