"""Cells run once, whoever is killed: real processes with tiny commands."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from monai_cl.cli.commands import main
from monai_cl.errors import UserError
from monai_cl.study.commands import command_of
from monai_cl.study.folder import DONE, FAILED, OPEN, RUNNING, STARTED
from monai_cl.study.running import Runner, estimated_hours, last_line
from monai_cl.study.slurm import slurm_script
from monai_cl.study.summary import summarise
from tests.study.studies import TINY, opened, written

# a cell that notes each start, waits for a file where one is named, and ends
CELL = """import json, pathlib, sys, time
output, log, wait = sys.argv[1:4]
with open(log, "a") as stream:
    stream.write(output.split("/")[-2] + "\\n")
while wait != "-" and not pathlib.Path(wait).exists():
    time.sleep(0.02)
json.dump({"metrics": {"auc": 0.5}}, open(output + "/results.json", "w"))
"""


def noted(tmp_path: Path, *, wait: str = "-", **changes) -> dict:
    words = ["python", "-S", "-c", CELL, "{output}", str(tmp_path / "starts"), wait]
    return {
        "steps": {"last": {"program": words, "options": {"seed": "{seed}", "fold": "{fold}"}}},
        "arms": {"x": {}},
        **changes,
    }


def starts(tmp_path: Path) -> list[str]:
    path = tmp_path / "starts"
    return path.read_text().split() if path.exists() else []


def until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_every_cell_runs_once_and_none_the_second_time(tmp_path):
    said: list[str] = []
    world = opened(tmp_path)
    first = Runner(*world, say=said.append).run(2)
    assert sorted(first.done) == sorted(world[1].cells)
    assert Runner(*world, say=said.append).run().done == []
    assert {world[2].of(cell).state() for cell in world[1].cells.values()} == {DONE}
    for cell in world[1].cells.values():
        if cell.step == "first":
            assert (world[2].of(cell).output / "encoder").read_text() == "x"
    hours, unknown = estimated_hours(world[1], world[2])
    assert (hours, unknown) == (0, [])


def test_hours_are_estimated_from_the_cells_that_are_done(tmp_path):
    _, expansion, folder = opened(tmp_path)
    cells = list(expansion.cells.values())
    assert estimated_hours(expansion, folder) == (0, ["first", "last"])
    measured = [cell for cell in cells if cell.step == "last"]
    for cell, seconds in zip(measured, (1800, 5400)):
        folder.of(cell).finish(seconds=seconds)
    assert estimated_hours(expansion, folder, workers=2) == (6 * 3600 / 3600 / 2, ["first"])


@pytest.mark.parametrize(("kind", "expected"), [("bundle", 7.0), ("program", 2.0)])
def test_a_bundle_that_goes_on_has_taken_the_time_of_all_its_sittings(tmp_path, monkeypatch, kind, expected):
    """Another program starts again from nothing, so that its last start is what it takes."""
    words = {"bundle": "btcv_unetr_segmentation", "program": ["true"]}[kind]
    world = opened(tmp_path, steps={"last": {kind: words}}, arms={"x": {}}, folds=[0], seeds=[0])
    (cell,) = world[1].cells.values()
    clock, statuses = iter([0.0, 3.0, 10.0, 12.0, 20.0, 22.0]), iter([75, 1, 0])
    monkeypatch.setattr("monai_cl.study.running.time", SimpleNamespace(monotonic=lambda: next(clock), sleep=time.sleep))

    def execute(runner, *_):
        status = next(statuses)
        if status == 75:  # SIGTERM, and the bundle has saved itself
            runner.stopped.set()
        if status == 0:
            (world[2].of(cell).output / "results.json").write_text("{}")
        return status

    monkeypatch.setattr(Runner, "_execute", execute)
    monkeypatch.setattr("monai_cl.study.running.last_line", lambda log: "no memory")
    for _ in range(3):
        Runner(*world, say=lambda _: None).run()
    assert world[2].seconds(world[1].cells) == {"last": [expected]}


def test_a_failed_cell_is_named_its_dependents_wait_and_the_rest_goes_on(tmp_path):
    failing = {**TINY["steps"], "first": {"program": ["python", "-c", "import sys; sys.exit('no memory')"]}}
    study, expansion, folder = opened(tmp_path, steps=failing)
    progress = Runner(study, expansion, folder, say=lambda _: None).run(2)
    assert list(progress.failed.values()) == ["status 1: no memory"]
    assert len(progress.done) == 4  # scratch
    states = [(cell.step, folder.of(cell).state()) for cell in expansion.cells.values()]
    assert sorted(states) == sorted([("first", FAILED), *[("last", DONE)] * 4, *[("last", OPEN)] * 4])
    whole = opened(tmp_path)
    assert len(Runner(*whole, say=lambda _: None).run().done) == 2 + 4  # two cells first; scratch is done


def test_the_reason_of_a_failure_is_without_the_progress_bar_before_it(tmp_path):
    log = tmp_path / "log.txt"
    log.write_bytes(b"$ python -m monai_cl\nslices: 0%| [00:00]\r      \rerror: no such list\n")
    assert last_line(log) == "error: no such list"


def test_a_program_that_does_not_exist_fails_its_cell_alone(tmp_path):
    world = opened(tmp_path, steps={"last": {"program": ["no_such_program"]}}, arms={"x": {}}, seeds=[0], folds=[0])
    (reason,) = Runner(*world, say=lambda _: None).run().failed.values()
    assert "status 127" in reason
    assert "no_such_program" in reason


def test_workers_share_out_the_devices(tmp_path):
    shown = "import os,sys; open(sys.argv[1] + '/results.json', 'w').write(os.environ['CUDA_VISIBLE_DEVICES'])"
    steps = {"last": {"program": ["python", "-S", "-c", shown, "{output}"], "options": {"n": "{seed}"}}}
    study, expansion, folder = opened(tmp_path, steps=steps, arms={"x": {}}, folds=[0])
    Runner(study, expansion, folder, gpus=[5, 7], say=lambda _: None).run()
    assert {(folder.of(cell).output / "results.json").read_text() for cell in expansion.cells.values()} == {"5"}
    runner = Runner(study, expansion, folder, gpus=[5, 7])
    assert [runner._environment(worker)["CUDA_VISIBLE_DEVICES"] for worker in range(3)] == ["5", "7", "5"]


def test_a_measured_cell_without_results_has_failed(tmp_path):
    world = opened(tmp_path, steps={"last": {"program": ["python", "-S", "-c", ""]}}, arms={"x": {}})
    progress = Runner(*world, say=lambda _: None).run()
    assert set(progress.failed.values()) == {"no results.json"}


def test_an_absent_input_is_refused_before_anything_runs(tmp_path):
    world = opened(tmp_path, inputs={"data": "nowhere"})
    with pytest.raises(UserError, match=r"expected the input 'data', found nothing at nowhere; name it: --inputs"):
        Runner(*world).run()
    # all of them at once: each --inputs replaces the one before
    world = opened(tmp_path, inputs={"data": "nowhere", "list": "nor here", "here": "."})
    with pytest.raises(UserError, match=r"""--inputs "\{'data': PATH, 'list': PATH\}\""""):
        Runner(*world).run()


def test_a_killed_study_loses_one_cell_at_most_and_runs_none_twice_at_a_time(tmp_path):
    gate = tmp_path / "gate"
    changes = noted(tmp_path, wait=str(gate))
    path = written(tmp_path, **changes)
    words = [sys.executable, "-m", "monai_cl", "study", "run", str(path), "--output", str(tmp_path / "out")]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    until(lambda: len(starts(tmp_path)) == 1)
    process.kill()  # SIGKILL: the cell's own process lives on
    process.wait()
    _, expansion, folder = opened(tmp_path, **changes)
    states = [folder.of(cell).state() for cell in expansion.cells.values()]
    assert sorted(states) == sorted([RUNNING, OPEN, OPEN, OPEN])
    second = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    until(lambda: len(starts(tmp_path)) == 2)
    assert len(set(starts(tmp_path))) == 2  # it left the running one alone
    gate.touch()
    assert second.wait(100) == 0
    # the orphan ended after its starter: its cell alone was run again
    assert sorted(starts(tmp_path).count(cell.name) for cell in expansion.cells.values()) == [1, 1, 1, 2]
    assert {folder.of(cell).state() for cell in expansion.cells.values()} == {DONE}


def test_a_cell_whose_process_was_killed_too_has_started_and_runs_again(tmp_path):
    changes = noted(tmp_path, seeds=[0], folds=[0])
    study, expansion, folder = opened(tmp_path, **changes)
    (cell,) = expansion.cells.values()
    folder.describe(cell)
    folder.of(cell).output.mkdir()
    (folder.of(cell).output / "half").touch()
    assert folder.of(cell).state() == STARTED
    assert Runner(study, expansion, folder, say=lambda _: None).run().done == [cell.identity]
    assert not (folder.of(cell).output / "half").exists()  # a command starts with an empty folder


@pytest.mark.slow
def test_two_studies_on_one_folder_never_run_a_cell_twice(tmp_path):
    path = written(tmp_path, **noted(tmp_path, seeds=list(range(8))))
    words = [sys.executable, "-m", "monai_cl", "study", "run", str(path), "--output", str(tmp_path / "out")]
    processes = [subprocess.Popen([*words, "--workers", "2"], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(200) for process in processes] == [0, 0]
    found = starts(tmp_path)
    assert len(found) == len(set(found)) == 16


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM")
def test_sigterm_ends_the_cells_and_leaves_them_to_the_next_run(tmp_path):
    path = written(tmp_path, **noted(tmp_path, wait=str(tmp_path / "never")))
    words = [sys.executable, "-m", "monai_cl", "study", "run", str(path), "--output", str(tmp_path / "out")]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    until(lambda: len(starts(tmp_path)) == 1)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    _, expansion, folder = opened(tmp_path, **noted(tmp_path, wait=str(tmp_path / "never")))
    assert sorted(folder.of(cell).state() for cell in expansion.cells.values()) == [OPEN] * 3 + [STARTED]


def test_a_bundle_s_command_names_its_config_its_folder_and_its_inputs(tmp_path):
    steps = {
        "last": {
            "bundle": "btcv_unetr_segmentation",
            "options": {"dataset_dir": "{data}", "spacing": [5.0, 5.0, 5.0], "warp": {"scale": None}, "fold": "{fold}"},
            "machine": {"store_dir": "{study}/store"},
        }
    }
    study, expansion, folder = opened(tmp_path, steps=steps, arms={"x": {}}, inputs={"data": "."}, folds=[2], seeds=[0])
    (cell,) = expansion.cells.values()
    words = command_of(cell, study, expansion, folder)
    assert words[1:5] == ["-m", "monai.bundle", "run", "--config_file"]
    assert words[5].endswith("bundles/btcv_unetr_segmentation/configs/train.yaml")
    given = dict(zip(words[6::2], words[7::2]))
    assert given == {
        "--output_dir": str(folder.of(cell).output), "--dataset_dir": str(tmp_path), "--spacing": "[5.0, 5.0, 5.0]",
        "--warp": "{'scale': None}", "--fold": "2", "--store_dir": str(tmp_path / "out" / "store"),
    }  # fmt: skip


def test_a_slurm_script_is_one_array_that_runs_the_study(tmp_path):
    path = written(tmp_path)
    given = ["--output", f"{tmp_path}/o u t", "--inputs", "{'d': '/x'}"]
    script = slurm_script(
        path, tmp_path / "o u t", name="a\nb", count=7, tasks=3, file=Path("s.sh"), python="/py", inputs={"d": "/x"}
    )
    assert "#SBATCH --array=0-2\n" in script
    assert "# a b: 7 cells." in script
    words = shlex.split(script.splitlines()[-1])
    assert words == ["exec", "/py", "-m", "monai_cl", "study", "run", str(path), *given]
    done = subprocess.run(["bash", "-n"], input=script, text=True, check=False)
    assert done.returncode == 0


def test_a_slurm_script_keeps_the_threads_and_leaves_the_devices_to_slurm(tmp_path):
    path, file = written(tmp_path), tmp_path / "job.sh"
    words = ["study", "run", str(path), "--output", str(tmp_path / "out"), "--slurm", str(file), "--workers", "3"]
    main([*words, "--threads", "2"])
    assert shlex.split(file.read_text().splitlines()[-1])[-2:] == ["--threads", "2"]
    main(words)
    assert "--threads" not in file.read_text()
    with pytest.raises(SystemExit):
        main([*words, "--gpus", "0,1"])


# warns by way of a bundle's log; seed 5 ends badly the first time, in the middle of a line
SAYS = """import json, pathlib, sys
output, seed, starts = sys.argv[1:4]
first = not pathlib.Path(starts).exists()
at = "2026-01-01 00:00:00,000 - "
print(at + "monai_cl.engines.x - INFO - nothing", end=chr(13))
print(at + "monai.data - WARNING - of another package")
if seed in "34":
    print(at + f"monai_cl.engines.x - WARNING - collapsed at {seed}.5")
if seed == "5" and first:
    pathlib.Path(starts).touch()
    print(at + "monai_cl.engines.x - WARNING - of the first start", end="")
    sys.exit(1)
json.dump({"metrics": {"auc": 0.5}}, open(output + "/results.json", "w"))
"""


def test_what_finished_cells_warned_of_is_said_beside_the_table(tmp_path):
    words = ["python", "-S", "-c", SAYS, "{output}", "{seed}", str(tmp_path / "first")]
    world = opened(
        tmp_path, steps={"last": {"program": words, "options": {}}}, arms={"x": {}}, folds=[0], seeds=[3, 4, 5, 6]
    )
    assert len(Runner(*world).run().failed) == 1
    expected = [
        f"2 of 4 cells of last warned, such as {cell.name}: collapsed at 3.5" for cell in world[1].cells.values()
    ]
    _, expansion, folder = world
    (warned,) = [note for note in summarise(*world).notes if "warned" in note]
    assert warned in expected
    assert len(Runner(*world).run().done) == 1  # its last start warned of nothing
    assert folder.warnings(expansion.cells) == [warned]
