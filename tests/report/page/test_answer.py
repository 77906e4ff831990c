"""The first screen: paired differences by seed and case, in words and in one figure."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from monai_cl.report import Run, compare_runs, dice_table, render_html
from monai_cl.report.page.answer import answer_html, auc_rows
from monai_cl.report.page.forest import ForestRow, forest_html, verdict
from monai_cl.report.statistics import MINIMUM_PAIRS, PairedDifference, nested_interval
from tests.report.examples import classification, pretraining, segmentation

CASES = [f"case{number}" for number in range(4)]


def record(start: str | None, seed: int, gain: float, **more) -> dict:
    dice = {case: {"spleen": 0.5 + 0.02 * seed + 0.03 * number + gain} for number, case in enumerate(CASES)}
    return segmentation(dice, seed=seed, initialisation=start, name=f"{start}{seed}", **more)


def runs(*records: dict) -> list[Run]:
    return [Run(Path(f"runs/{number}/results.json"), found) for number, found in enumerate(records)]


def encoder(seed: int, **more) -> dict:
    training = {"data_lists": [{"name": "many"}], "iterations": 600, "seed": seed}
    return {"file": f"cells/{seed}/encoder.pt", "preset": "hybrid", "training": training, "tensors": {"vit": 9}, **more}


def test_seeds_are_paired_and_the_interval_is_over_seeds_and_cases():
    gains = {0: 0.1, 1: 0.2, 2: 0.3}
    found = runs(
        *(record(start, seed, gain if start else 0.0) for seed, gain in gains.items() for start in (None, "e"))
    )
    (comparison,) = compare_runs(found)
    low, high = nested_interval(np.tile([[0.1], [0.2], [0.3]], (1, 4)))
    page = answer_html([comparison], found)
    assert f"Yes: +0.200 (95 % interval +{low:.3f} to +{high:.3f})." in page
    assert "4 cases, 3 seeds" in page
    assert low < 0.13  # over cases alone it would be a point
    table = dice_table(comparison)
    assert table.rows[0][4:6] == ("+0.200", f"+{low:.3f} to +{high:.3f}")
    assert "paired by seed and case; interval: bootstrap over seeds and cases" in table.notes[-1]


def test_a_seed_that_only_one_start_has_does_not_count():
    found = runs(*(record(None, seed, 0) for seed in (0, 1, 7)), *(record("e", seed, 0.1) for seed in (0, 1)))
    (comparison,) = compare_runs(found)
    assert ">+0.100<" in answer_html([comparison], found)
    assert "4 cases, 2 seeds" in answer_html([comparison], found)


def test_an_encoder_for_each_seed_is_one_start():
    pretrained = [record(f"cells/{seed}/encoder.pt", seed, 0.1, encoder=encoder(seed)) for seed in (0, 1)]
    (comparison,) = compare_runs(runs(record(None, 0, 0), record(None, 1, 0), *pretrained))
    assert [column.label for column in comparison.columns] == ["scratch", "pre-trained"]
    assert comparison.columns[1].seeds == [0, 1]


@pytest.mark.parametrize(
    ("other", "labels"),
    [
        ({"preset": "supervised"}, ["pre-trained (hybrid)", "pre-trained (supervised)"]),
        ({"network": {"width": 9}}, ["pre-trained (0)", "pre-trained (1)"]),
    ],
)
def test_encoders_of_other_recipes_are_other_starts(other: dict, labels: list[str]):
    records = [
        record(f"cells/{seed}/encoder.pt", seed, 0.1, encoder=encoder(seed, **(other if seed else {})))
        for seed in (0, 1)
    ]
    (comparison,) = compare_runs(runs(*records))
    assert [column.label for column in comparison.columns] == labels


def test_two_encoders_of_one_recipe_used_with_one_seed_are_not_pooled():
    records = [record(f"cells/{number}/encoder.pt", 0, 0.1, encoder=encoder(number)) for number in (0, 1)]
    (comparison,) = compare_runs(runs(*records))
    assert len(comparison.columns) == 2


@pytest.mark.parametrize(
    ("gain", "said"), [(0.2, "Yes: +0.200"), (-0.2, "No, it did harm: −0.200"), (0.0, "Not shown: 0.000")]
)
def test_the_answer_is_yes_no_or_not_shown(gain: float, said: str):
    found = runs(*(record(start, seed, gain if start else 0) for seed in (0, 1) for start in (None, "e")))
    assert said in answer_html(compare_runs(found), found)


def test_several_comparisons_are_counted():
    records = [record(start, seed, 0.2 if start else 0) for seed in (0, 1) for start in (None, "e")]
    records += [record(start, 0, 0.2 if start else 0, fraction=0.5) for start in (None, "e")]
    found = runs(*records)
    page = answer_html(compare_runs(found), found)
    assert "Better in 1, too few cases to say in 1 of 2 comparisons." in page
    assert page.count("<figure") == 1


@pytest.mark.parametrize(
    ("data", "title"),
    [
        ({"available_labels": 24, "training_cases": ["a"]}, "organs, 1 of 24 labelled scans"),
        ({"labelled_scans": 1, "scans": 80}, "organs, 1 of 80 labelled scans"),
        ({"training_cases": ["a"]}, "organs, 1 labelled scan (15 %)"),
        ({"training_cases": []}, "organs"),
    ],
)
def test_a_title_counts_the_labelled_scans(data: dict, title: str):
    assert compare_runs(runs(record(None, 0, 0, data=data)))[0].title == title


def test_folds_of_other_sizes_give_a_range():
    sizes = ({"available_labels": 24, "training_cases": ["a"]}, {"available_labels": 25, "training_cases": ["a", "b"]})
    found = runs(*(record(None, fold, 0, fold=fold, data=size) for fold, size in enumerate(sizes)))
    assert compare_runs(found)[0].title == "organs, 1–2 of 24–25 labelled scans"


def test_methods_are_compared_with_the_encoder_that_was_not_trained():
    gains = {"random": 0.0, "wsp": 0.4}
    records = [
        classification({f"p{n}": (n % 2, n / 20 + n % 2 * gain) for n in range(16)}, method=method, seed=seed)
        for method, gain in gains.items()
        for seed in (0, 1)
    ]
    (row,) = auc_rows(runs(*records, pretraining()))
    assert (row.group, row.name) == ("D1", "WSP − random")
    # of even ranks against odd ones, 36 of 64 pairs are won without the method
    assert row.found.mean == pytest.approx(row.found.differences[0])
    assert row.detail.startswith("AUC: random 0.562, WSP ")
    assert row.detail.endswith("16 patients, 2 seeds")
    page = answer_html([], runs(*records))
    assert "difference of AUC" in page
    assert "balanced accuracy" not in page
    assert "A small dot is one seed (AUC)," in page
    assert "The dot is the mean, the bar" in answer_html([], runs(*records[::2]))  # of one seed


def test_the_starts_of_one_comparison_are_under_its_title():
    starts = (None, "cells/wsp-1/output/encoder.pt", "cells/wsp-2/output/encoder.pt")
    found = runs(*(record(start, 0, 0.1) for start in starts))
    page = answer_html(compare_runs(found), found)
    assert re.findall("<h3>(.*?)</h3>", page) == ["organs, 2 labelled scans (15 %)"]
    assert re.findall('what"><b>(.*?)</b>', page) == [f"pre-trained (wsp-{number}) − scratch" for number in (1, 2)]


def test_encoders_without_a_control_are_compared_but_answer_nothing():
    found = runs(*(record(f"{number}/encoder.pt", 0, 0.1 * number) for number in (1, 2)))
    text = render_html(found)
    assert ">Result<" in text
    assert "Did it help" not in text
    assert ">+0.100<" in text


def test_methods_on_other_patients_are_not_compared():
    records = [
        classification({f"{method}{n}": (n % 2, n / 9) for n in range(8)}, method=method)
        for method in ("random", "wsp")
    ]
    assert auc_rows(runs(*records)) == []


def test_the_figure_places_means_cases_and_intervals_on_one_axis():
    rows = [
        ForestRow("a", "", PairedDifference(8, 0.1, 0.05, 0.15, 0.01, "", differences=(0.0, 0.2))),
        ForestRow("b", "", PairedDifference(3, -0.1, None, None, None, "few", differences=(-0.1,))),
    ]
    figure = forest_html(rows, quantity="Dice")
    zero = {float(x) for x in re.findall(r'class="zero" x1="([\d.]+)%"', figure)}
    means = [float(x) for x in re.findall(r'class="mean" cx="([\d.]+)%"', figure)]
    (bar,) = re.findall(r'class="bar" x1="([\d.]+)%" x2="([\d.]+)%"', figure)
    assert len(zero) == 1
    (origin,) = zero
    assert means[0] - origin == pytest.approx(origin - means[1], abs=0.02)
    assert float(bar[1]) - float(bar[0]) == pytest.approx(means[0] - origin, abs=0.02)
    assert figure.count('class="case"') == 3
    assert [verdict(row.found) for row in rows] == ["better", "too few to say"]
    assert all(0 <= float(x) <= 100 for x in re.findall(r'x[12]?="([\d.]+)%"', figure))


def test_too_few_pairs_have_no_interval_but_seeds_and_cases_count_together():
    two = [record(start, seed, 0.1 if start else 0) for seed in (0, 1) for start in (None, "e")]
    for item in two:
        item["metrics"]["per_case"] = item["metrics"]["per_case"][: MINIMUM_PAIRS // 2]
    found = runs(*two)
    assert "95 % interval" in answer_html(compare_runs(found), found)
    for item in two:
        item["metrics"]["per_case"] = item["metrics"]["per_case"][: MINIMUM_PAIRS // 2 - 1]
    found = runs(*two)
    page = answer_html(compare_runs(found), found)
    assert "Unknown: +0.100: 4 pairs: too few for an interval or a test (6 needed)." in page
