"""The report in a real browser: it fits a phone and a wide screen, logs no errors, and can be used by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monai_cl.report import write_report
from tests.report.browser import CHROMIUM, Browser
from tests.report.test_classification import study
from tests.report.test_html import pair

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")]

MEASURES = """(() => {
  const root = document.documentElement;
  document.querySelectorAll("details").forEach(part => { part.open = true; });
  const size = part => parseFloat(getComputedStyle(part).fontSize);
  return {
    width: root.clientWidth, content: root.scrollWidth,
    images: [...document.images].map(image => image.complete && image.naturalWidth > 0),
    small: [...document.querySelectorAll("p, li, td, th, dd, dt, figcaption, summary")]
      .filter(part => size(part) < 13).length,
    outside: [...document.querySelectorAll("body *")].filter(part => !part.closest(".scroll, pre") &&
      !part.matches(".skip") && part.getBoundingClientRect().right > root.clientWidth + 1).map(part => part.tagName),
    background: getComputedStyle(document.body).backgroundColor,
    low: [...document.querySelectorAll("nav a, summary")]
      .filter(part => part.getBoundingClientRect().height < 24).length,
  };
})()"""
FOCUSED = """(() => {
  const part = document.activeElement, box = part.getBoundingClientRect(), style = getComputedStyle(part);
  return {tag: part.tagName, text: (part.getAttribute("aria-label") || part.textContent).trim().slice(0, 60),
          href: part.getAttribute("href"), seen: box.width > 0 && box.height > 0 && box.right > 0,
          ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0};
})()"""
# whatever can be scrolled, opened or followed
REACHABLE = """[...document.querySelectorAll("a[href], summary, [tabindex='0']")]
  .filter(part => part.closest("details:not([open])") === null || part.tagName === "SUMMARY")
  .map(part => (part.getAttribute("aria-label") || part.textContent).trim().slice(0, 60))"""


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """A report with everything in it."""
    folder = tmp_path_factory.mktemp("report")
    pair(folder / "runs", config={"a_very_long_key_" * 20: "value " * 100})
    study(folder / "runs" / "probes")
    return write_report(folder / "report.html", folder / "runs")


@pytest.fixture(params=[360, 768, 1440])
def browser(request, tmp_path) -> Iterator[Browser]:
    """A browser of a phone's, a tablet's and a wide screen's width."""
    opened = Browser(tmp_path / "profile", width=request.param)
    opened.wide = request.param
    yield opened
    opened.close()


def test_the_page_fits_the_screen_loads_its_pictures_and_complains_of_nothing(report, browser):
    browser.open(report.as_uri())
    found = browser.evaluate(MEASURES)
    assert found["width"] == pytest.approx(browser.wide, abs=20)  # less a scroll bar
    assert found["content"] <= found["width"]
    assert found["outside"] == []
    assert len(found["images"]) > 5
    assert all(found["images"])
    assert found["small"] == 0
    assert found["low"] == 0
    assert found["background"] == "rgb(255, 255, 255)"
    assert browser.complaints == []
    assert browser.requests == [report.as_uri()]  # and nothing else, from anywhere


def test_the_tab_key_reaches_everything_and_shows_where_it_is(report, browser):
    browser.open(report.as_uri())
    wanted = browser.evaluate(REACHABLE)
    reached = []
    for number in range(len(wanted)):
        browser.press("Tab", 9)
        found = browser.evaluate(FOCUSED)
        reached.append(found["text"])
        assert found["seen"], found
        assert found["ring"], found
        if number == 0:
            assert found["href"] == "#content"  # past the menu
    assert reached == wanted
    assert len(wanted) > 15


def test_enter_opens_what_is_folded_and_follows_the_menu(report, browser):
    browser.open(report.as_uri())
    assert browser.evaluate("document.querySelectorAll('details[open]').length") == 0
    browser.evaluate("document.querySelector('summary').focus()")
    browser.press("Enter", 13, text="\r")
    assert browser.evaluate("document.querySelectorAll('details[open]').length") == 1
    browser.evaluate("document.querySelector('nav li:last-child a').focus()")
    browser.press("Enter", 13, text="\r")
    assert browser.evaluate("location.hash") == "#what-ran"


def test_a_page_that_is_at_fault_is_noticed(tmp_path, browser):
    page = tmp_path / "bad.html"
    page.write_text(
        "<html><body style='width:2000px'><img src='nowhere.png'><p style='font-size:9px'>small</p>"
        "<script>console.error('told'); throw new Error('thrown')</script></body></html>"
    )
    browser.open(page.as_uri())
    found = browser.evaluate(MEASURES)
    assert found["content"] > found["width"] or browser.wide < 500  # a phone zooms out instead
    assert found["images"] == [False]
    assert found["small"] == 1
    assert any("told" in text for text in browser.complaints)
    assert any("thrown" in text for text in browser.complaints)
    assert any("nowhere.png" in address for address in browser.requests)
