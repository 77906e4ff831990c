"""The mean teacher of 3-D segmentation: its term by hand, what it leaves alone, and batches over processes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from monai.engines import default_prepare_batch
from torch import nn

from monai_cl.data import PatchesWithUnlabelled, load_data_list
from monai_cl.engines import MeanTeacherLoss, batch_preparation, mean_teacher, with_unlabelled
from monai_cl.engines.segmentation.data import segmentation_patches, training_items
from tests.data.volume_files import affine_of, ct_array, write_nifti

SPACING = (4.0, 4.0, 4.0)


class Places(nn.Module):
    """Logits of two classes that depend on the intensity, and by ``slope`` on the place along the first axis."""

    def __init__(self, slope: float = 0.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))
        self.slope = slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        place = torch.linspace(-1, 1, x.shape[2])[:, None, None] * self.slope
        return torch.cat([torch.zeros_like(x), self.factor * x + place], dim=1)


def batch(labelled: int = 1, unlabelled: int = 6) -> dict[str, torch.Tensor]:
    rows = labelled + unlabelled
    image = torch.rand(rows, 1, 4, 6, 4, generator=torch.Generator().manual_seed(0))
    return {"image": image, "label": (image > 0.5).byte(), "position": torch.arange(rows)}


def teacher_of(network: nn.Module, **options: object) -> MeanTeacherLoss:
    own = {"weight": 10.0, "labelled": 1, "seed": 3, "noise": 0.0, "shade": 0.0, **options}
    return MeanTeacherLoss(nn.MSELoss(), network, **own)


def step(loss: MeanTeacherLoss, network: nn.Module, of: dict[str, torch.Tensor]) -> torch.Tensor:
    images, targets = loss.prepare_batch(of, torch.device("cpu"))
    targets = {**targets, "label": targets["label"].float().expand(-1, 2, -1, -1, -1)}
    return loss(network(images), targets)


def test_a_student_that_does_not_mind_mirrors_agrees_with_a_teacher_that_is_itself():
    network = Places()
    loss = teacher_of(network)
    step(loss, network, batch())
    assert loss.diagnostics["loss/consistency"] == pytest.approx(0, abs=1e-12)


def test_the_term_is_the_squared_difference_of_the_mirrored_probabilities():
    network, of = Places(slope=1.0), batch()
    loss = teacher_of(network)
    images, targets = loss.prepare_batch(of, torch.device("cpu"))
    wanted, axes_seen = [], set()
    for row, position in enumerate(range(1, 7)):
        axes = loss._axes(position)
        axes_seen |= set(axes)
        crop = of["image"][position : position + 1]
        moved = crop.flip([axis + 1 for axis in axes])
        assert torch.equal(images[1 + row], moved[0])
        there = network(crop).softmax(1).flip([axis + 1 for axis in axes])
        wanted.append((network(moved).softmax(1) - there).square().sum(1))
    assert axes_seen == {1, 2, 3}
    value = step(loss, network, of)
    assert loss.diagnostics["loss/consistency"] == pytest.approx(torch.cat(wanted).mean().item(), rel=1e-5)
    found = loss.diagnostics["loss/supervised"] + 10 * loss.diagnostics["loss/consistency"]
    assert value.item() == pytest.approx(found.item(), rel=1e-6)
    assert torch.equal(images[:1], of["image"][:1])
    assert not targets["expected"].requires_grad


def test_noise_and_shades_are_those_of_the_position_and_change_the_student_alone():
    network = Places()
    loss = teacher_of(network, noise=0.05, shade=0.1, mirror=False)
    of = batch()
    first, targets = loss.prepare_batch(of, torch.device("cpu"))
    reversed_rows = {key: torch.cat([value[:1], value[1:].flip(0)]) for key, value in of.items()}
    second, _ = loss.prepare_batch(reversed_rows, torch.device("cpu"))
    assert torch.equal(first[1:].flip(0), second[1:])
    assert torch.equal(targets["expected"], network(of["image"][1:]).softmax(1))
    change = first[1:] - of["image"][1:]
    assert 0.02 < change.std() < 0.15


def test_the_teacher_is_the_students_mean_and_is_saved_without_the_student():
    network = Places()
    loss = teacher_of(network)
    values = [2.0]
    for factor in (4.0, 8.0):
        network.factor.data.fill_(factor)
        loss.after_step()
        values.append(loss.teacher.factor.item())
    assert values == [2.0, 4.0, 6.0]  # m = 0, then 1/2
    assert set(loss.state_dict()) == {"teacher.factor", "steps"}
    loss.train()
    assert not loss.teacher.training
    step(loss, network, batch()).backward()
    assert network.factor.grad is not None
    assert loss.teacher.factor.grad is None


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"weight": -1.0}, "weight must be >= 0, got -1"),
        ({"labelled": 0}, "labelled must be >= 1, got 0"),
        ({"momentum": 1.5}, r"momentum must be in \[0, 1\], got 1.5"),
    ],
)
def test_options_out_of_range_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        teacher_of(Places(), **option)


@pytest.fixture
def cohort(tmp_path):
    """Four scans, of which two have labels; the last patient validates."""
    items = []
    for number in range(4):
        image = write_nifti(
            tmp_path / f"s{number}.nii.gz", ct_array((20, 20, 20), seed=number), affine_of("RAS", SPACING)
        )
        items.append({"image": image.name, "patient": f"p{number}", "fold": int(number == 3)})
        if number in (0, 3):
            label = np.zeros((20, 20, 20), np.uint8)
            label[5:12, 5:12, 5:12] = 1
            items[-1]["label"] = write_nifti(tmp_path / f"l{number}.nii.gz", label, affine_of("RAS", SPACING)).name
    document = {"name": "d", "modality": "CT", "labels": {"0": "background", "1": "spleen"}, "training": items}
    (tmp_path / "list.json").write_text(json.dumps(document))
    return tmp_path / "list.json"


def crops(file, *, weight: float = 1.0, batch_size: int = 1, unlabelled_batch: int = 2):
    data_list = load_data_list(file)
    work = {"store": file.parent / "store", "spacing": SPACING}
    items = training_items(data_list, fold=1)
    labelled = segmentation_patches(items, **work, patch_size=16, seed=5)
    options = {"batch_size": batch_size, "unlabelled_batch": unlabelled_batch, **work}
    return labelled, with_unlabelled(labelled, data_list, weight=weight, fold=1, **options)


def test_with_weight_zero_nothing_is_another(cohort):
    labelled, found = crops(cohort, weight=0.0)
    assert found is labelled
    loss = nn.MSELoss()
    assert mean_teacher(loss, Places(), weight=0.0, labelled=1, seed=0) is loss
    assert batch_preparation(loss) is default_prepare_batch


def test_all_scans_of_the_fold_are_used_without_their_labels_and_labelled_crops_stay_the_same(cohort):
    labelled, found = crops(cohort)
    assert isinstance(found, PatchesWithUnlabelled)
    assert found.batch_size == 3
    assert [found.unlabelled.store.entry(key).id for key in found.unlabelled.keys] == ["s0", "s1", "s2"]
    assert not any(found.unlabelled.store.entry(key).has_label for key in found.unlabelled.keys)
    for share in range(3):
        one, alone = found[3 * share], labelled[share]
        assert torch.equal(one["image"], alone["image"])
        assert torch.equal(one["label"], alone["label"])
    ids = {found[3 * share + place]["id"] for share in range(6) for place in (1, 2)}
    assert ids == {"s0", "s1", "s2"}
    assert (found[1]["image"].shape, found[1]["label"].dtype) == ((1, 16, 16, 16), labelled.label_dtype)
    assert not found[1]["label"].any()


def test_two_processes_have_the_crops_of_one_with_twice_the_batch(cohort):
    _, half = crops(cohort, batch_size=1, unlabelled_batch=1)
    _, whole = crops(cohort, batch_size=2, unlabelled_batch=2)
    for step_ in range(2):
        ranks = [[half[4 * step_ + 2 * rank + place] for place in range(2)] for rank in range(2)]
        one = [whole[4 * step_ + place] for place in range(4)]
        for kind, rows in ((0, one[:2]), (1, one[2:])):
            for rank in range(2):
                assert ranks[rank][kind]["position"] == rows[rank]["position"]
                assert torch.equal(ranks[rank][kind]["image"], rows[rank]["image"])


def test_numbers_out_of_range_are_refused(cohort):
    labelled, found = crops(cohort)
    with pytest.raises(ValueError, match="crops of a batch must be >= 1 of each kind, got 1 and 0"):
        PatchesWithUnlabelled(labelled, found.unlabelled, count=1, unlabelled_count=0)
    with pytest.raises(ValueError, match="unlabelled_weight must be >= 0, got -1"):
        crops(cohort, weight=-1)
