"""The benchmarks measure what they say: fair rounds, equal functions, limits of what is simulated, bounded memory."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from monai_cl.transforms import boundary_weight_map
from tests.data.volume_files import affine_of, ct_array, label_array, write_nifti

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """Import a module as the scripts do, from their own folder."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_everybody_runs_in_every_round_and_nobody_always_first(load):
    interleave = load("engine.timing").interleave
    calls: list[tuple[int, str]] = []
    contestants = {name: lambda number, name=name: calls.append((number, name)) for name in "abc"}
    times = interleave(contestants, rounds=6, warmup=1, every={"c": 3})
    assert {n for n, name in calls if name == "a"} == {-1, 0, 1, 2, 3, 4, 5}
    assert [n for n, name in calls if name == "c"] == [0, 3]
    assert {next(name for n, name in calls if n == number) for number in range(6)} == {"a", "b"}
    assert times["a"]["wall_ms"]["n"] == 6
    assert times["c"]["processor_ms"]["n"] == 2


def test_a_ratio_pairs_rounds_in_which_both_ran(load):
    ratio = load("engine.timing").ratio
    times = {
        "slow": {"samples": {0: (10.0, 8.0), 2: (30.0, 20.0)}},
        "fast": {"samples": {0: (5.0, 2.0), 1: (1.0, 1.0), 2: (10.0, 10.0)}},
    }
    found = ratio(times, "slow", "fast")
    assert found["wall"] == pytest.approx(2.5)
    assert found["processor"] == pytest.approx(3.0)
    assert found["processor_total"] == pytest.approx(28 / 12, abs=0.01)


@pytest.mark.parametrize("classes", [5, None])
def test_monais_weight_map_is_the_engines(load, classes):
    label = torch.from_numpy(np.random.default_rng(0).integers(0, 5, (4, 4, 4)).repeat(4, 0).repeat(4, 1).repeat(4, 2))
    by_monai = load("engine.weights").by_monai(label, classes=classes)
    torch.testing.assert_close(by_monai, boundary_weight_map(label))


def test_the_report_says_what_was_missed(load):
    part = {"what": "x", "load_before": 1, "created": "now", "git_commit": "abc", "git_dirty": False, "quick": False}
    ratio = {"processor": 14.9, "processor_total": 14.9, "processor_q25": 1, "processor_q75": 2, "wall": 3}
    record = {
        "machine": {"processor": "p", "cores": 1, "memory_gib": 1, "system": "s"},
        "versions": {"torch": "2", "torchio": None},
        "parts": {
            "pairs": part | {"ratios": {"engine against MONAI stock, CacheDataset": ratio}},
            "stream": part | {"growth": 0.02},
        },
    }
    text = load("engine.report").markdown(record)
    assert "| at least 15 | 14.9 | missed |" in text
    assert "| at most 10 % | 2.0 % | met |" in text
    assert "Not installed, so not measured: torchio" in text


def test_a_cache_that_holds_a_nodes_own_part_is_always_hit(load):
    hit_rate = load("scaling").hit_rate
    assert hit_rate(objects=800, capacity=100, nodes=8, partitioned=True) == 1.0
    assert hit_rate(objects=800, capacity=100, nodes=8, partitioned=False) < 0.2
    assert hit_rate(objects=800, capacity=800, nodes=1, partitioned=False) == 1.0
    assert hit_rate(objects=800, capacity=1, nodes=1, partitioned=False) < 0.05


@pytest.mark.parametrize(
    ("volumes", "crops", "heap_mib"),
    [(8, 100, 150), pytest.param(200, 2000, 400, marks=[pytest.mark.slow, pytest.mark.timeout(1500)])],
)
@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="reads Linux's /proc")
def test_a_store_streams_in_a_heap_smaller_than_its_voxels(load, tmp_path, volumes, crops, heap_mib):
    found = load("engine.stream").measure(tmp_path, volumes=volumes, crops=crops, heap_mib=heap_mib)
    assert found["growth"] < 0.10, found
    if volumes == 200:
        assert found["voxels_mib"] > heap_mib


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    "words",
    [
        ["engine_speed.py", "--quick", "--only", "storage", "weights", "views", "slices", "--output", "result"],
        [
            *("gpu_step.py", "--device", "cpu", "--size", "small", "--batches", "1", "--steps", "1", "--warmup", "0"),
            *("--ways", "stock", "ours, float32", "--output", "result.json"),
        ],
    ],
    ids=lambda words: words[0],
)
def test_a_benchmark_runs_and_leaves_its_record(words, tmp_path):
    done = subprocess.run([sys.executable, str(FOLDER / words[0]), *words[1:]], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    record = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert record["git_commit" if "rows" in record else "machine"]
    assert (tmp_path / "result.md").is_file()
    if "rows" in record:  # one network, one view, one loss, however the step is taken
        losses = [row["first_loss"] for row in record["rows"]]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_depth_of_unseen_patients_is_tabulated_over_folds_and_seeds(load):
    module = load("real_depth")
    values = {0: [(0.1, [0.2]), (0.3, [0.4, 0.6])], 1: [(0.5, [0.1]), (0.7, [0.1, 0.1])]}  # folds of each seed
    rows = [
        {"method": method, "seed": seed, "fold": fold, "r2": r2, "rank": rank}
        for method in module.METHODS
        for seed, folds in values.items()
        for fold, (r2, rank) in enumerate(folds)
    ]
    assert "| wsp | 0.400 ± 0.283 | 0.250 ± 0.212 |" in module.table(rows).splitlines()


@pytest.mark.parametrize("method", ["random", "wsp"])
def test_an_encoder_is_trained_on_slices_in_memory(load, method):
    module = load("real_depth")
    rng = np.random.default_rng(0)
    patients = np.arange(130) % 5
    pictures = rng.integers(0, 256, (130, 156, 156), dtype=np.uint8)
    slices = module.Slices(pictures, rng.random(130, dtype=np.float32), patients, patients % 2)
    training = module.Training(steps=2, batch=4, width=0.125, warmup=1)
    net, last = module.pretrain(training, slices, method=method, seed=0)
    one = slices.part(patients == 3)
    assert set(one.regions) == {1}
    assert one.images().shape == (26, 1, 156, 156)
    assert torch.isfinite(net.eval().represent(one.images())).all()
    assert np.isfinite(last["loss"]) if method == "wsp" else last == {}


@pytest.mark.slow
def test_the_study_of_codes_on_real_images_runs_to_its_file(load, tmp_path, monkeypatch):
    script = load("real_clustering")
    (tmp_path / "classification").mkdir()
    labels = np.arange(140) % 3
    images = np.random.default_rng(0).integers(0, 80, (140, 64, 64)).astype(np.uint8)
    for number, label in enumerate(labels):
        images[number, 20 * label : 20 * label + 20] += 120
    np.savez(tmp_path / "classification" / "mednist_ct3class_3000.npz", images=images, labels=labels)
    words = ["real_clustering.py", str(tmp_path), "--output", str(tmp_path / "out"), "--seeds", "0", "--steps", "2"]
    monkeypatch.setattr(sys, "argv", words)
    script.main()
    (run,) = json.loads((tmp_path / "out" / "real_clustering.json").read_text(encoding="utf-8"))["runs"]
    assert run["loss"]["log_k"] == pytest.approx(np.log(48))
    for start in ("random", "clustering"):
        assert 0 <= run[start]["nmi_shuffled"] <= 1
        assert run[start]["neighbours"] > 0.9  # a band at another height: anything sees it


@pytest.mark.slow
def test_labels_from_scores_are_compared_on_a_scan(load, tmp_path, monkeypatch, capsys):
    scan = write_nifti(tmp_path / "scan.nii.gz", ct_array(), affine_of("LPS"))
    label = write_nifti(tmp_path / "label.nii.gz", label_array(), affine_of("LPS"))
    words = ["inverse_labels.py", str(scan), str(label), "--spacing", "1.5", "1.5", "2", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", [*words, "--output", str(tmp_path / "result.json")])
    load("inverse_labels").main()
    record = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert record["scan"] == [20, 16, 12]
    assert record["voxels_that_differ"] < 40
    assert set(record["seconds"]) == {"InvertLabelsd", "Invertd, AsDiscreted"}


def test_a_start_is_measured_by_the_processor_time_of_a_fresh_process(load, monkeypatch):
    module = load("start_time")
    busy = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    monkeypatch.setattr(
        module,
        "STARTS",
        {"nothing": ["-c", "pass"], "busy": ["-c", busy], "asleep": ["-c", "import time; time.sleep(0.3)"]},
    )
    found = module.measure(2)
    assert list(found) == ["nothing", "busy", "asleep"]
    assert found["busy"] >= found["nothing"] + 0.2
    assert found["asleep"] < 0.2


def test_changes_of_settings_and_their_differences_are_paired(load, tmp_path):
    module = load("setting_change")
    values = {
        ("one", "0 %"): (0.5, 0.6),
        ("one", "50 %"): (0.3, 0.5),
        ("two", "0 %"): (0.4, 0.4),
        ("two", "50 %"): (0.4, 0.5),
    }
    lines = [
        {"arm": arm, "setting": setting, "seed": seed, "per_case": [{"id": "a", "dice": {"x": value, "y": None}}]}
        for (arm, setting), found in values.items()
        for seed, value in enumerate(found)
    ]
    (tmp_path / "table.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = module.changes(module.read_places(tmp_path / "table.jsonl"), start="0 %", control="one")
    assert {name: (pytest.approx(its.mean), its.wins, its.losses) for name, its in found.items()} == {
        "one, 50 % over 0 %": (-15, 0, 2),
        "two, 50 % over 0 %": (5, 1, 0),
        "that change, two over one, 50 %": (20, 2, 0),
    }


def test_a_label_brought_to_a_spacing_and_back_loses_what_is_smaller_than_a_voxel(load, tmp_path, monkeypatch, capsys):
    label = np.zeros((24, 24, 24), np.uint8)
    label[4:20, 4:20, 4:20] = 1
    label[1, 1, 1] = 2  # beside the middle of every voxel of 3 mm
    affine = affine_of("RAS", (1.0,) * 3)
    write_nifti(tmp_path / "label.nii.gz", label, affine)
    write_nifti(tmp_path / "image.nii.gz", ct_array(label.shape), affine)
    item = {"image": "image.nii.gz", "label": "label.nii.gz", "id": "a"}
    names = {"0": "background", "1": "liver", "2": "dot"}
    (tmp_path / "list.json").write_text(json.dumps({"name": "one", "labels": names, "training": [item]}))
    found = {}
    for spacing in ("1", "3"):
        words = ["--data", str(tmp_path), "--data_list", str(tmp_path / "list.json"), "--spacing", spacing]
        monkeypatch.setattr(sys, "argv", ["spacing_limit.py", *words])
        load("spacing_limit").main()
        found[spacing] = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert found["1"] == [["a", "liver", "4.1", "ml", "1.00"], ["a", "dot", "0.0", "ml", "1.00"]]
    (_, _, _, _, liver), (*_, dot) = found["3"]
    assert 0.8 < float(liver) < 1
    assert dot == "0.00"
