from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image

from monai_cl.cli.commands import main
from monai_cl.report import Run, compare_runs, paired_difference, pairs_figure
from tests.report.examples import pretraining, put, segmentation
from tests.report.test_classification import study

BEFORE = [0.50, 0.60, 0.70, 0.40, 0.55, 0.65, 0.45]
AFTER = [0.60, 0.55, 0.75, 0.60, 0.56, 0.80, 0.45]


def dice(values: list[float], organ: str = "spleen") -> dict[str, dict[str, float]]:
    return {f"case{number}": {organ: value} for number, value in enumerate(values)}


def comparison(*more: dict, columns=(None, "encoder.pt")):
    records = [segmentation(dice(v), initialisation=i) for v, i in zip((BEFORE, AFTER), columns)]
    runs = [Run(Path(f"runs/{n}/results.json"), record) for n, record in enumerate([*records, *more])]
    return compare_runs(runs)[0]


@pytest.mark.usefixtures("as_svg")
def test_every_case_is_a_point_at_its_difference():
    svg = pairs_figure(comparison(), organ="spleen")
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    points = re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"[^>]*style="fill: #d55e00', svg.decode().lower())
    assert len(points) == len(BEFORE) + 1  # and the legend's, last
    # y grows downwards: the order and the ratios of the distances are those of the differences
    found = [float(y) for _, y in points[:-1]]
    wanted = sorted(b - a for a, b in zip(BEFORE, AFTER))
    scale = (found[0] - found[-1]) / (wanted[-1] - wanted[0])
    assert [(found[0] - y) / scale for y in found] == pytest.approx([d - wanted[0] for d in wanted], abs=1e-3)


def test_the_mean_and_its_interval_are_those_of_the_table():
    found = paired_difference(*({f"case{i}": v for i, v in enumerate(values)} for values in (BEFORE, AFTER)))
    shown = comparison()
    assert paired_difference(shown.columns[0].dice["spleen"], shown.columns[1].dice["spleen"]) == found
    with Image.open(io.BytesIO(pairs_figure(shown))) as image:
        assert image.width > 600


def test_the_same_comparison_gives_the_same_bytes():
    assert pairs_figure(comparison()) == pairs_figure(comparison())


def test_few_and_unshared_cases_are_drawn_without_an_interval():
    few = [segmentation(dice(v[:2]), initialisation=i) for v, i in ((BEFORE, None), (AFTER, "e.pt"))]
    other = segmentation({"elsewhere": {"spleen": 0.5}}, initialisation="f.pt")
    runs = [Run(Path(f"runs/{n}/results.json"), record) for n, record in enumerate([*few, other])]
    assert pairs_figure(compare_runs(runs)[0]).startswith(b"\x89PNG")


def test_an_unknown_organ_is_refused():
    with pytest.raises(ValueError, match="organ must be one of spleen, mean"):
        pairs_figure(comparison(), organ="liver")


def test_one_column_has_no_differences():
    with pytest.raises(ValueError, match="at least two columns, got 'scratch' alone"):
        pairs_figure(comparison(columns=(None, None)))


def test_the_command_leaves_every_plot_as_png(tmp_path, capsys):
    curves = {"a/b": [[1, 1]], "a-b": [[1, 2]]}
    put(tmp_path / "a", segmentation(dice(BEFORE), name="a"))
    put(
        tmp_path / "b",
        segmentation(dice(AFTER), name="b", initialisation="e.pt", curves=curves),
    )
    put(tmp_path / "c", pretraining())
    study(tmp_path / "probes")
    main(["report", str(tmp_path), "--output", str(tmp_path / "r.html"), "--plots", str(tmp_path / "plots")])
    names = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert names == [
        "curve_pretraining_loss-label.png",
        "curve_pretraining_loss.png",
        "curve_segmentation_a-b-2.png",
        "curve_segmentation_a-b.png",
        "curve_segmentation_loss.png",
        "differences_organs-2-labelled-scans-15_spleen.png",
        "roc_D1.png",
    ]
    assert f"wrote {len(names)} plots" in capsys.readouterr().out
    for path in (tmp_path / "plots").iterdir():
        with Image.open(path) as image:
            image.verify()
            assert image.format == "PNG"
