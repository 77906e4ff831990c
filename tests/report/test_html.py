from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from monai_cl.errors import UserError
from monai_cl.report import overlay_figure, write_report
from monai_cl.report.page.pictures import OVERLAYS_PER_RUN
from monai_cl.report.page.strips import MOST_CASES, MOST_PANELS
from tests.report.examples import LABELS, overlay, pretraining, put, segmentation, volumes

VOID = {"meta", "img", "br", "link", "input", "hr"}
EVIL = "<script>alert('x')</script>\"&"


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def section_ids(found: Page) -> list[str]:
    """The parts of the page, open and folded, in their order."""
    return [
        attributes["id"]
        for tag, attributes in found.tags
        if tag == "section" or (tag == "details" and attributes.get("class") == "part")
    ]


def pair(folder: Path, **more) -> Path:
    """Two segmentation runs on three cases, with pictures, and a pre-training run."""
    for number, start in enumerate((None, "runs/pretraining/encoder.pt")):
        dice = {f"case{i}": {"spleen": 0.5 + 0.1 * number + i / 50, "liver": 0.8 + 0.05 * number} for i in range(3)}
        record = segmentation(
            dice, name=f"run{number}", initialisation=start, **{"overlays": ["overlays/case1.png"], **more}
        )
        put(folder / f"run{number}", record)
        (folder / f"run{number}" / "overlays").mkdir()
        (folder / f"run{number}" / "overlays" / "case1.png").write_bytes(overlay())
    put(folder / "pretraining", pretraining(metrics={"effective_rank": 12.5}))
    return folder


def page(folder: Path, **options) -> tuple[str, Page]:
    text = write_report(folder / "report.html", folder, **options).read_text("utf-8")
    return text, Page(text)


def test_the_page_tells_result_tables_curves_pictures_and_what_ran(tmp_path: Path):
    _, found = page(pair(tmp_path))
    parts = ["result", "overlays", "dice", "case-by-case", "curves", "pre-training", "what-ran"]
    assert section_ids(found) == parts
    assert "scratch 0.660, pre-trained 0.735; 3 cases" in found.text
    assert "Unknown: +0.075: 3 pairs: too few for an interval or a test (6 needed)." in found.text
    assert "effective_rank" in found.text
    assert "What pre-training changed" in found.text
    assert [attributes["href"] for attributes in found.all("a")] == ["#content"]


def test_the_page_is_self_contained(tmp_path: Path):
    text, found = page(pair(tmp_path))
    for tag, attributes in found.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href", "srcset", "data", "action", "poster"}:
                assert value.startswith(("data:image/", "#")), value[:60]
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in text


def test_pictures_are_those_of_the_runs_and_have_alternative_texts(tmp_path: Path):
    _, found = page(pair(tmp_path))
    images = found.all("img")
    assert all(attributes["alt"] for attributes in images)
    assert [attributes["alt"].partition(";")[0] for attributes in images] == [
        "organs, case1: image",
        "organs, case1: truth",
        "organs, case1: scratch, mean Dice 0.660",
        "organs, case1: difference, scratch",
        "organs, case1: pre-trained, mean Dice 0.735",
        "organs, case1: difference, pre-trained",
    ]
    with Image.open(io.BytesIO(overlay())) as whole:
        for attributes in images:
            kind, content = attributes["src"].split(",")
            assert kind == "data:image/webp;base64"
            assert attributes["loading"] == "lazy"
            with Image.open(io.BytesIO(base64.b64decode(content))) as panel:
                assert (str(panel.width), str(panel.height)) == (attributes["width"], attributes["height"])
                assert panel.width == pytest.approx(whole.width / 4, rel=0.05)


def test_a_switch_shows_one_panel_in_the_place_of_the_others(tmp_path: Path):
    text, found = page(pair(tmp_path))
    switch = [attributes for attributes in found.all("input") if attributes["type"] == "radio"]
    assert {attributes["name"] for attributes in switch} == {"strip0"}
    assert ["checked" in attributes for attributes in switch] == [True] + 6 * [False]
    assert text.count("<label><input") == len(switch) == len(found.all("label"))
    # a rule of the style sheet for each
    for place in range(2, MOST_PANELS + 2):
        assert f":has(label:nth-of-type({place}) :checked) > .panels > :not(:nth-child({place - 1}))" in text


def test_of_several_seeds_the_first_is_shown_and_what_all_runs_share_once(tmp_path: Path):
    for seed in (4, 2):
        pair(tmp_path / str(seed), seed=seed)
    _, found = page(tmp_path)
    assert "organs, case1, seed 2 (of 2, 4)" in found.text
    assert [attributes["alt"].partition(": ")[2].partition(";")[0] for attributes in found.all("img")][:2] == [
        "image",
        "truth",
    ]
    assert len(found.all("img")) == 6


def test_a_picture_of_an_earlier_version_is_shown_whole(tmp_path: Path):
    pair(tmp_path)
    for run in ("run0", "run1"):
        path = tmp_path / run / "overlays" / "case1.png"
        with Image.open(path) as image:
            image.convert("RGB").save(path)  # no chunk that says where its panels are
    text, found = page(tmp_path)
    assert len(found.all("img")) == 2
    assert all(
        int(image["width"]) * int(image["height"]) == pytest.approx(2.4e5, rel=0.01) for image in found.all("img")
    )
    assert 'class="panels whole"' in text


@pytest.mark.parametrize(
    "chunk",
    [
        "",
        "{",
        "[]",
        '{"columns": ["a"], "rows": [[[0, 0, 2, 2]]], "legend": []}',
        '{"columns": ["a"], "rows": [[[0, 0, 1, 1]]], "legend": [["x", "red;}</style>"]]}',
        '{"columns": ["a", "b"], "rows": [[[0, 0, 1, 1]]], "legend": []}',
        '{"columns": [], "rows": [], "legend": []}',
    ],
)
def test_a_picture_that_describes_its_panels_wrongly_is_shown_whole(tmp_path: Path, chunk: str):
    run = put(tmp_path, segmentation({"a": {"spleen": 0.5}}, overlays=["a.png"]))
    information = PngInfo()
    information.add_text("Panels", chunk)
    Image.new("RGB", (40, 30)).save(run / "a.png", pnginfo=information)
    text, found = page(tmp_path)
    assert [(attributes["width"], attributes["height"]) for attributes in found.all("img")] == [("40", "30")]
    assert "red;" not in text


def test_runs_alike_share_their_circumstances_and_their_configuration(tmp_path: Path):
    config = {"lr": 1e-4, **{f"key{number}": number for number in range(9)}}
    for seed in (0, 1):
        record = segmentation({"a": {"spleen": 0.5}}, seed=seed, config={**config, "seed": seed}, name=f"run{seed}")
        put(tmp_path / str(seed), record)
    text, found = page(tmp_path)
    assert text.count("key3: 3") == 1
    assert "As run0, seed 0, but for:\nseed: 1" in found.text
    assert found.text.count("versions") == 1


@pytest.mark.parametrize(("count", "end"), [(40, "p38, p39"), (41, "p38, p39 and 1 more")])
def test_of_many_training_cases_the_first_are_named(tmp_path: Path, count: int, end: str):
    cases = [f"p{number}" for number in range(count)]
    put(tmp_path, pretraining(data_list={"name": "many", "training_cases": cases}))
    text, _ = page(tmp_path)
    assert f"{end}</dd>" in text


def test_keyboard_and_screen_readers_reach_everything(tmp_path: Path):
    _, found = page(pair(tmp_path))
    assert found.all("html")[0]["lang"] == "en"
    assert len(found.all("h1")) == 1
    assert all(
        attributes.get("tabindex") == "0" and attributes.get("aria-label")
        for attributes in found.all("div")
        if attributes.get("class") == "scroll"
    )
    assert found.all("details")
    assert len(found.all("details")) == len(found.all("summary"))
    assert all(attributes.get("scope") in {"row", "col"} for attributes in found.all("th"))
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_everything_shown_is_escaped(tmp_path: Path):
    record = segmentation(
        {EVIL: {EVIL: 0.5, "liver": None}},
        name=EVIL,
        initialisation=EVIL,
        config={EVIL: EVIL},
        device=EVIL,
        curves={EVIL: [[1, 1.0], [2, 2.0]]},
        overlays=[f"{EVIL}.png"],
        data={"name": EVIL, "path": EVIL, "source": f"synthetic {EVIL}", "training_cases": [EVIL], "sha256": EVIL},
    )
    record.update(
        command=EVIL,
        git_commit=EVIL,
        created=EVIL,
        versions={EVIL: EVIL},
        bundle=EVIL,
        best={"mean_dice": 1, "iteration": EVIL},
    )
    put(tmp_path / "a", record)
    put(tmp_path / "b", pretraining(name=EVIL, curves={EVIL: [[1, 1.0]]}, metrics={EVIL: 1.0}))
    text, found = page(tmp_path, title=EVIL)
    assert "<script" not in text
    assert not found.all("script")
    assert found.text.count("<script>alert") > 15  # shown as text
    for attributes in found.all("img") + found.all("div"):
        known = {"src", "width", "height", "alt", "class", "role", "tabindex", "aria-label", "loading", "decoding"}
        assert set(attributes) <= known
    markdown = write_report(tmp_path / "report.md", tmp_path, title=EVIL).read_text("utf-8")
    assert "<script" not in markdown


@pytest.mark.parametrize(
    ("data", "is_synthetic"),
    [
        ({"name": "abdominal phantoms"}, True),
        ({"source": "Synthetic CT made by this project"}, True),
        ({"path": "data_lists/phantom.json", "name": ""}, True),
        ({"datasets": {"phantom_a": {}}}, True),
        ({"synthetic": True}, True),
        ({"name": "BTCV", "source": "Synapse"}, False),
    ],
)
def test_synthetic_data_are_called_synthetic(tmp_path: Path, data: dict, is_synthetic: bool):
    put(tmp_path, segmentation({"a": {"spleen": 0.5}}, data=data))
    text, _ = page(tmp_path)
    assert ('class="banner"' in text) == is_synthetic
    assert (
        "say nothing about patients" in write_report(tmp_path / "x.md", tmp_path).read_text("utf-8")
    ) == is_synthetic


def test_synthetic_data_are_named_where_others_are_not(tmp_path: Path):
    for number, name in enumerate(("phantoms", "BTCV")):
        put(tmp_path / str(number), segmentation({"a": {"spleen": 0.5}}, data={"name": name, "sha256": name}))
    assert "Synthetic data: phantoms. These" in page(tmp_path)[1].text
    assert "Synthetic data. These" in page(tmp_path / "0")[1].text


def test_runs_below_a_folder_are_in_the_order_of_their_names(tmp_path: Path):
    for number, (name, seed) in enumerate([("spleen, seed 1", 1), ("kidney", 1), ("kidney", 0), ("spleen, seed 0", 0)]):
        put(tmp_path / str(number), segmentation({"a": {"spleen": 0.5}}, name=name, seed=seed))
    _, found = page(tmp_path)
    runs = re.findall(r"^(.*): circumstances and configuration$", found.text, re.MULTILINE)
    assert runs == ["kidney, seed 0", "kidney, seed 1", "spleen, seed 0", "spleen, seed 1"]


def test_hidden_ids_appear_nowhere(tmp_path: Path):
    dice = {f"patient{i}": {"spleen": 0.5, "liver": 0.5} for i in range(3)}
    names = ["overlays/patient1.png", "overlays/patient2.png", "overlays/missing_patient0.png"]
    secret = {"training_cases": ["patient8", "patient9"]}
    put(tmp_path, segmentation(dice, config={"image": "patient7.nii.gz"}, overlays=names, data=secret, name="run"))
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "patient1.png").write_bytes(overlay())
    image, truth = volumes()
    titled = overlay_figure(image, truth, truth, labels=LABELS, title="patient2")
    (tmp_path / "overlays" / "patient2.png").write_bytes(titled)
    text, found = page(tmp_path, hash_patients=True)
    assert "patient" not in text.replace("say nothing about patients", "").replace("patient right", "")
    assert len(found.all("img")) == 4  # of the one without a title
    assert "its picture may show the case's name and was left out" in found.text
    again, _ = page(tmp_path, hash_patients=True)
    assert re.findall("case [0-9a-f]{8}", text) != re.findall("case [0-9a-f]{8}", again)
    first, second = (page(tmp_path, hash_patients="a key")[0] for _ in range(2))
    assert first == second
    markdown = write_report(tmp_path / "x.md", tmp_path, hash_patients=True).read_text("utf-8")
    assert "patient" not in markdown


@pytest.mark.parametrize("file", ["x.html", "x.md"])
def test_names_of_runs_and_folders_are_hidden_with_the_ids(tmp_path: Path, file: str):
    dice = {"a": {"spleen": 0.5, "liver": 0.5}}
    starts = (None, "/data/PAT1/encoder.pt", "/data/PAT2/encoder.pt")
    for number, start in enumerate(starts):
        data = {"path": f"/data/PAT/phantom{number}.json", "name": "", "sha256": None}
        record = segmentation(dice, name=f"PAT{number}", initialisation=start, data=data, overlays=["PAT.png"])
        put(tmp_path / f"PAT{number}", record)
    put(tmp_path / "same", segmentation(dice, name="PAT", initialisation=starts[1], data=data))
    put(tmp_path / "pre", pretraining(name="PAT", metrics={"rank": 1.0}, overlays=["x.png"]))
    shown = write_report(tmp_path / file, tmp_path, hash_patients=True).read_text("utf-8")
    assert "PAT" not in shown
    for word in ("scratch", "pre-trained (encoder 1)", "run 4", "data list 3", "say nothing about patients"):
        assert word in shown, word
    assert "PAT" in write_report(tmp_path / file, tmp_path).read_text("utf-8")
    one = write_report(tmp_path / file, tmp_path / "PAT1", hash_patients=True).read_text("utf-8")
    assert "pre-trained" in one
    assert not {"PAT", "encoder"} & set(re.findall("PAT|encoder", one))


@pytest.mark.parametrize("private", [False, True])
def test_names_that_no_file_can_have_do_not_stop_the_page(tmp_path: Path, private: bool):
    odd = "case \ud800"
    for number, start in enumerate((None, "\ud800.pt")):
        record = segmentation(
            {odd: {"spleen \ud800": 0.5}},
            name="run \ud800",
            initialisation=start,
            overlays=["nul\0.png", "a" * 300 + ".png", "half \ud800.png"],
            data={"name": "list \ud800", "training_cases": [odd]},
        )
        folder = put(tmp_path / str(number), pretraining())
        (folder / "results.json").write_text(json.dumps(record), encoding="utf-8")  # as another program writes it
    _, found = page(tmp_path, hash_patients="key \udcff" if private else False, title="title \udcff")
    assert ("case \\ud800" in found.text) != private
    assert found.text.count("its picture") == 6
    assert "embedded null" in found.text
    assert "title \\udcff" in found.text
    markdown = write_report(tmp_path / "x.md", tmp_path, hash_patients=private).read_text("utf-8")
    assert (r"case \\ud800" in markdown) != private


def test_pictures_outside_the_run_missing_ones_and_other_files_are_not_embedded(tmp_path: Path):
    (tmp_path / "secret.png").write_bytes(overlay())
    names = ["../secret.png", str(tmp_path / "secret.png"), "link.png", "missing.png", "text.png", "fo\\lder.png", "."]
    run = put(tmp_path / "run", segmentation({"a": {"spleen": 0.5}}, overlays=names))
    (run / "link.png").symlink_to(tmp_path / "secret.png")
    (run / "text.png").write_text("<svg onload=alert(1)>")
    (run / "fo").mkdir()
    (run / "fo" / "lder.png").write_bytes(overlay())
    text = write_report(tmp_path / "report.html", run).read_text("utf-8")
    found = Page(text)
    assert text.count("data:image/webp") == 4  # panels of the one named as Windows names it
    assert found.text.count("lies outside the run's folder") == 3
    assert found.text.count("its picture is missing") == 2
    assert found.text.count("neither PNG nor JPEG") == 1


def test_many_pictures_are_cut_off_and_counted(tmp_path: Path):
    names = [f"{i}.png" for i in range(OVERLAYS_PER_RUN + 5)]
    put(tmp_path, segmentation({"a": {"spleen": 0.5}}, overlays=names, name="run"))
    for number in range(OVERLAYS_PER_RUN + 5):
        (tmp_path / f"{number}.png").write_bytes(overlay())
    _, found = page(tmp_path)
    assert len(found.all("fieldset")) == MOST_CASES
    assert f"{MOST_CASES - 1} more cases" in found.text
    assert f"Pictures of {OVERLAYS_PER_RUN - MOST_CASES} more cases are in the runs' folders." in found.text
    assert f"{OVERLAYS_PER_RUN} of {OVERLAYS_PER_RUN + 5} pictures shown" in found.text


def test_curves_of_single_organs_are_folded_away(tmp_path: Path):
    curves = {name: [[1, 0.1], [2, 0.2]] for name in ("loss", "dice/spleen", "learning_rate")}
    put(tmp_path, segmentation({"a": {"spleen": 0.5}}, curves=curves))
    text, _ = page(tmp_path)
    before, _, after = text.partition("Curves of single organs and of the learning rate")
    assert [part.count('<figure class="chart">') for part in (before, after)] == [1, 2]
    assert "Dice, spleen <span" in after


def test_a_single_run_says_that_there_is_nothing_to_compare(tmp_path: Path):
    put(tmp_path, segmentation({"a": {"spleen": 0.5}}, name="the only run"))
    text, found = page(tmp_path)
    assert "can be compared with it" in found.text
    assert "<h1>the only run</h1>" in text


def test_runs_without_curves_or_validation_make_a_page(tmp_path: Path):
    put(tmp_path / "a", segmentation({}, curves={}))
    put(tmp_path / "b", pretraining(curves={}))
    _, found = page(tmp_path)
    assert section_ids(found) == ["what-ran"]


def test_runs_are_found_below_a_folder_and_once_only(tmp_path: Path):
    pair(tmp_path)
    text = write_report(tmp_path / "r.md", tmp_path, tmp_path / "run0", tmp_path / "run0" / "results.json").read_text(
        "utf-8"
    )
    assert text.count("| run0 |") == 1
    assert text.index("pretraining") < text.index("| run0 |") < text.index("| run1 |")


def test_a_demonstration_stands_for_the_runs_below_it(tmp_path: Path):
    put(tmp_path, {**pretraining(name="the summary"), "kind": "demo"})
    with pytest.raises(UserError, match="of a run in it or below it"):
        write_report(tmp_path / "r.md", tmp_path)
    pair(tmp_path)
    for given in (tmp_path, tmp_path / "results.json", tmp_path.parent / tmp_path.name):
        text = write_report(tmp_path / "r.md", given).read_text("utf-8")
        assert "the summary" not in text
        assert [f"| {name} |" in text for name in ("run0", "run1", "pretraining")] == [True] * 3


def test_missing_results_are_reported_and_nothing_is_written(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    output = tmp_path / "report.html"
    with pytest.raises(UserError, match=r"empty: expected results\.json of a run in it or below it, found none"):
        write_report(output, tmp_path / "empty")
    with pytest.raises(UserError, match="nowhere: expected the results of a finished run"):
        write_report(output, tmp_path / "nowhere")
    with pytest.raises(UserError, match="expected at least one run folder"):
        write_report(output)
    assert not output.exists()


def test_a_broken_run_spoils_no_earlier_report(tmp_path: Path):
    put(tmp_path / "a", pretraining())
    write_report(tmp_path / "report.html", tmp_path)
    before = (tmp_path / "report.html").read_bytes()
    (tmp_path / "a" / "results.json").write_text('{"schema": 1')
    with pytest.raises(UserError, match="expected JSON"):
        write_report(tmp_path / "report.html", tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "report.html"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    put(tmp_path / "a", pretraining())
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"report\.html: cannot be written"):
        write_report(tmp_path / "file" / "report.html", tmp_path / "a")


def test_the_same_runs_give_the_same_page(tmp_path: Path):
    pair(tmp_path)
    first, _ = page(tmp_path)
    second, _ = page(tmp_path)
    assert first == second
