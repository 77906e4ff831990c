"""The report in a real browser: it fits a phone and a wide screen, logs no errors, and can be used by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monai_cl.report import write_preview, write_report
from tests.report.browser import CHROMIUM, Browser
from tests.report.preview_records import preview, sample, view
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
    outside: [...document.querySelectorAll("body *")].filter(part => !part.closest(".scroll, pre, svg.line") &&
      !part.matches(".skip") && part.getBoundingClientRect().right > root.clientWidth + 1).map(part => part.tagName),
    background: getComputedStyle(document.body).backgroundColor,
    low: [...document.querySelectorAll("summary, .strip label")]
      .filter(part => part.getBoundingClientRect().height < 24).length,
    pictures: [...document.querySelectorAll(".panels img")].map(part => part.getBoundingClientRect())
      .map(box => box.width > 100 && box.left >= 0 && box.right <= root.clientWidth),
    hidden: [...document.querySelectorAll(".scroll")].filter(part => part.scrollWidth > part.clientWidth + 1)
      .map(part => getComputedStyle(part).backgroundImage.split("gradient").length - 1),
    lines: [...document.querySelectorAll("svg.line")].map(part => part.getBoundingClientRect().width),
    // words that lie over what stands beside them
    over: [...document.querySelectorAll("th, td, dt, dd, .what, .value, .strip label")]
      .filter(part => part.scrollWidth > part.clientWidth + 1).map(part => part.textContent),
    // numbers that are cut where no shadow says so: the shadow is 10 px wide
    cut: [...document.querySelectorAll(".scroll")].filter(part => {
      const cells = [...part.querySelectorAll("tr > :last-child")], edge = part.getBoundingClientRect().right;
      const space = cell => parseFloat(getComputedStyle(cell).paddingRight);
      const words = cells.map(cell => cell.getBoundingClientRect().right - space(cell));
      return Math.max(...words) > edge + 1 && part.scrollWidth - part.clientWidth < 10;
    }).length,
    columns: [...document.querySelectorAll(".split")].map(part => part.children)
      .filter(parts => parts.length > 1)
      .map(([left, right]) => right.getBoundingClientRect().left >= left.getBoundingClientRect().right),
  };
})()"""
# pictures out of sight are not loaded otherwise
LOADED = "Promise.all([...document.images].map(part => { part.loading = 'eager'; return part.decode(); }))"
FOCUSED = """(() => {
  const part = document.activeElement, box = part.getBoundingClientRect(), style = getComputedStyle(part);
  const text = part.getAttribute("aria-label") || part.labels?.[0].textContent || part.textContent;
  return {tag: part.tagName, text: text.trim().slice(0, 60),
          href: part.getAttribute("href"), seen: box.width > 0 && box.height > 0 && box.right > 0,
          ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0};
})()"""
# whatever can be scrolled, opened or followed
REACHABLE = """[...document.querySelectorAll("a[href], summary, [tabindex='0'], input:checked")]
  .filter(part => (part.tagName === "SUMMARY" ? part.parentElement.parentElement : part)
    .closest("details:not([open])") === null)
  .map(part => (part.getAttribute("aria-label") || part.labels?.[0].textContent || part.textContent).trim()
    .slice(0, 60))"""
SHOWN = "[...document.querySelectorAll('.panels > figure')].filter(part => part.offsetWidth > 0).length"


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """A report with everything in it."""
    folder = tmp_path_factory.mktemp("report")
    pair(folder / "runs", config={"a_very_long_key_" * 20: "value " * 100})
    study(folder / "runs" / "probes", cohort="synthetic_cirrhosis_histology")
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
    browser.send("Runtime.evaluate", expression=LOADED, awaitPromise=True)
    found = browser.evaluate(MEASURES)
    assert found["width"] == pytest.approx(browser.wide, abs=20)  # less a scroll bar
    assert found["content"] <= found["width"]
    assert found["outside"] == []
    assert len(found["images"]) > 5
    assert len(found["pictures"]) == 6  # image, truth, two predictions and their differences
    assert all(found["pictures"])
    # a table that does not fit has a shadow on the side where more of it lies
    assert all(count == 4 for count in found["hidden"])
    assert found["hidden"] or browser.wide > 360
    assert found["cut"] == 0
    assert found["over"] == []
    assert min(found["lines"]) > 100  # the figures of the differences
    assert found["columns"] == [browser.wide == 1440] * 2  # Dice, and methods
    assert all(found["images"])
    assert found["small"] == 0
    assert found["low"] == 0
    assert found["background"] == "rgb(255, 255, 255)"
    assert browser.complaints == []
    assert browser.requests == [report.as_uri()]  # and nothing else, from anywhere


def test_the_tab_key_reaches_everything_and_shows_where_it_is(report, browser):
    browser.open(report.as_uri())
    browser.evaluate("document.querySelectorAll('details.part').forEach(part => { part.open = true; })")
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


def test_the_arrow_keys_go_through_the_panels_of_a_strip(report, browser):
    browser.open(report.as_uri())
    assert browser.evaluate(SHOWN) == 6
    browser.evaluate("document.querySelector('.strip input').focus()")
    captions = []
    for _ in range(3):
        browser.press("ArrowRight", 39)
        assert browser.evaluate(SHOWN) == 1
        captions.append(browser.evaluate("[...document.querySelectorAll('.panels > figure')]"
                                         ".filter(part => part.offsetWidth > 0)[0].textContent"))  # fmt: skip
    assert captions == ["image", "truth", "scratch, mean Dice 0.660"]
    browser.press("ArrowLeft", 37)
    browser.press("ArrowLeft", 37)
    browser.press("ArrowLeft", 37)
    assert browser.evaluate(SHOWN) == 6


def test_the_truth_is_in_the_place_of_the_chosen_panel_while_it_is_pointed_at(report, browser):
    browser.open(report.as_uri())
    browser.evaluate("document.querySelectorAll('.strip input')[3].click()")
    caption = ("[...document.querySelectorAll('.panels > figure')].filter(part => part.offsetWidth > 0)"
               ".map(part => part.textContent).join()")  # fmt: skip
    seen = []
    place = browser.evaluate(
        "(box => [box.x + box.width / 2, box.y + box.height / 2])((part => { part.scrollIntoView({block: 'center'}); "
        "return part.getBoundingClientRect(); })(document.querySelector('.panels')))"
    )
    for x, y in (place, (1, 1)):
        browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        seen.append(browser.evaluate(caption))
    assert seen == ["truth", "scratch, mean Dice 0.660"]


def test_the_page_is_dark_where_the_reader_wants_it_and_whole_on_paper(report, browser):
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.send("Emulation.setEmulatedMedia", features=dark)
    browser.open(report.as_uri())
    shade = "getComputedStyle(document.body).{}.match(/\\d+/g).map(Number)"
    assert max(browser.evaluate(shade.format("backgroundColor"))) < 60
    assert min(browser.evaluate(shade.format("color"))) > 200
    browser.evaluate("document.querySelectorAll('.strip input')[2].click()")
    assert browser.evaluate(SHOWN) == 1
    browser.send("Emulation.setEmulatedMedia", media="print", features=dark)
    assert browser.evaluate(SHOWN) == 6
    assert browser.evaluate(shade.format("backgroundColor")) == [255, 255, 255]
    assert browser.evaluate(
        "[...document.querySelectorAll('details.part table')].every(part => part.getBoundingClientRect().height > 0)"
    )


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


def test_the_page_of_a_preview_fits_the_screen_too(tmp_path, browser):
    names = ("P1", "V1", "V1'", "P2", "a crop with a long name 1", "a crop with a long name 2", "small crop 3")
    views = tuple(view(name, seed=number) for number, name in enumerate(names))
    many = [sample(seed=seed, views=views if seed < 2 else (), fields={"label position": 1}) for seed in range(20)]
    path = write_preview(preview(*many, sample(organ=False)), tmp_path / "preview.html")
    browser.open(path.as_uri())
    browser.send("Runtime.evaluate", expression=LOADED, awaitPromise=True)
    found = browser.evaluate(MEASURES)
    assert found["content"] <= found["width"]
    assert found["outside"] == []
    assert len(found["images"]) == 16
    assert all(found["images"])
    assert all(found["pictures"])
    assert found["over"] == []
    assert (found["cut"], found["small"], found["low"]) == (0, 0, 0)
    assert browser.complaints == []
    assert browser.requests == [path.as_uri()]
