"""Every method of the bundle for slices, found by its config: it trains, resumes, transfers, and may be divided.

A new method is tested here as soon as its file lies in ``configs/methods``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import yaml
from torch import nn

from monai_cl.data import read_results
from monai_cl.engines import MethodParts, seed_weights, slice_classifier
from monai_cl.engines.launch.method_parts import method_files
from monai_cl.losses import MethodLoss
from monai_cl.networks import load_slice_encoder, slice_encoder, slice_representation
from tests.bundles.slice_runs import PRETRAINING, SLICE_NETWORK
from tests.bundles.workflow import BUNDLES, assert_equal, config_files, made_once, weights, words
from tests.networks.test_projected import earlier
from tests.ranks import run_ranks

FILES = method_files(BUNDLES / PRETRAINING)
METHODS = sorted(FILES)
# a target network, prototypes with a queue, and a loss of two labels; whole runs of the others are slow tests
QUICK = ("byol", "clustering", "wsp")
RUNS = [pytest.param(method, marks=() if method in QUICK else pytest.mark.slow) for method in METHODS]
WORLD, N, V = 2, 4, 2

# Ignite warns of MONAI's way to attach a scheduler; torch of a pinned memory that is not there
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def trained(slice_run, tmp_path_factory) -> Callable[[str], Path]:
    """``trained(method)``: two steps in two epochs, made once. Look, do not touch."""
    return made_once(partial(slice_run, PRETRAINING, "train"), tmp_path_factory)


@pytest.mark.parametrize("method", RUNS)
def test_two_steps_change_the_encoder_and_leave_their_record(trained, method):
    results = read_results(trained(method))
    assert (results["iterations"], results["data_list"]["method"]) == (2, method)
    assert np.isfinite(results["curves"]["loss"][-1][1])
    seed_weights(0)
    start = slice_encoder("tinynet", width=SLICE_NETWORK["width"], head=()).state_dict()
    state = weights(trained(method))
    end = {name.removeprefix("encoder."): t for name, t in state.items() if name.startswith("encoder.")}
    assert end.keys() == start.keys()  # what is transferred and nothing else
    assert {name for name in start if torch.equal(start[name], end[name])} == {"mean", "std"}
    assert state.get("momentum.updates", 2) == 2  # a target has followed
    for name in start:
        torch.testing.assert_close(start[name], end[name], rtol=0, atol=0.01)  # two steps of 1e-3


@pytest.mark.parametrize("method", RUNS)
def test_a_resumed_run_is_the_same_run(slice_run, trained, method, tmp_path):
    stopped = {"train#trainer#max_epochs": 1}
    slice_run(PRETRAINING, "train", method=method, output_dir=str(tmp_path), **stopped)
    assert not (tmp_path / "checkpoint_iteration=2.pt").exists()
    slice_run(PRETRAINING, "train", method=method, output_dir=str(tmp_path))
    assert_equal(weights(tmp_path), weights(trained(method)))
    once, twice = (read_results(folder)["curves"] for folder in (trained(method), tmp_path))
    assert once == twice


@pytest.mark.parametrize("method", RUNS)
def test_its_encoder_is_what_the_classification_starts_from(trained, method):
    file, state = trained(method) / "model.pt", weights(trained(method))
    untrained = slice_classifier("tinynet", width=SLICE_NETWORK["width"])
    classifier = slice_classifier("tinynet", width=SLICE_NETWORK["width"], encoder=file)
    first = "backbone.layers.0.weight"
    assert torch.equal(classifier.state_dict()[first], state[f"encoder.{first}"])
    assert not torch.equal(classifier.state_dict()[first], untrained.state_dict()[first])
    assert len(load_slice_encoder(untrained, file).matched) == len(untrained.state_dict()) - 2  # but its own head


@pytest.mark.parametrize("method", METHODS)
def test_its_features_are_the_representation_that_was_trained(method):
    net = parts(method)["network_def"].eval()
    deployed = slice_representation(nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU())).eval()
    deployed.load_state_dict(net.state_dict())
    images = torch.rand(3, 1, 12, 12)
    with torch.no_grad():
        assert torch.equal(deployed(images), net(images)["representation"])


@pytest.mark.parametrize("method", RUNS)
def test_the_file_given_as_an_overlay_is_the_method(slice_run, trained, method, tmp_path):
    slice_run(PRETRAINING, "train", f"methods/{method}", output_dir=str(tmp_path))
    assert_equal(weights(tmp_path), weights(trained(method)))
    assert read_results(tmp_path)["data_list"]["method"] == method


@pytest.mark.parametrize("file", sorted(BUNDLES.glob("*/configs/methods/*.yaml")), ids=lambda file: file.stem)
def test_a_file_is_small_and_says_which_method_it_is(file):
    lines = file.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 40
    assert lines[1].startswith("# Paper: ")
    assert lines[2].startswith("# Command: ")
    assert lines[2].endswith(f" --method {file.stem} ...")
    content = yaml.safe_load("\n".join(lines))
    assert content["method"] == file.stem
    assert {"criterion", "network_def", "make_views"} <= content.keys()
    assert ("unlabelled" in content) == file.match("semi_supervised_segmentation/configs/methods/*")


FIRST_SIX = ("wsp", "simclr", "supcon", "depth_aware", "byol", "supervised")
# what the config of version 0.1 had in place of the parts of a method
EARLIER = {
    "head_norm": '$@method == "byol"',
    "network_def": {
        "_target_": "monai_cl.networks.slice_network",
        "method": "@method",
        "backbone": "@backbone",
        "iterations": "@iterations",
        "classes": "$monai_cl.engines.class_count(@lists) if @method == 'supervised' else 2",
        "momentum": "@momentum",
        "in_channels": "$2 * @neighbours + 1",
        "width": "@width",
        "weights": "@imagenet_weights",
        "head_norm": "@head_norm",
        "image_size": "@image_size",
    },
    "loss": {
        "_target_": "monai_cl.losses.SliceLoss",
        "method": "@method",
        "sigma": "@sigma",
        "temperature": "@temperature",
    },
    "train#dataset#targets": "$None",
    "train#handlers#3": {
        "_target_": "monai_cl.engines.MomentumUpdate",
        "_disabled_": '$@method != "byol"',
        "network": "@network_def",
    },
    "train#trainer#prepare_batch": {
        "_target_": "monai_cl.engines.SlicePrepareBatch",
        "seed": "@seed",
        "views": "@views",
    },
}


@pytest.mark.parametrize("method", [run for run in RUNS if run.values[0] in FIRST_SIX])
def test_a_config_of_version_0_1_trains_the_same_network(slice_run, trained, method, tmp_path):
    slice_run(PRETRAINING, "train", method=method, output_dir=str(tmp_path), **EARLIER)
    assert_equal(weights(tmp_path), weights(trained(method)))


@pytest.mark.parametrize("method", [run for run in RUNS if run.values[0] in FIRST_SIX])
def test_a_checkpoint_of_version_0_1_is_restored(slice_run, trained, method, tmp_path):
    name = "checkpoint_iteration=1.pt"
    content = torch.load(trained(method) / name, weights_only=True)
    content["network"] = earlier(content["network"])
    torch.save(content, tmp_path / name)
    slice_run(PRETRAINING, "train", method=method, output_dir=str(tmp_path))
    assert_equal(weights(tmp_path), weights(trained(method)))


class Classes:
    """Stands for a data list of three classes."""

    path = "list.json"

    def items(self, split: str) -> list[dict]:
        return [{"dataset": "a", "patient": str(i), "target": i} for i in range(3)]


def parts(method: str, **clustering: object) -> MethodParts:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU())
    given = {
        "lists": Classes(), "encoder": slice_encoder(backbone, head=()), "head_norm": None, "iterations": 4, "seed": 0,
        "sigma": 0.1, "temperature": 0.1, "momentum": 0.9, "views": {},
        "clustering": {
            "prototypes": 5, "epsilon": 0.05, "iterations": 3, "queue_length": 0, "queue_start": 0,
            "freeze_iterations": 0, "crops": None, **clustering,
        },
    }  # fmt: skip
    return MethodParts(method, bundle_root=BUNDLES / PRETRAINING, given=given)


def outputs_and_targets(made: MethodParts) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Of a batch of all processes: outputs as leaves that want a gradient."""
    drawn = torch.Generator().manual_seed(1)
    images = made["make_views"](torch.rand(WORLD * N, 1, 12, 12, generator=drawn), range(WORLD * N))
    outputs = made["network_def"].train()(images)
    label = torch.randint(3, (WORLD * N,), generator=drawn)
    targets = {"label": label, "depth": torch.rand(WORLD * N, generator=drawn)}
    return {name: tensor.detach().requires_grad_() for name, tensor in outputs.items()}, targets


def divided(rank: int, folder: str) -> None:
    """The value of each method's loss, and its gradient, from a process's own samples."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD)
    found, own = {}, slice(rank * N, (rank + 1) * N)
    for method in METHODS:
        made = parts(method)
        outputs, targets = outputs_and_targets(made)
        value = MethodLoss(made["criterion"])(
            {name: tensor[own] if len(tensor) == WORLD * N else tensor for name, tensor in outputs.items()},
            {name: tensor[own] for name, tensor in targets.items()},
        )
        value.backward()
        gradients = {n: t.grad[own] / WORLD for n, t in outputs.items() if t.grad is not None}  # DDP's mean
        dist.all_reduce(mean := value.detach() / WORLD)
        found[method] = (mean, gradients)
    torch.save(found, f"{folder}/rank{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("ranks")
    run_ranks(divided, str(folder))
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_are_one_in_value_and_gradient(ranks, method):
    made = parts(method)
    outputs, targets = outputs_and_targets(made)
    value = MethodLoss(made["criterion"])(outputs, targets)
    value.backward()
    taken = {name: tensor.grad for name, tensor in outputs.items() if tensor.grad is not None}
    assert taken
    for rank, (mean, gradients) in enumerate(found[method] for found in ranks):
        torch.testing.assert_close(mean, value.detach(), rtol=0, atol=1e-5)
        assert gradients.keys() == taken.keys()
        for name, gradient in gradients.items():
            assert gradient.abs().max() > 1e-6
            torch.testing.assert_close(gradient, taken[name][rank * N : (rank + 1) * N], rtol=0, atol=1e-5)


def test_clustering_takes_crops_of_two_sizes_as_well():
    made = parts("clustering", prototypes=4, crops={"count": [2, 3], "size": [12, 10], "scale": [0.8, 1.2]})
    sizes = made["make_views"](torch.rand(4, 1, 16, 16), range(4))
    assert [tuple(crops.shape) for crops in sizes] == [(4, 2, 1, 12, 12), (4, 3, 1, 10, 10)]
    network = made["network_def"].train()
    outputs = network(sizes)
    assert outputs["scores"].shape == (4, 5, 4)
    MethodLoss(made["criterion"])(outputs, {}).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_an_unknown_method_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=rf"method must be one of {', '.join(METHODS)}, got 'simlcr'"):
        parts("simlcr")


def test_a_method_of_the_users_own_is_a_further_file(launcher, slice_options, tmp_path):
    own = yaml.safe_load(FILES["simclr"].read_text(encoding="utf-8"))
    own |= {"method": "cooler", "my_tau": 0.2}
    own["criterion"]["temperature"] = "@my_tau"
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(own))
    files = str([*config_files(PRETRAINING, "train"), str(tmp_path / "mine.yaml")])
    options = {**slice_options(PRETRAINING), "output_dir": str(tmp_path / "run"), "my_tau": 0.3}
    launcher.run("monai.bundle", "run", "--config_file", files, *words(options), cwd=tmp_path).check()
    results = read_results(tmp_path / "run")
    assert (results["data_list"]["method"], results["config"]["my_tau"]) == ("cooler", 0.3)
    # the run would be of one method and its record of another
    refused = launcher.run(
        "monai.bundle", "run", "--config_file", files, *words({**options, "method": "wsp"}), cwd=tmp_path
    )
    assert "mine.yaml chooses the method already; leave one out" in refused.last_error_line
