"""Epochs to 98 % of the best and what an arm saves, from hand-made cells."""

from __future__ import annotations

import csv
import io
import json

import pytest

from monai_cl.cli.commands import main
from monai_cl.errors import UserError
from monai_cl.shipped import study_file
from monai_cl.study import expand, load_study, summarise
from tests.study.studies import opened, written

CURVES = {
    ("scratch", 0): [0.5, 0.6, 0.7, 0.8],  # the fourth
    ("scratch", 1): [0.5, 0.8, 0.8, 0.8],  # the second
    ("scratch", 2): [0.5, 0.55],  # learned nothing
    ("scratch", 3): [0.5, 0.7, 0.8],  # the third
    ("better", 0): [0.8, 0.9, 0.8],  # the second; the first is as good as scratch
    ("better", 1): [0.7, 0.7, 0.7, 0.7],  # the first; never as good as scratch
    ("better", 2): [0.9, 0.9],
    ("better", 3): [float("nan"), None, 0.8],  # a validation without a number reaches nothing
    ("lost", 0): [0.5, 0.5],
}
STEPS = {
    "training": {"program": ["python", "{output}"], "options": {"seed": "{seed}"}},
    "evaluation": {"program": ["python", "{output}", "{training}"]},
}
ARMS = {"scratch": {}, "better": {"training": {"start": "a"}}, "lost": {"training": {"start": "b"}}}
ASKED = {
    "steps": STEPS,
    "arms": ARMS,
    "folds": [0],
    "seeds": [0, 1, 2, 3],
    "measure": {"step": "evaluation", "metric": "metrics.auc"},
    "table": {"controls": ["scratch"]},
    "convergence": {"step": "training", "curve": "auc"},
}


def made(tmp_path, curves=CURVES, **changes):
    """A study whose trainings have ``curves``, those of absent ones not being done, and no evaluation."""
    study, expansion, folder = opened(tmp_path, **{**ASKED, **changes})
    for point, identity in expansion.points.items():
        training = next(
            expansion.cells[one] for one in expansion.chain(identity) if expansion.cells[one].step == "training"
        )
        values = curves.get((point.arm, point.seed))
        place = folder.of(training)
        if values is None or place.is_done():
            continue
        place.output.mkdir(parents=True)
        points = [[50 * n, value] for n, value in enumerate(values, start=1)]
        (place.output / "results.json").write_text(json.dumps({"curves": {"loss": [[1, 2.0]], "auc": points}}))
        place.finish(seconds=1)
    return study, expansion, folder


def rows(found):
    """Arm -> the cells of its row."""
    return {row[1]: row[2:] for row in found.convergence.table().rows}


def lines(found):
    """Arm -> its line of the CSV."""
    return {line["arm"]: line for line in csv.DictReader(io.StringIO(found.convergence.csv()))}


def test_the_table_says_epochs_speed_up_never_and_what_is_left_out(tmp_path):
    found = summarise(*made(tmp_path))
    assert found.convergence.table().header == (
        *("setting", "arm", "epochs, own best", "epochs, best of scratch"),
        *("speed-up, own best", "speed-up, best of scratch", "never", "left out"),
    )
    cells = rows(found)
    # fourth, second and third; seed 2 has learned nothing
    assert cells["scratch"] == ("3.0 (3 of 4)", "3.0 (3 of 4)", "–", "–", "–", "2")
    # own: 2, 1, 3 against 4, 2, 3, so .5, .5, 0; against scratch's best: 1, never, 3, so .75 and 0
    assert cells["better"] == (
        *("2.0 (3 of 4)", "2.0 (2 of 4)"),
        *("+0.333 ± 0.289 (3 of 4)", "+0.375 ± 0.530 (2 of 4)", "1 of 3", "2"),
    )
    assert cells["lost"] == ("–", "–", "–", "–", "–", "0")
    text = found.markdown()
    assert "| all | better | 2.0 (3 of 4) |" in text
    assert "9 of 12 places have the curve auc of training." in text
    assert "best auc below 0.6" in text
    assert "<figcaption>Epochs to 98 % of the best</figcaption>" in found.html()


def test_the_csv_has_the_numbers_in_full(tmp_path):
    found = lines(summarise(*made(tmp_path)))
    better = found["better"]
    assert (better["setting"], better["control"], better["runs"], better["pairs"]) == ("all", "scratch", "3", "3")
    assert float(better["speed_up_own"]) == pytest.approx(1 / 3)
    assert float(better["speed_up_own_sd"]) == pytest.approx((1 / 12) ** 0.5)
    assert float(better["speed_up_control"]) == pytest.approx(0.375)
    assert (float(better["epochs_own"]), float(better["epochs_control"])) == (2.0, 2.0)
    assert (better["never"], better["left_out"]) == ("1", "2")
    assert (found["scratch"]["control"], found["scratch"]["speed_up_own"], found["scratch"]["epochs_own"]) == (
        "",
        "",
        "3.0",
    )


def test_a_seed_whose_control_is_missing_has_its_own_epochs_alone(tmp_path):
    without = {key: values for key, values in CURVES.items() if key != ("scratch", 0)}
    cells = rows(summarise(*made(tmp_path, without)))
    assert cells["scratch"][:2] == ("2.5 (2 of 4)", "2.5 (2 of 4)")
    assert cells["better"][:3] == ("2.0 (3 of 4)", "3.0 (1 of 4)", "+0.250 ± 0.354 (2 of 4)")  # .5 and 0
    assert cells["better"][3:] == ("0.000 (1 of 4)", "1 of 2", "2")


def test_without_any_control_there_are_own_epochs_and_no_speed_up(tmp_path):
    found = summarise(*made(tmp_path, {key: values for key, values in CURVES.items() if key[0] == "better"}))
    assert rows(found)["better"] == ("1.8", "–", "–", "–", "–", "–")  # 2, 1, 1 and 3
    assert rows(found)["scratch"] == ("–",) * 6
    assert lines(found)["better"]["epochs_control"] == ""


def test_no_arm_that_reaches_the_best_of_the_control_has_no_common_speed_up(tmp_path):
    found = summarise(*made(tmp_path, {key: values for key, values in CURVES.items() if key[1] == 1}))
    assert rows(found)["better"] == ("1.0 (1 of 4)", "–", "+0.500 (1 of 4)", "–", "1 of 1", "–")


def test_settings_have_rows_of_their_own_and_folds_are_runs_of_their_own(tmp_path):
    settings = {"few": {"training": {"share": 1}}, "all": {"training": {"share": 2}}}
    steps = {**STEPS, "training": {**STEPS["training"], "options": {"seed": "{seed}", "fold": "{fold}"}}}
    arms = {"scratch": {}, "better": ARMS["better"]}
    found = summarise(*made(tmp_path, settings=settings, steps=steps, folds=[1, 2], seeds=[2, 3], arms=arms))
    table = found.convergence.table()
    assert [row[:2] for row in table.rows] == [
        *(("few", "scratch"), ("few", "better"), ("all", "scratch"), ("all", "better"))
    ]
    assert table.rows[1] == ("few", *table.rows[3][1:])
    assert table.rows[1][2:] == (
        *("3.0 (2 of 4)", "3.0 (2 of 4)", "0.000 ± 0.000 (2 of 4)", "0.000 ± 0.000 (2 of 4)", "0 of 2"),
        "fold 1 seed 2, fold 2 seed 2",
    )


def test_a_study_that_does_not_ask_has_no_such_table(tmp_path, capsys):
    study, expansion, folder = opened(tmp_path)
    assert summarise(study, expansion, folder).convergence is None
    main(["study", "table", str(study.path), "--output", str(folder.path)])
    assert "Epochs to 98" not in capsys.readouterr().out
    assert not (folder.path / "table_epochs.csv").exists()


def test_the_command_prints_it_and_writes_it(tmp_path, capsys):
    study, _, folder = made(tmp_path)
    main(["study", "table", str(study.path), "--output", str(folder.path)])
    said = capsys.readouterr().out
    assert "| all | better | 2.0 (3 of 4) |" in said
    assert f"and {folder.path / 'table_epochs.csv'}" in said
    assert "Epochs to 98 % of the best" in (folder.path / "table.md").read_text(encoding="utf-8")
    assert "Epochs to 98 % of the best" in (folder.path / "table.html").read_text(encoding="utf-8")
    assert len((folder.path / "table_epochs.csv").read_text(encoding="utf-8").splitlines()) == 4


def test_the_question_does_not_change_what_a_cell_is(tmp_path):
    asked = expand(load_study(written(tmp_path / "asked", **ASKED)))
    plain = expand(load_study(written(tmp_path / "plain", **{k: v for k, v in ASKED.items() if k != "convergence"})))
    assert asked.points == plain.points
    assert list(asked.cells) == list(plain.cells)
    assert load_study(study_file("head_ct_labels")).convergence is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"convergence": None}, r"expected convergence: \{step: STEP, curve: auc\}, found None; give these two keys"),
        ({"convergence": {"step": "training"}}, r"found \{'step': 'training'\}; give these two keys and no other"),
        ({"convergence": {**ASKED["convergence"], "share": 0.9}}, "'share': 0.9}; give these two keys and no other"),
        (
            {"convergence": {"step": "trainin", "curve": "auc"}},
            "expected one of the steps training, evaluation, found convergence: step: trainin; name the step that",
        ),
        (
            {"convergence": {"step": "training", "curve": "loss"}},
            "expected a curve of AUC, found convergence: curve: loss; name one, such as auc",
        ),
        ({"table": {}}, r"expected a control that convergence compares with, found none; add table: \{controls:"),
    ],
)
def test_a_wrong_key_is_named(tmp_path, changes, message):
    with pytest.raises(UserError, match=r"study\.yaml: .*" + message):
        load_study(written(tmp_path, **{**ASKED, **changes}))


def test_a_step_that_no_place_runs_is_named(tmp_path):
    steps = {**STEPS, "idle": {"program": ["python"]}}
    message = (
        r"study\.yaml: expected convergence: step: one of training, evaluation, found idle, which is run at no place"
    )
    with pytest.raises(UserError, match=message):
        opened(tmp_path, **{**ASKED, "steps": steps, "convergence": {"step": "idle", "curve": "auc"}})


def test_an_arm_without_the_step_is_named_and_has_no_numbers(tmp_path):
    steps = {**STEPS, "evaluation": {"program": ["python", "{output}"], "options": {"of": "{training}"}}}
    arms = {"scratch": {}, "as it is": {"evaluation": {"of": "none"}}}
    study, expansion, folder = opened(tmp_path, **{**ASKED, "steps": steps, "arms": arms})
    found = summarise(study, expansion, folder)
    assert rows(found)["as it is"] == ("–",) * 6
    assert "as it is does not run training everywhere." in found.convergence.notes


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({}, r"expected the curve auc, \[\[iteration, value\], …\], found no curve of AUC; name the step that trains"),
        ({"curves": {"loss": [[1, 0.5]]}}, "found no curve of AUC; name the step that trains in convergence: step of"),
        ({"curves": {"auc/SAH": [[1, 0.5]], "slice_auc": [[1, 0.5]]}}, "found the curves auc/SAH, slice_auc; name one"),
        ({"curves": {"auc": []}}, r"found \[\]; name another in convergence: curve, or leave convergence out"),
        ({"curves": {"auc": [0.5, 0.7]}}, r"found \[0\.5, 0\.7\]; name another"),
        ({"curves": {"auc": [[1, None]]}}, r"found \[\[1, None\]\]; name another"),
    ],
)
def test_a_curve_that_is_absent_is_named_and_hides_no_other(tmp_path, results, message):
    study, expansion, folder = made(tmp_path, {("scratch", 0): [0.5, 0.8]})
    cell = next(cell for cell in expansion.cells.values() if folder.of(cell).is_done())
    file = folder.of(cell).output / "results.json"
    file.write_text(json.dumps(results))
    with pytest.raises(UserError, match=rf"results\.json: .*{message}") as caught:
        summarise(study, expansion, folder)
    assert caught.value.where == str(file)
    made(tmp_path, {**CURVES, ("scratch", 0): None})
    found = summarise(study, expansion, folder)
    assert rows(found)["scratch"][0] == "2.5 (2 of 4)"  # seeds 1 and 3
    assert any(note.startswith(f"No curve: {cell.name}: ") for note in found.convergence.notes)
