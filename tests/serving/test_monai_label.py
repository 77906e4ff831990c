"""A server of MONAI Label from end to end: information, inference, labels, strategies, training, classification.

The tests share one server and are in the order of a reader's day; `make test-monailabel` runs them.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch

from monai_cl.data import read_results, write_cohort
from monai_cl.engines import slice_classifier
from monai_cl.serving import find_interpreter
from monai_cl.shipped import bundle_folder
from tests.docs.commands import blocks_of
from tests.serving.label_server import LabelServer

pytestmark = [pytest.mark.monailabel, pytest.mark.timeout(3600)]

SPLEEN, CIRRHOSIS = "spleen_unetr_segmentation", "cirrhosis_classification"
TINY = {"spacing": [8.0, 8.0, 8.0], "patch_size": [32, 32, 32], "feature_size": 4, "hidden_size": 24, "mlp_dim": 48}
TINY |= {"num_heads": 2, "num_workers": 0, "prepare_workers": 1, "learning_rate": 0.003}
SLICES = {"width": 0.125, "image_size": 160}
CASES = [f"spleen_000{number}" for number in range(5)]
OBLIQUE = CASES[3]


def words(options: dict) -> list[str]:
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in options.items()}
    return [word for key, text in texts.items() for word in (f"--{key}", text)]


def python(*arguments: object, cwd: Path, interpreter: object = sys.executable) -> str:
    """A command that has to succeed; its output."""
    command = [str(word) for word in (interpreter, *arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8", timeout=900)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("label")


@pytest.fixture(scope="module")
def labels(root) -> Path:
    """Synthetic scans in ``studies``, one of them oblique; the folder of their labels."""
    write_cohort(root / "cohort", cases=5, spacing=8, progress=False)
    images, folder = (root / "cohort" / "synthetic_spleen" / name for name in ("images", "labels"))
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    for file in (images / f"{OBLIQUE}.nii.gz", folder / f"{OBLIQUE}.nii.gz"):
        scan = nib.load(file)
        nib.save(nib.Nifti1Image(np.asarray(scan.dataobj), turn @ scan.affine), file)
    shutil.copytree(images, root / "studies")
    return folder


@pytest.fixture(scope="module")
def trained(root, labels) -> Path:
    """A fine-tuning that finds the spleen: after 60 steps it depends on the processor whether it does."""
    cohort = root / "cohort"
    python(
        *("-m", "monai.bundle", "run", "--config_file", bundle_folder(SPLEEN) / "configs" / "train.yaml"),
        *("--dataset_dir", cohort, "--data_list", cohort / "spleen.json", "--store_dir", root / "store"),
        *("--output_dir", root / "trained", "--iterations", 200, "--epoch_length", 200, *words(TINY)),
        cwd=root,
    )
    return root / "trained"


@pytest.fixture(scope="module")
def classifier(root) -> Path:
    """A classifier of random weights, far from 0.5."""
    torch.manual_seed(0)
    network = slice_classifier("tinynet", **SLICES)
    with torch.no_grad():
        network.head.bias.fill_(1.0)
    torch.save(network.state_dict(), root / "classifier.pt")
    return root / "classifier.pt"


@pytest.fixture(scope="module")
def server(root, labels, trained, classifier):
    """Both bundles in one app, with uncertainty."""
    python(
        *("-m", "monai_cl", "monailabel", "--bundle", CIRRHOSIS, "--studies", "studies", "--app", "app", "--nostart"),
        *("--checkpoint", classifier, *words(SLICES)),
        cwd=root,
    )
    options = ["--bundle", SPLEEN, "--studies", "studies", "--app", "app", "--checkpoint", str(trained)]
    options += ["--uncertainty", "--num_workers", "0", "--prepare_workers", "1", "--epoch_length", "3"]
    running = LabelServer(root, *options)
    try:
        running.wait()
        yield running
    finally:
        running.stop()


def reference(root: Path, name: str, *, checkpoint: Path | None = None) -> Path:
    """Label maps of all studies by the bundle itself, without MONAI Label."""
    model = root / "app" / "model" / SPLEEN
    folder = root / name
    python(
        *("-m", "monai.bundle", "run", "--config_file", model / "configs" / "inference.yaml"),
        *("--datalist", json.dumps([str(root / "studies" / f"{case}.nii.gz") for case in CASES])),
        *("--output_dir", folder),
        *("--checkpoint", checkpoint or model / "models" / "model.pt"),
        cwd=root,
    )
    return folder


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * (first & second).sum() / max(first.sum() + second.sum(), 1)


def voxels(file: Path) -> np.ndarray:
    return np.asarray(nib.load(file).dataobj)


def test_information_names_models_trainers_and_strategies(server):
    info = server.get("/info/")
    assert set(info["models"]) == {SPLEEN, CIRRHOSIS}
    assert info["models"][SPLEEN]["type"] == "segmentation"
    assert info["models"][SPLEEN]["labels"] == {"spleen": 1}
    assert info["models"][CIRRHOSIS]["type"] == "classification"
    assert set(info["trainers"]) == {SPLEEN}
    assert info["trainers"][SPLEEN]["config"]["epoch_length"] == 3
    assert set(info["strategies"]) == {"first", "random", "uncertainty"}
    assert set(info["scoring"]) == {SPLEEN}
    assert info["datastore"]["total"] == len(CASES)


def test_a_web_page_from_elsewhere_may_not_read(server):
    answer = server.client.get("/info/", headers={"Origin": "http://elsewhere.example"})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-origin" not in server.client.get("/info/").headers


def test_inference_is_the_bundles_own_in_the_scans_own_space(server, root, trained, labels):
    # the run's own checkpoint, so that the copy in the app is compared too
    expected = reference(root, "expected", checkpoint=trained / "model.pt")
    for case in CASES:
        found = server.segment(SPLEEN, case, root / f"{case}.nii.gz")
        scan, label = nib.load(root / "studies" / f"{case}.nii.gz"), nib.load(found)
        assert label.shape == scan.shape
        np.testing.assert_allclose(label.affine, scan.affine, atol=1e-4)
        assert label.get_data_dtype() == np.uint8
        ours, theirs, truth = (
            voxels(file) == 1 for file in (expected / f"{case}_seg.nii.gz", found, labels / f"{case}.nii.gz")
        )
        np.testing.assert_array_equal(theirs, ours)
        assert dice(theirs, truth) == dice(ours, truth)
        assert 0 < ours.mean() < 0.5, "a model that finds nothing, or everything, compares nothing"


def test_the_oblique_scan_is_oblique(root, server):
    affine = nib.load(root / "studies" / f"{OBLIQUE}.nii.gz").affine
    assert np.count_nonzero(np.abs(affine[:3, :3]) > 0.5) > 3


def test_first_and_random_give_scans_without_a_label(server):
    assert server.post("/activelearning/first")["id"] == CASES[0]
    assert server.post("/activelearning/random")["id"] in CASES


def test_uncertainty_gives_the_scan_of_the_highest_entropy(server):
    server.finished("scoring")
    deadline = time.monotonic() + 60
    while True:  # the server sees what the scoring's process has written to the data store
        known = {case: server.get("/datastore/image/info", image=case).get("epistemic_entropy") for case in CASES}
        if None not in known.values() or time.monotonic() > deadline:
            break
        time.sleep(1)
    assert all(0 < value < np.log(2) + 1e-6 for value in known.values()), known
    assert len(set(known.values())) == len(CASES)
    sample = server.post("/activelearning/uncertainty")
    assert sample["id"] == max(known, key=known.get)
    # what has been served goes to the end of the line
    assert server.post("/activelearning/uncertainty")["id"] == sorted(known, key=known.get)[-2]


def test_classification_answers_with_json(server, root):
    answer = server.client.post(f"/infer/{CIRRHOSIS}", params={"image": CASES[0]})
    assert answer.status_code == 200, server.tail()
    assert answer.headers["content-type"] == "application/json"
    model = root / "app" / "model" / CIRRHOSIS
    scan = root / "studies" / f"{CASES[0]}.nii.gz"
    python(
        *("-m", "monai.bundle", "run", "--config_file", model / "configs" / "inference.yaml"),
        *("--datalist", f"['{scan}']", "--output_dir", root / "classified", "--grad_cam", 0),
        cwd=root,
    )
    expected = json.loads((root / "classified" / f"{CASES[0]}.json").read_text(encoding="utf-8"))
    found = answer.json()
    assert found["probability"] == pytest.approx(expected["probability"], abs=1e-6)
    assert 0.5 < found["probability"] < 1
    assert found["call"] == expected["call"] == "class 1"
    assert [row["slice"] for row in found["slices"]] == [row["slice"] for row in expected["slices"]]
    assert [entry["label"] for entry in found["prediction"]] == ["class 0", "class 1"]
    assert found["prediction"][1]["score"] == found["probability"]
    assert sum(entry["score"] for entry in found["prediction"]) == pytest.approx(1)
    assert server.post(f"/infer/{CIRRHOSIS}", image=CASES[1], output="json")["id"] == CASES[1]


SLICER = """
import importlib.util, json, sys
file, url, label, folder = sys.argv[1:]
spec = importlib.util.spec_from_file_location("client", file)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
client = module.MONAILabelClient(url, tmpdir=folder)
sample = client.next_sample("first", {})
# as the module asks: file type and values of its own
wanted = {"result_extension": ".nrrd", "result_dtype": "uint8", "device": "cpu", "model_filename": "model.pt"}
mask, params = client.infer("spleen_unetr_segmentation", sample["id"], wanted)
saved = client.save_label(sample["id"], label, params={"label_info": [{"name": "spleen", "idx": 1}]})
print(json.dumps({"models": sorted(client.info()["models"]), "sample": sample["id"], "mask": mask,
                  "labels": params["label_names"], "saved": saved}))
"""


def test_3d_slicers_own_client_can_work_with_it(server, root, labels):
    interpreter = find_interpreter()
    client = interpreter.parent.parent / "monailabel/plugins/slicer/MONAILabel/MONAILabelLib/client.py"
    script = root / "slicer.py"
    script.write_text(SLICER, encoding="utf-8")
    (root / "slicer").mkdir()
    label = labels / f"{CASES[0]}.nii.gz"
    url = f"http://127.0.0.1:{server.port}"
    out = python("-W", "ignore", script, client, url, label, root / "slicer", cwd=root, interpreter=interpreter)
    done = json.loads(out.splitlines()[-1])
    assert done["models"] == [CIRRHOSIS, SPLEEN]
    assert done["sample"] == CASES[0]
    assert done["labels"] == {"spleen": 1}
    mask = SimpleITK.ReadImage(done["mask"])
    assert mask.GetPixelID() == SimpleITK.sitkUInt8
    values = SimpleITK.GetArrayFromImage(mask).transpose()
    np.testing.assert_array_equal(values, voxels(root / f"{CASES[0]}.nii.gz"))
    assert server.get("/info/")["datastore"]["completed"] == 1


def test_an_uploaded_label_comes_back_unchanged(server, root, labels):
    for case in CASES[1:3]:
        saved = server.submit(case, labels / f"{case}.nii.gz", [{"name": "spleen", "idx": 1}])
        assert saved == {"image": case, "label": case}
    status = server.get("/info/")["datastore"]
    assert (status["completed"], status["label_tags"]["final"]) == (3, 3)
    back = server.client.get("/datastore/label", params={"label": CASES[1], "tag": "final"}).content
    assert back == (labels / f"{CASES[1]}.nii.gz").read_bytes()
    assert server.post("/activelearning/first")["id"] == CASES[3]


def test_training_starts_from_the_model_and_is_compared_with_it(server, root, labels):
    model = root / "app" / "model" / SPLEEN / "models" / "model.pt"
    before = torch.load(model, weights_only=True)
    # a reader's own numbering: another segment first
    other = root / "other.nii.gz"
    truth = nib.load(labels / f"{OBLIQUE}.nii.gz")
    renumbered = np.where(np.asarray(truth.dataobj) == 1, 2, 0).astype(np.uint8)
    renumbered[0, 0, 0] = 1
    nib.save(nib.Nifti1Image(renumbered, truth.affine), other)
    server.submit(OBLIQUE, other, [{"name": "vessel", "idx": 1}, {"name": "spleen", "idx": 2}])
    # every option, as 3D Slicer sends them
    options = server.get("/info/")["trainers"][SPLEEN]["config"]
    chosen = {key: value[0] if isinstance(value, list) else value for key, value in options.items()}
    server.post(f"/train/{SPLEEN}", {**chosen, "max_epochs": 1, "val_split": 0.25})
    server.finished("train")

    (run,) = (model.parent / "training").iterdir()
    results = read_results(run)
    assert results["iterations"] == 3
    assert len(results["data_list"]["training_cases"]) == 3
    assert [case["id"] for case in results["metrics"]["per_case"]] == [OBLIQUE]
    np.testing.assert_array_equal(voxels(run / "labels" / f"{OBLIQUE}.nii.gz"), voxels(labels / f"{OBLIQUE}.nii.gz"))
    trained = torch.load(run / "model.pt", weights_only=True)
    assert trained.keys() == before.keys()
    steps = max(float((trained[key] - before[key]).abs().max()) for key in trained)
    # three steps of AdamW change a weight by a few learning rates: another start would be far off
    assert 0 < steps < 5 * TINY["learning_rate"]
    comparison = json.loads((run / "comparison.json").read_text(encoding="utf-8"))
    # the app's model was that of the run until now, whose label maps are there
    files = root / "expected" / f"{OBLIQUE}_seg.nii.gz", labels / f"{OBLIQUE}.nii.gz"
    found, truth = (voxels(file) == 1 for file in files)
    assert comparison["mean_dice_before"] == pytest.approx(dice(found, truth), abs=1e-5)
    assert comparison["mean_dice"] == results["best"]["mean_dice"]
    assert comparison["cases"] == [OBLIQUE]
    assert comparison["replaced"] == (comparison["mean_dice"] >= comparison["mean_dice_before"])
    in_place = torch.load(model, weights_only=True)
    for key, weights in (trained if comparison["replaced"] else before).items():
        assert torch.equal(in_place[key], weights)
    assert server.get("/info/")["train_stats"][SPLEEN]["epoch"] == 1

    found = server.segment(SPLEEN, CASES[4], root / "after.nii.gz")
    expected = reference(root, "expected after") / f"{CASES[4]}_seg.nii.gz"
    np.testing.assert_array_equal(voxels(found), voxels(expected))


@pytest.fixture
def blind(root) -> Path:
    """Weights of the app's network that see background alone, beside its own."""
    models = root / "app" / "model" / SPLEEN / "models"
    weights = torch.load(models / "model.pt", weights_only=True)
    for name in ("out.conv.conv.weight", "out.conv.conv.bias"):
        weights[name] = torch.zeros_like(weights[name])
    weights["out.conv.conv.bias"][0] = 10.0
    torch.save(weights, models / "blind.pt")
    return models / "blind.pt"


def test_a_model_that_has_become_worse_does_not_take_its_place(server, blind):
    model = blind.with_name("model.pt")
    before = model.read_bytes()
    options = {"device": "cpu", "max_epochs": 1, "epoch_length": 1, "model_filename": blind.name, "val_split": 0.25}
    server.post(f"/train/{SPLEEN}", options)
    task = server.finished("train")
    comparison = json.loads((last_run(model) / "comparison.json").read_text(encoding="utf-8"))
    assert comparison["mean_dice"] == 0
    assert comparison["mean_dice_before"] > 0
    assert not comparison["replaced"]
    assert model.read_bytes() == before
    # both numbers are in the answer of /train/
    both = (
        f"mean Dice of the trained model 0.0000, of the app's before {comparison['mean_dice_before']:.4f}, on the same"
    )
    assert both in task["details"][-1]


def test_a_model_that_is_as_good_takes_its_place_and_scores_are_made_again(server, root, blind):
    model = blind.with_name("model.pt")
    (root / "good.pt").write_bytes(model.read_bytes())
    upload(server, blind)
    try:
        server.post(f"/train/{SPLEEN}", {"device": "cpu", "max_epochs": 1, "val_split": 0.25})
        server.finished("train")
        comparison = json.loads((last_run(model) / "comparison.json").read_text(encoding="utf-8"))
        assert (comparison["mean_dice_before"], comparison["replaced"]) == (0.0, True)
        assert model.read_bytes() == (last_run(model) / "model.pt").read_bytes()
        assert (last_run(model) / "previous_model.pt").read_bytes() == blind.read_bytes()
        deadline = time.monotonic() + 600
        expected = int(model.stat().st_mtime)
        while (scored := server.get("/datastore/image/info", image=CASES[4]).get("epistemic_ts")) != expected:
            assert time.monotonic() < deadline, (scored, expected, server.tail())
            time.sleep(1)
    finally:
        upload(server, root / "good.pt")


def upload(server, weights: Path) -> None:
    with weights.open("rb") as stream:
        answer = server.client.put(f"/model/{SPLEEN}", files={"file": (weights.name, stream)})
    assert answer.status_code == 200, answer.text


def last_run(model: Path) -> Path:
    return max((model.parent / "training").iterdir())


def test_one_label_is_enough(server, root):
    runs = root / "app" / "model" / SPLEEN / "models" / "training"
    for case in CASES[:3]:
        assert server.client.delete("/datastore/label", params={"id": case, "tag": "final"}).status_code == 200
    deadline = time.monotonic() + 60
    while server.get("/info/")["datastore"]["completed"] > 1 and time.monotonic() < deadline:
        time.sleep(1)
    server.post(f"/train/{SPLEEN}", {"device": "cpu", "max_epochs": 1, "epoch_length": 2})
    server.finished("train")
    results = read_results(max(runs.iterdir()))
    assert results["data_list"]["training_cases"] == [OBLIQUE]
    assert [case["id"] for case in results["metrics"]["per_case"]] == [OBLIQUE]
    assert results["iterations"] == 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_commands_of_the_page_work_as_printed(server, root):
    page = "docs/monai_label.md"
    text = (Path(__file__).resolve().parents[2] / page).read_text(encoding="utf-8")
    steps = [step.text for block in blocks_of(text, page) for step in block.steps if step.text.startswith("curl ")]
    assert len(steps) >= 6
    shutil.copy(root / "studies" / f"{CASES[1]}.nii.gz", root / "studies" / "scan.nii.gz")
    deadline = time.monotonic() + 60
    while server.get("/info/")["datastore"]["total"] == len(CASES) and time.monotonic() < deadline:
        time.sleep(1)
    (root / "page").mkdir()
    for step in steps:
        command = step.replace(":8000", f":{server.port}").replace("curl ", "curl --fail --noproxy '*' ", 1)
        done = subprocess.run(["bash", "-c", command], cwd=root / "page", capture_output=True, encoding="utf-8")
        assert done.returncode == 0, f"{step}\n{done.stdout}{done.stderr}\n{server.tail()}"
    assert nib.load(root / "page" / "scan_spleen.nii.gz").shape == nib.load(root / "studies" / "scan.nii.gz").shape
    server.finished("train")


def test_a_training_that_fails_says_why(server, root, labels):
    server.submit(CASES[1], labels / f"{CASES[1]}.nii.gz", [{"name": "tumour", "idx": 1}])
    server.post(f"/train/{SPLEEN}", {"device": "cpu", "max_epochs": 1, "multi_gpu": False})
    with pytest.raises(AssertionError, match="expected segments among spleen, found tumour; rename the segments"):
        server.finished("train")


def test_a_failure_inside_the_bundles_config_is_reported_by_its_cause(server, root, labels):
    truth = nib.load(labels / f"{CASES[1]}.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(truth.dataobj)[:-2], truth.affine), root / "short.nii.gz")
    server.submit(CASES[1], root / "short.nii.gz", [{"name": "spleen", "idx": 1}])
    server.post(f"/train/{SPLEEN}", {"device": "cpu", "max_epochs": 1, "multi_gpu": False})
    with pytest.raises(AssertionError):
        server.finished("train")
    task = server.get("/train/")
    assert (task["status"], "ConfigExpression" in task["details"][-1]) == ("ERROR", False)
    assert task["details"][-1].startswith("monai_cl.errors.UserError: ")
    assert f"{CASES[1]}.nii.gz" in task["details"][-1]
    assert "expected" in task["details"][-1]


PROCESSES = """
import os, sys
from monai_cl.serving.torchvision_operators import declare_torchvision_operators
declare_torchvision_operators()
from monai_cl.serving.training_task import TrainingTask
task = TrainingTask.__new__(TrainingTask)
task._run_command([sys.executable, "-c", "print('epoch 1')"], os.environ)
failing = "import sys; print('error: a.nii.gz: damaged', flush=True); sys.exit('error: lost another')"
for code in (failing, "raise SystemExit(7)"):
    try: task._run_command([sys.executable, "-c", code], os.environ)
    except Exception as error: print(type(error).__name__, error)
"""


def test_a_training_of_several_processes_that_fails_says_why(root):
    script = root / "processes.py"
    script.write_text(PROCESSES, encoding="utf-8")
    out = python("-W", "ignore", script, cwd=root, interpreter=find_interpreter()).splitlines()
    assert "epoch 1" in out
    assert out[-1] == "UserError the training ended with status 7"
    assert "UserError a.nii.gz: damaged" in out
    assert "UserError lost another" not in out


STOCK = """
from monai_cl.serving.torchvision_operators import declare_torchvision_operators
declared = declare_torchvision_operators()
assert declare_torchvision_operators() == declared
import torch, torchvision
assert declared == (not torchvision.extension._has_ops())
import sys
from monailabel.tasks.infer.bundle import BundleInferTask
from monai_cl.serving.segmentation_task import DropoutTask
model, scan = sys.argv[1:]
stock = BundleInferTask(model + "/spleen_unetr_segmentation", {}, dropout=0.2, train_mode=True, skip_writer=True)
found = stock({"image": scan, "device": "cpu", "logging": "ERROR"})[1]["pred"]
print("stock dropout:", found.ndim, "axes")
task = DropoutTask(model + "/spleen_unetr_segmentation", {}, rate=0.2)
first, second = (task({"image": scan, "device": "cpu", "logging": "ERROR"})[1]["pred"] for _ in range(2))
assert first.shape[0] == 2 and torch.allclose(first.sum(0), torch.ones(()), atol=1e-5)
assert not torch.equal(first, second)
try: BundleInferTask(model + "/cirrhosis_classification", {})({"image": scan, "device": "cpu", "logging": "ERROR"})
except Exception as error: print("stock classification:", type(error).__name__)
"""


def test_what_monai_labels_own_tasks_cannot_do_and_these_can(server, root):
    # when this fails after an update of MONAI Label, a task of ours may be needed no more
    script = root / "stock.py"
    script.write_text(STOCK, encoding="utf-8")
    models, scan = root / "app" / "model", root / "studies" / f"{CASES[0]}.nii.gz"
    out = python("-W", "ignore", script, models, scan, cwd=root, interpreter=find_interpreter())
    assert "stock dropout: 3 axes" in out  # labels, of which no entropy can be had: probabilities have four
    assert "stock classification: " in out


def test_nothing_was_asked_of_the_network_and_the_server_stops(server, root):
    log = server.log.read_text(encoding="utf-8", errors="replace")
    assert "ProxyError" not in log
    assert "127.0.0.1:9/" not in log
    assert server.stop() in (0, -15)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)
