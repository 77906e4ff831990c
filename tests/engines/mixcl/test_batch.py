"""The stacked batch [V1, V1', V2]: its order, what the views may differ in, and what the losses compare with."""

from __future__ import annotations

import re

import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, RandAdjustContrast, RandGaussianNoise

from monai_cl.addressing import Stream, address_seed
from monai_cl.engines import MixCLPrepareBatch
from monai_cl.errors import UserError
from monai_cl.losses import aligned_features
from monai_cl.transforms.seeding import call_seeded

B, SIZE = 2, 12


def batch(positions: list[int]) -> dict[str, torch.Tensor]:
    """Patches as the loader gives them: a box in P1, another in P2, drawn from the position alone."""

    def patch(seed: int) -> torch.Tensor:
        noise = 0.05 * torch.rand(1, SIZE, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
        noise[:, 3:9, 3:9, 3:9] += 0.6
        return noise

    content = {
        "image1": torch.stack([patch(2 * p) for p in positions]),
        "image2": torch.stack([patch(2 * p + 1) for p in positions]),
        "label1": torch.full((len(positions), 1, SIZE, SIZE, SIZE), 1, dtype=torch.uint8),
        "label2": torch.full((len(positions), 1, SIZE, SIZE, SIZE), 2, dtype=torch.uint8),
        "position": torch.tensor(positions),
        "dataset": torch.arange(len(positions)),
        "id1": ["a"] * len(positions),
    }
    for name in ("voxels1", "voxels2", "voxel_labels1", "voxel_labels2"):
        content[name] = torch.arange(5).repeat(len(positions), 1) + len(name)
    return content


def prepare(positions: list[int] | None = None, *, seed: int = 0, **views):
    positions = [4, 5] if positions is None else positions
    return MixCLPrepareBatch(seed=seed, views=views)(batch(positions), torch.device("cpu"))


def test_rows_are_v1_then_the_other_view_then_v2():
    inputs, targets = prepare(probability=0)
    given = batch([4, 5])
    assert inputs.shape == (3 * B, 1, SIZE, SIZE, SIZE)
    assert torch.equal(inputs, torch.cat([given["image1"], given["image1"], given["image2"]]))
    assert torch.equal(targets["clean"], inputs)
    assert targets["labels"][:, 0, 0, 0, 0].tolist() == [1, 1, 2, 2]


def test_targets_hold_the_drawn_voxels_and_the_data_set_and_no_more():
    _, targets = prepare()
    given = batch([4, 5])
    names = {"voxels1", "voxels2", "voxel_labels1", "voxel_labels2", "dataset"}
    assert targets.keys() == names | {"clean", "labels"}
    assert all(torch.equal(targets[name], given[name]) for name in names)


def test_a_geometry_moves_the_second_view_of_p1_and_says_the_way_back():
    def made(positions, **options):
        make = MixCLPrepareBatch(seed=3, views={"probability": 0.5}, spacing=(1, 1, 2), patch_size=SIZE, **options)
        return make(batch(positions), torch.device("cpu"))

    geometry = {"probability": 1.0, "rotation": 20.0}
    inputs, targets = made([4, 5], geometry=geometry)
    plain, without = made([4, 5])
    assert "back" not in without
    assert torch.equal(made([4, 5], geometry={"probability": 0.0, "rotation": 20.0})[0], plain)
    views, others = inputs.chunk(3), plain.chunk(3)
    assert torch.equal(views[0], others[0])
    assert torch.equal(views[2], others[2])
    assert not torch.allclose(views[1], others[1], atol=0.1)
    # what is reconstructed is what the view shows
    clean = targets["clean"].chunk(3)
    assert torch.equal(clean[0], without["clean"].chunk(3)[0])
    assert not torch.equal(clean[1], clean[0])
    returned, inside = aligned_features(clean[1], targets["back"])
    assert (returned - clean[0])[inside].abs().mean() < 0.5 * (clean[1] - clean[0])[inside].abs().mean()
    # by position alone
    alone, alone_targets = made([5], geometry=geometry)
    assert torch.allclose(alone[1], inputs[3], atol=1e-6)
    assert torch.equal(alone_targets["back"][0], targets["back"][1])


def test_wrong_options_of_a_geometry_are_refused_at_the_start():
    with pytest.raises(UserError, match=r"geometry: .*unexpected keyword argument 'angle'"):
        MixCLPrepareBatch(seed=0, geometry={"angle": 3.0})
    with pytest.raises(ValueError, match="scale must be in"):
        MixCLPrepareBatch(seed=0, geometry={"scale": 2.0})


def test_only_the_second_view_of_p1_hides_cubes_by_its_position_alone():
    def masked(positions, **options):
        make = MixCLPrepareBatch(seed=3, views={"probability": 0.5}, mask_block=4, **options)
        return make(batch(positions), torch.device("cpu"))

    inputs, targets = masked([4, 5], mask_ratio=0.6)
    plain, without = masked([4, 5])
    hidden = targets["hidden"]
    assert "hidden" not in without
    assert hidden.shape == (B, 1, SIZE, SIZE, SIZE)
    assert hidden.sum(dim=(1, 2, 3, 4)).tolist() == [16 * 64, 16 * 64]  # 16 of 27 cubes
    views, others = inputs.chunk(3), plain.chunk(3)
    assert torch.equal(views[0], others[0])
    assert torch.equal(views[2], others[2])
    assert torch.equal(torch.where(hidden, 0, views[1]), torch.where(hidden, 0, others[1]))
    assert views[1][hidden].unique().numel() == B
    assert torch.equal(targets["clean"], without["clean"])
    again, same = masked([5, 9], mask_ratio=0.6)
    assert torch.equal(same["hidden"][0], hidden[1])
    assert not torch.equal(same["hidden"][1], hidden[1])
    assert torch.equal(again[B], inputs[B + 1])
    with pytest.raises(ValueError, match="mask_ratio"):
        MixCLPrepareBatch(seed=0, mask_ratio=1.5)


def test_clean_stays_clean():
    inputs, targets = prepare(probability=1)
    given = batch([4, 5])
    assert torch.equal(targets["clean"], torch.cat([given["image1"], given["image1"], given["image2"]]))
    for view, clean in zip(inputs, targets["clean"]):
        assert not torch.equal(view, clean)


def test_two_views_differ_by_intensity_and_are_voxel_aligned():
    # without smoothing and noise a view is a function of the voxel's value alone
    inputs, targets = prepare([7], probability=1, sigma=(0.0, 0.0), noise_std=0.0)
    first, second, clean = inputs[0].flatten(), inputs[1].flatten(), targets["clean"][0].flatten()
    assert not torch.allclose(first, second)
    order = clean.argsort()
    assert (first[order].diff() >= -1e-6).all()
    assert (second[order].diff() >= -1e-6).all()


@pytest.mark.parametrize("probability", [0.2, 1.0])
def test_edges_stay_in_place_in_both_views(probability):
    inputs, _ = prepare([11], probability=probability)
    for view in inputs[:2, 0]:
        # the box is brighter than its surroundings just inside and outside each of its faces
        for axis in range(3):
            profile = view.moveaxis(axis, 0)[:, 5:7, 5:7].mean((1, 2))
            assert profile[3:9].mean() > profile[:3].mean() + 0.1
            assert profile[3:9].mean() > profile[9:].mean() + 0.1


def test_views_depend_on_seed_and_position_and_not_on_the_batch():
    together, _ = prepare([4, 5], probability=1)
    alone, _ = prepare([5], probability=1)
    assert torch.equal(together[[1, 3, 5]], alone)
    assert torch.equal(prepare([5], probability=1)[0], alone)
    assert not torch.equal(prepare([5], seed=1, probability=1)[0], alone)


def test_the_global_random_state_is_neither_read_nor_moved():
    torch.manual_seed(0)
    first, _ = prepare(probability=1)
    state = torch.get_rng_state()
    second, _ = prepare(probability=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ({"probabilty": 0.1}, "views: .*'probabilty'"),
        ({"probability": 2}, r"probability must be in \[0, 1\], got 2"),
        ({"gamma": (0, 2)}, "gamma must be a range"),
    ],
)
def test_bad_view_options_are_refused_before_the_first_step(views, message):
    with pytest.raises(ValueError, match=message):
        MixCLPrepareBatch(seed=0, views=views)


OWN = [
    {"_target_": "RandAdjustContrast", "prob": 1.0, "gamma": [0.5, 2.0]},
    {"_target_": "RandGaussianNoise", "prob": 1.0, "std": 0.1},
]


def by_config(views, *, seed=0, patch_size=SIZE):
    """What a bundle's config makes of its `views`."""
    options = {"seed": seed, "views": "@views", "patch_size": patch_size}
    parser = ConfigParser({"views": views, "made": {"_target_": "monai_cl.engines.MixCLPrepareBatch", **options}})
    return parser.get_parsed_content("made")


@pytest.mark.parametrize("views", [OWN, {"_target_": "Compose", "transforms": OWN}], ids=["a list", "a Compose"])
def test_a_config_may_name_the_transforms_of_the_views(views):
    inputs, targets = by_config(views)(batch([4, 5]), torch.device("cpu"))
    clean = targets["clean"]
    assert torch.equal(clean, prepare(probability=0)[0])
    assert type(inputs) is torch.Tensor
    for row, (view, position) in enumerate((view, position) for view in range(3) for position in (4, 5)):
        seed = address_seed(0, Stream.VIEWS, position, view)
        chain = Compose([RandAdjustContrast(prob=1.0, gamma=(0.5, 2.0)), RandGaussianNoise(prob=1.0, std=0.1)])
        torch.testing.assert_close(inputs[row], call_seeded(chain, clean[row].clone(), seed=seed).as_tensor())
    assert len({view.sum().item() for view in inputs}) == 3 * B


def test_own_views_depend_on_seed_and_position_and_not_on_the_batch():
    make = by_config(OWN)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    together, _ = make(batch([4, 5]), torch.device("cpu"))
    alone, _ = make(batch([5]), torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(together[[1, 3, 5]], alone)
    assert not torch.equal(by_config(OWN, seed=1)(batch([5]), torch.device("cpu"))[0], alone)


def test_an_own_function_makes_views():
    make = MixCLPrepareBatch(seed=0, views=lambda image: image.clip(0.1, 0.5), patch_size=SIZE)
    inputs, targets = make(batch([4]), torch.device("cpu"))
    assert torch.equal(inputs, targets["clean"].clip(0.1, 0.5))
    assert inputs.max() < targets["clean"].max()


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ([{"_target_": "RandFlip", "prob": 1.0}], "changes intensities only.*Eq. 5.*found RandFlip.*see warp"),
        ([{"_target_": "OneOf", "transforms": [{"_target_": "RandRotate90", "prob": 1.0}]}], "found RandRotate90"),
        ([{"_target_": "Rand3DElastic", "sigma_range": [1, 2], "magnitude_range": [1, 2]}], "found Rand3DElastic"),
        ([{"_target_": "CenterSpatialCrop", "roi_size": 4}], "found CenterSpatialCrop"),
        ([{"_target_": "RandFlipd", "keys": "image", "prob": 1.0}], "found RandFlipd.*leave it out"),
        ([{"_target_": "RandGaussianNoised", "keys": "image"}], "of a dictionary.*RandGaussianNoise, without keys"),
        (["$len"], r"found \(\) of a patch"),
        ({"_target_": "Lambda", "func": "$lambda image: image[..., 1:]"}, r"found \(1, 12, 12, 11\) of a patch"),
        ({"_target_": "Lambda", "func": "$lambda image: 1 / 0"}, "ZeroDivisionError"),
    ],
)
def test_views_that_would_not_stay_aligned_or_fail_are_refused_before_the_first_step(views, message):
    with pytest.raises((UserError, RuntimeError)) as caught:
        by_config(views)
    text = "; ".join(str(error) for error in (caught.value, caught.value.__cause__))
    assert re.search(message, text, re.DOTALL), text


def test_a_lower_resolution_and_dropped_blocks_are_views():
    blocks = {"_target_": "RandCoarseDropout", "holes": 2, "spatial_size": 3, "prob": 1.0, "fill_value": 0.0}
    lower = {"_target_": "RandSimulateLowResolution", "prob": 1.0, "zoom_range": [0.5, 0.6]}
    inputs, targets = by_config([lower, blocks])(batch([4]), torch.device("cpu"))
    assert inputs.shape == targets["clean"].shape
    assert ((inputs == 0).sum(dim=(1, 2, 3, 4)) >= 27).all()
