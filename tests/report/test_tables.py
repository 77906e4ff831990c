from __future__ import annotations

from pathlib import Path

import pytest

from monai_cl.report import Run, Table, case_table, compare_runs, config_table, curves_table, dice_table, runs_table
from tests.report.examples import pretraining, segmentation

ENCODER = "runs/pretraining/encoder.pt"


def runs(*records: dict) -> list[Run]:
    return [Run(path=Path(f"runs/{number}/results.json"), results=record) for number, record in enumerate(records)]


def cells(table: Table, row: int) -> dict[str, str]:
    return dict(zip(table.header, table.rows[row]))


def test_scratch_and_pretrained_stand_side_by_side_with_hand_computed_numbers():
    scratch = segmentation({"a": {"spleen": 0.50, "liver": 0.80}, "b": {"spleen": 0.70, "liver": 0.90}})
    better = segmentation(
        {"b": {"spleen": 0.75, "liver": 0.90}, "a": {"spleen": 0.65, "liver": 0.86}}, initialisation=ENCODER
    )
    (comparison,) = compare_runs(runs(better, scratch))
    table = dice_table(comparison)
    assert table.header == ("organ", "cases", "scratch", "pre-trained", "difference", "95 % interval", "p")
    assert table.rows == (
        ("spleen", "2", "0.600", "0.700", "+0.100", "–", "–"),
        ("liver", "2", "0.850", "0.880", "+0.030", "–", "–"),
        ("mean over organs", "2", "0.725", "0.790", "+0.065", "–", "–"),
    )
    assert (
        "pre-trained against scratch, every row: 2 pairs: too few for an interval or a test (6 needed)." in table.notes
    )
    assert case_table(comparison).rows == (("a", "0.650", "0.755", "+0.105"), ("b", "0.800", "0.825", "+0.025"))
    assert case_table(comparison, organ="spleen").rows[0] == ("a", "0.500", "0.650", "+0.150")


def test_an_absent_organ_counts_neither_way_and_is_counted():
    dice = {
        "a": {"spleen": 0.6, "liver": None},
        "b": {"spleen": 0.8, "liver": 0.9},
        "c": {"spleen": None, "liver": None},
    }
    (comparison,) = compare_runs(runs(segmentation(dice)))
    table = dice_table(comparison)
    assert [row[1:] for row in table.rows] == [
        ("2 (1 absent)", "0.700"),
        ("1 (2 absent)", "0.900"),
        ("2 (1 absent)", "0.725"),  # (0.6 + 0.85) / 2: a case's mean is over the organs it has
    ]
    assert case_table(comparison).rows[2] == ("c", "–")
    assert any("absent" in note for note in table.notes)


def test_six_paired_cases_give_an_interval_and_p():
    cases = [f"c{i}" for i in range(6)]
    a = segmentation({case: {"spleen": 0.5} for case in cases})
    b = segmentation({case: {"spleen": 0.51 + i / 100} for i, case in enumerate(cases)}, initialisation=ENCODER)
    (comparison,) = compare_runs(runs(a, b))
    table = dice_table(comparison)
    assert len(table.rows) == 1  # one organ: the mean over organs would repeat it
    row = cells(table, 0)
    assert row["difference"] == "+0.035"
    assert row["p"] == "0.031"
    low, high = (float(end) for end in row["95 % interval"].split(" to "))
    assert 0.01 < low < 0.035 < high < 0.06
    assert table.rows == dice_table(comparison).rows  # seeded


def test_seeds_are_averaged_per_case_and_their_spread_is_shown():
    records = [
        segmentation({"a": {"spleen": 0.5 + d}, "b": {"spleen": 0.7 + d}}, seed=seed) for seed, d in ((0, 0), (1, 0.1))
    ]
    (comparison,) = compare_runs(runs(*records))
    assert case_table(comparison).rows == (("a", "0.550"), ("b", "0.750"))
    assert cells(dice_table(comparison), 0)["scratch"] == "0.650 ± 0.071"


def test_folds_are_pooled_and_no_spread_is_invented_from_different_cases():
    records = [
        segmentation({"a": {"spleen": 0.5}}, fold=0, seed=0),
        segmentation({"b": {"spleen": 0.9}}, fold=1, seed=1),
        segmentation({"a": {"spleen": 0.6}}, fold=0, seed=0, initialisation=ENCODER),
    ]
    (comparison,) = compare_runs(runs(*records))
    table = dice_table(comparison)
    row = cells(table, 0)
    assert (row["cases"], row["scratch"], row["pre-trained"], row["difference"]) == (
        "2 / 1",
        "0.700",
        "0.600",
        "+0.100",
    )
    assert (
        "The columns do not hold the same seeds and folds; differences use the seeds and cases they share."
        in table.notes
    )


def test_other_label_shares_and_other_lists_are_not_compared():
    one = {"a": {"spleen": 0.5}}
    records = [
        segmentation(one),
        segmentation(one, fraction=1.0),
        segmentation(one, data={"sha256": "1", "name": "other"}),
    ]
    titles = [comparison.title for comparison in compare_runs(runs(*records, pretraining()))]
    assert titles == [
        "organs, 2 labelled scans (15 %)",
        "organs, 2 labelled scans",
        "other, 2 labelled scans (15 %)",
    ]


def test_two_encoders_get_two_columns_named_by_where_their_paths_part():
    one = {"a": {"spleen": 0.5}}
    records = [segmentation(one, initialisation=f"runs/{preset}/encoder.pt") for preset in ("paper", "hybrid")]
    (comparison,) = compare_runs(runs(segmentation(one), *records))
    table = dice_table(comparison)
    assert table.header[2:5] == ("scratch", "pre-trained (paper)", "pre-trained (hybrid)")
    assert table.header[5] == "pre-trained (paper) − scratch"
    assert len(table.header) == 11


def test_the_mean_is_over_the_organs_all_columns_have():
    records = [
        segmentation({"a": {"spleen": 0.5, "liver": 0.9}}),
        segmentation({"a": {"spleen": 0.6}}, initialisation=ENCODER),
    ]
    (comparison,) = compare_runs(runs(*records))
    table = dice_table(comparison)
    assert table.rows[-1][2:5] == ("0.500", "0.600", "+0.100")
    assert "Not in every column, and so not in the mean: liver." in table.notes
    assert table.rows[1][:5] == ("liver", "1 / 0", "0.900", "–", "–")


def test_a_column_with_no_value_at_all_is_shown_empty():
    records = [segmentation({"a": {"spleen": None}}), segmentation({"b": {"spleen": 0.6}}, initialisation=ENCODER)]
    (comparison,) = compare_runs(runs(*records))
    assert dice_table(comparison).rows[0][1:5] == ("0 / 1 (1 absent)", "–", "0.600", "–")


def test_several_cases_of_one_patient_are_pointed_out():
    dice = {"a": {"spleen": 0.5}, "b": {"spleen": 0.6}, "c": {"spleen": 0.7}}
    (comparison,) = compare_runs(runs(segmentation(dice, patients={"a": "p", "b": "p"})))
    assert any("3 cases of 2 patients" in note for note in dice_table(comparison).notes)


@pytest.mark.parametrize("seeds", [1, 2])
def test_intervals_draw_patients_where_they_are_known(seeds):
    def dice(gain: float) -> dict[str, dict[str, float]]:
        return {f"{i}{phase}": {"spleen": 0.5 + gain * i} for i in range(8) for phase in ("ED", "ES")}

    def interval(patients: dict[str, str] | None) -> tuple[str, str, str]:
        records = [
            segmentation(dice(gain), seed=seed, initialisation=start, patients=patients)
            for seed in range(seeds)
            for start, gain in ((None, 0.0), (ENCODER, 0.01))
        ]
        table = dice_table(compare_runs(runs(*records))[0])
        return table.rows[0][4:7]

    change, wide, p = interval({case: case[:-2] for case in dice(0)})
    same, narrow, smaller = interval(None)
    low, high, narrow_low, narrow_high = (float(end) for text in (wide, narrow) for end in text.split(" to "))
    assert change == same == "+0.035"
    assert low < narrow_low < narrow_high < high
    assert float(p) == pytest.approx(2 / 2**7, abs=6e-4)  # seven patients that differ
    assert smaller == "< 0.001"


def test_the_same_seed_and_fold_twice_is_pointed_out():
    record = segmentation({"a": {"spleen": 0.5}})
    (comparison,) = compare_runs(runs(record, record))
    assert any("more than one run with the same seed and fold" in note for note in comparison.notes)


def test_a_run_without_validation_is_not_a_comparison_but_is_listed():
    found = runs(segmentation({}))
    assert compare_runs(found) == []
    assert cells(runs_table(found), 0)["mean Dice"] == "–"


def test_an_organ_nobody_has_is_refused():
    (comparison,) = compare_runs(runs(segmentation({"a": {"spleen": 0.5}})))
    with pytest.raises(ValueError, match="organ must be one of spleen, got 'heart'"):
        case_table(comparison, organ="heart")


def test_renamed_cases_are_sorted_by_their_new_name():
    (comparison,) = compare_runs(runs(segmentation({"a": {"spleen": 0.1}, "b": {"spleen": 0.2}})))
    assert case_table(comparison, name_case={"a": "y", "b": "x"}.get).rows == (("x", "0.200"), ("y", "0.100"))


def test_the_runs_are_listed_with_time_and_data():
    found = runs(segmentation({"a": {"spleen": 0.5}}, wall_seconds=3725.2, seed=7), pretraining(wall_seconds=61))
    first, second = cells(runs_table(found), 0), cells(runs_table(found), 1)
    assert (first["time"], second["time"]) == ("1 h 02 min", "1 min 01 s")
    assert (first["start"], first["seed"], first["training cases"]) == ("scratch", "7", "2")
    assert (second["start"], second["data"], second["mean Dice"]) == ("–", "several", "–")


def test_curves_are_summed_up_and_what_was_not_finite_is_counted():
    (run,) = runs(pretraining())
    assert curves_table(run).rows[0] == ("loss", "9", "4", "4", "9", "1 of 3")
    (run,) = runs(pretraining(curves={"loss": [[1, None]]}))
    assert curves_table(run).rows[0] == ("loss", "–", "–", "–", "–", "1 of 1")


def test_only_differing_configuration_entries_are_listed():
    one = {"a": {"spleen": 0.5}}
    records = [
        segmentation(one, name=name, config={"net": {"size": 16, "norm": "instance"}, "lr": lr, **more})
        for name, lr, more in (("x", 0.1, {}), ("y", 0.2, {"warm_up": 5}))
    ]
    table = config_table(runs(*records))
    assert table.header == ("entry", "x", "y")
    assert table.rows == (("lr", "0.1", "0.2"), ("warm_up", "–", "5"))
    assert config_table(runs(records[0], records[0])) is None


def test_a_long_entry_of_a_configuration_is_cut_in_the_table_of_differences():
    records = [
        segmentation({"a": {"spleen": 0.5}}, name=name, config={"handlers": [{"name": name}] + [{"same": 1}] * 40})
        for name in ("x", "y")
    ]
    ((entry, one, other),) = config_table(runs(*records)).rows
    assert entry == "handlers"
    assert (one[:14], other[:14]) == ("[{'name': 'x'}", "[{'name': 'y'}")
    assert all(len(text) == 200 and text.endswith(" …") for text in (one, other))


def test_tables_are_escaped():
    table = Table(
        "a < b", ("<i>", "n|m"), (("<script>alert(1)</script>", "1_2*`"), ("two\nlines", "3")), notes=("<b>",)
    )
    html = table.html()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<b>" not in html
    assert "<i>" not in html
    markdown = table.markdown()
    assert "<" not in markdown
    assert "| &lt;i&gt; | n\\|m |" in markdown
    assert "| two lines | 3 |" in markdown
    assert "1\\_2\\*\\`" in markdown


def test_markdown_rows_have_as_many_cells_as_the_head():
    (comparison,) = compare_runs(runs(segmentation({"a|b": {"spl|een": 0.5}})))
    lines = [line for line in dice_table(comparison).markdown().splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match="every row must have 2 cells"):
        Table("t", ("a", "b"), (("1",),))
