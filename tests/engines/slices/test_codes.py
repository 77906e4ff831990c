"""Mutual information of codes by value: prototypes that tell the modality, the class, or neither."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from monai_cl.engines.slices.codes import code_information
from monai_cl.networks import ClusteringNet, projected_encoder, slice_encoder

# eight slices of four volumes: modality by the first axis, class by the second
FEATURES = np.array([[m, 0.5 * t] for m in (1, -1) for t in (1, -1) for _ in range(2)], np.float32)
VOLUMES = [SimpleNamespace(modality=name, slices=np.arange(2)) for name in ("CT", "CT", "MR", "MR")]
CLASSES = [1, 1, 0, 0, 1, 1, None, None]


def network(*rows: tuple[float, float]) -> ClusteringNet:
    encoder = slice_encoder(nn.Conv2d(1, 2, 3), head=())
    head = nn.Linear(2, 2, bias=False)
    net = ClusteringNet(encoder, head, prototypes=len(rows))
    with torch.no_grad():
        head.weight.copy_(torch.eye(2))
        net.prototypes.weight.copy_(nn.functional.normalize(torch.tensor(rows), dim=1))
    return net


@pytest.mark.parametrize(
    ("rows", "modality"), [([(1.0, 0.0), (-1.0, 0.0)], 1.0), ([(0.0, 1.0), (0.0, -1.0)], 0.0), ([(1.0, 1.0)], 0.0)]
)
def test_prototypes_tell_the_modality_or_the_class(rows, modality):
    slices = SimpleNamespace(volumes=VOLUMES, targets=CLASSES)
    found = code_information(network(*rows), FEATURES, slices)
    assert found["code_modality_nmi"] == pytest.approx(modality, abs=1e-6)
    if len(rows) > 1 and modality == 0:
        assert found["code_target_nmi"] == pytest.approx(1)


def test_codes_tell_the_class_within_a_modality():
    """One prototype for each modality and class: of all slices together each class has several codes."""
    places = [(1.0, 0.5), (1.0, -0.5), (-1.0, 0.5), (-1.0, -0.5)]
    slices = SimpleNamespace(volumes=VOLUMES, targets=[1, 1, 0, 0, 1, 1, 0, 0])
    assert code_information(network(*places), FEATURES, slices)["code_target_nmi"] == pytest.approx(1)
    # CT's prototypes tell its classes, MR has one for both; MR has half the known slices of CT
    slices.targets = [1, 1, 0, 0, 1, None, 0, None]
    found = code_information(network(*places[:2], (-1.0, 0.0)), FEATURES, slices)
    assert found["code_target_nmi"] == pytest.approx((4 * 1 + 2 * 0) / 6)


def test_a_code_is_the_nearest_prototype_whatever_the_length_of_the_others():
    """As an average of weights has them: those that moved more are shorter."""
    slices, net = SimpleNamespace(volumes=VOLUMES, targets=CLASSES), network((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0))
    expected = code_information(net, FEATURES, slices)
    with torch.no_grad():
        net.prototypes.weight.mul_(torch.tensor([[0.3], [1.0], [0.9]]))
    assert code_information(net, FEATURES, slices) == expected


def test_without_prototypes_or_labels_there_is_nothing_to_say():
    slices = SimpleNamespace(volumes=VOLUMES[:2], targets=[None] * 4)
    assert code_information(network((1.0, 0.0)), FEATURES[:4], slices) == {}
    assert code_information(projected_encoder(slice_encoder(nn.Conv2d(1, 4, 3), head=())), FEATURES, slices) == {}
