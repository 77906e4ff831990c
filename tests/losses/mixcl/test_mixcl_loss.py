"""MixCL's total: which rows each term reads, what is computed, and what is said when a part is missing."""

from __future__ import annotations

import pytest
import torch

from monai_cl.losses import (
    MixCLLoss,
    NamedOrgans,
    OrganBank,
    identity_consistency_loss,
    label_consistency_loss,
    mixcl_preset,
    mixcl_terms,
    reconstruction_loss,
    supervised_loss,
    swapped_prediction_loss,
)

B, K, COUNTS = 2, 20, [3, 4]
SHAPES = [(4, 8), (8, 4), (16, 4), (24, 3), (64, 1)]  # channels, side; the last has fewer voxels than channels


@pytest.fixture
def outputs():
    generator = torch.Generator().manual_seed(0)

    def leaf(*shape):
        return torch.randn(*shape, generator=generator).requires_grad_()

    return {
        "levels": [leaf((3 if i == 1 else 2) * B, c, s, s, s) for i, (c, s) in enumerate(SHAPES)],
        "reconstruction": leaf(3 * B, 1, 8, 8, 8),
        "segmentation": leaf(3 * B, sum(COUNTS), 8, 8, 8),
    }


@pytest.fixture
def targets():
    generator = torch.Generator().manual_seed(1)

    def integers(low, high, *shape):
        return torch.randint(low, high, shape, generator=generator)

    voxels1, voxels2 = integers(0, 64, B, K), integers(0, 64, B, K)
    voxels1[0, -3:], voxels2[1, -5:] = -1, -1  # padding
    return {
        "clean": torch.rand(3 * B, 1, 8, 8, 8, generator=generator),
        "labels": integers(0, 3, 2 * B, 1, 8, 8, 8),
        "voxels1": voxels1,
        "voxels2": voxels2,
        "voxel_labels1": integers(0, 3, B, K),
        "voxel_labels2": integers(0, 3, B, K),
        "dataset": torch.tensor([1, 0]),
    }


def test_terms_are_the_four_losses_on_the_rows_of_their_views(outputs, targets):
    found = mixcl_terms(
        outputs, targets, terms=["identity", "label", "reconstruction", "supervised"], class_counts=COUNTS
    )
    levels = outputs["levels"]
    torch.testing.assert_close(
        found["identity"], identity_consistency_loss([z[:B] for z in levels], [z[B : 2 * B] for z in levels])
    )
    pairs = []
    for b in range(B):
        features = [levels[1][b].flatten(1).T, levels[1][2 * B + b].flatten(1).T]
        kept = [targets[f"voxels{i}"][b] >= 0 for i in (1, 2)]
        indices = [targets[f"voxels{i}"][b][k] for i, k in zip((1, 2), kept)]
        labels = [targets[f"voxel_labels{i}"][b][k] for i, k in zip((1, 2), kept)]
        pairs.append(label_consistency_loss(features[0][indices[0]], labels[0], features[1][indices[1]], labels[1]))
    torch.testing.assert_close(found["label"], torch.stack(pairs).mean())
    torch.testing.assert_close(
        found["reconstruction"], reconstruction_loss(outputs["reconstruction"], targets["clean"])
    )
    views = [
        supervised_loss(outputs["segmentation"][rows], targets["labels"][own], targets["dataset"], class_counts=COUNTS)
        for rows, own in ((slice(0, B), slice(0, B)), (slice(2 * B, None), slice(B, None)))
    ]
    torch.testing.assert_close(found["supervised"], sum(views) / 2)


def test_total_is_the_weighted_sum(outputs, targets):
    loss = MixCLLoss(
        identity_weight=2, label_weight=3, reconstruction_weight=5, supervised_weight=7, class_counts=COUNTS
    )
    total = loss(outputs, targets)
    weights = {"identity": 2, "label": 3, "reconstruction": 5, "supervised": 7}
    torch.testing.assert_close(total, sum(weights[name] * term for name, term in loss.terms.items()))
    assert list(loss.terms) == list(weights)


def test_kept_terms_have_gradients_of_their_own(outputs, targets):
    loss = MixCLLoss(**mixcl_preset("hybrid"), class_counts=COUNTS)
    loss(outputs, targets)
    level = outputs["levels"][1]
    norms = {n: torch.autograd.grad(loss.terms[n], level, retain_graph=True)[0].norm() for n in ("identity", "label")}
    assert all(norm > 0 for norm in norms.values())


def test_diagnostics_are_detached_scalars(outputs, targets):
    loss = MixCLLoss(**mixcl_preset("paper"))
    loss(outputs, targets)
    assert set(loss.diagnostics) == {"label_positive_share"} | {
        f"{name}/{level}" for name in ("identity", "identity_diagonal", "identity_offdiagonal") for level in range(5)
    }
    assert all(value.ndim == 0 and not value.requires_grad for value in loss.diagnostics.values())
    parts = torch.stack([loss.diagnostics[f"identity/{level}"] for level in range(5)])
    torch.testing.assert_close(parts.sum(), loss.terms["identity"].detach())
    assert loss.diagnostics["label_positive_share"] == 1


def test_the_clustering_term_is_swapped_prediction_with_a_queue_of_the_steps_taken():
    generator = torch.Generator().manual_seed(3)
    options = {"temperature": 0.2, "epsilon": 0.05, "iterations": 2}

    def step():
        unit = [torch.nn.functional.normalize(torch.randn(n, 6, generator=generator), dim=1) for n in (2 * B, 3)]
        embedding = unit[0].reshape(B, 2, 6)
        return {"embedding": embedding, "scores": embedding @ unit[1].T, "prototypes": unit[1]}

    loss = MixCLLoss(**mixcl_preset("clustering", clustering_weight=0.5), codes={**options, "queue_length": 2 * B})
    first, second, third = step(), step(), step()
    assert torch.isclose(loss(first, {}), 0.5 * swapped_prediction_loss(first["scores"].unbind(1), **options))
    assert loss.diagnostics["queue_fill"] == 0
    loss.after_step()
    loss(second, {})
    loss.after_step()
    assert loss.state_dict()["clustering.queue.filled"] == 2 * B
    queue = [torch.cat([s["embedding"][:, v] for s in (second, first)]) @ third["prototypes"].T for v in range(2)]
    expected = 0.5 * swapped_prediction_loss(third["scores"].unbind(1), queue=queue, **options)
    assert torch.isclose(loss(third, {}), expected)
    assert set(loss.terms) == {"clustering"}
    assert "codes of the clustering term" in loss.batchwise
    with pytest.raises(ValueError, match=r"the clustering term needs outputs\['scores'\], which is missing"):
        loss({}, {})


def test_the_bank_term_takes_the_drawn_voxels_of_both_patches_and_the_steps_taken(outputs, targets):
    organs = NamedOrgans([{1: "liver", 2: "spleen"}, {1: "spleen", 2: "liver"}])
    options = {"organs": organs, "length": 3, "temperature": 0.2}
    loss = MixCLLoss(identity_weight=0, label_weight=0, reconstruction_weight=0, bank_weight=0.5, bank=options)
    reference, level = OrganBank(**options), outputs["levels"][1]
    patches = []
    for b in range(B):  # pair by pair, V1 of P1 and V2 of P2
        for patch, row in ((1, b), (2, 2 * B + b)):
            voxels, labels = targets[f"voxels{patch}"][b], targets[f"voxel_labels{patch}"][b]
            patches.append((level[row].flatten(1).T[voxels], torch.where(voxels >= 0, labels, -1)))
    z, labels = (torch.stack(parts) for parts in zip(*patches))
    for step in range(3):
        expected = reference(z, labels, targets["dataset"].repeat_interleave(2))
        assert torch.isclose(loss(outputs, targets), 0.5 * expected)
        assert (loss.terms["bank"] > 0) == (step > 0)
        reference.after_step()
        loss.after_step()
    assert torch.equal(loss.state_dict()["bank.datasets"], reference.datasets)
    assert loss.diagnostics.keys() == {"bank_fill", "bank_positive_share"}
    assert "the bank takes the features" in loss.batchwise
    loss(outputs, targets).backward()
    assert level.grad[:B].abs().max() > 0
    assert level.grad[B : 2 * B].abs().max() == 0
    assert level.grad[2 * B :].abs().max() > 0
    with pytest.raises(ValueError, match=r"the bank term needs targets\['dataset'\], which is missing"):
        loss(outputs, {**targets, "dataset": None})


def test_a_pair_without_a_positive_counts_as_zero(outputs, targets):
    both = mixcl_terms(outputs, targets, terms=["label"])["label"]
    targets["voxel_labels1"][1] = 0
    log = {}
    one = mixcl_terms(outputs, targets, terms=["label"], diagnostics=log)["label"]
    assert 0 < one < both
    assert log["label_positive_share"] == 0.5
    targets["voxels1"][0] = -1
    none = mixcl_terms(outputs, targets, terms=["label"], diagnostics=log)["label"]
    assert none.item() == 0
    none.backward()
    assert outputs["levels"][1].grad.abs().max() == 0


def test_per_channel_leaves_out_the_level_that_is_too_small(outputs, targets):
    loss = MixCLLoss(**mixcl_preset("balanced", identity_levels=None))
    loss(outputs, targets)
    assert "identity/3" in loss.diagnostics
    assert "identity/4" not in loss.diagnostics
    with pytest.raises(ValueError, match=r"every level has fewer voxels than channels.*\(2, 64, 1, 1, 1\)"):
        mixcl_terms(outputs, targets, terms=["identity"], identity_levels=[4], identity_per_channel=True)


@pytest.mark.parametrize(
    ("preset", "needs"),
    [
        ("identity", {"levels"}),
        ("label", {"levels", "voxels1", "voxels2", "voxel_labels1", "voxel_labels2"}),
        ("reconstruction", {"reconstruction", "clean"}),
        ("supervised", {"segmentation", "labels", "dataset"}),
    ],
)
def test_each_term_needs_its_parts_and_no_others(outputs, targets, preset, needs):
    loss = MixCLLoss(**mixcl_preset(preset), class_counts=COUNTS)
    few_outputs = {name: part for name, part in outputs.items() if name in needs}
    few_targets = {name: part for name, part in targets.items() if name in needs}
    assert loss(few_outputs, few_targets).item() == loss(outputs, targets).item()
    assert list(loss.terms) == [preset]
    for name in needs:
        with pytest.raises(
            ValueError, match=rf"the {preset} term needs (outputs|targets)\['{name}'\], which is missing"
        ):
            loss({k: v for k, v in outputs.items() if k != name}, {k: v for k, v in targets.items() if k != name})


def test_hidden_voxels_of_v1_prime_alone_are_reconstructed_where_there_are_any(outputs, targets):
    loss = MixCLLoss(**mixcl_preset("masked"))
    prediction = outputs["reconstruction"].detach().clone().requires_grad_()
    hidden = torch.rand(B, 1, *prediction.shape[2:], generator=torch.Generator().manual_seed(0)) < 0.4
    found = loss({"reconstruction": prediction}, {**targets, "hidden": hidden})
    difference = (prediction - targets["clean"])[B : 2 * B].detach()
    torch.testing.assert_close(found, difference[hidden].square().mean())
    found.backward()
    seen = torch.zeros_like(prediction, dtype=torch.bool)
    seen[B : 2 * B] = hidden
    assert torch.equal(prediction.grad != 0, seen)
    with pytest.raises(ValueError, match="where must have the shape of clean"):
        loss({"reconstruction": prediction}, {**targets, "hidden": hidden[..., :-1]})


def test_order_of_the_batch_does_not_matter(outputs, targets):
    loss = MixCLLoss(**mixcl_preset("hybrid"), class_counts=COUNTS)
    before = loss(outputs, targets)

    def swap(x):
        groups = x.shape[0] // B
        return x[[g * B + b for g in range(groups) for b in (1, 0)]]

    swapped = {
        "levels": [swap(z) for z in outputs["levels"]],
        **{name: swap(outputs[name]) for name in ("reconstruction", "segmentation")},
    }
    torch.testing.assert_close(loss(swapped, {name: swap(x) for name, x in targets.items()}), before)


@pytest.mark.parametrize("preset", ["paper", "hybrid"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_outputs_give_a_float32_loss_and_finite_gradients(outputs, targets, preset, dtype):
    loss = MixCLLoss(**mixcl_preset(preset, temperature=0.01), class_counts=COUNTS)
    half = {
        "levels": [z.to(dtype) for z in outputs["levels"]],
        **{name: outputs[name].to(dtype) for name in ("reconstruction", "segmentation")},
    }
    with torch.autocast("cpu", dtype=dtype):
        total = loss(half, targets)
    assert total.dtype == torch.float32
    total.backward()
    assert torch.isfinite(total)
    assert all(torch.isfinite(z.grad).all() for z in outputs["levels"] if z.grad is not None)


def test_levels_may_carry_the_second_patch_too(outputs, targets):
    expected = mixcl_terms(outputs, targets, terms=["identity"])["identity"]
    wide = {"levels": [torch.cat([z[: 2 * B], torch.randn_like(z[:B])]) for z in outputs["levels"]]}
    torch.testing.assert_close(mixcl_terms(wide, targets, terms=["identity"])["identity"], expected)


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match=r"label_weight must be >= 0 and finite, got -0\.1"):
        MixCLLoss(label_weight=-0.1)
    with pytest.raises(ValueError, match="at least one weight must be > 0"):
        MixCLLoss(identity_weight=0, label_weight=0, reconstruction_weight=0)
    with pytest.raises(ValueError, match="supervised_weight > 0 needs class_counts"):
        MixCLLoss(supervised_weight=1)
    with pytest.raises(ValueError, match="temperature must be > 0, got 0"):
        MixCLLoss(temperature=0)
    with pytest.raises(
        ValueError, match="terms must be among identity, label, reconstruction, supervised, got idntity"
    ):
        mixcl_terms({}, {}, terms=["idntity"])


def test_parts_that_do_not_fit_are_named(outputs, targets):
    with pytest.raises(ValueError, match=r"the identity term needs level 7, and outputs\['levels'\] has 5 levels"):
        mixcl_terms(outputs, targets, terms=["identity"], identity_levels=[7])
    with pytest.raises(ValueError, match=r"the label level must have 3 rows per pair .* 6, got 4"):
        mixcl_terms(outputs, targets, terms=["label"], label_level=0)
    with pytest.raises(ValueError, match=r"level 0 must have 4 or 6 rows .*, got 3"):
        mixcl_terms({"levels": [outputs["levels"][0][:3]]}, targets, terms=["identity"])
    short = {"segmentation": outputs["segmentation"][:4]}
    with pytest.raises(ValueError, match=r"segmentation must have 3 rows per pair .* 6, got 4"):
        mixcl_terms(short, targets, terms=["supervised"], class_counts=COUNTS)
    with pytest.raises(ValueError, match="targets must give the batch size"):
        mixcl_terms({"levels": outputs["levels"]}, {}, terms=["identity"], identity_levels=[1])
