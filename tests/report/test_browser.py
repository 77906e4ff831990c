"""The report in a real browser: it fits a telephone and a wide screen, and its pictures load."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from monai_cl.report import write_report
from tests.report.test_classification import study
from tests.report.test_html import pair

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")]

# The page itself allows no script, so it is measured from a page around it, in a frame of the telephone's width.
PROBE = """<!DOCTYPE html><body style="margin:0">
<iframe id="f" src="report.html" style="width:WIDTHpx;height:900px;border:0"></iframe><pre id="out"></pre><script>
const frame = document.getElementById("f");
frame.addEventListener("load", () => {
  const page = frame.contentDocument, root = page.documentElement;
  page.querySelectorAll("details").forEach(part => { part.open = true; });
  const images = [...page.images].map(image => image.complete && image.naturalWidth > 0);
  const small = [...page.querySelectorAll("p, li, td, th, figcaption, summary")]
    .filter(part => parseFloat(frame.contentWindow.getComputedStyle(part).fontSize) < 13).length;
  const outside = [...page.querySelectorAll("body *")].filter(part =>
    !part.closest(".scroll, pre") && !part.matches(".skip")
    && part.getBoundingClientRect().right > root.clientWidth + 1).map(part => part.tagName);
  document.getElementById("out").textContent = JSON.stringify(
    {width: root.clientWidth, content: root.scrollWidth, images, small, outside, background:
     frame.contentWindow.getComputedStyle(page.body).backgroundColor});
});
</script></body>"""


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_the_page_fits_the_screen_and_its_pictures_load(tmp_path: Path, width: int):
    folder = pair(tmp_path / "runs", config={"a_very_long_key_" * 20: "value " * 100})
    study(folder / "probes")
    write_report(tmp_path / "report.html", folder)
    (tmp_path / "probe.html").write_text(PROBE.replace("WIDTH", str(width)))
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--no-first-run", f"--user-data-dir={tmp_path / 'profile'}",
        "--allow-file-access-from-files", "--virtual-time-budget=8000", f"--window-size={max(width, 500)},900",
        "--dump-dom", (tmp_path / "probe.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=True)
    found = json.loads(unescape(re.search('<pre id="out">(.*?)</pre>', done.stdout, re.DOTALL)[1]))
    assert found["width"] == pytest.approx(width, abs=20)  # less a scroll bar
    assert found["content"] <= found["width"]
    assert found["outside"] == []
    assert found["images"]
    assert all(found["images"])
    assert found["small"] == 0
    assert found["background"] == "rgb(255, 255, 255)"
