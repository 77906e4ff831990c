"""The documentation: it builds without a warning, needs no network to be read, and shows everything that is public."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from functools import cache, cached_property
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.report.browser import CHROMIUM, Browser

pytest.importorskip("mkdocs", reason='the extra "docs" is not installed')
pytest.importorskip("mkdocstrings", reason='the extra "docs" is not installed')

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("losses", "networks", "transforms", "data", "engines", "report", "study", "serving")
# what makes a browser fetch something; a link to follow is not that
FETCHING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}


def build(root: Path, output: Path) -> subprocess.CompletedProcess:
    # not --quiet: with it mkdocs sees no warnings to be strict about
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "-f",
        str(root / "mkdocs.yml"),
        "-d",
        str(output),
    ]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, capture_output=True, encoding="utf-8", cwd=root, env=environment, timeout=200)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built documentation."""
    output = tmp_path_factory.mktemp("docs") / "site"
    done = build(ROOT, output)
    assert done.returncode == 0, done.stdout + done.stderr
    return output


class Page(HTMLParser):
    """The tags of a page, and its ids."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    @cached_property
    def ids(self) -> set[str]:
        return {attributes["id"] for _, attributes in self.tags if attributes.get("id")}


@cache
def page(path: Path) -> Page:
    return Page(path)


def pages(site: Path) -> dict[Path, Page]:
    return {path: page(path) for path in sorted(site.rglob("*.html"))}


def test_nothing_is_fetched_from_elsewhere(site):
    for path, shown in pages(site).items():
        for tag, attributes in shown.tags:
            if tag in FETCHING and "canonical" not in (attributes.get("rel") or ""):
                target = attributes.get(FETCHING[tag]) or ""
                assert not re.match(r"(https?:)?//", target), f"{path}: <{tag}> of {target}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_every_page_of_the_folder_and_of_the_bundles_is_in_the_menu(site):
    front = page(site / "index.html")
    menu = {attributes["href"] for tag, attributes in front.tags if tag == "a" and attributes.get("href")}
    wanted = {path.with_suffix(".html").name for path in (ROOT / "docs").glob("*.md")} - {"index.html"}
    wanted |= {f"bundles/{path.parent.parent.name}.html" for path in ROOT.glob("bundles/*/docs/README.md")}
    wanted |= {f"api/{layer}.html" for layer in LAYERS}
    assert wanted <= menu


def test_the_menu_begins_with_what_a_newcomer_needs(site):
    links = [attributes.get("href") for tag, attributes in page(site / "exit_codes.html").tags if tag == "a"]
    order = ("index", "tutorial", "data_lists", "bundles", "bundles/mixcl_ct_pretraining", "fine_tuning", "studies")
    order += ("several_gpus", "api/losses", "architecture", "development")
    places = [links.index(f"{name}.html") for name in order]
    assert places == sorted(places)


def test_blocks_of_code_can_be_reached_by_keyboard_and_links_are_underlined(site):
    for path, shown in pages(site).items():
        tags = [tag for tag, _ in shown.tags]
        blocks = [
            attributes
            for number, (tag, attributes) in enumerate(shown.tags)
            if tag == "code" and "pre" in tags[max(0, number - 2) : number]
        ]
        assert all(attributes.get("tabindex") == "0" for attributes in blocks), path
    assert "text-decoration: underline" in (site / "site.css").read_text(encoding="utf-8")
    assert ("link", "site.css") in [(tag, attributes.get("href")) for tag, attributes in page(site / "index.html").tags]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
@pytest.mark.parametrize("width", [360, 1440])
def test_in_a_browser_long_code_scrolls_has_a_tab_stop_and_nothing_else_is_wider_than_the_screen(site, tmp_path, width):
    browser = Browser(tmp_path / "profile", width=width)
    for name in ("index", "tutorial", "bundles/wsp_ct_pretraining", "api/losses"):
        browser.open((site / f"{name}.html").as_uri())
        # the theme's script has looked at the blocks
        browser.send("Runtime.evaluate", expression="new Promise(done => setTimeout(done, 500))", awaitPromise=True)
        found = browser.evaluate("""(() => {
          const blocks = [...document.querySelectorAll("article pre > code")], root = document.documentElement;
          const long = blocks.filter(part => part.scrollWidth > part.clientWidth);
          return [long.length, long.every(part => part.tabIndex === 0 && getComputedStyle(part).overflowX === "auto"),
                  root.scrollWidth <= root.clientWidth];
        })()""")
        assert found[0] > 0
        assert found[1:] == [True, True], name
    assert browser.complaints == []
    browser.close()


def test_each_bundle_has_a_small_picture_of_what_goes_in_and_out(site):
    for readme in ROOT.glob("bundles/*/docs/README.md"):
        name = readme.parent.parent.name
        shown = [attributes.get("src") for tag, attributes in page(site / f"bundles/{name}.html").tags if tag == "img"]
        assert f"../pictures/{name}.webp" in shown
        assert (site / "pictures" / f"{name}.webp").stat().st_size < 60_000


@pytest.mark.parametrize("layer", LAYERS)
def test_every_public_name_has_its_docstring_on_the_page_of_its_layer(site, layer):
    package = importlib.import_module(f"monai_cl.{layer}")
    shown = {
        name.rpartition(".")[2] for name in page(site / "api" / f"{layer}.html").ids if name.startswith("monai_cl.")
    }
    assert set(package.__all__) <= shown


def test_links_between_pages_lead_somewhere(site):
    found = pages(site)
    for path, shown in found.items():
        if path.name == "404.html":  # its links start at the root of a server
            continue
        for tag, attributes in shown.tags:
            target = attributes.get("href") or ""
            if tag != "a" or not target or re.match(r"\w+:", target):
                continue
            name, _, anchor = target.partition("#")
            goal = (path.parent / name).resolve() if name else path
            goal = goal / "index.html" if goal.is_dir() else goal
            assert goal.is_file(), f"{path}: {target}"
            assert not anchor or anchor in found[goal].ids, f"{path}: {target}"


def test_a_page_shows_the_file_that_it_takes_in(site):
    front = (site / "index.html").read_text(encoding="utf-8")
    assert "What we know" in front
    assert "All pages" in front
    assert "{{" not in front
    assert "PANCREAS_0001" in (site / "data_lists.html").read_text(encoding="utf-8")


def test_pictures_are_there(site):
    found = pages(site)
    for name in ("index.html", "architecture.html"):
        sources = [str(attributes["src"]) for tag, attributes in found[site / name].tags if tag == "img"]
        shown = [source for source in sources if source.endswith((".webp", ".svg"))]
        assert any((site / source).is_file() for source in shown), name


def test_a_new_page_is_in_the_menu_and_a_link_to_nowhere_stops_the_build(tmp_path):
    copy = tmp_path / "copy"
    for name in ("docs", "monai_cl", "bundles", "data_lists", "benchmarks"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "models", "store"))
    for name in ("mkdocs.yml", "docs_hooks.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    # the API alone takes seconds
    hooks = (
        (copy / "docs_hooks.py")
        .read_text(encoding="utf-8")
        .replace('LAYERS = ("losses", ', 'LAYERS = () and ("losses", ')
    )
    (copy / "docs_hooks.py").write_text(hooks)
    index = (copy / "docs" / "index.md").read_text(encoding="utf-8")
    (copy / "docs" / "index.md").write_text(re.sub(r"\[(\w+)\]\(api/\w+\.md\)", r"\1", index))
    (copy / "docs" / "extra.md").write_text(
        "# Something new\n\n[the step](../benchmarks/real_lists.py), [back](index.md)\n"
    )
    done = build(copy, tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "extra.html" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "benchmarks/real_lists.py" not in (tmp_path / "site" / "extra.html").read_text(encoding="utf-8")
    (copy / "docs" / "extra.md").write_text("# Something new\n\n[away](nowhere.md)\n")
    done = build(copy, tmp_path / "site")
    assert done.returncode == 1
    assert "nowhere.md" in done.stdout + done.stderr
