"""A classifier of slices, its AUC per patient, and where it looks."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.metrics import ROCAUCMetric
from torch import nn

from monai_cl.engines import (
    ClassifierLoss,
    LinearProbe,
    PatientAUC,
    class_activation,
    dry_run,
    encoder_origin,
    finetuned,
    load_classifier,
    slice_classifier,
)
from monai_cl.engines.classification.activation_maps import PlaceMap, map_layer, map_stride
from monai_cl.engines.classification.network import set_probe
from monai_cl.engines.classification.patient_auc import patient_metrics
from monai_cl.engines.classification.prediction_files import PredictionFiles, decisive_slices
from monai_cl.errors import UserError
from monai_cl.networks import SliceEncoder, slice_encoder, slice_resnet

WIDTH = 0.125


@pytest.fixture
def network():
    torch.manual_seed(0)
    return slice_classifier("tinynet", width=WIDTH).eval()


def evaluated(metric: PatientAUC, scans: list[tuple[str, int, list[float]]]) -> float:
    metric.reset()
    for number, (patient, label, logits) in enumerate(scans):
        batch = {"number": torch.tensor([number]), "patient": [patient], "label": torch.tensor([label])}
        output = {"pred": torch.tensor(logits, dtype=torch.float64)[None, :, None]}
        metric.iteration_completed(SimpleNamespace(state=SimpleNamespace(batch=batch, output=output)))
    return metric.compute()


def test_a_probe_as_head_is_exact_where_features_hardly_differ(network):
    rng = np.random.default_rng(0)
    features = (5 + 1e-5 * rng.standard_normal((20, 32))).astype(np.float32)
    weight = 1e6 * rng.standard_normal(32)
    probe = LinearProbe(weight, float(-weight.sum() * 5), 1.0)
    set_probe(network, probe)
    found = torch.sigmoid(network.head(torch.from_numpy(features)))[:, 0]
    assert found.detach().numpy() == pytest.approx(probe.slice_probability(features), abs=1e-9)


def test_a_probe_of_another_encoder_is_refused(network, tmp_path):
    probe = LinearProbe(np.ones(256), 0.0, 1.0)
    path = probe.save(tmp_path / "probe.npz")
    torch.save(network.state_dict(), tmp_path / "model.pt")
    with pytest.raises(UserError, match=r"probe\.npz: expected a probe of the encoder's 32 features, found one of 256"):
        load_classifier(network, tmp_path / "model.pt", probe=path)


def test_an_encoder_goes_in_and_a_classifiers_comes_out_again(network, tmp_path):
    encoder = slice_encoder("tinynet", width=WIDTH)
    torch.save(encoder.state_dict(), tmp_path / "encoder.pt")
    loaded = slice_classifier("tinynet", encoder=tmp_path / "encoder.pt", width=WIDTH)
    images = torch.rand(2, 1, 160, 160)
    assert torch.equal(loaded.represent(images), encoder.represent(images))
    torch.save(loaded.state_dict(), tmp_path / "classifier.pt")
    again = slice_classifier("tinynet", encoder=tmp_path / "classifier.pt", width=WIDTH)
    assert torch.equal(again.represent(images), encoder.represent(images))
    load_classifier(again, tmp_path / "classifier.pt")
    assert torch.equal(again(images)["embedding"], loaded(images)["embedding"])


def test_the_loss_is_binary_cross_entropy_of_the_views():
    logits = torch.tensor([[[0.3], [-1.0]], [[2.0], [0.0]]], dtype=torch.float64)
    found = ClassifierLoss()({"embedding": logits}, {"label": torch.tensor([0, 1])})
    p = torch.sigmoid(logits[..., 0])
    assert found == pytest.approx(float(-torch.stack([(1 - p[0]).log(), p[1].log()]).mean()))


def test_auc_is_of_patients_whose_scans_count_together():
    scans = [("a", 0, [-1.0, 0.0]), ("b", 1, [2.0]), ("a", 0, [3.0]), ("c", 1, [-0.5, 0.2, 0.1]), ("d", 0, [-2.0])]
    metric = PatientAUC()
    found = evaluated(metric, scans)
    sigmoid = lambda values: 1 / (1 + np.exp(-np.array(values)))  # noqa: E731
    means = {"a": sigmoid([-1, 0, 3]).mean(), "b": sigmoid([2]).mean(), "c": sigmoid([-0.5, 0.2, 0.1]).mean()}
    means["d"] = sigmoid([-2]).mean()
    assert {row["patient"]: row["probability"] for row in metric.predictions} == pytest.approx(means)
    assert [row["n_slices"] for row in metric.predictions] == [3, 1, 3, 1]
    oracle = ROCAUCMetric()
    oracle(torch.tensor(list(means.values())), torch.tensor([0, 1, 1, 0]))
    assert found == pytest.approx(float(oracle.aggregate()))
    metrics = patient_metrics(metric.predictions, fold=2)
    assert (metrics["auc"], metrics["patients"], metrics["positive"], metrics["slices"]) == (found, 4, 2, 8)
    assert {row["fold"] for row in metrics["per_patient"]} == {2}


def test_an_auc_needs_both_classes():
    with pytest.raises(UserError, match=r"cohort\.json: expected patients of class 0 and 1 .* found 2 of class 1 only"):
        evaluated(PatientAUC(source="cohort.json"), [("a", 1, [0.0]), ("b", 1, [1.0])])


def test_decisive_slices_speak_for_the_call():
    assert decisive_slices(np.array([0.9, 0.2, 0.7, 0.8]), count=2).tolist() == [0, 3]
    assert decisive_slices(np.array([0.6, 0.2, 0.1, 0.3]), count=2).tolist() == [2, 1]
    assert len(decisive_slices(np.array([0.6]), count=4)) == 1


class Spot(nn.Module):
    """Bright spots of more than the mean, in a map of a fourth of the size, unpadded or not."""

    def __init__(self, kernel: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, kernel, stride=4, padding=padding, bias=False)
        nn.init.constant_(self.conv.weight, 1.0)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, images):
        return self.relu(self.conv(images))


@pytest.mark.parametrize(("kernel", "padding"), [(4, 0), (20, 0), (4, 2)])
def test_the_map_lies_on_what_is_looked_at(kernel, padding):
    network = SliceEncoder(Spot(kernel, padding), nn.Linear(1, 1, bias=False), mean=0.0, std=1.0).eval()
    nn.init.constant_(network.head.weight, 1.0)
    images = torch.zeros(1, 1, 64, 64)
    images[..., 22:26, 38:42] = 1
    (found,) = class_activation(network, images, positive=True)
    weight = found / found.sum()
    rows, columns = torch.arange(64.0)[:, None], torch.arange(64.0)
    assert float((weight * rows).sum()) == pytest.approx(23.5, abs=2)
    assert float((weight * columns).sum()) == pytest.approx(39.5, abs=2)
    assert found.max() == 1
    # nothing speaks against it
    assert class_activation(network, images, positive=False).max() == 0


@pytest.mark.parametrize("backbone", ["tinynet", "resnet18"])
def test_a_classifier_is_left_as_it_was(backbone):
    torch.manual_seed(0)
    network = slice_classifier(backbone).eval().requires_grad_(False)
    images = torch.rand(1, 1, 160, 160)
    before = network(images)["embedding"]
    inplace = [module.inplace for module in network.modules() if isinstance(module, nn.ReLU)]
    found = class_activation(network, images, positive=True)
    assert found.shape == (1, 160, 160)
    assert torch.equal(network(images)["embedding"], before)
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in network.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())
    assert [module.inplace for module in network.modules() if isinstance(module, nn.ReLU)] == inplace


def test_the_layer_shown_still_has_a_map():
    tiny, image = slice_classifier("tinynet", width=WIDTH).eval(), torch.zeros(1, 1, 160, 160)
    # 160 pixels leave 16 after the third pooling, 12 after the fourth convolution, and 6 after its pooling and ReLU
    assert map_layer(tiny, image) == "backbone.layers.9"
    assert map_stride(tiny, "backbone.layers.9", image) == 8

    def full(*_):
        raise torch.OutOfMemoryError("no room")

    tiny.register_forward_pre_hook(full)
    with pytest.raises(torch.OutOfMemoryError):  # not taken for a network of fixed size
        map_stride(tiny, "backbone.layers.9", image)
    resnet = SliceEncoder(slice_resnet("resnet18")).eval()
    assert map_layer(resnet, torch.zeros(1, 1, 256, 256)) == "backbone.layer4"
    assert map_stride(resnet, "backbone.layer4", torch.zeros(1, 1, 256, 256)) == 32
    with pytest.raises(UserError, match="expected a backbone with feature maps"):
        map_layer(SliceEncoder(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))), torch.zeros(1, 1, 2, 2))


def test_a_placed_map_covers_the_middle_alone():
    placed = PlaceMap((20, 20), 2.0)(torch.ones(1, 1, 6, 4))
    assert (placed[0, 0, 4:16, 6:14] == 1).all()
    assert placed.sum() == 12 * 8
    tiled = PlaceMap((8, 8), None)(torch.eye(2)[None, None])
    assert tiled[0, 0, 0, 0] == 1
    assert tiled[0, 0, 0, 7] == 0


def test_a_network_that_does_not_take_the_slices_is_refused_before_anything_long(network):
    network.train()
    dry_run(network, channels=1, size=160)
    assert network.training
    with pytest.raises(UserError, match="TinyNet needs slices of at least 156"):
        dry_run(network, channels=1, size=128)
    with pytest.raises(UserError, match=r"expected a network of slices \(3, 160, 160\)"):
        dry_run(network, channels=3, size=160)


@pytest.mark.parametrize(
    "fault",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
    ],
    ids=lambda fault: str(fault)[:10],
)
def test_a_fault_of_the_gpu_is_not_taken_for_one_of_the_network(network, monkeypatch, fault):
    def fail(images):
        raise fault

    monkeypatch.setattr(network, "represent", fail)
    with pytest.raises(type(fault), match="CUD"):
        dry_run(network, channels=1, size=160)


def test_an_encoder_without_results_is_called_by_its_folder(tmp_path):
    (tmp_path / "mine").mkdir()
    found = encoder_origin(tmp_path / "mine" / "model.pt", backbone=nn.Linear(1, 1))
    assert (found["method"], found["backbone"]) == ("mine", "Linear")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "results.json").write_text('{"half')
    with pytest.raises(UserError, match="expected JSON as a run writes it"):  # and not a run of another method
        encoder_origin(tmp_path / "broken" / "model.pt", backbone="tinynet")
    assert encoder_origin(None, backbone="tinynet", seed=3) == {"method": "random", "backbone": "tinynet", "seed": 3}
    assert encoder_origin(None, backbone="resnet18", weights="w.pth")["method"] == "imagenet"
    assert finetuned({"method": "random"})["method"] == "supervised"
    assert finetuned({"method": "wsp"})["method"] == "wsp, fine-tuned"


def test_options_of_the_prediction_files_are_checked(network, tmp_path):
    with pytest.raises(ValueError, match="classes must name class 0 and 1"):
        PredictionFiles(network=network, output_dir=tmp_path, classes=["a"])
    with pytest.raises(ValueError, match="pictures must be >= 0, got -1"):
        PredictionFiles(network=network, output_dir=tmp_path, pictures=-1)
