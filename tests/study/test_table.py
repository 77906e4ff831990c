"""The numbers of the table against hand-computed ones."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import numpy as np
import pytest

from monai_cl.errors import UserError
from monai_cl.report.statistics import nested_interval
from monai_cl.study import place_lines, summarise
from monai_cl.study.definition import Measure
from monai_cl.study.measures import read_measure
from monai_cl.study.table import Mean, difference_of, mean_of, pooled
from tests.study.studies import opened

SCRATCH = {0: {"a": 0.2, "b": 0.4}, 1: {"a": 0.4, "b": 0.8}}
BETTER = {0: {"a": 0.3, "b": 0.4}, 1: {"a": 0.6, "b": 0.7, "c": 1.0}, 2: {"a": 1.0}}


def test_the_mean_is_over_seeds_of_the_means_over_cases():
    assert mean_of(SCRATCH) == Mean(pytest.approx(0.45), pytest.approx(0.3 / 2**0.5), 2, 2)
    assert mean_of({0: {"a": 0.5}}) == Mean(0.5, None, 1, 1)
    assert mean_of({0: {}}) == Mean(None, None, 0, 0)


def test_a_difference_is_over_the_pairs_that_both_have():
    found = difference_of(BETTER, SCRATCH)
    assert (found.pairs, found.wins, found.losses) == (4, 2, 1)
    assert found.mean == pytest.approx((0.1 + 0 + 0.2 - 0.1) / 4)
    assert found.interval is None  # four pairs
    assert difference_of({0: {"a": 1.0}}, {1: {"a": 1.0}}).mean is None


def test_the_interval_of_equal_differences_is_that_difference():
    assert nested_interval(np.full((2, 3), 0.25)) == (0.25, 0.25)
    assert nested_interval(np.full((1, 5), 0.25)) is None


def test_seeds_are_resampled_as_wholes():
    # seeds differ, cases within a seed do not: the mean is 0, 0.5 or 1 by how often the second seed is drawn
    differences = np.repeat([[0.0], [1.0]], 4, axis=1)
    assert nested_interval(differences) == (0.0, 1.0)
    # cases differ, seeds do not: of 400 cases half are 1, the standard error is 0.025
    low, high = nested_interval(np.repeat([np.arange(400) % 2], 2, axis=0).astype(float))
    assert (low, high) == (pytest.approx(0.451, abs=0.01), pytest.approx(0.549, abs=0.01))


def test_patients_are_drawn_with_all_their_scans():
    rng = np.random.default_rng(3)
    one = rng.normal(0.05, 0.1, (3, 9))
    twice, patients = np.repeat(one, 2, axis=1), [f"p{n // 2}" for n in range(18)]
    assert nested_interval(twice, patients) == nested_interval(one, range(9)) == nested_interval(one)
    low, high = nested_interval(twice)
    wide_low, wide_high = nested_interval(twice, patients)
    assert high - low < 0.98 * (wide_high - wide_low)  # as if the scans of a patient were independent
    # three patients of two scans and one seed are three pairs, not six
    assert nested_interval(twice[:1, :6], patients[:6]) is None
    # a scan that one seed lacks: the patient's other one counts alone
    twice[0, ::2] = np.nan
    assert nested_interval(twice, patients)[0] < one.mean() < nested_interval(twice, patients)[1]
    with pytest.raises(ValueError, match="a patient of each of 18 cases, got 17"):
        nested_interval(twice, patients[1:])


def scored(tmp_path, *, patients):
    """A study of two arms whose cells hold Dice of six patients at two phases; ``patients``: whether they say whose."""
    study, expansion, folder = opened(
        tmp_path,
        arms={"scratch": {}, "hybrid": {"last": {"start": "x"}}},
        measure={"step": "last", "metric": "dice"},
        table={"controls": ["scratch"]},
    )
    phases = {"ED", "ES"} if patients is not None else {"ED"}
    for point, identity in expansion.points.items():
        place, gain = folder.of(expansion.cells[identity]), 0.03 if point.arm == "hybrid" else 0.0
        cases = [
            {
                "id": f"f{point.fold}p{n}_{phase}",
                **({"patient": f"f{point.fold}p{n}"} if patients in (None, True) else {}),
                "dice": {"liver": 0.5 + n * gain},
            }
            for n in range(6)
            for phase in sorted(phases)
        ]
        place.output.mkdir(parents=True)
        (place.output / "results.json").write_text(json.dumps({"metrics": {"per_case": cases}, "git_commit": "abc"}))
        place.finish(seconds=1)
    return summarise(study, expansion, folder)


def test_a_table_draws_patients_where_the_results_say_whose_a_case_is(tmp_path):
    single = scored(tmp_path / "single", patients=None)
    double = scored(tmp_path / "double", patients=True)
    unknown = scored(tmp_path / "unknown", patients=False)
    key = ("scratch", "hybrid", "all")
    assert double.differences[key].interval == single.differences[key].interval
    low, high = unknown.differences[key].interval
    assert high - low < 0.9 * np.diff(double.differences[key].interval)[0]
    assert double.differences[key].pairs == unknown.differences[key].pairs == 2 * single.differences[key].pairs
    assert "95 % bootstrap over seeds and patients;" in double.markdown()
    assert "95 % bootstrap over seeds and cases, as results do not say the patients;" in unknown.markdown()


def test_pairs_that_are_absent_do_not_count_in_the_interval():
    differences = np.full((2, 6), 0.5)
    differences[0, 2:] = np.nan
    assert nested_interval(differences) == (0.5, 0.5)


def test_settings_and_folds_are_pooled_as_cases():
    parts = [(0, ("x", 0), {"a": 1.0}), (0, ("x", 1), {"a": 2.0}), (1, ("x", 0), {"b": 3.0})]
    assert pooled(parts) == {0: {(("x", 0), "a"): 1.0, (("x", 1), "a"): 2.0}, 1: {(("x", 0), "b"): 3.0}}


def test_dice_of_a_case_is_the_mean_over_the_organs_it_has(tmp_path):
    cases = [
        {"id": "1", "dice": {"liver": 0.5, "spleen": 0.7, "kidneys": None}},
        {"id": "2", "dice": {"liver": None, "spleen": 0.9, "kidneys": 0.1}},
    ]
    (tmp_path / "results.json").write_text(json.dumps({"metrics": {"per_case": cases}}))
    assert read_measure(tmp_path, Measure("x")) == {"1": pytest.approx(0.6), "2": pytest.approx(0.5)}
    assert read_measure(tmp_path, Measure("x"), organs=["liver"]) == {"1": 0.5}
    # none of the cases has the organ: this cell says nothing of it, others of the study may
    for case in cases:
        case["dice"]["liver"] = None
    (tmp_path / "results.json").write_text(json.dumps({"metrics": {"per_case": cases}}))
    assert read_measure(tmp_path, Measure("x"), organs=["liver"]) == {}
    with pytest.raises(UserError, match=r"expected Dice of 'livr', found kidneys, liver, spleen"):
        read_measure(tmp_path, Measure("x"), organs=["livr"])
    with pytest.raises(UserError, match=r"expected a number metrics.auc, found None"):
        read_measure(tmp_path, Measure("x", metric="metrics.auc"))


VALUES = {("scratch", 3): (0.1, 0.2), ("scratch", 4): (0.3, 0.4), ("hybrid", 3): (0.5, 0.2), ("hybrid", 4): (0.2, 0.7)}


def finished(tmp_path, without=()):
    """The table of `made`."""
    return summarise(*made(tmp_path, without))


def made(tmp_path, without=()):
    """A study of two arms, two folds and two seeds whose cells hold `VALUES`."""
    study, expansion, folder = opened(
        tmp_path,
        arms={"scratch": {}, "hybrid": {"last": {"start": "x"}}},
        about="What is <measured>.",
        measure={"step": "last", "metric": "metrics.auc", "scale": 100, "decimals": 1},
        table={"controls": ["scratch"]},
        published={"source": "Smith 2020", "values": {"scratch": {"all": [24.0, 1.5]}}},
    )
    for point, identity in expansion.points.items():
        place = folder.of(expansion.cells[identity])
        place.output.mkdir(parents=True)
        if tuple(point) in without:
            place.fail(status=1, reason="status 1: no memory")
            continue
        value = VALUES[point.arm, point.seed][point.fold]
        (place.output / "results.json").write_text(json.dumps({"metrics": {"auc": value}, "git_commit": "abc"}))
        place.finish(seconds=1)
    return study, expansion, folder


def test_the_table_says_mean_deviation_difference_wins_and_what_was_published(tmp_path):
    text = finished(tmp_path).markdown()
    assert "| scratch | 25.0 ± 14.1 |" in text  # means .15 and .35 of the seeds
    assert "| hybrid | 40.0 ± 7.1 |" in text  # .35 and .45
    assert "| hybrid | +15.0 (2 : 1) |" in text  # +.4, 0, -.1, +.3
    assert "| scratch | 24.0 ± 1.5 |" in text
    assert "Smith 2020" in text
    assert "8 of 8 places measured; seeds 3, 4; folds 0, 1." in text


def test_the_csv_holds_the_numbers_in_full(tmp_path):
    rows = list(csv.DictReader(io.StringIO(finished(tmp_path).csv())))
    assert [row["arm"] for row in rows] == ["scratch", "hybrid"]
    assert float(rows[1]["mean"]) == pytest.approx(0.4)
    assert float(rows[1]["sd"]) == pytest.approx(0.05 * 2**0.5)
    assert (rows[1]["control"], rows[1]["wins"], rows[1]["losses"], rows[1]["pairs"]) == ("scratch", "2", "1", "4")
    assert float(rows[1]["difference"]) == pytest.approx(0.15)


def test_the_page_is_whole_and_escaped(tmp_path):
    page = finished(tmp_path).html()
    assert page.startswith("<!DOCTYPE html>")
    assert "What is &lt;measured&gt;." in page
    assert "http" not in page


def test_failed_cells_are_named_and_the_rest_is_counted(tmp_path):
    text = finished(tmp_path, without=[("hybrid", "all", 1, 4)]).markdown()
    assert "7 of 8 places measured" in text
    assert "(hybrid, all, fold 1, seed 4): status 1: no memory" in text.replace("\\_", "_")
    assert "| hybrid | +10.0 (1 : 1) |" in text  # the pair of the failed cell is left out


def test_a_finished_cell_without_the_number_is_named_and_does_not_hide_the_others(tmp_path):
    study, expansion, folder = made(tmp_path)
    identity = expansion.points["hybrid", "all", 1, 4]  # as failed above, by a file with null for nan
    (folder.of(expansion.cells[identity]).output / "results.json").write_text('{"metrics": {"auc": null}}')
    text = summarise(study, expansion, folder).markdown().replace("\\_", "_")
    assert "7 of 8 places measured" in text
    assert "| hybrid | 27.5 ± 10.6 (3 of 4) |" in text
    assert f"No value: last-{identity}: " in text
    assert "expected a number metrics.auc, found None" in text
    assert '"metrics": {"auc": null}' in place_lines(study, expansion, folder)
    wrong = dataclasses.replace(study, measure=dataclasses.replace(study.measure, metric="metrics.aux"))
    with pytest.raises(UserError, match=r"expected a number metrics\.aux, found None"):
        summarise(wrong, expansion, folder)


def test_a_number_outside_the_metrics_is_in_its_line(tmp_path):
    study, expansion, folder = made(tmp_path)
    for cell in expansion.cells.values():
        if folder.of(cell).is_done():
            (folder.of(cell).output / "results.json").write_text('{"score": {"mine": 2.5}, "metrics": 1}')
    own = dataclasses.replace(study, measure=dataclasses.replace(study.measure, metric="score.mine"))
    lines = [json.loads(line) for line in place_lines(own, expansion, folder).splitlines()]
    assert [line["score"] for line in lines] == [{"mine": 2.5}] * 8


def test_a_mean_over_a_part_of_its_places_says_so(tmp_path):
    text = finished(tmp_path, without=[("hybrid", "all", 1, 4)]).markdown()
    assert "| scratch | 25.0 ± 14.1 |" in text
    # seed 4 has its first fold alone: a mean of .2, beside .35 of seed 3
    assert "| hybrid | 27.5 ± 10.6 (3 of 4) |" in text
    assert "In brackets behind a mean: how many of its places are measured." in text
    assert "(4 of 4)" not in text
    assert "In brackets behind a mean" not in finished(tmp_path / "all").markdown()


def test_one_seed_over_folds_has_the_deviation_between_folds(tmp_path):
    study, expansion, folder = opened(tmp_path, seeds=[3], arms={"x": {}}, measure={"step": "last", "metric": "dice"})
    # two cases and one: the mean is that of the cases
    for (point, identity), dice in zip(expansion.points.items(), ([0.2, 0.4], [0.9]), strict=True):
        place = folder.of(expansion.cells[identity])
        place.output.mkdir(parents=True)
        cases = [{"id": f"{point.fold}{n}", "dice": {"liver": value}} for n, value in enumerate(dice)]
        (place.output / "results.json").write_text(json.dumps({"metrics": {"per_case": cases}, "git_commit": "a"}))
        place.finish(seconds=1)
    found = summarise(study, expansion, folder)
    assert found.means["x", "all"] == Mean(pytest.approx(0.5), pytest.approx(np.std([0.3, 0.9], ddof=1)), 1, 3)
    assert "± is the standard deviation between folds." in found.markdown()


def test_cells_of_several_commits_are_told(tmp_path):
    finished(tmp_path)
    study, expansion, folder = opened(tmp_path, arms={"scratch": {}}, measure={"step": "last", "metric": "metrics.auc"})
    output = folder.of(expansion.cells[next(iter(expansion.points.values()))]).output
    (output / "results.json").write_text(json.dumps({"metrics": {"auc": 0.5}, "git_commit": "def"}))
    assert "Cells were run with the code of several commits: abc, def." in summarise(study, expansion, folder).notes


def test_every_measured_place_is_a_line_with_its_cases(tmp_path):
    study, expansion, folder = made(tmp_path, without=[("hybrid", "all", 1, 4)])
    dice = [{"id": "a", "dice": {"liver": 0.5, "spleen": None}}]
    for point, identity in expansion.points.items():
        if (point.arm, point.fold, point.seed) == ("scratch", 0, 3):
            results = {"metrics": {"mean_dice": 0.5, "per_case": dice, "other": 1}, "git_commit": "abc"}
            (folder.of(expansion.cells[identity]).output / "results.json").write_text(json.dumps(results))
    lines = [json.loads(line) for line in place_lines(study, expansion, folder).splitlines()]
    assert len(lines) == 7  # of 8, one has failed
    first = {"arm": "scratch", "setting": "all", "fold": 0, "seed": 3, "mean_dice": 0.5, "per_case": dice}
    assert first | {"git_commit": "abc", "versions": None} in lines
    other = {"arm": "scratch", "setting": "all", "fold": 1, "seed": 3, "metrics": {"auc": 0.2}}
    assert other | {"git_commit": "abc", "versions": None} in lines
